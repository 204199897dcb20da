// The render key (pure): equal keys mean equal manifests, so a render is looked up instead of done again (DESIGN §3).
import { createHash } from "node:crypto";
import type { BuildEnvironment, ClusterVersions, SourceOptions } from "@driftless/contracts/pipeline/3-render";
import type { RenderUses } from "@driftless/render-engine/protocol";

/** Raised whenever the engine turns the same inputs into other manifests. */
const RENDERER_VERSION = "driftless-renderer/2";

export interface RenderKeyParts {
  inputsDigest: string;
  type: string;
  path: string;
  appName: string;
  options: SourceOptions;
  environment: BuildEnvironment;
  uses: Pick<RenderUses, "variables" | "apiVersions">;
  /** The destination's, of which only what `uses` names counts. */
  cluster?: ClusterVersions;
  /** Where the trees of other sources stand in the bundle, whose files are in the inputs by that place. */
  refs?: Readonly<Record<string, string>>;
  buildOptions?: string;
  /** The plugin that rendered it: its name and what it says of its version. */
  plugin?: readonly [name: string, version: string];
}

export function renderKey(parts: RenderKeyParts): string {
  const { inputsDigest, type, path, appName, options, environment, uses, refs = {}, buildOptions, plugin } = parts;
  const key = [
    RENDERER_VERSION,
    inputsDigest,
    type,
    path,
    options,
    // A plain directory knows neither the app's name nor namespaces; a release is made of both.
    type === "Helm" ? [appName, environment.namespace] : null,
    type === "Kustomize" ? (buildOptions ?? "") : null,
    refs,
    uses.variables.toSorted().map((name) => [name, valueOf(name, parts)]),
    // Not a member where there is none, so that other renders keep their keys.
    ...(plugin ? [plugin] : []),
  ];
  return createHash("sha256").update(JSON.stringify(key)).digest("hex");
}

const byName = ([a]: [string, boolean], [b]: [string, boolean]): number => (a < b ? -1 : 1);

function valueOf(variable: string, { path, appName, environment, uses, cluster }: RenderKeyParts): unknown {
  if (variable.startsWith("ARGOCD_APP_REVISION")) return environment.revision;
  switch (variable) {
    case "ARGOCD_APP_NAME":
      return appName;
    case "ARGOCD_APP_NAMESPACE":
      return environment.namespace;
    case "ARGOCD_APP_PROJECT_NAME":
      return environment.project;
    case "ARGOCD_APP_SOURCE_PATH":
      return path;
    case "ARGOCD_APP_SOURCE_REPO_URL":
      return environment.repoURL;
    case "ARGOCD_APP_SOURCE_TARGET_REVISION":
      return environment.targetRevision;
    case "KUBE_VERSION":
      return cluster?.kubeVersion;
    case "KUBE_API_VERSIONS":
      return uses.apiVersions ? Object.entries(uses.apiVersions).toSorted(byName) : cluster?.apiVersionsDigest;
    default:
      return environment; // Rather another key too often than the same for another render.
  }
}
