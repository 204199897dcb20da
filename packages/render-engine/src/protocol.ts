// What is said to the render engine and what it answers, as bytes (frame.go is the other end) and as values. Pure.
//
//   request: u32 length | 16 bytes id              | u32 header length | JSON header | raw bytes
//   reply:   u32 length | 16 bytes id | 32 sha-256 | u32 header length | JSON header | raw bytes
//
// File contents and manifests are raw bytes: nothing is base64, and no manifest passes through a JavaScript number.
import { hash } from "node:crypto";
import type { ResourceAction } from "@driftless/contracts/actions";
import type { FailureCode } from "@driftless/contracts/failure";
import type { HealthStatus } from "@driftless/contracts/identity";

export interface BundleEntry {
  /** From the repository's root, without a leading slash. */
  path: string;
  /** A file's content, a link's target; empty for a submodule. */
  bytes: Uint8Array;
  kind?: "file" | "link" | "submodule";
}

export interface RenderLimits {
  /** All manifest files of the source together. */
  bytes: number;
  files: number;
  documents: number;
  depth: number;
  /** What the manifests unfold to, aliases included. */
  expanded: number;
}

export const defaultRenderLimits: RenderLimits = {
  bytes: 10 * 1024 * 1024,
  files: 10_000,
  documents: 10_000,
  depth: 256,
  expanded: 40 * 1024 * 1024,
};

/** Options under Argo CD's names, as they stand in the Application; what is not named here is passed on as it is. */
export interface DirectoryOptions {
  recurse?: boolean;
  include?: string;
  exclude?: string;
  disableExtensionFilter?: boolean;
  jsonnet?: { extVars?: JsonnetVariable[]; tlas?: JsonnetVariable[]; libs?: string[] };
}

export interface JsonnetVariable {
  name: string;
  value: string;
  code?: boolean;
}

export interface HelmOptions {
  releaseName?: string;
  /** Relative to the chart, `/` for the repository's root, `$ref/…`; patterns are expanded. */
  valueFiles?: string[];
  ignoreMissingValueFiles?: boolean;
  values?: string;
  valuesObject?: Record<string, unknown>;
  parameters?: { name?: string; value?: string; forceString?: boolean }[];
  fileParameters?: { name?: string; path?: string }[];
  /** For whoever fetches the charts, like `version`: without meaning here. */
  passCredentials?: boolean;
  version?: string;
  skipCrds?: boolean;
  skipTests?: boolean;
  skipSchemaValidation?: boolean;
  namespace?: string;
  kubeVersion?: string;
  apiVersions?: string[];
}

export interface KustomizeOptions {
  namePrefix?: string;
  nameSuffix?: string;
  images?: string[];
  replicas?: { name: string; count: number | string }[];
  commonLabels?: Record<string, string>;
  commonAnnotations?: Record<string, string>;
  commonAnnotationsEnvsubst?: boolean;
  forceCommonLabels?: boolean;
  forceCommonAnnotations?: boolean;
  labelWithoutSelector?: boolean;
  labelIncludeTemplates?: boolean;
  namespace?: string;
  patches?: {
    path?: string;
    patch?: string;
    target?: Record<string, string>;
    options?: Record<string, boolean>;
  }[];
  components?: string[];
  ignoreMissingComponents?: boolean;
  version?: string;
  kubeVersion?: string;
  apiVersions?: string[];
}

export interface PluginOptions {
  name?: string;
  env?: { name?: string; value?: string }[];
  parameters?: { name?: string; string?: string; array?: string[]; map?: Record<string, string> }[];
}

/** Values of the build environment. Only those that `uses.variables` names have a part in the result. */
export interface BuildEnvironment {
  /** The destination's; also Helm's release namespace unless `helm.namespace` says another. */
  namespace?: string;
  project?: string;
  /** The full commit. */
  revision?: string;
  repoURL?: string;
  targetRevision?: string;
}

/** A chart that is missing in `charts/`. The version is exact where Chart.lock names one, else Chart.yaml's constraint. */
export interface ChartNeed {
  /** As written: `https://…`, `oci://…`, `@name`, `alias:name`. */
  repository: string;
  name: string;
  version: string;
}

export interface RenderJob {
  /** `spec.source.path`; "." is the root. A path of an entry that ends in .tgz is a chart's archive, rendered as the source. */
  path: string;
  /** Selects `.argocd-source-<appName>.yaml`; `<namespace>_<name>` for apps outside the control plane's namespace. */
  appName: string;
  /** What `spec.source` says of its type; more than one with something in it is an error, none means detection. */
  directory?: DirectoryOptions;
  helm?: HelmOptions;
  kustomize?: KustomizeOptions;
  plugin?: PluginOptions;
  /** What a plugin gets beside the source's own directory; relative to it, or from the repository's root with `/`. */
  generatePaths?: readonly string[];
  /** Plugins that find their sources by files: the first that matches has it, where nobody says the type. */
  plugins?: readonly { name: string; fileName?: string; glob?: string }[];
  /** A plugin had this source before: where none matches now, it is missing. */
  wasPlugin?: boolean;
  /** What the plugin made, in answer to an earlier `plugin`: YAML documents or JSON. */
  pluginOutput?: string;
  environment?: BuildEnvironment;
  /** The destination cluster's, unless the source states its own. */
  kubeVersion?: string;
  /** `group/version` and `group/version/kind`. */
  apiVersions?: readonly string[];
  /** Where they matter and are not told, `need` asks for them; otherwise Helm's own stand in. */
  asksCluster?: boolean;
  /**
   * Where the trees of `ref` sources stand in the bundle, by ref name without `$`: "" is this repository at this commit,
   * anything else must be below `.git/` (say `.git/refs/<name>`), where no path of a repository can be. Entries, absent
   * paths, `need` and reads have that prefix.
   */
  refs?: Readonly<Record<string, string>>;
  /** Answers to an earlier `need` of charts: the entry of the bundle that is the archive (say `.git/charts/<digest>.tgz`). */
  charts?: readonly (ChartNeed & { path: string })[];
  /** argocd-cm's `kustomize.buildOptions`. */
  buildOptions?: string;
  entries: readonly BundleEntry[];
  /** Directories of which `entries` holds everything below; "" is the whole repository. */
  complete: readonly string[];
  /** Paths known not to exist, in answer to an earlier `need`. */
  absent?: readonly string[];
  limits?: Partial<RenderLimits>;
}

export interface EngineWarning {
  message: string;
  file?: string;
  line?: number;
}

/** The object is `{"apiVersion":…,"kind":…,"metadata":<metadata>` + (body && `,${body}`) + `}`. */
export interface RenderedManifest {
  apiVersion: string;
  kind: string;
  /** Canonical JSON text of `metadata`. */
  metadata: string;
  /** Canonical JSON text of all other members, without braces; may be empty. */
  body: string;
  file: string;
  line: number;
  images: string[];
  warnings: EngineWarning[];
}

/** A source's inputs, as paths; "" is the root's listing. */
export interface RenderReads {
  files: string[];
  listings: string[];
  missed: string[];
}

export interface EngineFailure {
  kind: "failed";
  code: FailureCode;
  message: string;
  file?: string;
  line?: number;
  /** The Application's field that is to blame. */
  path?: string;
  /** With RENDER_LIMIT: which limit. */
  which?: string;
  /** What a render read until it failed. */
  reads?: RenderReads;
}

export type SourceType = "Directory" | "Helm" | "Kustomize" | "Plugin";

/** What beside files and options has a part in the result, and so belongs into the render key. */
export interface RenderUses {
  /**
   * Variables of the build environment that were substituted; KUBE_VERSION and KUBE_API_VERSIONS also where a chart
   * looks at the cluster's capabilities.
   */
  variables: string[];
  /** API versions that were asked for by name, and whether the cluster has them; absent where all of them count. */
  apiVersions?: Record<string, boolean>;
  /** Functions of chance and time that were called: equal inputs may give other manifests. */
  nondeterministic: string[];
  /** The chart asks the cluster, which answers with nothing here as in `helm template`. */
  lookup: boolean;
}

export interface Rendered {
  kind: "rendered";
  type: SourceType;
  manifests: RenderedManifest[];
  reads: RenderReads;
  uses: RenderUses;
  empty: boolean;
  warnings: EngineWarning[];
}

/** The job can be done once the bundle has these paths (a file, or everything below a directory) and charts. */
export interface RenderNeed {
  kind: "need";
  paths: string[];
  charts: ChartNeed[];
  /** And once the destination cluster's versions are told. */
  cluster: boolean;
}

/** A plugin is to render it: the job can be done once it has the plugin's output. All of `reads` are its inputs. */
export interface RenderAsksPlugin {
  kind: "plugin";
  /** With the repository's overrides merged in. */
  plugin: PluginOptions;
  reads: RenderReads;
}

export type RenderOutcome = Rendered | RenderNeed | RenderAsksPlugin | EngineFailure;

export interface ConstraintQuestion {
  constraint: string;
  tagPrefix?: string;
  versions: readonly string[];
}

/** `exact` is a version and taken literally; `literal` is neither version nor constraint: a branch, a tag, a commit. */
export type ConstraintOutcome =
  | { kind: "exact" | "match"; version: string }
  | { kind: "literal" }
  | { kind: "none" }
  | EngineFailure;

export interface GlobsQuestion {
  pattern: string;
  values: readonly string[];
  /** Characters that `*` does not cross; none by default. */
  separators?: string;
}

export type GlobsOutcome = { kind: "matches"; matches: boolean[] } | EngineFailure;

export interface JqQuestion {
  /** Each stands for what `del(expression)` would take out. */
  expressions: readonly string[];
  object: unknown;
  /** For each expression. */
  timeoutMs: number;
}

/** A member's name or an item's index, from the object down. */
export type JqPath = (string | number)[];

/** Paths of each expression. Of a failure `path` is `[index]` of the expression. */
export type JqOutcome = { kind: "paths"; paths: JqPath[][] } | EngineFailure;

export interface LuaScript {
  script: string;
  /** All libraries that reach nothing outside, beside base, package, table and the times of os. */
  openLibs: boolean;
}

export interface HealthQuestion extends LuaScript {
  objects: readonly unknown[];
  /** For each object. */
  timeoutMs: number;
}

/** One for each object; null where the script says nothing of it. */
export type HealthsOutcome =
  | { kind: "healths"; healths: ({ status: HealthStatus; message?: string } | null)[] }
  | EngineFailure;

export interface ActionsQuestion {
  /** Of discovery; what an earlier one names, a later one does not change. */
  scripts: readonly LuaScript[];
  object: unknown;
  timeoutMs: number;
}

export type ActionsOutcome = { kind: "actions"; actions: ResourceAction[] } | EngineFailure;

export interface ActionQuestion extends LuaScript {
  object: unknown;
  parameters: Readonly<Record<string, string>>;
  timeoutMs: number;
}

/** What an action would do: change its object by a merge patch, or make another one. */
export type ActionImpact =
  | { operation: "patch"; patch: Record<string, unknown> }
  | { operation: "create"; resource: Record<string, unknown> };

export type ActionOutcome = { kind: "impacts"; impacts: ActionImpact[] } | EngineFailure;

const idBytes = 16;
const requestPrefixBytes = 4 + idBytes + 4;
export const replyPrefixBytes = 4 + idBytes + 32 + 4;

/** A request ready for the pipe but for its id, which `stamp` writes. */
export type RequestFrame = Buffer;

function frame(header: unknown, rawBytes: number): { frame: Buffer; at: number } {
  const text = JSON.stringify(header);
  const textBytes = Buffer.byteLength(text);
  const request = Buffer.allocUnsafe(requestPrefixBytes + textBytes + rawBytes);
  request.writeUInt32BE(request.length - 4, 0);
  request.writeUInt32BE(textBytes, 4 + idBytes);
  request.write(text, requestPrefixBytes);
  return { frame: request, at: requestPrefixBytes + textBytes };
}

export function renderRequest(job: RenderJob): RequestFrame {
  let rawBytes = 0;
  const files = job.entries.map((entry) => {
    rawBytes += entry.bytes.length;
    return {
      p: entry.path,
      n: entry.bytes.length,
      l: entry.kind === "link" || undefined,
      s: entry.kind === "submodule" || undefined,
    };
  });
  const request = frame(
    {
      call: "render",
      render: {
        path: job.path,
        appName: job.appName,
        source: { directory: job.directory, helm: job.helm, kustomize: job.kustomize, plugin: job.plugin },
        plugins: job.plugins,
        wasPlugin: job.wasPlugin,
        generatePaths: job.generatePaths,
        pluginOutput: job.pluginOutput,
        environment: job.environment,
        kubeVersion: job.kubeVersion,
        apiVersions: job.apiVersions,
        asksCluster: job.asksCluster,
        refs: job.refs,
        charts: job.charts,
        buildOptions: job.buildOptions,
        limits: { ...defaultRenderLimits, ...job.limits },
        files,
        complete: job.complete,
        absent: job.absent,
      },
    },
    rawBytes,
  );
  let at = request.at;
  for (const { bytes } of job.entries) {
    request.frame.set(bytes, at);
    at += bytes.length;
  }
  return request.frame;
}

export const constraintRequest = (question: ConstraintQuestion): RequestFrame =>
  frame({ call: "constraint", constraint: question }, 0).frame;

export const globsRequest = (question: GlobsQuestion): RequestFrame =>
  frame({ call: "globs", globs: question }, 0).frame;

export const jqRequest = (question: JqQuestion): RequestFrame => frame({ call: "jq", jq: question }, 0).frame;

export const healthRequest = (question: HealthQuestion): RequestFrame =>
  frame({ call: "health", health: question }, 0).frame;

export const actionsRequest = (question: ActionsQuestion): RequestFrame =>
  frame({ call: "actions", actions: question }, 0).frame;

export const actionRequest = (question: ActionQuestion): RequestFrame =>
  frame({ call: "action", action: question }, 0).frame;

export function stamp(request: RequestFrame, id: Buffer): void {
  id.copy(request, 4);
}

interface ManifestHead extends Omit<RenderedManifest, "metadata" | "body" | "images" | "warnings"> {
  m: number;
  b: number;
  images?: string[];
  warnings?: EngineWarning[];
}

type ReplyHeader =
  | {
      kind: "rendered";
      type: SourceType;
      manifests?: ManifestHead[];
      reads: RenderReads;
      uses: Partial<RenderUses>;
      warnings?: EngineWarning[];
    }
  | { kind: "need"; paths?: string[]; charts?: ChartNeed[]; cluster?: boolean }
  | RenderAsksPlugin
  | { kind: "exact" | "match"; version: string }
  | { kind: "literal" | "none" }
  | { kind: "matches"; matches?: boolean[] }
  | { kind: "paths"; jqPaths?: JqPath[][] }
  | { kind: "healths"; healths?: Extract<HealthsOutcome, { kind: "healths" }>["healths"] }
  | { kind: "actions"; actions?: ResourceAction[] }
  | { kind: "impacts"; impacts?: ActionImpact[] }
  | EngineFailure;

export type EngineReply =
  | RenderOutcome
  | ConstraintOutcome
  | GlobsOutcome
  | JqOutcome
  | HealthsOutcome
  | ActionsOutcome
  | ActionOutcome;

/** The reply to the request with this id, or `garbage`: the child has lost the thread, or was taken over by its input. */
export function readReply(reply: Buffer, id: Buffer): EngineReply | { kind: "garbage"; message: string } {
  const garbage = (message: string) => ({ kind: "garbage", message }) as const;
  if (reply.length < replyPrefixBytes) return garbage("a reply shorter than its prefix");
  if (reply.compare(id, 0, idBytes, 4, 4 + idBytes) !== 0) return garbage("a reply to another request");
  const covered = reply.subarray(4 + idBytes + 32);
  if (reply.compare(hash("sha256", covered, "buffer"), 0, 32, 4 + idBytes, 4 + idBytes + 32) !== 0)
    return garbage("a reply with a wrong digest");
  let at = replyPrefixBytes + reply.readUInt32BE(replyPrefixBytes - 4);
  if (at > reply.length) return garbage("a header longer than its reply");
  let header: ReplyHeader;
  try {
    header = JSON.parse(reply.toString("utf8", replyPrefixBytes, at)) as ReplyHeader;
  } catch {
    return garbage("a header that is not JSON");
  }
  switch (header.kind) {
    case "rendered": {
      const manifests: RenderedManifest[] = [];
      for (const { m, b, ...head } of header.manifests ?? []) {
        if (!(m >= 0 && b >= 0 && at + m + b <= reply.length)) return garbage("manifests longer than their reply");
        manifests.push({
          ...head,
          metadata: reply.toString("utf8", at, at + m),
          body: reply.toString("utf8", at + m, at + m + b),
          images: head.images ?? [],
          warnings: head.warnings ?? [],
        });
        at += m + b;
      }
      if (at !== reply.length) return garbage("bytes that belong to no manifest");
      return {
        kind: "rendered",
        type: header.type,
        manifests,
        reads: header.reads,
        uses: { variables: [], nondeterministic: [], lookup: false, ...header.uses },
        empty: manifests.length === 0,
        warnings: header.warnings ?? [],
      };
    }
    case "matches":
      return { kind: "matches", matches: header.matches ?? [] };
    case "paths":
      return { kind: "paths", paths: header.jqPaths ?? [] };
    case "healths":
      return { kind: "healths", healths: header.healths ?? [] };
    case "actions":
      return { kind: "actions", actions: header.actions ?? [] };
    case "impacts":
      return { kind: "impacts", impacts: header.impacts ?? [] };
    case "need":
      return {
        kind: "need",
        paths: header.paths ?? [],
        charts: header.charts ?? [],
        cluster: header.cluster ?? false,
      };
    case "plugin":
    case "exact":
    case "match":
    case "literal":
    case "none":
    case "failed":
      return header;
    default:
      return garbage("a reply of an unknown kind");
  }
}
