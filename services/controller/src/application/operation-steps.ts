// Steps inside an operation (pure): its predictions, its steps and what came of them.
import { failure, failureText, isRetryable, type Failure } from "@driftless/contracts/failure";
import type { LiveIdentity } from "@driftless/contracts/identity";
import type { AppliedObject } from "@driftless/contracts/pipeline/5-sync";
import { isNewer } from "@driftless/kube/resource-version";
import { keyText } from "@driftless/manifests/resource-key";
import { keyOf, type Context, type ObjectState, type Operation } from "./context.ts";
import { verdictOf } from "./decision.ts";
import type { EventOf } from "./events.ts";
import { judgeHeldBack } from "./held-back.ts";
import { applyPredictions, requestId } from "./look.ts";
import { pauseAfterStep } from "./deadline.ts";
import { denials } from "./gate.ts";
import { runningState } from "./operation-state.ts";
import { closedWindow, windowMessage } from "./window-wait.ts";
import {
  DEGRADED_GRACE_MS,
  advance,
  applyFailed,
  failed,
  hookProgress,
  isSelected,
  isSuperseded,
  lost,
  slotText,
  supersededBy,
  type HookRun,
  type Next,
} from "./sync-plan.ts";

const DRY_RUN_MESSAGE = "one or more objects failed to apply (dry run)";
const NOT_VALID_MESSAGE = "one or more synchronization tasks are not valid";
/** What is wrong with an object before the API server is asked about it. */
const NOT_VALID: readonly string[] = ["PROJECT_DENIED", "KIND_UNKNOWN"] satisfies Failure["code"][];

export function sendStep(context: Context, at: number): Partial<Context> {
  return { seq: context.seq + 1, operation: { ...context.operation!, requestId: requestId(context), sentAt: at } };
}

const operationTimed = (operation: Operation, hop: "predictMs" | "applyMs", at: number): Operation["timings"] => ({
  ...operation.timings,
  [hop]: (Number(operation.timings[hop]) || 0) + at - operation.sentAt,
});

export function acceptStepPrediction(context: Context, event: EventOf<"StepPredicted">): Partial<Context> {
  const operation = context.operation!;
  const objects = applyPredictions(context.objects, event.message.objects);
  return {
    objects,
    verdict: verdictOf(objects),
    operation: {
      ...operation,
      hookFailures: [...operation.hookFailures, ...(event.message.hookFailures ?? [])],
      toPredict: [],
      predicted: true,
      timings: operationTimed(operation, "predictMs", event.at),
    },
  };
}

export const recorded = (context: Context): Partial<Context> => ({
  operation: context.operation && {
    ...context.operation,
    recorded: true,
    changesSaved: context.operation.changesSaving,
  },
});

/** The next write tells all that happened until now. */
export function beginRecord(context: Context): Partial<Context> {
  const operation = { ...context.operation!, recorded: false, changesSaving: context.operation!.changes };
  return { operation, operationState: runningState(context, operation) };
}

export const predictionFailures = (context: Context): readonly Failure[] =>
  context.objects.flatMap((object) =>
    !object.extra && object.status !== "Synced" && object.failure ? [object.failure] : [],
  );

/** What the dry run of the running operation refused: of what it is about, and its hooks. */
export function operationFailures(context: Context): readonly Failure[] {
  const operation = context.operation!;
  const selected = context.objects.filter((object) => isSelected(operation, object));
  return [...predictionFailures({ ...context, objects: selected }), ...operation.hookFailures];
}

const fail = (
  context: Context,
  message: string,
  failures: readonly Failure[],
  retryable = failures.some(isRetryable),
): Partial<Context> => ({
  operation: { ...context.operation!, outcome: { phase: "Failed", message, retryable, failures } },
});

export const failDryRun = (context: Context): Partial<Context> => {
  const failures = [...operationFailures(context)];
  const message = failures.some(({ code }) => NOT_VALID.includes(code)) ? NOT_VALID_MESSAGE : DRY_RUN_MESSAGE;
  return fail(context, `${message}: ${failures.map(failureText).slice(0, 3).join("; ")}`, failures);
};

export const failStep = (context: Context, failures: readonly Failure[]): Partial<Context> =>
  fail(context, failures.map(failureText).join("; "), failures);

export const terminate = (context: Context): Partial<Context> => {
  const operation = { ...context.operation!, terminated: true };
  return {
    operation,
    operationState: runningState(context, operation, "operation is terminating (requested by user)"),
  };
};

export const supersede = (context: Context): Partial<Context> => ({
  operation: { ...context.operation!, outcome: supersededBy(context) },
  superseded: context.superseded + 1,
});

/** What comes next is settled: a step, a wait with its blocker named, or the end. */
export function planStep(context: Context, at: number): Partial<Context> {
  const { waiting } = context.operation!;
  const graceOver = waiting !== undefined && waiting.since + DEGRADED_GRACE_MS <= at;
  const before: Operation = { ...context.operation!, ...(graceOver && { waiting: { ...waiting, graceOver } }) };
  const planned = { ...context, operation: before };
  const next = inWindow(planned, gated(planned, advance(planned)), at);
  const operation: Operation = { ...before, next, waiting: waitingFor(before, next, at) };
  if (next.kind !== "done") operation.failing = next.failing ?? before.failing;
  else operation.outcome = next.outcome;
  const isNewlySuperseded =
    next.kind === "done" &&
    before.outcome === undefined &&
    next.outcome.failures.some((one) => one.code === "OPERATION_SUPERSEDED");
  return {
    operation,
    ...(isNewlySuperseded && { superseded: context.superseded + 1 }),
    ...(next.kind === "wait" && { operationState: runningState(context, operation, next.message) }),
  };
}

/** The AppProject may be another since the objects were compared. */
function gated(context: Context, next: Next): Next {
  if (next.kind !== "apply") return next;
  const denied = denials(context, [...next.apply, ...next.prunes, ...next.hooks.map(({ key }) => key)]);
  return denied.length > 0 ? { kind: "done", outcome: next.failing ?? notAllowed(denied) } : next;
}

const notAllowed = (denied: readonly Failure[]) =>
  failed(`${NOT_VALID_MESSAGE}: ${denied.map(failureText).slice(0, 3).join("; ")}`, denied, false);

/** The next step waits where its window has closed; what is not begun any more is given up for something newer. */
function inWindow(context: Context, next: Next, at: number): Next {
  if (next.kind !== "apply") return next;
  const { automated, startedAt } = context.operation!;
  const closed = closedWindow(context, at, { isManual: !automated, startedAt: Date.parse(startedAt) });
  if (!closed) return next;
  if (isSuperseded(context, true)) return { kind: "done", outcome: supersededBy(context) };
  const { slot, failing } = next;
  return {
    kind: "wait",
    slot,
    message: windowMessage(closed),
    blockers: [],
    window: closed,
    ...(failing && { failing }),
  };
}

/** Whether what waits for a window need wait no longer. */
export function windowIsOver(context: Context, at: number): boolean {
  const next = advance(context);
  return next.kind !== "apply" || inWindow(context, next, at).kind !== "wait";
}

/** Since when this very step is waited for, however often it is planned anew. */
function waitingFor({ waiting }: Operation, next: Next, at: number): Operation["waiting"] {
  if (next.kind !== "wait") return undefined;
  const step = slotText(next.slot);
  return waiting?.step === step ? waiting : { step, since: at };
}

/** From the moment it is sent, a hook may run. */
export function beginStep(context: Context, at: number): Partial<Context> {
  const before = context.operation!;
  if (before.next?.kind !== "apply") return {};
  const sent = new Set(before.next.hooks.map(({ run }) => run));
  const hooks = before.hooks.map((hook) => (sent.has(hook.run) ? { ...hook, state: "running" as const } : hook));
  return {
    seq: context.seq + 1,
    operation: { ...before, hooks, requestId: requestId(context), sentAt: at, changes: before.changes + 1 },
  };
}

export function acceptStep(context: Context, event: EventOf<"StepApplied">): Partial<Context> {
  const operation = context.operation!;
  const { objects: results, hooks: ran = [] } = event.message;
  const failures = [
    ...results.flatMap((result) =>
      result.outcome === "failed" ? [result.failure ?? failure("APPLY_FAILED", result.message)] : [],
    ),
    ...ran.flatMap((hook) => (hook.outcome === "failed" ? [hook.failure ?? failure("HOOK_FAILED", hook.message)] : [])),
  ];
  const objects = applied(context.objects, results);
  const asked = operation.next?.kind === "apply" ? operation.next : undefined;
  const askedRuns = new Set(asked?.hooks.map(({ run }) => run));
  const hooks = operation.hooks.map((hook): HookRun => {
    if (!askedRuns.has(hook.run)) return hook;
    const result = ran.find(({ run }) => run === hook.run);
    // Not tried, since something before it failed.
    if (!result) return { ...hook, state: "pending" };
    if (result.outcome === "failed") return { ...hook, state: "failed", message: result.message };
    return hookProgress({ ...hook, message: result.message }, result);
  });
  const gone = results.filter(({ outcome }) => outcome === "pruned").map(keyText);
  const deleting = (asked?.prunes ?? [])
    .filter((one) => one.live && gone.includes(keyText(one)))
    .map((one) => ({ key: keyOf(one), uid: one.live!.uid }));
  return {
    objects,
    verdict: verdictOf(objects),
    operation: {
      ...operation,
      results: [...operation.results, ...results],
      hooks,
      deleting: [...operation.deleting, ...deleting],
      failing: failures.length > 0 ? (operation.failing ?? applyFailed(failures)) : operation.failing,
      changes: operation.changes + 1,
      pausedUntil: pauseAfterStep(context, event.at),
      timings: operationTimed(operation, "applyMs", event.at),
    },
    ...judgeHeldBack(context, results, event.at),
  };
}

/** What is waited for, as it is now: looked at once after each step, for what came about before it was watched. */
export function acceptAwaited(context: Context, event: EventOf<"DiffComputed">): Partial<Context> {
  const operation = context.operation!;
  const { message } = event;
  const compared = new Map(message.objects.map((object) => [keyText(object), object]));
  const objects = context.objects.map((object) => {
    const now = compared.get(keyText(object.key));
    if (!now?.live || object.extra || now.live.uid !== object.live?.uid) return object;
    if (isNewer(object.live.resourceVersion, now.live.resourceVersion)) return object;
    return { ...object, health: now.health, live: now.live };
  });
  const awaited = new Map((message.awaited ?? []).map((object) => [keyText(object), object]));
  const hooks = operation.hooks.map((hook) => {
    const now = awaited.get(keyText(hook.key));
    if (hook.state !== "running" || !now) return hook;
    if (now.live && now.live.uid === hook.live?.uid) return hookProgress(hook, now);
    const unseen = (hook.unseen ?? 0) + 1;
    return unseen > 1 ? lost(hook) : { ...hook, unseen };
  });
  const deleting = operation.deleting.filter(({ key, uid }) => {
    const now = awaited.get(keyText(key));
    return !now || now.live?.uid === uid;
  });
  return { objects, operation: { ...operation, hooks, deleting, changes: operation.changes + 1 } };
}

export const hooksReleased = (context: Context): Partial<Context> => ({
  operation: { ...context.operation!, released: true },
});

/** The objects after a step. */
export function applied(objects: readonly ObjectState[], results: readonly AppliedObject[]): ObjectState[] {
  const byKey = new Map(results.map((result) => [keyText(result), result]));
  return objects.flatMap((object): ObjectState[] => {
    const result = byKey.get(keyText(object.key));
    if (!result) return [object];
    const live = result.live ?? object.live;
    switch (result.outcome) {
      case "pruned":
        return [];
      case "pruneSkipped":
        return [{ ...object, keep: object.keep ?? result.message }];
      case "failed":
        return [{ ...object, predicted: false, failure: result.failure, message: result.message }];
      case "created":
      case "configured":
      case "unchanged":
        return [
          {
            ...object,
            status: "Synced",
            predicted: true,
            live,
            // A watch event may overtake the answer of the apply that caused it.
            health: newerThan(object.live, live) ? object.health : result.health,
            healthIgnored: result.healthIgnored,
            fields: result.fields,
            takenFrom: result.takenFrom,
            message: result.message,
            failure: undefined,
            again: undefined,
          },
        ];
    }
  });
}

const newerThan = (a: LiveIdentity | undefined, b: LiveIdentity | undefined): boolean =>
  a !== undefined && b !== undefined && a.uid === b.uid && isNewer(a.resourceVersion, b.resourceVersion);
