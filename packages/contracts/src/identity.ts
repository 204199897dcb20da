// Who a message is about: the Application, its destination, an object in a cluster, and the cause chain.
import { z } from "zod";

export const AppRef = z.looseObject({
  uid: z.string().min(1),
  namespace: z.string().min(1),
  name: z.string().min(1),
  project: z.string().min(1),
});
export type AppRef = z.infer<typeof AppRef>;

/** "namespace/name", as the CLI and the logs write an Application. */
export const appText = (app: { namespace: string; name: string }): string => `${app.namespace}/${app.name}`;

/** `server` and `name` exclude each other; neither is resolved before it reaches a service holding clusters. */
export const Destination = z.looseObject({
  server: z.string().optional(),
  name: z.string().optional(),
  namespace: z.string().optional(),
});
export type Destination = z.infer<typeof Destination>;

export const ObjectKey = z.looseObject({
  group: z.string(),
  version: z.string(),
  kind: z.string(),
  namespace: z.string(),
  name: z.string(),
});
export type ObjectKey = z.infer<typeof ObjectKey>;

/** Which very object is meant: the fence of every write to an object that exists (DESIGN §6). */
export const LiveIdentity = z.looseObject({ uid: z.string(), resourceVersion: z.string() });
export type LiveIdentity = z.infer<typeof LiveIdentity>;

export const HealthStatus = z.enum(["Healthy", "Suspended", "Progressing", "Missing", "Degraded", "Unknown"]);
export type HealthStatus = z.infer<typeof HealthStatus>;

export const Health = z.looseObject({
  status: HealthStatus,
  message: z.string().optional(),
  /** Said of an earlier spec than the object has now: it is shown, but nothing that waits goes on with it. */
  stale: z.boolean().optional(),
});
export type Health = z.infer<typeof Health>;

/** One link of the chain "who or what asked, which commit, which field, what was done" (rule 10). */
export const Cause = z.looseObject({
  kind: z.enum(["start", "webhook", "poll", "drift", "user", "refresh", "spec", "retry", "operation", "dependency"]),
  /** RFC 3339. */
  at: z.string(),
  /** A person, a provider, a field manager. */
  by: z.string().optional(),
  /** A sentence fragment: "push to main", "spec.replicas changed". */
  detail: z.string().optional(),
  revision: z.string().optional(),
  /** Of a webhook: the id that the api answered with. */
  delivery: z.string().optional(),
});
export type Cause = z.infer<typeof Cause>;

/** `now`: somebody waits for it; `bulk`: nobody does. Served 3 : 1. */
export const Lane = z.enum(["now", "bulk"]);
export type Lane = z.infer<typeof Lane>;

/** What every command carries, and every result echoes. */
export const Request = z.looseObject({
  app: AppRef,
  /** Unique for each asking; an answer with another id than the one outstanding is stale and dropped. */
  requestId: z.string().min(1),
  /** The Application's shard: where the answer goes. */
  shard: z.number().int(),
  lane: Lane,
  /** Milliseconds since the epoch; work that cannot be answered before it is not begun. */
  deadlineAt: z.number(),
});
export type Request = z.infer<typeof Request>;

/** The start of every result. */
export const Reply = z.looseObject({
  app: AppRef,
  requestId: z.string(),
  shard: z.number().int(),
  /** How long the worker worked on it, milliseconds; for the timeline people see. */
  tookMs: z.number(),
});
export type Reply = z.infer<typeof Reply>;
