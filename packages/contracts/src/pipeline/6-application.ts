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
    health: Health.optional(),
    causes: z.array(Cause),
    /** Objects that are not as desired (before a sync) or were changed (after one); at most 100. */
    resources: z.array(
      ObjectKey.extend({
        status: z.string(),
        message: z.string().optional(),
        fields: z.array(FieldDifference).default([]),
        takenFrom: z.array(z.string()).default([]),
      }),
    ),
    resourcesTotal: z.number().int(),
    operation: z
      .looseObject({ id: z.string(), phase: z.string(), message: z.string().optional(), automated: z.boolean() })
      .optional(),
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
