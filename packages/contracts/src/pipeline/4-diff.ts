// Hop 4, differ: what stands in the cluster, against what was rendered; and what changed there by itself.
import { z } from "zod";
import { Failure } from "../failure.ts";
import { Destination, Health, LiveIdentity, ObjectKey, Reply, Request } from "../identity.ts";
import { defineMessage } from "../message.ts";
import { subject } from "../subject.ts";
import { ClusterVersions } from "./3-render.ts";

export const TrackingMethod = z.enum(["annotation", "annotation+label", "label"]);

/**
 * Fields of certain objects that do not count (contract §6 `ignoreDifferences`, the Application's own and the system's).
 * Group and kind are globs; an absent name or namespace means every one.
 */
export const IgnoreRule = z.looseObject({
  group: z.string().default(""),
  kind: z.string(),
  name: z.string().optional(),
  namespace: z.string().optional(),
  /** RFC 6901. */
  jsonPointers: z.array(z.string()).default([]),
  jqPathExpressions: z.array(z.string()).default([]),
  /** What these own in the live object. */
  managedFieldsManagers: z.array(z.string()).default([]),
  /** Where it is written: `spec.ignoreDifferences[0]`, or its key in argocd-cm. */
  origin: z.string(),
});
export type IgnoreRule = z.infer<typeof IgnoreRule>;

/** Kinds by globs over group and cluster; an empty list means every one. As `resource.exclusions` has them (contract §6). */
export const KindFilter = z.looseObject({
  apiGroups: z.array(z.string()).default([]),
  kinds: z.array(z.string()).default([]),
  clusters: z.array(z.string()).default([]),
});
export type KindFilter = z.infer<typeof KindFilter>;

/** Which kinds Driftless has nothing to do with, whatever Git says. */
export const ResourceFilter = z.looseObject({
  exclusions: z.array(KindFilter).default([]),
  /** Without any, all are included. */
  inclusions: z.array(KindFilter).default([]),
});
export type ResourceFilter = z.infer<typeof ResourceFilter>;

/** In which way objects are applied that do not say so themselves (contract §2 `syncOptions`); absent: as usual. */
export const ApplyOptions = z.looseObject({
  validate: z.boolean().optional(),
  replace: z.boolean().optional(),
  force: z.boolean().optional(),
  skipDryRunOnMissingResource: z.boolean().optional(),
  clientSideApplyMigration: z.boolean().optional(),
  respectIgnoreDifferences: z.boolean().optional(),
});

/** What turns a rendered manifest into the object meant for one Application's destination. */
export const Target = z.looseObject({
  destination: Destination,
  /** Blob of the rendered manifests; of several sources theirs in order (packages/manifests/src/of-sources.ts). */
  manifestsDigest: z.string(),
  trackingMethod: TrackingMethod.default("annotation"),
  /** `application.instanceLabelKey` and `installationID` of argocd-cm. */
  instanceLabelKey: z.string().optional(),
  installationId: z.string().optional(),
  resourceFilter: ResourceFilter.optional(),
  /** Namespace of the control plane: apps of another one are tracked as `<ns>_<app>`. */
  controlPlaneNamespace: z.string(),
  ignoreDifferences: z.array(IgnoreRule).optional(),
  applyOptions: ApplyOptions.optional(),
  /** Of the destination namespace, unless the set has that Namespace itself. */
  managedNamespace: z
    .looseObject({ labels: z.record(z.string(), z.string()), annotations: z.record(z.string(), z.string()) })
    .optional(),
});
export type Target = z.infer<typeof Target>;

/** What sync options `Prune=…` and `Delete=…` say; `confirm` needs a person's approval. */
const Consent = z.enum(["yes", "no", "confirm"]);
export const Consents = z.looseObject({ prune: Consent.optional(), delete: Consent.optional() });

/** Phases of a sync, in order; SyncFail only after a failure. */
export const SyncPhase = z.enum(["PreSync", "Sync", "PostSync", "SyncFail"]);
export type SyncPhase = z.infer<typeof SyncPhase>;

/** When a hook is run: in a phase of a sync, or before and after everything of its Application is deleted. */
export const HookPhase = z.enum([...SyncPhase.options, "PreDelete", "PostDelete"]);
export type HookPhase = z.infer<typeof HookPhase>;

/** Which objects without an Application are not told of: globs; an absent kind or name is every one, an absent group the core one. */
export const OrphanRule = z.looseObject({
  group: z.string().optional(),
  kind: z.string().optional(),
  name: z.string().optional(),
});
export type OrphanRule = z.infer<typeof OrphanRule>;

export const ComputeDiff = defineMessage({
  name: "ComputeDiff",
  kind: "command",
  schema: Request.extend({
    target: Target,
    /** Keys that the app owned until now (status.resources): what is there and not desired is to be pruned. */
    inventory: z.array(ObjectKey),
    /** Hooks under way and objects being deleted: watched too, and told as they are, never compared. */
    awaited: z.array(ObjectKey).optional(),
    /** Also look for objects of the destination namespace that belong to no Application. */
    orphans: z.looseObject({ ignore: z.array(OrphanRule) }).optional(),
  }),
  subject: (m) => subject("cmd", "diff", m.lane),
  messageId: (m) => m.requestId,
});

/**
 * `Synced`: desired hash and imprint are those of the record. `Missing`: not in the cluster, so OutOfSync
 * without asking. `Suspect`: only the API server can tell; a prediction decides. `Extra`: in the inventory,
 * live, ours, and no longer desired. `Unknown`: its kind cannot be read now; neither applied nor pruned.
 */
export const ObjectVerdict = z.enum(["Synced", "Missing", "Suspect", "Extra", "Unknown"]);
export type ObjectVerdict = z.infer<typeof ObjectVerdict>;

export const ComparedObject = ObjectKey.extend({
  verdict: ObjectVerdict,
  /** Absent where the object is. */
  live: LiveIdentity.optional(),
  health: Health.optional(),
  /** Annotation `argocd.argoproj.io/ignore-healthcheck` of the live object. */
  healthIgnored: z.boolean().optional(),
  /** Why: "desired changed", "drift", "no record", "forbidden". */
  reason: z.string().optional(),
  /** Live object has an ownerReference, helm keep, or is being deleted: never pruned; says which. */
  keep: z.string().optional(),
  /** Its own sync options `Prune=…` and `Delete=…`; of a desired object the stricter of Git's and the cluster's. */
  consents: Consents.optional(),
  /** Of an Extra that is on its way out: the finalizers that hold it. */
  deleting: z.array(z.string()).optional(),
  failure: Failure.optional(),
  /** It is a hook whose kind cannot be told now. */
  hook: z.boolean().optional(),
  /** Ignore rules concern it: not every change of it is one, so it is never healed without a prediction. */
  ruled: z.boolean().optional(),
  /** Live object carries `compare-options: IgnoreExtraneous`. */
  extraneous: z.boolean().optional(),
  /** Deleted and made anew by every sync (Force=true with Replace=true). */
  remade: z.boolean().optional(),
  /** The destination namespace for its labels and annotations: applied and compared, but none of the app's objects. */
  unlisted: z.boolean().optional(),
  /** Annotation `driftless.io/health-timeout` of the manifest: a duration. */
  healthTimeout: z.string().optional(),
  /** When it is applied; Sync and 0 without. A Namespace or CRD has that of the first object which needs it. */
  phase: SyncPhase.optional(),
  wave: z.number().int().optional(),
  /** Of an Extra: pruned after everything else. */
  pruneLast: z.boolean().optional(),
});
export type ComparedObject = z.infer<typeof ComparedObject>;

/** A hook that the rendered set has. It is run, not kept: never part of sync status or health. */
export const DesiredHook = ObjectKey.extend({
  /** Its place in the rendered set, which tells apart those with generated names. */
  index: z.number().int(),
  /** Then `name` is empty, and made for each run. */
  generateName: z.string().optional(),
  phases: z.array(HookPhase),
  wave: z.number().int(),
  healthTimeout: z.string().optional(),
  deletePolicies: z.array(z.enum(["BeforeHookCreation", "HookSucceeded", "HookFailed"])),
});
export type DesiredHook = z.infer<typeof DesiredHook>;

/** Without `live` it is not there. */
export const AwaitedObject = ObjectKey.extend({
  live: LiveIdentity.optional(),
  health: Health.optional(),
  /** On its way out; a hook that is held until its result is written down. */
  deleting: z.boolean().optional(),
});
export type AwaitedObject = z.infer<typeof AwaitedObject>;

export const DiffComputed = defineMessage({
  name: "DiffComputed",
  kind: "result",
  schema: Reply.extend({
    manifestsDigest: z.string(),
    /** API server URL that the destination resolved to. */
    server: z.string(),
    objects: z.array(ComparedObject),
    hooks: z.array(DesiredHook).optional(),
    awaited: z.array(AwaitedObject).optional(),
    /** The destination namespace does not exist. */
    namespaceMissing: z.boolean(),
    images: z.array(z.string()),
    /** Where they were asked for and could be looked for; at most a few hundred. */
    orphans: z.array(ObjectKey).optional(),
    warnings: z.array(Failure),
  }),
  subject: (m) => subject("res", m.shard, "diff"),
  messageId: (m) => `${m.requestId}.done`,
});

export const DiffFailed = defineMessage({
  name: "DiffFailed",
  kind: "result",
  schema: Reply.extend({ failure: Failure, failures: z.array(Failure).default([]) }),
  subject: (m) => subject("res", m.shard, "diff"),
  messageId: (m) => `${m.requestId}.failed`,
});

/** A render depends on what the destination cluster runs and serves. */
export const DescribeCluster = defineMessage({
  name: "DescribeCluster",
  kind: "command",
  schema: Request.extend({
    destination: Destination,
    /** What was described before is stored no more. */
    gone: z.boolean().optional(),
  }),
  subject: (m) => subject("cmd", "diff", m.lane),
  // The render that needs it was sent under this id, on the same stream.
  messageId: (m) => `${m.requestId}.cluster`,
});

export const ClusterDescribed = defineMessage({
  name: "ClusterDescribed",
  kind: "result",
  schema: Reply.extend({
    destination: Destination,
    cluster: ClusterVersions.optional(),
    /** Why there is no `cluster`. */
    failure: Failure.optional(),
  }),
  subject: (m) => subject("res", m.shard, "diff"),
  messageId: (m) => `${m.requestId}.cluster`,
});

/** A cluster that was described runs or serves something else now: a new CRD for one. */
export const ClusterChanged = defineMessage({
  name: "ClusterChanged",
  kind: "fact",
  schema: z.looseObject({ cluster: ClusterVersions }),
  subject: () => subject("fact", "cluster-changed"),
});

/** Stop watching for an Application that is gone. */
export const ApplicationForgotten = defineMessage({
  name: "ApplicationForgotten",
  kind: "fact",
  schema: z.looseObject({ uid: z.string(), namespace: z.string(), name: z.string() }),
  subject: () => subject("fact", "application-forgotten"),
});

/** Objects of Applications changed in the cluster, not by the operation that is known of. */
export const LiveChanged = defineMessage({
  name: "LiveChanged",
  kind: "fact",
  schema: z.looseObject({
    shard: z.number().int(),
    app: z.looseObject({ uid: z.string(), namespace: z.string(), name: z.string() }),
    object: ObjectKey,
    /** `suspect`: the imprint differs from the record. `deleted`: gone. `health`: only health changed. */
    change: z.enum(["suspect", "deleted", "health"]),
    live: LiveIdentity.optional(),
    health: Health.optional(),
    /** Of a hook: it was deleted, and waits for its result to be written down. */
    deleting: z.boolean().optional(),
    /** Field manager of the newest managedFields entry: who probably did it. */
    by: z.string().optional(),
    observedAt: z.number(),
  }),
  subject: (m) => subject("fact", "live-changed", m.shard),
});

/** A differ lost what it knew (started, or a cluster came back): controllers compare their apps again. */
export const LiveStateReset = defineMessage({
  name: "LiveStateReset",
  kind: "fact",
  schema: z.looseObject({ server: z.string().optional(), reason: z.string() }),
  subject: () => subject("fact", "live-state-reset"),
});
