// Resource actions (contract §12): a person asks which there are, or for one of them; the controller says whether it may
// be, the syncer does it. First everything that it would change is worked out, then it is allowed or not, then done.
import { z } from "zod";
import { Failure } from "./failure.ts";
import { LiveIdentity, ObjectKey, Reply, Request } from "./identity.ts";
import { defineMessage } from "./message.ts";
import { Target } from "./pipeline/4-diff.ts";
import { encodeToken, subject } from "./subject.ts";

/** What of the Application's objects is meant; what is absent means every one. */
const ObjectPattern = z.looseObject({
  group: z.string().optional(),
  kind: z.string().min(1),
  namespace: z.string().optional(),
  name: z.string().optional(),
});

export const ActionRequested = defineMessage({
  name: "ActionRequested",
  kind: "public",
  schema: z.looseObject({
    namespace: z.string().min(1),
    name: z.string().min(1),
    /** The answer bears it. */
    requestId: z.string().min(1).max(64),
    resource: ObjectPattern,
    /** Without it the answer says which there are. */
    action: z.string().max(256).optional(),
    parameters: z.record(z.string(), z.string()).default({}),
    /** Who asks. */
    by: z.string().max(256).optional(),
  }),
  subject: (m) => subject("action", encodeToken(m.namespace), encodeToken(m.name), "requested"),
  messageId: (m) => `action.${m.requestId}`,
});

const ResourceAction = z.looseObject({
  name: z.string(),
  disabled: z.boolean().optional(),
  displayName: z.string().optional(),
  iconClass: z.string().optional(),
  params: z
    .array(z.looseObject({ name: z.string(), type: z.string().optional(), default: z.string().optional() }))
    .optional(),
});

export type ResourceAction = z.infer<typeof ResourceAction>;

/** With its generation, where it has one: its status may change while somebody decides about the rest of it. */
const SeenIdentity = LiveIdentity.extend({ generation: z.number().optional() });
export type SeenIdentity = z.infer<typeof SeenIdentity>;

const ActionsOfObject = ObjectKey.extend({ live: SeenIdentity.optional(), actions: z.array(ResourceAction) });

const Change = ObjectKey.extend({ operation: z.enum(["patch", "create"]) });

/** Goes along, so that whoever gets the answer knows what it was about. */
const Asked = ActionRequested.schema;

export const PlanAction = defineMessage({
  name: "PlanAction",
  kind: "command",
  schema: Request.extend({ target: Target, asked: Asked, objects: z.array(ObjectKey) }),
  subject: (m) => subject("cmd", "sync", m.lane),
  messageId: (m) => m.requestId,
});

export const ActionPlanned = defineMessage({
  name: "ActionPlanned",
  kind: "result",
  schema: Reply.extend({
    server: z.string(),
    asked: Asked,
    objects: z.array(ActionsOfObject),
    /** What the action would do. */
    changes: z.array(Change).default([]),
    /** Blob of the patches and objects, in the order of `changes`. */
    bodiesDigest: z.string().optional(),
    failure: Failure.optional(),
  }),
  subject: (m) => subject("res", m.shard, "action"),
  messageId: (m) => `${m.requestId}.planned`,
});

export const PerformAction = defineMessage({
  name: "PerformAction",
  kind: "command",
  schema: Request.extend({
    target: Target,
    asked: Asked,
    object: ObjectKey.extend({ live: SeenIdentity }),
    changes: z.array(Change),
    bodiesDigest: z.string(),
  }),
  subject: (m) => subject("cmd", "sync", m.lane),
  messageId: (m) => m.requestId,
});

const Changed = Change.extend({ message: z.string() });

export const ActionPerformed = defineMessage({
  name: "ActionPerformed",
  kind: "result",
  schema: Reply.extend({ asked: Asked, changed: z.array(Changed), failure: Failure.optional() }),
  subject: (m) => subject("res", m.shard, "action"),
  messageId: (m) => `${m.requestId}.performed`,
});

/** The answer, and for a week the record of who had what done. */
export const ActionEnded = defineMessage({
  name: "ActionEnded",
  kind: "public",
  schema: z.looseObject({
    namespace: z.string(),
    name: z.string(),
    requestId: z.string(),
    action: z.string().optional(),
    by: z.string().optional(),
    /** RFC 3339. */
    at: z.string(),
    objects: z.array(ActionsOfObject).default([]),
    changed: z.array(Changed).default([]),
    failure: Failure.optional(),
  }),
  subject: (m) => subject("action", encodeToken(m.namespace), encodeToken(m.name), "ended"),
});
