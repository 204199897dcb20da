// Hop 6: what is told about an Application, for people, the CLI and the web page. JSON on the wire.
import { z } from "zod";
import { AppRef, Cause, Health, ObjectKey } from "../identity.ts";
import { defineMessage } from "../message.ts";
import { encodeToken, subject } from "../subject.ts";
import { FieldDifference } from "./5-sync.ts";

/** States of the machine's sync region. */
export const SyncState = z.enum(["Unknown", "Synced", "OutOfSync", "Syncing", "Deleting"]);
export type SyncState = z.infer<typeof SyncState>;

/** Milliseconds per hop of the pass that led here; absent hops were not needed. */
export const HopTimings = z.looseObject({
  fetchMs: z.number().optional(),
  renderMs: z.number().optional(),
  diffMs: z.number().optional(),
  predictMs: z.number().optional(),
  applyMs: z.number().optional(),
  /** From the first cause to this transition. */
  totalMs: z.number(),
});
export type HopTimings = z.infer<typeof HopTimings>;

/** Of a sync, or of a deletion: who asked for what, and what became of it. */
export const ToldOperation = z.looseObject({
  id: z.string(),
  phase: z.string(),
  message: z.string().optional(),
  automated: z.boolean(),
  /** As the request says; and the field manager that wrote it, which nobody can make up. */
  username: z.string().optional(),
  requestedBy: z.string().optional(),
  /** Blob of the manifests it is about, and the cluster. */
  manifestsDigest: z.string().optional(),
  server: z.string().optional(),
  startedAt: z.string().optional(),
  finishedAt: z.string().optional(),
  retryCount: z.number().int().optional(),
  prune: z.boolean().optional(),
  dryRun: z.boolean().optional(),
  syncOptions: z.array(z.string()).optional(),
  strategy: z.enum(["apply"]).optional(),
  /** How many objects it names, where it is not about all. */
  selected: z.number().int().optional(),
  /** What became of each object, at most 100: applied, failed, pruned, left alone; of hooks too. */
  results: z
    .array(
      ObjectKey.extend({
        status: z.string().optional(),
        message: z.string().optional(),
        hookType: z.string().optional(),
        hookPhase: z.string().optional(),
      }),
    )
    .optional(),
  resultsTotal: z.number().int().optional(),
});
export type ToldOperation = z.infer<typeof ToldOperation>;

const ToldResource = ObjectKey.extend({
  status: z.string(),
  message: z.string().optional(),
  fields: z.array(FieldDifference).default([]),
  takenFrom: z.array(z.string()).default([]),
});

export const ApplicationChanged = defineMessage({
  name: "ApplicationChanged",
  kind: "public",
  schema: z.looseObject({
    app: AppRef,
    from: SyncState,
    to: SyncState,
    /** RFC 3339 with milliseconds. */
    at: z.string(),
    revision: z.string().optional(),
    /** Instead, of an Application with `spec.sources`: in their order. */
    revisions: z.array(z.string()).optional(),
    /** Blob of what is rendered at it, of several sources theirs in order (packages/manifests/src/of-sources.ts). */
    manifestsDigest: z.string().optional(),
    health: Health.optional(),
    causes: z.array(Cause),
    /** Objects that are not as desired (before a sync) or were changed (after one); at most 100. */
    resources: z.array(ToldResource),
    resourcesTotal: z.number().int(),
    operation: ToldOperation.optional(),
    conditions: z.array(z.looseObject({ type: z.string(), message: z.string() })),
    timings: HopTimings,
  }),
  subject: (m) =>
    subject(
      "app",
      encodeToken(m.app.project),
      encodeToken(m.app.namespace),
      encodeToken(m.app.name),
      m.to.toLowerCase(),
    ),
});

/** One thing that Argo CD's status says and Driftless would say otherwise. */
export const Disagreement = z.looseObject({
  /** "sync.status", "health.status", "resources[Deployment/web].status", "conditions[ComparisonError]". */
  field: z.string(),
  found: z.string().optional(),
  ours: z.string().optional(),
  why: z.string().optional(),
});
export type Disagreement = z.infer<typeof Disagreement>;

const Judgement = z.looseObject({
  sync: z.string().optional(),
  health: z.string().optional(),
  revision: z.string().optional(),
});

/** With --observe: what stands in the Application beside what Driftless would write and do. */
export const ApplicationObserved = defineMessage({
  name: "ApplicationObserved",
  kind: "public",
  schema: z.looseObject({
    app: AppRef,
    /** RFC 3339 with milliseconds. */
    at: z.string(),
    agrees: z.boolean(),
    found: Judgement.extend({ operation: z.string().optional() }),
    ours: Judgement,
    /** What Driftless would do now, were it in charge. */
    would: z.looseObject({ act: z.enum(["nothing", "sync", "wait"]), why: z.string() }),
    disagreements: z.array(Disagreement),
    disagreementsTotal: z.number().int(),
    /** Objects that are not as desired, with their fields; at most 100. */
    resources: z.array(ToldResource),
    resourcesTotal: z.number().int(),
    conditions: z.array(z.looseObject({ type: z.string(), message: z.string() })),
  }),
  subject: (m) =>
    subject("observed", encodeToken(m.app.project), encodeToken(m.app.namespace), encodeToken(m.app.name)),
});
