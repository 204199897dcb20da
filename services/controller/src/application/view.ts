// View (pure): what the actor needs of its Application, its AppProject and the settings, read once per change.
import { createHash } from "node:crypto";
import {
  Application,
  readLeniently,
  type ApplicationStatus,
  type IgnoreDifference,
  type OperationField,
  type Retry,
} from "@driftless/contracts/application";
import { failure, type Failure } from "@driftless/contracts/failure";
import type { AppRef, Destination, ObjectKey } from "@driftless/contracts/identity";
import type { IgnoreRule, ResourceFilter, Target } from "@driftless/contracts/pipeline/4-diff";
import type { AppProjectSpec, SyncWindow } from "@driftless/contracts/project";
import { shardOf } from "@driftless/contracts/subject";
import { cascadeOf } from "./finalizers.ts";
import { IN_CLUSTER_SERVER } from "@driftless/kube/clusters";
import { dependsOn, type Awaited } from "./depends-on.ts";
import { parseBackoffDuration } from "./go-duration.ts";
import { APPROVED_ANNOTATION } from "./approval.ts";
import type { GlobalProject } from "../global-projects.ts";
import type { EffectiveProject } from "../projects.ts";
import { inNamespaces, projectDenies, unsupportedInProject, wrongInProject, type ProjectCluster } from "./project.ts";
import { ignoreRulesOf, wrongIgnoreRules } from "./ignore-rules.ts";
import { operationWriter } from "./operation-writer.ts";
import { POLICY_USUAL, appPolicy, type AppPolicy, type Policy } from "./policy.ts";
import {
  broughtSource,
  desiredSources,
  isMultiSource,
  sourceFields,
  wrongSources,
  type DesiredSource,
} from "./sources.ts";
import { readSyncOptions, type SyncOptions } from "./sync-options.ts";
import { windowsFor } from "./sync-windows.ts";
import { unsupportedInApplication } from "./unsupported.ts";

export const REFRESH_ANNOTATION = "argocd.argoproj.io/refresh";
const REFRESH_TIMESTAMP = "argocd.argoproj.io/refresh-timestamp";
const SKIP_ANNOTATION = "argocd.argoproj.io/skip-reconcile";

type TargetTracking = Pick<Target, "trackingMethod" | "instanceLabelKey" | "installationId">;

/** What argocd-cm says, as far as the actor asks. */
export interface Settings {
  controlPlaneNamespace: string;
  tracking: TargetTracking;
  /** `cluster.inClusterEnabled: "false"`: the cluster that it runs in is no destination. */
  inClusterDisabled?: boolean;
  /** Kinds that are left alone. */
  resourceFilter?: ResourceFilter;
  pollIntervalMs: number;
  pollJitterMs?: number;
  /** Every so often each Application is rendered anew, whatever is kept. */
  hardIntervalMs?: number;
  /** `kustomize.buildOptions`. */
  buildOptions?: string;
  /** Of the system; the Application's own come on top. */
  ignoreRules: IgnoreRule[];
  /** From argocd-cmd-params-cm; Argo CD's defaults when absent. */
  policy?: Policy;
  globalProjects?: GlobalProject[];
  /** What argocd-cm asks of every Application and is not honoured, or cannot be read. */
  refused?: Failure[];
}

export interface RetryPolicy {
  /** Negative: for ever. */
  limit: number;
  durationMs: number;
  factor: number;
  durationMaxMs: number;
}

/** What the Application asks for; only there when all of it is understood and allowed. */
export interface Desired {
  /** One, or those of `spec.sources` in their order. */
  sources: readonly DesiredSource[];
  /** Asked for by `spec.sources`: status and operations speak of lists. */
  isMultiSource: boolean;
  appName: string;
  buildOptions?: string;
  destination: Destination;
  cluster: ProjectCluster;
  project: AppProjectSpec;
  /** Those of the project that concern it. */
  windows: SyncWindow[];
  automated?: { prune: boolean; selfHeal: boolean; allowEmpty: boolean };
  syncOptionTexts: string[];
  options: SyncOptions;
  /** Labels and annotations of the destination namespace, where the app creates it. */
  managedNamespace?: Target["managedNamespace"];
  retry?: Retry;
  historyLimit: number;
  tracking: TargetTracking;
  resourceFilter?: ResourceFilter;
  /** The system's and the Application's. */
  ignoreRules: IgnoreRule[];
  /** As written, for the status. */
  ignoreDifferences: IgnoreDifference[];
  /** Differs when another render of the same inputs could come out. */
  parametersHash: string;
}

/** What an operation names instead of the Application's own source or sources, a rollback for one, or brings along. */
export interface Requested {
  /** Then the source is not fetched: these are its files. */
  manifests?: readonly string[];
  /** Absent with `failures`. */
  desired?: Desired;
  sourceHash: string;
  failures: readonly Failure[];
}

export interface AppView {
  ref: AppRef;
  shard: number;
  controlPlaneNamespace: string;
  pollIntervalMs: number;
  pollJitterMs?: number;
  policy: AppPolicy;
  desired?: Desired;
  /** Why nothing is done for it, when there is no `desired`. */
  blocked: readonly Failure[];
  /** Of everything that makes the actor look again when it changes. */
  desiredHash: string;
  /** Source and parameters only: another one means that the last render says nothing. */
  sourceHash: string;
  operation?: OperationField;
  operationHash: string;
  /** Field manager that wrote it. */
  operationBy?: string;
  /** Of `operation`, else of the operation that runs. */
  requested?: Requested;
  /** `normal` or `hard`, and the time of the asking where that is said: another time is another asking. */
  refresh?: string;
  skipReconcile: boolean;
  /** Of the Applications that it depends on, where it depends on any. */
  awaited?: Awaited;
  /** Argo CD is in charge of it: nothing is written or begun. */
  observed?: true;
  /** A person's approval of deletions, as written. */
  approvedAt?: string;
  deletion?: {
    at: string;
    /** Absent: only the Application goes. */
    cascade?: "Foreground" | "Background";
    finalizers: string[];
  };
  status: ApplicationStatus;
}

const hash = (value: unknown): string => createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 32);

/** Bumped when a new version of Driftless renders the same inputs otherwise: kept renders are then not reused. */
const RENDER_GENERATION = 3;

export function viewOf(
  raw: unknown,
  projectOf: (name: string) => EffectiveProject | undefined,
  settings: Settings,
  clusterOf: (destination: Destination) => ProjectCluster | undefined = (destination) => destination,
): AppView | undefined {
  const reading = readLeniently(Application, raw);
  if (reading.kind === "unreadable") return undefined;
  const app = reading.value;
  const { metadata } = app;
  const ref: AppRef = {
    uid: metadata.uid || `${metadata.namespace}/${metadata.name}`,
    namespace: metadata.namespace,
    name: metadata.name,
    project: app.spec?.project || "default",
  };
  const project = projectOf(ref.project);
  const around: Around = { settings, project, cluster: clusterOf(app.spec?.destination ?? {}) };
  // A status that somebody wrote by hand is not the spec: what is wrong there is left out silently.
  const wrong = reading.problems.filter((problem) => problem.path.startsWith("spec"));
  const annotations = metadata.annotations ?? {};
  const paced = appPolicy(annotations, settings.policy ?? POLICY_USUAL);
  const others = dependsOn(annotations, ref.namespace);
  const blocked =
    wrong.length > 0 ? wrong.map(specInvalid) : [...specFailures(app, ref, around), ...paced.wrong, ...others.wrong];
  const desired = blocked.length === 0 ? desiredOf(app, ref, around) : undefined;
  return {
    ref,
    shard: shardOf(ref.namespace, ref.name),
    controlPlaneNamespace: settings.controlPlaneNamespace,
    pollIntervalMs: settings.pollIntervalMs,
    pollJitterMs: settings.pollJitterMs,
    policy: paced.policy,
    desired,
    blocked,
    desiredHash: hash([
      app.spec ?? null,
      desired?.project ?? null,
      desired?.cluster,
      desired?.tracking,
      desired?.resourceFilter,
      desired?.ignoreRules,
      desired?.parametersHash,
      paced.policy,
      blocked,
    ]),
    sourceHash: sourceHashOf(desired),
    requested: requestedOf(app, ref, around),
    operation: app.operation,
    operationHash: app.operation ? hash(app.operation) : "",
    refresh: refreshAsked(annotations),
    operationBy: app.operation && operationWriter(app),
    skipReconcile: annotations[SKIP_ANNOTATION] === "true",
    deletion: metadata.deletionTimestamp
      ? {
          at: metadata.deletionTimestamp,
          cascade: cascadeOf(metadata.finalizers ?? []),
          finalizers: metadata.finalizers ?? [],
        }
      : undefined,
    approvedAt: annotations[APPROVED_ANNOTATION],
    status: app.status ?? {},
  };
}

/** What the refresh annotations ask for, as one text; undefined when they ask for nothing. */
export function refreshAsked(annotations: Readonly<Record<string, string>>): string | undefined {
  const mode = annotations[REFRESH_ANNOTATION];
  const at = annotations[REFRESH_TIMESTAMP];
  return mode === undefined || at === undefined ? mode : `${mode} ${at}`;
}

function sourceHashOf(desired: Desired | undefined): string {
  const sources = desired?.sources.map(({ source }) => source);
  return hash([(desired?.isMultiSource ? sources : sources?.[0]) ?? null, desired?.parametersHash]);
}

/** Of the Application itself nothing is here. */
interface Around {
  settings: Settings;
  project: EffectiveProject | undefined;
  /** Absent where nobody knows it: the comparison will say so. */
  cluster: ProjectCluster | undefined;
}

function requestedOf(app: Application, ref: AppRef, around: Around): Requested | undefined {
  const { operationState } = app.status ?? {};
  const running = operationState?.phase === "Running" ? operationState.operation : undefined;
  const { source, sources = [], manifests = [] } = (app.operation ?? running)?.sync ?? {};
  if (manifests.length > 0) return broughtAlong(app, ref, { around, manifests });
  if (!source && sources.length === 0) return undefined;
  const other: Application = { ...app, spec: { ...app.spec, source, sources } };
  const failures = specFailures(other, ref, around);
  const desired = failures.length === 0 ? desiredOf(other, ref, around) : undefined;
  return { desired, sourceHash: sourceHashOf(desired), failures };
}

const specInvalid = (problem: { path: string; message: string }): Failure =>
  failure("SPEC_INVALID", problem.message, { path: problem.path });

function specFailures(app: Application, ref: AppRef, around: Around): Failure[] {
  const { refused = [] } = around.settings;
  if (refused.length > 0) return refused;
  const unsupported = unsupportedInApplication(app);
  if (unsupported.length > 0) {
    return unsupported.map((path) => failure("UNSUPPORTED_FIELD", `not honoured yet: ${path}`, { path }));
  }
  const { destination } = app.spec ?? {};
  const invalid: Failure[] = wrongSources(app.spec).map(specInvalid);
  if (!destination?.server && !destination?.name) {
    invalid.push(specInvalid({ path: "spec.destination", message: "either server or name is needed" }));
  }
  if (destination?.server && destination.name) {
    invalid.push(specInvalid({ path: "spec.destination", message: "server and name exclude each other" }));
  }
  const backoff = app.spec?.syncPolicy?.retry?.backoff;
  for (const field of ["duration", "maxDuration"] as const) {
    const text = backoff?.[field];
    if (text && parseBackoffDuration(text) === undefined) {
      invalid.push(
        specInvalid({ path: `spec.syncPolicy.retry.backoff.${field}`, message: `"${text}" is no duration` }),
      );
    }
  }
  invalid.push(...wrongIgnoreRules(app.spec?.ignoreDifferences ?? []).map(specInvalid));
  if (invalid.length > 0) return invalid;
  const refusing = projectFailures(ref, around);
  if (refusing.length > 0) return refusing;
  if (around.settings.inClusterDisabled && around.cluster?.server === IN_CLUSTER_SERVER) {
    const text = "cluster.inClusterEnabled of argocd-cm says that the cluster of the control plane is no destination";
    return [failure("DESTINATION_UNKNOWN", text, { path: "spec.destination" })];
  }
  return deniedSources(app, ref.project, around);
}

/** Each source of several by its own path; the destination of all of them once. */
function deniedSources({ spec }: Application, name: string, { project, cluster }: Around): Failure[] {
  const failures = sourceFields(spec).flatMap(({ path, field }) => {
    const wanted = { repoURL: field.repoURL!, destination: spec!.destination!, cluster };
    return projectDenies(name, project?.spec ?? {}, wanted).map((one) =>
      one.path === "spec.source.repoURL" ? { ...one, path: `${path}.repoURL` } : one,
    );
  });
  return failures.filter(({ path }, n) => failures.findIndex((one) => one.path === path) === n);
}

/** Why the project cannot be used at all, or not by this Application. */
function projectFailures(ref: AppRef, { project, settings }: Around): Failure[] {
  if (!project) {
    return [failure("PROJECT_NOT_FOUND", `there is no AppProject "${ref.project}"`, { path: "spec.project" })];
  }
  const { spec = {}, failures = [] } = project;
  if (ref.namespace !== settings.controlPlaneNamespace && !inNamespaces(spec.sourceNamespaces, ref.namespace)) {
    const text = `application '${ref.name}' in namespace '${ref.namespace}' is not permitted to use project '${ref.project}'`;
    return [failure("PROJECT_DENIED", text, { path: "spec.project" })];
  }
  return [...failures, ...unsupportedInProject(ref.project, spec), ...wrongInProject(ref.project, spec)];
}

function desiredOf(app: Application, ref: AppRef, { project: ofApp, settings, cluster }: Around): Desired {
  const project = ofApp?.spec ?? {};
  const spec = app.spec!;
  const sources = desiredSources(app, ref);
  const options = readSyncOptions(spec.syncPolicy?.syncOptions ?? []);
  const metadata = spec.syncPolicy?.managedNamespaceMetadata;
  const automated = spec.syncPolicy?.automated;
  const { server, name, namespace } = spec.destination!;
  const appName = ref.namespace === settings.controlPlaneNamespace ? ref.name : `${ref.namespace}_${ref.name}`;
  const { buildOptions } = settings;
  return {
    sources,
    isMultiSource: isMultiSource(spec),
    appName,
    buildOptions,
    destination: { ...(server ? { server } : {}), ...(name ? { name } : {}), ...(namespace ? { namespace } : {}) },
    cluster: cluster ?? spec.destination!,
    project,
    windows: windowsFor(project.syncWindows, { name: ref.name, destination: spec.destination! }),
    automated:
      automated && automated.enabled !== false
        ? {
            prune: automated.prune ?? false,
            selfHeal: automated.selfHeal ?? false,
            allowEmpty: automated.allowEmpty ?? false,
          }
        : undefined,
    syncOptionTexts: spec.syncPolicy?.syncOptions ?? [],
    options,
    ...(options.createNamespace && metadata && { managedNamespace: { labels: {}, annotations: {}, ...metadata } }),
    retry: spec.syncPolicy?.retry,
    historyLimit: spec.revisionHistoryLimit ?? 10,
    tracking: settings.tracking,
    ...(settings.resourceFilter && { resourceFilter: settings.resourceFilter }),
    ignoreDifferences: spec.ignoreDifferences ?? [],
    ignoreRules: [...settings.ignoreRules, ...ignoreRulesOf(spec.ignoreDifferences ?? [])],
    parametersHash: parametersHash(sources, isMultiSource(spec), appName, buildOptions),
  };
}

function broughtAlong(
  app: Application,
  ref: AppRef,
  { around, manifests }: { around: Around; manifests: readonly string[] },
): Requested {
  const failures = specFailures(app, ref, around);
  const sourceHash = hash(["manifests", manifests]);
  if (failures.length > 0) return { manifests, sourceHash, failures };
  const desired = desiredOf(app, ref, around);
  const sources = [broughtSource(desired.sources[0]!)];
  return { manifests, sourceHash, failures, desired: { ...desired, isMultiSource: false, sources } };
}

function parametersHash(sources: readonly DesiredSource[], several: boolean, appName: string, build?: string): string {
  const [only, ...others] = sources.map(({ options, field, environment, refs }) => ({
    alone: [RENDER_GENERATION, options, field.path, appName, environment, build],
    among: [field.ref, refs],
  }));
  return hash(several ? [only, ...others] : only!.alone);
}

/** Automated operations retry 5 times unless told otherwise, manual ones only when told to; an explicit 0 is 0. */
export function retryPolicy(retry: Retry | undefined, automated: boolean): RetryPolicy {
  return {
    limit: retry?.limit ?? (automated && retry === undefined ? 5 : 0),
    durationMs: parseBackoffDuration(retry?.backoff?.duration ?? "") ?? 5_000,
    factor: Math.max(1, retry?.backoff?.factor ?? 2),
    durationMaxMs: parseBackoffDuration(retry?.backoff?.maxDuration ?? "") ?? 180_000,
  };
}

/** `status.resources`, and what a running operation wrote down before its first apply: all that may be ours. */
export function inventoryOf(status: ApplicationStatus): ObjectKey[] {
  const running = ["Running", "Terminating", "Failed", "Error"].includes(status.operationState?.phase ?? "");
  const planned = running ? (status.operationState?.syncResult?.resources ?? []) : [];
  const keys = new Map<string, ObjectKey>();
  for (const resource of [...(status.resources ?? []), ...planned]) {
    // A hook is never the app's own.
    if (!resource.kind || !resource.name || ("hookType" in resource && resource.hookType)) continue;
    if ("hook" in resource && resource.hook) continue;
    const key: ObjectKey = {
      group: resource.group ?? "",
      version: resource.version ?? "",
      kind: resource.kind,
      namespace: resource.namespace ?? "",
      name: resource.name,
    };
    keys.set(`${key.group}/${key.kind}/${key.namespace}/${key.name}`, key);
  }
  return [...keys.values()];
}

/** Hooks of the last operation: they go with their Application. */
export function hooksOf(state: ApplicationStatus["operationState"]): ObjectKey[] {
  const hooks = (state?.syncResult?.resources ?? []).filter(({ hookType }) => hookType);
  return hooks.map(({ group = "", version = "", kind = "", namespace = "", name = "" }) => ({
    group,
    version,
    kind,
    namespace,
    name,
  }));
}
