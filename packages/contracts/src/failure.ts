// The closed list of failure codes: everything a person can be shown has one, each retryable or terminal.
// Condition messages open with the code in brackets: "[GIT_AUTH_FAILED] …" (DESIGN §6).
import { z } from "zod";

interface CodeInfo {
  /** True when the same request may succeed later without anybody changing anything. */
  readonly retryable: boolean;
  /** Argo CD's condition type under which the code is shown. */
  readonly condition:
    | "ComparisonError"
    | "InvalidSpecError"
    | "SyncError"
    | "PinnedWarning"
    | "SyncWindowWarning"
    | "DependencyWarning"
    | "ExcludedResourceWarning"
    | "OrphanedResourceWarning"
    | "DeletionError"
    | "UnknownError";
  /** What a person can do about it. */
  readonly remedy: string;
}

const code = (condition: CodeInfo["condition"], retryable: boolean, remedy: string): CodeInfo => ({
  condition,
  retryable,
  remedy,
});

export const FAILURE_CODES = {
  // The Application itself.
  UNSUPPORTED_FIELD: code(
    "InvalidSpecError",
    false,
    "Remove the field, or keep the app with Argo CD until Driftless honours it.",
  ),
  SPEC_INVALID: code("InvalidSpecError", false, "Correct the named field of the Application."),
  PROJECT_NOT_FOUND: code("InvalidSpecError", true, "Create the AppProject, or correct spec.project."),
  PROJECT_INVALID: code("InvalidSpecError", false, "Correct the named field of the AppProject, or of argocd-cm."),
  PROJECT_DENIED: code("InvalidSpecError", false, "Allow it in the AppProject, or move the app to another project."),
  DESTINATION_UNKNOWN: code("InvalidSpecError", true, "Correct spec.destination, or add the cluster Secret."),
  DESTINATION_INVALID: code("InvalidSpecError", true, "Correct the cluster Secret that spec.destination leads to."),
  // Git.
  REPO_URL_DENIED: code(
    "ComparisonError",
    false,
    "Use an https, ssh or oci URL without a password and without a metadata address.",
  ),
  REPO_NOT_FOUND: code("ComparisonError", true, "Check spec.source.repoURL and that the credentials may read it."),
  GIT_AUTH_FAILED: code("ComparisonError", true, "Correct the repository or repo-creds Secret for this URL."),
  GIT_UNREACHABLE: code("ComparisonError", true, "Check that the Git server answers; it is asked again by itself."),
  GIT_PROTOCOL: code("ComparisonError", true, "The URL answered, but not as a Git server; check it."),
  REVISION_NOT_FOUND: code("ComparisonError", true, "Correct spec.source.targetRevision, or push the branch or tag."),
  REVISION_AMBIGUOUS: code("ComparisonError", false, "Name the full ref, for instance refs/heads/main."),
  PATH_NOT_FOUND: code("ComparisonError", false, "Correct spec.source.path for this revision."),
  FETCH_LIMIT: code(
    "ComparisonError",
    false,
    "The repository is over the named limit; raise it, or split the repository.",
  ),
  FETCH_CORRUPT: code("ComparisonError", true, "The Git server sent damaged data; it is fetched again by itself."),
  SSH_HOST_KEY_UNKNOWN: code(
    "ComparisonError",
    true,
    "Put the server's host key into the ConfigMap argocd-ssh-known-hosts-cm, after checking it.",
  ),
  // Charts.
  CHART_REPO_UNREACHABLE: code(
    "ComparisonError",
    true,
    "Check that the Helm repository or registry answers; it is asked again by itself.",
  ),
  CHART_REPO_AUTH_FAILED: code("ComparisonError", true, "Correct the repository or repo-creds Secret for this URL."),
  CHART_REPO_INVALID: code(
    "ComparisonError",
    true,
    "The URL answered, but not as a Helm repository or OCI registry does; check it.",
  ),
  CHART_NOT_FOUND: code("ComparisonError", true, "Correct the chart's name or version, or publish it."),
  CHART_INVALID: code(
    "ComparisonError",
    false,
    "The chart's archive is refused for the reason named; publish another.",
  ),
  // Rendering.
  MANIFEST_INVALID: code("ComparisonError", false, "Correct the file at the line named."),
  UNSUPPORTED_SOURCE_TYPE: code("ComparisonError", false, "Use a directory, Helm, Kustomize, Jsonnet or a plugin."),
  RENDER_REMOTE_BASE_DENIED: code("ComparisonError", false, "Copy the remote file or base into the repository."),
  RENDER_PLUGIN_DENIED: code(
    "ComparisonError",
    false,
    "Use built-in transformers, or make the chart a source of its own.",
  ),
  RENDER_PATH_DENIED: code("ComparisonError", false, "Keep every file that is read inside the repository."),
  RENDER_LFS_POINTER: code(
    "ComparisonError",
    false,
    "Commit the file itself instead of a pointer of Git LFS, or keep it out of what is rendered.",
  ),
  RENDER_SUBMODULE: code(
    "ComparisonError",
    false,
    "Copy the submodule's files into the repository, or make its repository a source of its own.",
  ),
  RENDER_LIMIT: code("ComparisonError", false, "The render went over the named limit; make the source smaller."),
  RENDER_FAILED: code("ComparisonError", true, "The render engine failed; it is tried again by itself."),
  PLUGIN_UNAVAILABLE: code(
    "ComparisonError",
    true,
    "Start a worker of this plugin, or correct spec.source.plugin.name; it is asked again by itself.",
  ),
  PLUGIN_FAILED: code("ComparisonError", true, "The plugin could not render; it is asked again by itself."),
  BLOB_GONE: code("ComparisonError", true, "A cached body is gone; the step before it is done again by itself."),
  // Comparing.
  DUPLICATE_RESOURCE: code(
    "ComparisonError",
    false,
    "Two manifests name the same object, and the last one counts; remove the others.",
  ),
  KIND_UNKNOWN: code("ComparisonError", true, "Install the CRD of this kind, or correct apiVersion and kind."),
  KIND_UNAVAILABLE: code("ComparisonError", true, "The API server cannot list this kind now; other kinds go on."),
  EXCLUDED_RESOURCE: code(
    "ExcludedResourceWarning",
    false,
    "Remove the object from Git, or its kind from resource.exclusions of argocd-cm.",
  ),
  ORPHANED_RESOURCES: code(
    "OrphanedResourceWarning",
    false,
    "Put the objects into Git, delete them, or name them in orphanedResources.ignore of the AppProject.",
  ),
  DIFF_EXPR_INVALID: code("ComparisonError", false, "Correct the ignore rule at the path named."),
  DIFF_EXPR_LIMIT: code("ComparisonError", false, "Make the ignore rule at the path named select less."),
  CLUSTER_UNREACHABLE: code("ComparisonError", true, "Check the cluster; it is asked again by itself."),
  CLUSTER_FORBIDDEN: code("ComparisonError", true, "Give Driftless's account the permission named."),
  // Applying.
  APPLY_INVALID: code("SyncError", false, "The API server refuses the object; correct the field it names."),
  APPLY_SCHEMA: code("SyncError", false, "The object does not fit its schema; correct the field it names."),
  APPLY_FORBIDDEN: code("SyncError", true, "Give Driftless's account the permission named."),
  APPLY_CONFLICT: code("SyncError", true, "Somebody else keeps changing the object; it is tried again."),
  APPLY_FAILED: code("SyncError", true, "The API server answered with an error; it is tried again."),
  NAMESPACE_MISSING: code("SyncError", true, "Create the namespace, or set the sync option CreateNamespace=true."),
  RESOURCE_OWNED_BY_OTHER: code(
    "SyncError",
    false,
    "Another Application tracks this object; remove it from one of the two.",
  ),
  WIPE_REFUSED: code(
    "SyncError",
    false,
    "Every object would be pruned; set syncPolicy.automated.allowEmpty to allow it.",
  ),
  HOOK_FAILED: code("SyncError", true, "Look at the hook itself, a Job's log for one; the sync is tried again."),
  NOT_HEALTHY: code("SyncError", true, "Look at the object named; the waves after it wait until it is healthy."),
  SYNC_TIMEOUT: code(
    "SyncError",
    true,
    "Look at the object named; driftless.io/sync-timeout, wave-timeout and health-timeout say how long is waited.",
  ),
  OPERATION_SUPERSEDED: code("SyncError", false, "A newer revision is being synced instead."),
  APPROVAL_MISSING: code(
    "DeletionError",
    true,
    "Approve of it by the Application's annotation argocd.argoproj.io/deletion-approved, with the time of now.",
  ),
  DELETION_WAITS: code("DeletionError", true, "Look at the object named, and at the finalizers that hold it."),
  SYNC_PINNED: code(
    "PinnedWarning",
    false,
    "Remove the annotation driftless.io/pinned-until to let the app follow Git again at once.",
  ),
  SYNC_WINDOW: code(
    "SyncWindowWarning",
    false,
    "Wait until the sync window opens, or change spec.syncWindows of the AppProject.",
  ),
  DEPENDENCY_NOT_READY: code(
    "DependencyWarning",
    false,
    "Look at the Applications named; it goes on by itself when they are Synced and Healthy, and a sync by hand does not wait.",
  ),
  DEPENDENCY_CYCLE: code(
    "DependencyWarning",
    false,
    "Take one of the Applications named out of driftless.io/depends-on of another; a sync by hand does not wait.",
  ),
  NONDETERMINISTIC_RENDER: code(
    "ComparisonError",
    false,
    "The same inputs rendered differently; make the source deterministic.",
  ),
  // Actions.
  ACTION_UNKNOWN: code("SyncError", false, "`driftless app actions list` names the actions that an object has."),
  ACTION_FAILED: code("SyncError", false, "Correct the action's script in argocd-cm."),
  // The machinery.
  DEADLINE_EXCEEDED: code("UnknownError", true, "No worker answered in time; check that the services run."),
  POISON_MESSAGE: code(
    "UnknownError",
    false,
    "Processing this app's message failed five times; see the quarantine stream.",
  ),
  MESSAGE_INVALID: code("UnknownError", false, "A message did not match its contract; it was set aside."),
  WEBHOOK_INVALID: code("UnknownError", false, "Correct the webhook's body or its provider header."),
  WEBHOOK_UNAUTHORIZED: code("UnknownError", false, "Configure the same secret at the Git host and in argocd-secret."),
  INTERNAL: code("UnknownError", true, "An error in Driftless; please report it with the log."),
} as const satisfies Record<string, CodeInfo>;

export type FailureCode = keyof typeof FAILURE_CODES;

const codes = Object.keys(FAILURE_CODES) as [FailureCode, ...FailureCode[]];

export const Failure = z.looseObject({
  code: z.enum(codes).catch("INTERNAL"),
  /** One sentence for a person, without credentials. */
  message: z.string(),
  /** Where: a file with its line, a field path, or an object key. */
  file: z.string().optional(),
  line: z.number().optional(),
  path: z.string().optional(),
});
export type Failure = z.infer<typeof Failure>;

/** Much for one sentence; but it may quote a URL or a value of any length, and it goes into statuses, facts and logs. */
const MESSAGE_MAX = 2_000;

export function failure(code: FailureCode, message: string, where: Omit<Failure, "code" | "message"> = {}): Failure {
  return { code, message: message.length > MESSAGE_MAX ? `${message.slice(0, MESSAGE_MAX)}…` : message, ...where };
}

export const isRetryable = (f: Failure): boolean => FAILURE_CODES[f.code].retryable;

/** A retryable failure that says nothing about the app: it is kept back for a while before it is shown. */
export const isPassing = (f: Failure): boolean => isRetryable(f) && !f.code.startsWith("PLUGIN_");

/**
 * "[CODE] message (file:line)", as conditions and the CLI show it. Of a field that is refused the path is what has to be
 * found and removed, so it comes first: "[UNSUPPORTED_FIELD] spec.source.plugin is not honoured yet".
 */
export function failureText(f: Failure): string {
  if (f.code === "UNSUPPORTED_FIELD" && f.path && !f.file) return `[${f.code}] ${f.path} is not honoured yet`;
  const where = f.file ? ` (${f.file}${f.line ? `:${f.line}` : ""})` : f.path ? ` (${f.path})` : "";
  return `[${f.code}] ${f.message}${where}`;
}
