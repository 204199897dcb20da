// Hop 5, syncer: predictions (dry runs) and steps, the only writes to target clusters.
import { z } from "zod";
import { Failure } from "../failure.ts";
import { Health, LiveIdentity, ObjectKey, Reply, Request } from "../identity.ts";
import { defineMessage } from "../message.ts";
import { subject } from "../subject.ts";
import { Target } from "./4-diff.ts";

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
export const PlannedObject = ObjectKey.extend({ live: LiveIdentity.optional() });
export type PlannedObject = z.infer<typeof PlannedObject>;

export const PredictStep = defineMessage({
  name: "PredictStep",
  kind: "command",
  schema: Request.extend({
    target: Target,
    objects: z.array(PlannedObject),
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
  schema: Reply.extend({ server: z.string(), objects: z.array(Prediction) }),
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
    phase: z.enum(["PreSync", "Sync", "PostSync", "SyncFail"]),
    wave: z.number().int(),
    target: Target,
    /** A heal touches existing objects only, fenced by uid and resourceVersion, before any operation record. */
    purpose: z.enum(["sync", "heal", "delete"]),
    apply: z.array(PlannedObject),
    /** Each with `live`: a delete without uid and resourceVersion is refused. */
    prune: z.array(PlannedObject),
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
  /** Field managers that a field was taken from. */
  takenFrom: z.array(z.string()).default([]),
  fields: z.array(FieldDifference).default([]),
  images: z.array(z.string()).default([]),
  failure: Failure.optional(),
});
export type AppliedObject = z.infer<typeof AppliedObject>;

export const StepApplied = defineMessage({
  name: "StepApplied",
  kind: "result",
  /** Objects of groups after a failed one were not tried, and are absent. */
  schema: Reply.extend({ operationId: z.string(), server: z.string(), objects: z.array(AppliedObject) }),
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
