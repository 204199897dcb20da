// Actions (contract §12): what somebody asks to have done to an object of an Application. Twice the controller says whether
// it may be: about the object before the script is asked, and about what the script would change before that is done.
//
// A1  Only live objects of the Application that its project allows, and of changes only what it allows too.
// A2  What was asked while nobody listened is not done later.
import { on, type Handler } from "@driftless/bus/consume";
import {
  ActionEnded,
  ActionPerformed,
  ActionPlanned,
  ActionRequested,
  PerformAction,
  PlanAction,
} from "@driftless/contracts/actions";
import { failure, type Failure } from "@driftless/contracts/failure";
import { appText, type ObjectKey } from "@driftless/contracts/identity";
import type { MessageDefinition, MessageOf } from "@driftless/contracts/message";
import { keyForPeople } from "@driftless/manifests/resource-key";
import type { Clock } from "@driftless/process/clock";
import type { Context } from "./application/context.ts";
import { bareTarget } from "./application/effects.ts";
import { denials } from "./application/gate.ts";

type Asked = MessageOf<typeof ActionRequested>;

export interface ActionsOptions {
  clock: Clock;
  /** Of an Application of this replica. */
  contextOf(app: { namespace: string; name: string }): Context | undefined;
  publish(definition: MessageDefinition, message: unknown): void;
}

const DEADLINE_MS = 20_000;
const OBJECTS_MAX = 200;

export function createActions({ clock, contextOf, publish }: ActionsOptions): {
  requests: Handler[];
  answers: Handler[];
} {
  const end = (asked: Asked, what: Partial<MessageOf<typeof ActionEnded>>): void => {
    const { namespace, name, requestId, action, by } = asked;
    const at = new Date(clock.now()).toISOString();
    publish(ActionEnded, { namespace, name, requestId, action, by, at, objects: [], changed: [], ...what });
  };

  const command = (context: Context, asked: Asked, hop: string) => ({
    app: context.view.ref,
    requestId: `action.${asked.requestId}.${hop}`,
    shard: context.view.shard,
    lane: "now" as const,
    deadlineAt: clock.now() + DEADLINE_MS,
    target: bareTarget(context, context.emptyManifestsDigest),
    asked,
  });

  const requested = async (asked: Asked): Promise<void> => {
    const context = contextOf(asked);
    if (!context) return;
    const found = objectsFor(context, asked);
    if (found.kind === "failed") return end(asked, { failure: found.failure });
    publish(PlanAction, { ...command(context, asked, "plan"), objects: found.objects });
  };

  const planned = async (plan: MessageOf<typeof ActionPlanned>): Promise<void> => {
    const { asked, objects, changes, bodiesDigest } = plan;
    const [object] = objects;
    if (plan.failure) return end(asked, { objects, failure: plan.failure });
    if (asked.action === undefined) return end(asked, { objects });
    const context = contextOf(asked);
    if (!context || !object?.live || bodiesDigest === undefined) return;
    const [denied] = denials(context, changes); // A1
    if (denied) return end(asked, { failure: denied });
    const { group, version, kind, namespace, name, live } = object;
    publish(PerformAction, {
      ...command(context, asked, "perform"),
      object: { group, version, kind, namespace, name, live },
      changes,
      bodiesDigest,
    });
  };

  return {
    requests: [on(ActionRequested, requested)],
    answers: [
      on(ActionPlanned, planned),
      on(ActionPerformed, async ({ asked, changed, failure: why }) =>
        end(asked, { changed, ...(why && { failure: why }) }),
      ),
    ],
  };
}

/** Of one that is to be acted on there must be no doubt which it is. */
function objectsFor(
  context: Context,
  { resource, action }: Asked,
): { kind: "ok"; objects: ObjectKey[] } | { kind: "failed"; failure: Failure } {
  const failed = (why: Failure) => ({ kind: "failed", failure: why }) as const;
  const { view } = context;
  if (!view.desired)
    return failed(view.blocked[0] ?? failure("ACTION_UNKNOWN", `${appText(view.ref)} is not followed now.`));
  if (view.deletion) return failed(failure("ACTION_UNKNOWN", `${appText(view.ref)} is being deleted.`));
  const objects = context.objects
    .filter(({ live }) => live !== undefined)
    .map(({ key }) => key)
    .filter(
      (key) =>
        key.kind === resource.kind &&
        (resource.group === undefined || resource.group === key.group) &&
        (resource.namespace === undefined || resource.namespace === key.namespace) &&
        (resource.name === undefined || resource.name === key.name),
    );
  const what = `${resource.kind}${resource.name ? ` ${resource.name}` : ""}`;
  const [first, second] = objects;
  if (!first) return failed(failure("ACTION_UNKNOWN", `${appText(view.ref)} has no live object ${what}.`));
  if (action !== undefined && second) {
    const several = objects.slice(0, 5).map(keyForPeople).join(", ");
    return failed(failure("ACTION_UNKNOWN", `More than one object is meant: ${several}.`));
  }
  const [denied] = denials(context, objects); // A1
  return denied ? failed(denied) : { kind: "ok", objects: objects.slice(0, OBJECTS_MAX) };
}
