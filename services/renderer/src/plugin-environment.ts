// The environment of a plugin (pure), as Argo CD gives it to its own (docs: config-management-plugins, "environment").
import type { BuildEnvironment } from "@driftless/contracts/pipeline/3-render";
import type { PluginOptions } from "@driftless/render-engine/protocol";

export interface PluginEnvironmentParts {
  path: string;
  appName: string;
  environment: BuildEnvironment;
  cluster: { kubeVersion: string; apiVersions: readonly string[] };
}

const variableName = (name: string): string => name.toUpperCase().replaceAll(/[^A-Z0-9_]/g, "_");

export function pluginEnvironment(plugin: PluginOptions, parts: PluginEnvironmentParts): Record<string, string> {
  const build = buildVariables(parts);
  const result = { ...build };
  for (const { name, value = "" } of plugin.env ?? []) {
    if (name) result[`ARGOCD_ENV_${name}`] = substituted(value, build);
  }
  const parameters = plugin.parameters ?? [];
  // Without parameters `null`, which Go's encoder makes of an empty list.
  result["ARGOCD_APP_PARAMETERS"] = parameters.length > 0 ? JSON.stringify(parameters) : "null";
  for (const { name = "", string, array, map } of parameters) {
    const variable = `PARAM_${variableName(name)}`;
    if (string !== undefined) result[variable] = string;
    for (const [index, value] of (array ?? []).entries()) result[`${variable}_${index}`] = value;
    for (const [key, value] of Object.entries(map ?? {})) result[`${variable}_${variableName(key)}`] = value;
  }
  return result;
}

export function buildVariables({
  path,
  appName,
  environment,
  cluster,
}: PluginEnvironmentParts): Record<string, string> {
  const { namespace = "", project = "", revision = "", repoURL = "", targetRevision = "" } = environment;
  return {
    ARGOCD_APP_NAME: appName,
    ARGOCD_APP_NAMESPACE: namespace,
    ARGOCD_APP_PROJECT_NAME: project,
    ARGOCD_APP_REVISION: revision,
    ARGOCD_APP_REVISION_SHORT: revision.slice(0, 7),
    ARGOCD_APP_REVISION_SHORT_8: revision.slice(0, 8),
    ARGOCD_APP_SOURCE_PATH: path,
    ARGOCD_APP_SOURCE_REPO_URL: repoURL,
    ARGOCD_APP_SOURCE_TARGET_REVISION: targetRevision,
    KUBE_VERSION: cluster.kubeVersion.replace(/^v/, ""),
    KUBE_API_VERSIONS: cluster.apiVersions.join(","),
  };
}

/** Build variables that the declared values name: they have a part in the result whatever the plugin says. */
export function variablesNamed(plugin: PluginOptions, parts: PluginEnvironmentParts): string[] {
  const names = new Set<string>();
  const note = (name: string) => void (Object.hasOwn(buildVariables(parts), name) && names.add(name));
  for (const { value = "" } of plugin.env ?? []) expand(value, (name) => (note(name), ""));
  return [...names];
}

const substituted = (text: string, values: Record<string, string>): string =>
  expand(text, (name) => (name === "$" ? "$" : (values[name] ?? "")));

/** `$NAME`, `${NAME}` and `$$`, as os.Expand reads them. */
const expand = (text: string, value: (name: string) => string): string =>
  text.replaceAll(/\$(?:\{([^}]*)\}|(\$|\w+))/g, (_all, braced?: string, plain?: string) => value(braced ?? plain!));
