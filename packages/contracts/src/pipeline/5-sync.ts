// Hop 5, syncer: predictions (dry runs) and steps, the only writes to target clusters.
import { z } from "zod";
import { Failure } from "../failure.ts";
import { Health, LiveIdentity, ObjectKey, Reply, Request } from "../identity.ts";
import { defineMessage } from "../message.ts";
import { subject } from "../subject.ts";
import { Consents, HookPhase, Target } from "./4-diff.ts";

/**
 * What is remembered of an object after an apply or a prediction that found no difference (DESIGN §5):
 * as long as desired hash and imprint stay equal, it is Synced and nothing is asked of the API server.
 */
export const ObjectRecord = z.looseObject({
  uid: z.string(),
  resourceVersion: z.string(),
  desiredHash: z.string(),
  /** Blob of the managed fields' footprint; equal for objects of the same shape. */
  footprintDigest: z.string(),
  imprint: z.string(),
  /** Time in our managedFields entry: tells the events of this apply from those of a later one. */
  appliedAt: z.string().optional(),
});
export type ObjectRecord = z.infer<typeof ObjectRecord>;

export const FieldDifference = z.looseObject({
  /** `spec.replicas`, `spec.template.spec.containers[name=web].image`. */
  path: z.string(),
  /** JSON texts; absent where the field is; masked in Secrets. */
  desired: z.string().optional(),
  live: z.string().optional(),
});
export type FieldDifference = z.infer<typeof FieldDifference>;

/** An object as the controller knows it; without `live` it is believed absent. */
export const PlannedObject = ObjectKey.extend({
  live: LiveIdentity.optional(),
  /** Made anew though it is in sync: with Force=true and Replace=true that is done in every sync. */
  again: z.boolean().optional(),
});
export type PlannedObject = z.infer<typeof PlannedObject>;

/** One run of one hook. */
export const PlannedHook = ObjectKey.extend({
  /** Its place in the rendered set. */
  index: z.number().int(),
  phase: HookPhase,
  /** Stands on the object that is made: whoever finds it there knows that this run was begun. */
  run: z.string(),
  /** What an earlier run left is deleted first. */
  replace: z.boolean(),
});
export type PlannedHook = z.infer<typeof PlannedHook>;

/** A hook whose result is written down: let go of, and deleted where its policy says so. */
export const ReleasedHook = ObjectKey.extend({
  run: z.string(),
  remove: z.boolean(),
  /** Only this very object, where a later one may bear the same run. */
  uid: z.string().optional(),
});
export type ReleasedHook = z.infer<typeof ReleasedHook>;

export const PredictStep = defineMessage({
  name: "PredictStep",
  kind: "command",
  schema: Request.extend({
    target: Target,
    objects: z.array(PlannedObject),
    hooks: z.array(PlannedHook).optional(),
    /** The step to come creates the destination namespace or CRDs, so absence of these is no failure. */
    createsNamespace: z.boolean(),
  }),
  subject: (m) => subject("cmd", "sync", m.lane),
  messageId: (m) => m.requestId,
});

export const Prediction = ObjectKey.extend({
  /**
   * `same`: applying would change nothing. `differs`: it would change `fields`. `creates`: it would be made.
   * `unpredictable`: cannot be asked before the step (its namespace or CRD comes with it). `failed`: refused.
   */
  outcome: z.enum(["same", "differs", "creates", "unpredictable", "failed"]),
  live: LiveIdentity.optional(),
  fields: z.array(FieldDifference).default([]),
  /** Managers other than ours that own differing fields. */
  managers: z.array(z.string()).default([]),
  record: ObjectRecord.optional(),
  failure: Failure.optional(),
});
export type Prediction = z.infer<typeof Prediction>;

export const StepPredicted = defineMessage({
  name: "StepPredicted",
  kind: "result",
  schema: Reply.extend({
    server: z.string(),
    objects: z.array(Prediction),
    /** Hooks that the API server would refuse. */
    hookFailures: z.array(Failure).optional(),
  }),
  subject: (m) => subject("res", m.shard, "sync"),
  messageId: (m) => `${m.requestId}.predicted`,
});

/** Names in `operationState.operation.info` by which a step knows that the operation it belongs to still runs. */
export const OPERATION_INFO = { operationId: "driftless.io/operation-id", epoch: "driftless.io/epoch" } as const;

export const ApplyStep = defineMessage({
  name: "ApplyStep",
  kind: "command",
  schema: Request.extend({
    /** Both stand in operationState.operation.info of the Application and are read again before creating. */
    operationId: z.string(),
    epoch: z.number().int(),
    phase: HookPhase,
    wave: z.number().int(),
    target: Target,
    /**
     * A heal touches existing objects only, fenced by uid and resourceVersion, before any operation record. A release
     * comes after a sync's last step, also of one that was terminated. A delete is for an Application that is being
     * deleted: its objects, and the hooks before and after them.
     */
    purpose: z.enum(["sync", "heal", "delete", "release"]),
    apply: z.array(PlannedObject),
    hooks: z.array(PlannedHook).optional(),
    releases: z.array(ReleasedHook).optional(),
    /** Each with `live`: a delete without uid and resourceVersion is refused. */
    prune: z.array(PlannedObject),
    /** For objects that say nothing themselves, and whether a person approved of what wants a confirmation. */
    consents: Consents.optional(),
    approved: z.boolean().optional(),
    createNamespace: z.boolean(),
    propagation: z.enum(["Foreground", "Background", "Orphan"]).default("Foreground"),
  }),
  subject: (m) => subject("cmd", "sync", m.lane),
  messageId: (m) => m.requestId,
});

export const AppliedObject = ObjectKey.extend({
  outcome: z.enum(["created", "configured", "unchanged", "pruned", "pruneSkipped", "failed"]),
  /** As kubectl would say it: "deployment.apps/web configured". */
  message: z.string(),
  live: LiveIdentity.optional(),
  record: ObjectRecord.optional(),
  health: Health.optional(),
  healthIgnored: z.boolean().optional(),
  /** Field managers that a field was taken from. */
  takenFrom: z.array(z.string()).default([]),
  fields: z.array(FieldDifference).default([]),
  images: z.array(z.string()).default([]),
  /** The cluster came to know its kind only with this sync: nobody watches it yet. */
  newKind: z.boolean().optional(),
  failure: Failure.optional(),
});
export type AppliedObject = z.infer<typeof AppliedObject>;

export const AppliedHook = ObjectKey.extend({
  run: z.string(),
  /** `found`: this run had been begun before, by whoever had the operation then. */
  outcome: z.enum(["created", "found", "failed"]),
  message: z.string(),
  live: LiveIdentity.optional(),
  health: Health.optional(),
  deleting: z.boolean().optional(),
  failure: Failure.optional(),
});
export type AppliedHook = z.infer<typeof AppliedHook>;

export const StepApplied = defineMessage({
  name: "StepApplied",
  kind: "result",
  /** Objects of groups after a failed one were not tried, and are absent. */
  schema: Reply.extend({
    operationId: z.string(),
    server: z.string(),
    objects: z.array(AppliedObject),
    hooks: z.array(AppliedHook).optional(),
  }),
  subject: (m) => subject("res", m.shard, "sync"),
  messageId: (m) => `${m.requestId}.applied`,
});

/** The step as a whole could not be done: no body, no cluster, or the operation is no longer ours. */
export const StepFailed = defineMessage({
  name: "StepFailed",
  kind: "result",
  schema: Reply.extend({ failure: Failure }),
  subject: (m) => subject("res", m.shard, "sync"),
  messageId: (m) => `${m.requestId}.failed`,
});
