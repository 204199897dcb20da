// Steps of the sync region (pure): operations, heals and deletions.
import { failure, failureText, isRetryable, type Failure } from "@driftless/contracts/failure";
import type { ResourceResult } from "@driftless/contracts/application";
import type { LiveIdentity, ObjectKey } from "@driftless/contracts/identity";
import type { AppliedObject, PlannedObject } from "@driftless/contracts/pipeline/5-sync";
import type { SyncState } from "@driftless/contracts/pipeline/6-application";
import { keyForPeople, keyText } from "@driftless/manifests/resource-key";
import { keyOf, mergeWishes, sameKey, type Context, type ObjectState, type Operation } from "./context.ts";
import { automatedOperation, belongsToOwner, decide, verdictOf } from "./decision.ts";
import type { EventOf } from "./events.ts";
import {
  HOPS_BACK_MAX,
  applyPredictions,
  objectAllowedIn,
  refreshes,
  requestId,
  seconds,
  takeRequest,
  want,
  wish,
} from "./look.ts";
import { withInfo } from "./operation-record.ts";
import { healAttempts, retryDelayMs } from "./retry-delay.ts";
import { readSyncOptions } from "./sync-options.ts";
import {
  advance,
  applyFailed,
  hookProgress,
  hookRuns,
  isSelected,
  isSelective,
  layoutOf,
  lost,
  planned,
  pruned,
  succeeded,
  supersededBy,
  type HookRun,
} from "./sync-plan.ts";
import { isNewer } from "@driftless/kube/resource-version";
import { retryPolicy } from "./view.ts";

const DRY_RUN_MESSAGE = "one or more objects failed to apply (dry run)";

/** What the verdict leads to; a decision to refuse is shown as a condition. */
export function takeDecision(context: Context, at: number): Partial<Context> {
  const decision = decide(context, at);
  const shown =
    decision.kind === "refuse"
      ? decision.condition
      : // An app that is in sync by itself has nothing left of a failed sync.
        context.verdict === "Synced" && !context.request
        ? undefined
        : context.syncCondition;
  const left =
    decision.kind !== "sync" && context.heal.requestId === "" && context.heldBack.length > 0
      ? { heldBack: [], ...want(context, heldBackWish(context, at)) }
      : {};
  return { decision, verdictPending: false, syncCondition: shown, pass: undefined, now: at, ...left };
}

const predictable = (objects: readonly ObjectState[], operation: Pick<Operation, "field">): PlannedObject[] =>
  objects
    .filter((object) => !object.extra && object.status === "OutOfSync" && !object.predicted)
    .filter((object) => isSelected(operation, object))
    .map(planned);

/** What an attempt begins with: its hooks, its steps, and what has to be asked before the first of them. */
function attempt(context: Context, begun: Omit<Operation, "hooks" | "layout" | "toPredict" | "predicted">) {
  const hooks = hookRuns(context, begun);
  const toPredict = predictable(context.objects, begun);
  return {
    hooks,
    hookFailures: deniedHooks(context, hooks),
    layout: layoutOf(context.objects, { ...begun, hooks }),
    toPredict,
    predicted: toPredict.length === 0 && hooks.length === 0,
    deleting: [],
    next: undefined,
    failing: undefined,
    terminated: false,
    released: false,
    changes: 0,
    changesSaving: 0,
    changesSaved: 0,
    outcome: undefined,
    results: [],
  };
}

function deniedHooks(context: Context, hooks: readonly HookRun[]): Failure[] {
  const { destination } = context.view.desired!;
  const cluster = { ...destination, server: destination.server ?? context.comparison?.server };
  return hooks
    .filter(({ key }) => !objectAllowedIn(context, key, cluster))
    .map(({ key }) =>
      failure("PROJECT_DENIED", `AppProject ${context.view.ref.project} does not allow ${keyForPeople(key)}`),
    );
}

/** Results of the attempt that is taken up again. */
const withResults = (hooks: readonly HookRun[], results: readonly ResourceResult[]): readonly HookRun[] =>
  hooks.map((hook) => {
    const result = results.find(
      (one) =>
        one.kind === hook.key.kind &&
        one.name === hook.key.name &&
        (one.namespace ?? "") === hook.key.namespace &&
        (one.group ?? "") === hook.key.group &&
        one.syncPhase === hook.phase,
    );
    if (!result) return hook;
    const state =
      result.hookPhase === "Succeeded" ? "succeeded" : result.hookPhase === "Running" ? "running" : "failed";
    return { ...hook, state, message: result.message ?? "" };
  });

/** Begins the operation that was decided on. */
export function beginOperation(context: Context, at: number): Partial<Context> {
  if (context.decision.kind !== "sync") return {};
  const { request, partial } = context.decision;
  const desired = context.view.desired!;
  const { field, automated, resumed } = request;
  const options = readSyncOptions(field.sync?.syncOptions ?? []);
  const prune = (field.sync?.prune ?? false) && !options.pruneNever;
  const begun = {
    id: resumed?.id || `${context.view.ref.uid.slice(0, 8)}-${requestId(context)}`,
    epoch: context.epoch,
    automated,
    partial,
    dryRun: field.sync?.dryRun ?? false,
    prune,
    field,
    options,
    retry: retryPolicy(field.retry ?? (automated ? desired.retry : undefined), automated),
    render: context.render!,
    ...(request.source && { source: request.source }),
    startedAt: resumed?.startedAt || seconds(at),
    retryCount: resumed?.retryCount ?? 0,
    retryDue: false,
    causes: context.causes,
    since: context.since,
    lane: context.causes.some((one) => one.kind !== "start" && one.kind !== "poll")
      ? ("now" as const)
      : ("bulk" as const),
    recorded: false,
    requestId: "",
    sentAt: at,
    hopsBack: 0,
    timings: context.timings,
  };
  const first = { ...begun, ...attempt(context, begun as unknown as Operation) };
  const operation: Operation = {
    ...first,
    hooks: withResults(first.hooks, resumed?.hooks ?? []),
    terminated: resumed?.terminated ?? false,
  };
  const next = { ...context, operation };
  return {
    operation,
    seq: context.seq + 1,
    decision: { kind: "none" },
    request: undefined,
    syncCondition: undefined,
    heldBack: [],
    operationState: runningState(next, operation),
  };
}

/** The record before the first apply: all keys stand in it, since they will be ours if we die on the way. */
export function runningState(
  context: Context,
  operation: Operation,
  message = "",
): NonNullable<Context["operationState"]> {
  const results = new Map(operation.results.map((result) => [keyText(result), result]));
  const prunes = new Set(pruned(operation, context.objects).map((object) => keyText(object.key)));
  const resources: ResourceResult[] = context.objects
    .filter((object) => (object.extra ? prunes.has(keyText(object.key)) : isSelected(operation, object)))
    .map((object) => resourceResult(object, results.get(keyText(object.key)), operation.dryRun));
  for (const result of operation.results) {
    if (result.outcome === "pruned" || result.outcome === "pruneSkipped") resources.push(pruneResult(result));
  }
  for (const hook of operation.hooks) if (hook.state !== "pending") resources.push(hookResult(hook));
  return {
    operation: withInfo(operation),
    phase: operation.terminated ? "Terminating" : "Running",
    ...(message ? { message } : {}),
    startedAt: operation.startedAt,
    ...(operation.retryCount > 0 ? { retryCount: operation.retryCount } : {}),
    syncResult: { revision: operation.render.revision, source: operation.render.sourceField, resources },
  };
}

function resourceResult(object: ObjectState, result: AppliedObject | undefined, dryRun: boolean): ResourceResult {
  const base = { ...keyOf(object.key), syncPhase: object.phase ?? "Sync" };
  if (!result && object.failure) {
    return { ...base, status: "SyncFailed", hookPhase: "Failed", message: failureText(object.failure) };
  }
  if (!result && dryRun && !object.extra) {
    const change = object.status === "Synced" ? "unchanged" : object.live ? "configured" : "created";
    return { ...base, status: "Synced", message: `${kubectlName(object.key)} ${change} (dry run)` };
  }
  if (!result) return base;
  const isFailed = result.outcome === "failed";
  return {
    ...base,
    status: isFailed ? "SyncFailed" : "Synced",
    hookPhase: isFailed ? "Failed" : "Running",
    message: result.failure ? failureText(result.failure) : result.message,
    ...(result.images.length > 0 ? { images: result.images } : {}),
  };
}

const kubectlName = ({ group, kind, name }: ObjectKey): string =>
  `${kind.toLowerCase()}${group ? `.${group}` : ""}/${name}`;

function pruneResult(result: AppliedObject): ResourceResult {
  const isPruned = result.outcome === "pruned";
  return {
    ...keyOf(result),
    status: isPruned ? "Pruned" : "PruneSkipped",
    message: isPruned ? "pruned" : result.message,
    hookPhase: "Succeeded",
    syncPhase: "Sync",
  };
}

function hookResult({ key, phase, state, message }: HookRun): ResourceResult {
  const hookPhase = state === "running" ? "Running" : state === "succeeded" ? "Succeeded" : "Failed";
  return { ...key, status: "Synced", hookType: phase, syncPhase: phase, hookPhase, message };
}

/** What is left in the cluster though Git no longer has it. */
function leftBehind(context: Context, operation: Operation): ResourceResult[] {
  const told = new Set(operation.results.map((result) => keyText(result)));
  return context.objects
    .filter((object) => object.extra && isSelected(operation, object) && !told.has(keyText(object.key)))
    .filter((object) => !belongsToOwner(object))
    .map((object) => ({
      ...keyOf(object.key),
      status: "PruneSkipped",
      message: object.keep === undefined ? "ignored (requires pruning)" : "ignored (no prune)",
      hookPhase: "Succeeded",
      syncPhase: "Sync",
    }));
}

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
  return fail(context, `${DRY_RUN_MESSAGE}: ${failures.map(failureText).slice(0, 3).join("; ")}`, failures);
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
export function planStep(context: Context): Partial<Context> {
  const before = context.operation!;
  const next = advance(context);
  const operation: Operation = { ...before, next };
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

function applied(objects: readonly ObjectState[], results: readonly AppliedObject[]): ObjectState[] {
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
            health: newerThan(object.live, live) ? object.health : (result.health ?? object.health),
            fields: result.fields,
            takenFrom: result.takenFrom,
            message: result.message,
            failure: undefined,
          },
        ];
    }
  });
}

/** Changes seen while the step ran: those that it made itself are no news. */
function judgeHeldBack(context: Context, results: readonly AppliedObject[], at: number): Partial<Context> {
  const byKey = new Map(results.map((result) => [keyText(result), result]));
  const news = context.heldBack.filter((held) => {
    const result = byKey.get(keyText(held.key));
    if (!result) return true;
    if (held.change === "deleted") return result.outcome !== "pruned";
    return isNewer(held.resourceVersion, result.live?.resourceVersion ?? "");
  });
  if (news.length === 0) return { heldBack: [] };
  return { heldBack: [], ...want(context, heldBackWish({ ...context, heldBack: news }, at)) };
}

const driftText = (news: readonly { key: { kind: string; name: string } }[]): string =>
  `${news[0]!.key.kind} ${news[0]!.key.name} changed${news.length > 1 ? ` and ${news.length - 1} more` : ""}`;

const newerThan = (a: LiveIdentity | undefined, b: LiveIdentity | undefined): boolean =>
  a !== undefined && b !== undefined && a.uid === b.uid && isNewer(a.resourceVersion, b.resourceVersion);

export const canRetry = (context: Context): boolean => {
  const operation = context.operation;
  if (!operation?.outcome || operation.outcome.phase === "Succeeded" || !operation.outcome.retryable) return false;
  return operation.retry.limit < 0 || operation.retryCount < operation.retry.limit;
};

export function scheduleRetry(context: Context, at: number): Partial<Context> {
  const before = context.operation!;
  const retryAt = at + retryDelayMs(before.retry, before.retryCount);
  const operation: Operation = { ...before, retryCount: before.retryCount + 1, retryAt, retryDue: false };
  const message = `${before.outcome!.message} (retried ${before.retryCount} times). Retrying attempt #${operation.retryCount} at ${seconds(retryAt)}.`;
  return {
    operation,
    // Running with finishedAt is Argo CD's way of saying "waiting for the next attempt".
    operationState: { ...runningState(context, operation, message), finishedAt: seconds(at) },
  };
}

export const retryNow = (context: Context, at: number): Partial<Context> => ({
  operation: { ...context.operation!, retryDue: true, outcome: undefined },
  wish: mergeWishes(
    context.wish && !context.operation!.automated ? undefined : context.wish,
    wish(
      "retry",
      at,
      { detail: `attempt ${context.operation!.retryCount}` },
      {
        lane: context.operation!.lane,
        ...(refreshes(context.operation!) ? { freshness: "latest" } : { from: "diff" }),
      },
    ),
  ),
});

/** The next attempt: planned anew, since the cluster has gone on. */
export function beginAttempt(context: Context, at: number): Partial<Context> {
  const before = context.operation!;
  const begun = { ...before, render: refreshes(before) ? context.render! : before.render };
  const operation: Operation = {
    ...begun,
    ...attempt(context, begun),
    recorded: false,
    retryDue: false,
    retryAt: undefined,
  };
  return {
    operation,
    operationState: runningState(context, operation),
    heldBack: [],
    verdictPending: false,
    pass: undefined,
    now: at,
  };
}

/** The record of a resumed attempt whose bodies are gone is made again from the start of the pipeline. */
export function renderAgain(context: Context, at: number): Partial<Context> {
  const operation = context.operation!;
  return {
    render: undefined,
    request: {
      field: operation.field,
      automated: operation.automated,
      ...(operation.source && { source: operation.source }),
      resumed: {
        id: operation.id,
        startedAt: operation.startedAt,
        retryCount: operation.retryCount,
        hooks: operation.hooks.filter(({ state }) => state === "succeeded" || state === "failed").map(hookResult),
      },
    },
    operation: undefined,
    decision: { kind: "none" },
    ...want(context, wish("retry", at, { detail: "a cached body was gone" }, { hard: true, lane: operation.lane })),
  };
}

export const mayRenderAgain = (context: Context): boolean => (context.operation?.hopsBack ?? 0) < HOPS_BACK_MAX;

/** The operation is over: what it did becomes the app's state, what is left of it is shown. */
export function endOperation(context: Context, at: number): Partial<Context> {
  const operation = context.operation!;
  const outcome = operation.outcome ?? succeeded();
  const isSucceeded = outcome.phase === "Succeeded";
  const desired = context.view.desired;
  const history =
    isSucceeded && !operation.partial && !operation.dryRun && !isSelective(operation)
      ? historyWith(context, operation, at)
      : context.history;
  const supersededNow = outcome.failures.some((one) => one.code === "OPERATION_SUPERSEDED");
  const pinned =
    operation.render.targetRevision !== desired?.source.targetRevision ||
    operation.render.sourceHash !== context.view.sourceHash;
  const ended: Context = { ...context, operation: undefined };
  const state = runningState(context, operation, outcome.message);
  state.syncResult!.resources!.push(...leftBehind(context, operation));
  const changes: Partial<Context> = {
    operation: undefined,
    operationState: { ...state, phase: outcome.phase, finishedAt: seconds(at) },
    // What changed while it was waited for others.
    ...(context.heldBack.length > 0 && { heldBack: [], ...want(ended, heldBackWish(context, at)) }),
    history,
    lastOperationId: operation.id,
    syncCondition:
      isSucceeded || supersededNow || outcome.failures.length === 0
        ? undefined
        : {
            type: "SyncError",
            message: `[${outcome.failures[0]!.code}] Failed last sync attempt to ${operation.render.revision}: ${outcome.message}`,
          },
    heal:
      operation.partial && isSucceeded
        ? { ...context.heal, attempts: operation.field.sync?.autoHealAttemptsCount ?? 1, finishedAt: at }
        : operation.partial
          ? context.heal
          : { ...context.heal, attempts: 0, finishedAt: at },
    superseded: supersededNow ? context.superseded : 0,
    causes: operation.causes,
    since: operation.since,
    timings: operation.timings,
    decision: { kind: "none" },
    now: at,
  };
  // What was applied was a revision that the app does not follow, or not all of it came about: look again.
  if (pinned || (!isSucceeded && !supersededNow)) {
    const from = pinned ? "fetch" : "diff";
    Object.assign(changes, want(ended, wish("operation", at, { detail: outcome.message }, { from })));
  }
  Object.assign(changes, requestAfter({ ...ended, ...changes }, at));
  return changes;
}

/** An `operation` field that was written while this one ran is its turn now. */
function requestAfter(context: Context, at: number): Partial<Context> {
  const taken = takeRequest(context, at);
  if (!taken.request) return taken.operationState ? {} : taken;
  const by = taken.request.field.initiatedBy?.username;
  return { ...taken, ...want(context, wish("user", at, { by, detail: "sync requested" }, { freshness: "latest" })) };
}

function historyWith(context: Context, operation: Operation, at: number): Context["history"] {
  const limit = context.view.desired?.historyLimit ?? 10;
  if (limit <= 0) return [];
  const id = Math.max(-1, ...context.history.map((entry) => entry.id ?? 0)) + 1;
  const entry = {
    id,
    revision: operation.render.revision,
    source: operation.render.sourceField,
    deployStartedAt: operation.startedAt,
    deployedAt: seconds(at),
    initiatedBy: operation.field.initiatedBy ?? {},
  };
  return [...context.history, entry].slice(-limit);
}

// Heals

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
      : message.health
        ? context.objects.with(index, { ...known, health: message.health, live: message.live ?? known.live })
        : context.objects;
  if (message.change === "health") return { objects };
  if (context.operation || context.heal.requestId) {
    const held = {
      key: keyOf(message.object),
      resourceVersion: message.live?.resourceVersion ?? "",
      change: message.change,
      by: message.by,
    };
    return { objects, heldBack: [...context.heldBack, held] };
  }
  return { objects };
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

const heldBackWish = (context: Context, at: number) =>
  wish("drift", at, { by: context.heldBack[0]!.by, detail: driftText(context.heldBack) }, { from: "diff" });

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
  const attempts = healAttempts(heal, at) + 1;
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

// Transitions

export function arrive(context: Context, to: SyncState): Partial<Context> {
  return { reported: to, transition: context.reported === to ? undefined : { from: context.reported, to } };
}

// Deletion

export function beginDeletion(context: Context): Partial<Context> {
  return {
    wish: undefined,
    pass: undefined,
    operation: undefined,
    request: undefined,
    deletion: {
      requestId: "",
      remaining: [],
      kept: [],
      attempts: 0,
      finished: context.view.deletion?.cascade === undefined,
    },
  };
}

export const sendDeletion = (context: Context): Partial<Context> => ({
  seq: context.seq + 1,
  deletion: { ...context.deletion!, requestId: requestId(context) },
});

const isCrd = (object: ObjectState): boolean =>
  object.key.kind === "CustomResourceDefinition" && object.key.group === "apiextensions.k8s.io";

/** What a deletion takes along: everything live and ours but CRDs and what asks to stay. */
export function acceptRemaining(context: Context, event: EventOf<"DiffComputed">): Partial<Context> {
  const remaining = event.message.objects
    .filter((object) => object.verdict === "Extra" && object.live !== undefined && object.keepOnDelete === undefined)
    .filter((object) => !/Delete=|resource-policy|owned by/.test(object.keep ?? ""))
    .map((object): ObjectState => ({
      key: keyOf(object),
      status: "OutOfSync",
      live: object.live,
      health: object.health,
      extra: true,
      predicted: true,
      fields: [],
      managers: [],
    }))
    .filter((object) => !isCrd(object) && !context.deletion!.kept.includes(keyText(object.key)));
  const unreadable = event.message.objects.find((object) => object.verdict === "Unknown" && object.failure);
  return {
    deletion: {
      ...context.deletion!,
      remaining,
      attempts: 0,
      // A kind that cannot be read may hold objects of ours: not finished.
      finished: remaining.length === 0 && unreadable === undefined,
      failure: unreadable?.failure,
    },
  };
}

/** What the syncer, which reads the objects themselves, left alone: kept for good, unless it is on its way already. */
export function noteRemoved(context: Context, event: EventOf<"StepApplied">): Partial<Context> {
  const deletion = context.deletion!;
  const { objects } = event.message;
  const kept = objects
    .filter((object) => object.outcome === "pruneSkipped" && !/being deleted/.test(object.message))
    .map((object) => keyText(object));
  const failed = objects.find((object) => object.outcome === "failed");
  return {
    deletion: {
      ...deletion,
      kept: [...new Set([...deletion.kept, ...kept])],
      attempts: failed ? deletion.attempts + 1 : 0,
      failure: failed && (failed.failure ?? failure("APPLY_FAILED", failed.message)),
    },
  };
}

/** A cluster that nobody knows any more cannot be cleaned: the Application may go (as Argo CD does). */
export function failDeletion(context: Context, failures: readonly Failure[]): Partial<Context> {
  const deletion = context.deletion!;
  const unknown = failures.some((one) => one.code === "DESTINATION_UNKNOWN");
  return { deletion: { ...deletion, attempts: deletion.attempts + 1, failure: failures[0], finished: unknown } };
}

/** Objects kept by the app's own `Delete=false`, or waiting for an approval not older than the deletion. */
export function deletionConsent(context: Context): "yes" | "no" | "confirm" {
  const options = readSyncOptions(context.view.desired?.syncOptionTexts ?? []);
  const { deletion } = context.view;
  if (options.delete !== "confirm" || !deletion) return options.delete;
  const approved = Date.parse(deletion.approvedAt ?? "");
  return approved >= Date.parse(deletion.at) ? "yes" : "confirm";
}
