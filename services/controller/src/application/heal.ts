// Heals (pure): a changed object, from the event to the record of having put it right.
import type { ObjectKey } from "@driftless/contracts/identity";
import type { MessageOf } from "@driftless/contracts/message";
import type { LiveChanged } from "@driftless/contracts/pipeline/4-diff";
import { isNewer } from "@driftless/kube/resource-version";
import { keyOf, sameKey, type Context, type ObjectState, type Operation } from "./context.ts";
import { automatedOperation, verdictOf } from "./decision.ts";
import type { EventOf } from "./events.ts";
import { judgeHeldBack, driftText } from "./held-back.ts";
import { requestId, seconds, want, wish } from "./look.ts";
import { applied } from "./operation-steps.ts";
import { healAttempts } from "./retry-delay.ts";
import { endOperation } from "./operation.ts";
import { readSyncOptions } from "./sync-options.ts";
import { hookProgress, lost, succeeded } from "./sync-plan.ts";
import { retryPolicy } from "./view.ts";

export function onLiveChanged(context: Context, event: EventOf<"LiveChanged">): Partial<Context> {
  const { message } = event;
  const index = context.objects.findIndex((object) => sameKey(object.key, message.object));
  const known = context.objects[index];
  if (!known || known.extra) {
    const changed = onAwaitedChanged(context, event);
    if (changed) return changed;
  }
  if (!known) return {};
  const isGone = message.change === "deleted" && message.live?.uid === known.live?.uid;
  const objects =
    isGone && context.operation
      ? context.objects.with(index, { ...known, live: undefined })
      : tellsHealth(message, known)
        ? context.objects.with(index, { ...known, health: message.health, live: message.live })
        : context.objects;
  if (message.change === "health") return { objects };
  if (context.operation || context.heal.requestId) {
    const held = {
      key: keyOf(message.object),
      resourceVersion: message.live?.resourceVersion ?? "",
      change: message.change,
      by: message.by,
    };
    // The last of each: an operation may wait for long.
    const others = context.heldBack.filter(({ key }) => !sameKey(key, held.key));
    return { objects, heldBack: [...others, held] };
  }
  return { objects };
}

/** Not what the object was before our apply: a watch may be behind its answer, and a wave must not pass on that. */
function tellsHealth({ change, live }: MessageOf<typeof LiveChanged>, known: ObjectState): boolean {
  if (change === "deleted" || !live) return false;
  return !known.live || !isNewer(known.live.resourceVersion, live.resourceVersion);
}

/** A hook that runs, or an object that is being pruned. */
function onAwaitedChanged(context: Context, event: EventOf<"LiveChanged">): Partial<Context> | undefined {
  const { operation } = context;
  const { object, live, change, health, deleting } = event.message;
  if (!operation || !live) return undefined;
  const isIt = (one: { key: ObjectKey }, uid: string | undefined) => sameKey(one.key, object) && uid === live.uid;
  if (change === "deleted" && operation.deleting.some((one) => isIt(one, one.uid))) {
    return { operation: { ...operation, deleting: operation.deleting.filter((one) => !isIt(one, one.uid)) } };
  }
  const index = operation.hooks.findIndex((hook) => hook.state === "running" && isIt(hook, hook.live?.uid));
  if (index < 0) return undefined;
  const hook = operation.hooks[index]!;
  const next = change === "deleted" ? lost(hook) : hookProgress(hook, { health, deleting, live });
  return { operation: { ...operation, hooks: operation.hooks.with(index, next), changes: operation.changes + 1 } };
}

/** Not what a record or an earlier event already told. */
export function isNews(context: Context, event: EventOf<"LiveChanged">): boolean {
  const { message } = event;
  const known = context.objects.find((object) => sameKey(object.key, message.object));
  if (!known) return context.objects.length > 0;
  if (message.change === "deleted")
    return known.live !== undefined && (message.live === undefined || message.live.uid === known.live.uid);
  return message.live === undefined || isNewer(message.live.resourceVersion, known.live?.resourceVersion ?? "");
}

export function wantDiff(context: Context, event: EventOf<"LiveChanged">): Partial<Context> {
  const { message } = event;
  const detail = `${message.object.kind} ${message.object.name} ${message.change === "deleted" ? "deleted" : "changed"}`;
  return want(
    context,
    wish(
      "drift",
      event.at,
      { by: message.by, detail },
      { from: "diff", since: Math.min(event.at, message.observedAt) },
    ),
  );
}

export function beginHeal(context: Context, event: EventOf<"LiveChanged">): Partial<Context> {
  const { message } = event;
  return {
    seq: context.seq + 1,
    heldBack: [],
    heal: {
      ...context.heal,
      requestId: requestId(context),
      objects: [{ ...keyOf(message.object), live: message.live! }],
      by: message.by ? [message.by] : [],
      since: Math.min(event.at, message.observedAt),
    },
  };
}

export const healLeft = (context: Context): Partial<Context> => ({ heal: { ...context.heal, requestId: "" } });

/** "unchanged": the suspicion was none; the differ takes the new imprint from the same answer. */
export const healNeedless = (context: Context, event: EventOf<"StepApplied">): Partial<Context> => ({
  ...judgeHeldBack(context, event.message.objects, event.at),
  objects: applied(context.objects, event.message.objects),
});

/** It was drift and has been put right: shown and written like the self-heal sync it was. */
export function healDone(context: Context, event: EventOf<"StepApplied">): Partial<Context> {
  const { at, message } = event;
  const judged = judgeHeldBack(context, message.objects, at);
  const { heal } = context;
  const attempts = healAttempts(heal, at, context.view.policy.heal) + 1;
  const managers = [...new Set(message.objects.flatMap((object) => object.takenFrom))];
  const by = managers.length > 0 ? managers.join(", ") : heal.by.join(", ") || undefined;
  const causes = [
    wish("drift", heal.since, { by, detail: driftText(heal.objects.map((key) => ({ key }))) }).causes[0]!,
  ];
  const objects = applied(context.objects, message.objects);
  const changed = message.objects.filter((object) => object.outcome === "configured");
  const field = automatedOperation(context, true, at);
  const operation: Operation = {
    id: message.operationId,
    epoch: context.epoch,
    automated: true,
    partial: true,
    dryRun: false,
    prune: false,
    field: {
      ...field,
      sync: {
        ...field.sync,
        autoHealAttemptsCount: attempts,
        resources: changed.map(({ group, kind, name }) => ({ group, kind, name })),
      },
    },
    options: readSyncOptions([]),
    retry: retryPolicy(undefined, true),
    render: context.render!,
    startedAt: seconds(heal.since),
    retryCount: 0,
    retryDue: false,
    causes,
    since: heal.since,
    lane: "now",
    layout: { multiStep: false, last: { phase: "Sync", wave: 0 }, lastHasHooks: false, pruneWaves: {} },
    hooks: [],
    hookFailures: [],
    deleting: [],
    terminated: false,
    released: false,
    changes: 0,
    changesSaving: 0,
    changesSaved: 0,
    toPredict: [],
    predicted: true,
    recorded: true,
    requestId: "",
    sentAt: at,
    hopsBack: 0,
    results: message.objects,
    timings: { applyMs: message.tookMs },
    outcome: succeeded(),
  };
  const next: Context = { ...context, ...judged, objects, operation, heal: { ...heal, objects: [] } };
  return { ...judged, objects, verdict: verdictOf(objects), ...endOperation(next, at) };
}
