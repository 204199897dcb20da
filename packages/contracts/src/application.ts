// Application in Argo CD's shape, as far as Driftless reads and writes it; unknown members are kept.
// Every field is optional here, because what a person may have left out is told as a condition with the field's
// path and never thrown; the CRD generated from this (crd.ts) states what Argo CD's requires.
import { z } from "zod";

const text = z.string();
const whole = z.number().int();
const list = <T extends z.ZodType>(item: T) => z.array(item);

const NameValue = z.looseObject({ name: text.optional(), value: text.optional() });

const DirectorySource = z.looseObject({
  recurse: z.boolean().optional(),
  include: text.optional(),
  exclude: text.optional(),
  jsonnet: z.looseObject({}).optional(),
});

export const ApplicationSource = z.looseObject({
  repoURL: text.optional(),
  path: text.optional(),
  targetRevision: text.optional(),
  chart: text.optional(),
  ref: text.optional(),
  name: text.optional(),
  tagPrefix: text.optional(),
  directory: DirectorySource.optional(),
  helm: z.looseObject({}).optional(),
  kustomize: z.looseObject({}).optional(),
  plugin: z.looseObject({}).optional(),
});
export type ApplicationSource = z.infer<typeof ApplicationSource>;

export const ApplicationDestination = z.looseObject({
  server: text.optional(),
  name: text.optional(),
  namespace: text.optional(),
});

const Backoff = z.looseObject({
  duration: text.optional(),
  factor: whole.optional(),
  maxDuration: text.optional(),
});

export const Retry = z.looseObject({
  limit: whole.optional(),
  refresh: z.boolean().optional(),
  backoff: Backoff.optional(),
});
export type Retry = z.infer<typeof Retry>;

const NamespaceMetadata = z.looseObject({
  labels: z.record(text, text).optional(),
  annotations: z.record(text, text).optional(),
});

const SyncPolicy = z.looseObject({
  automated: z
    .looseObject({
      enabled: z.boolean().optional(),
      prune: z.boolean().optional(),
      selfHeal: z.boolean().optional(),
      allowEmpty: z.boolean().optional(),
    })
    .optional(),
  syncOptions: list(text).optional(),
  retry: Retry.optional(),
  managedNamespaceMetadata: NamespaceMetadata.optional(),
});

/** Which objects (`group` and `kind` are globs), and which of their fields do not count (contract §6). */
export const IgnoreDifference = z.looseObject({
  group: text.optional(),
  kind: text.optional(),
  name: text.optional(),
  namespace: text.optional(),
  jsonPointers: list(text).optional(),
  jqPathExpressions: list(text).optional(),
  managedFieldsManagers: list(text).optional(),
});
export type IgnoreDifference = z.infer<typeof IgnoreDifference>;

export const ApplicationSpec = z.looseObject({
  project: text.optional(),
  source: ApplicationSource.optional(),
  sources: list(ApplicationSource).optional(),
  sourceHydrator: z.looseObject({}).optional(),
  destination: ApplicationDestination.optional(),
  syncPolicy: SyncPolicy.optional(),
  ignoreDifferences: list(IgnoreDifference).optional(),
  info: list(NameValue).optional(),
  revisionHistoryLimit: whole.optional(),
});
export type ApplicationSpec = z.infer<typeof ApplicationSpec>;

export const OperationField = z.looseObject({
  sync: z
    .looseObject({
      revision: text.optional(),
      /** By the sources' order, where there are several. */
      revisions: list(text).optional(),
      prune: z.boolean().optional(),
      dryRun: z.boolean().optional(),
      syncOptions: list(text).optional(),
      autoHealAttemptsCount: whole.optional(),
      source: ApplicationSource.optional(),
      sources: list(ApplicationSource).optional(),
      /** YAML or JSON, instead of what the source has. */
      manifests: list(text).optional(),
      resources: list(
        z.looseObject({
          group: text.optional(),
          kind: text.optional(),
          name: text.optional(),
          namespace: text.optional(),
        }),
      ).optional(),
      syncStrategy: z
        .looseObject({
          apply: z.looseObject({ force: z.boolean().optional() }).optional(),
          hook: z.looseObject({ force: z.boolean().optional() }).optional(),
        })
        .optional(),
    })
    .optional(),
  initiatedBy: z.looseObject({ username: text.optional(), automated: z.boolean().optional() }).optional(),
  info: list(NameValue).optional(),
  retry: Retry.optional(),
});
export type OperationField = z.infer<typeof OperationField>;

const HealthField = z.looseObject({
  status: text.optional(),
  message: text.optional(),
  lastTransitionTime: text.optional(),
});

export const ResourceResult = z.looseObject({
  group: text.optional(),
  version: text.optional(),
  kind: text.optional(),
  namespace: text.optional(),
  name: text.optional(),
  status: text.optional(),
  message: text.optional(),
  hookType: text.optional(),
  hookPhase: text.optional(),
  syncPhase: text.optional(),
  images: list(text).optional(),
});
export type ResourceResult = z.infer<typeof ResourceResult>;

export const OperationState = z.looseObject({
  operation: OperationField.optional(),
  phase: text.optional(),
  message: text.optional(),
  startedAt: text.optional(),
  finishedAt: text.optional(),
  retryCount: whole.optional(),
  syncResult: z
    .looseObject({
      revision: text.optional(),
      revisions: list(text).optional(),
      source: ApplicationSource.optional(),
      sources: list(ApplicationSource).optional(),
      resources: list(ResourceResult).optional(),
      managedNamespaceMetadata: NamespaceMetadata.optional(),
    })
    .optional(),
});
export type OperationState = z.infer<typeof OperationState>;

export const ResourceStatus = z.looseObject({
  group: text.optional(),
  version: text.optional(),
  kind: text.optional(),
  namespace: text.optional(),
  name: text.optional(),
  status: text.optional(),
  health: HealthField.optional(),
  requiresPruning: z.boolean().optional(),
  requiresDeletionConfirmation: z.boolean().optional(),
  hook: z.boolean().optional(),
  syncWave: whole.optional(),
});
export type ResourceStatus = z.infer<typeof ResourceStatus>;

export const HistoryEntry = z.looseObject({
  id: whole.optional(),
  revision: text.optional(),
  revisions: list(text).optional(),
  source: ApplicationSource.optional(),
  sources: list(ApplicationSource).optional(),
  deployStartedAt: text.optional(),
  deployedAt: text.optional(),
  initiatedBy: z.looseObject({}).optional(),
});
export type HistoryEntry = z.infer<typeof HistoryEntry>;

export const ConditionField = z.looseObject({
  type: text.optional(),
  message: text.optional(),
  lastTransitionTime: text.optional(),
});
export type ConditionField = z.infer<typeof ConditionField>;

export const ApplicationStatus = z.looseObject({
  sync: z
    .looseObject({
      status: text.optional(),
      revision: text.optional(),
      revisions: list(text).optional(),
      comparedTo: z.looseObject({}).optional(),
    })
    .optional(),
  health: HealthField.optional(),
  resources: list(ResourceStatus).optional(),
  operationState: OperationState.optional(),
  history: list(HistoryEntry).optional(),
  conditions: list(ConditionField).optional(),
  reconciledAt: text.optional(),
  sourceType: text.optional(),
  sourceTypes: list(text).optional(),
  summary: z.looseObject({ images: list(text).optional(), externalURLs: list(text).optional() }).optional(),
  controllerNamespace: text.optional(),
});
export type ApplicationStatus = z.infer<typeof ApplicationStatus>;

/** What Kubernetes itself checks, so that it is always there and right. */
export const ObjectMeta = z.looseObject({
  name: text,
  namespace: text.default(""),
  uid: text.default(""),
  resourceVersion: text.default(""),
  deletionTimestamp: text.optional(),
  labels: z.record(text, text).optional(),
  annotations: z.record(text, text).optional(),
  finalizers: list(text).optional(),
});

export const Application = z.looseObject({
  metadata: ObjectMeta,
  spec: ApplicationSpec.optional(),
  status: ApplicationStatus.optional(),
  operation: OperationField.optional(),
});
export type Application = z.infer<typeof Application>;

export interface Problem {
  /** `spec.source.directory.recurse`. */
  path: string;
  message: string;
}

export type Reading<T> =
  | { kind: "ok"; value: T; problems: Problem[] }
  /** Not even metadata could be read. */
  | { kind: "unreadable"; problems: Problem[] };

/** Reads what can be read: a field of a wrong type is left out and named, the rest is used. */
export function readLeniently<Schema extends z.ZodType>(schema: Schema, raw: unknown): Reading<z.output<Schema>> {
  const first = schema.safeParse(raw);
  if (first.success) return { kind: "ok", value: first.data, problems: [] };
  const problems: Problem[] = [];
  const rest = structuredClone(raw);
  let error: z.ZodError = first.error;
  // Each round leaves out all fields that are wrong; leaving one out may show another below it, never endlessly.
  for (let round = 0; round < 10; round++) {
    for (const issue of error.issues) {
      problems.push({ path: pathText(issue.path), message: issue.message });
      leaveOut(rest, issue.path);
    }
    const next = schema.safeParse(rest);
    if (next.success) return { kind: "ok", value: next.data, problems };
    error = next.error;
  }
  return { kind: "unreadable", problems };
}

export function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`))
    .join("")
    .replace(/^\./, "");
}

function leaveOut(root: unknown, path: readonly PropertyKey[]): void {
  let parent = root as Record<PropertyKey, unknown> | undefined;
  for (const part of path.slice(0, -1)) parent = parent?.[part] as typeof parent;
  // A list keeps its length, so that the other paths of this round stay right; a hole is a problem of the next round
  // only where the item is required, and then the list itself goes.
  const last = path.at(-1);
  if (parent === undefined || parent === null || last === undefined) return;
  if (!Array.isArray(parent)) delete parent[last];
  else leaveOut(root, path.slice(0, -1));
}
