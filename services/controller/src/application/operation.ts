// Steps of an operation as a whole (pure): decided, begun, tried again, ended.
import type { OperationField, ResourceResult } from "@driftless/contracts/application";
import type { PlannedObject } from "@driftless/contracts/pipeline/5-sync";
import type { SyncState } from "@driftless/contracts/pipeline/6-application";
import { mergeWishes, type Context, type ObjectState, type Operation } from "./context.ts";
import { decide } from "./decision.ts";
import { PINNED_CONDITION } from "./after-failure.ts";
import { operationDeadline } from "./deadline.ts";
import { DEPENDENCY_CONDITION } from "./depends-on.ts";
import { heldBackWish } from "./held-back.ts";
import { denials, namespaceToMake } from "./gate.ts";
import { HOPS_BACK_MAX, refreshes, requestId, seconds, takeRequest, want, wish } from "./look.ts";
import { massPrune } from "./prune-confirmation.ts";
import { hookResult, leftBehind, runningState, toldUnchanged } from "./operation-state.ts";
import { follows, revisionText, toldRevisions, toldSources } from "./render.ts";
import { retryDelayMs } from "./retry-delay.ts";
import { readSyncOptions, type SyncOptions } from "./sync-options.ts";
import { hookRuns, isSelected, isSelective, layoutOf, planned, succeeded, type HookRun } from "./sync-plan.ts";
import { retryPolicy } from "./view.ts";
import { WINDOW_CONDITION, heldRequest } from "./window-wait.ts";

/** What the verdict leads to; a decision to refuse is shown as a condition. */
export function takeDecision(context: Context, at: number): Partial<Context> {
  const decision = decide(context, at);
  const told = decision.kind === "refuse" || decision.kind === "pause" ? decision.condition : undefined;
  // An app that is in sync by itself has nothing left of a failed sync, nor one that waits no longer of what it waited for.
  const isOver =
    (context.verdict === "Synced" && !context.request) ||
    [PINNED_CONDITION, WINDOW_CONDITION, DEPENDENCY_CONDITION].some((type) => type === context.syncCondition?.type);
  const shown = told ?? (isOver ? undefined : context.syncCondition);
  const left =
    decision.kind !== "sync" && context.heal.requestId === "" && context.heldBack.length > 0
      ? { heldBack: [], ...want(context, heldBackWish(context, at)) }
      : {};
  const held =
    decision.kind === "pause" && decision.window && context.request ? heldRequest(context, decision.window, at) : {};
  return { decision, verdictPending: false, syncCondition: shown, pass: undefined, now: at, ...left, ...held };
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
    hookFailures: denials(context, [
      ...hooks.map(({ key }) => key),
      ...namespaceToMake(context, begun.options.createNamespace),
    ]),
    layout: layoutOf(context.objects, { ...begun, hooks }),
    massPrune: massPrune(context, begun),
    toPredict,
    predicted: toPredict.length === 0 && hooks.length === 0,
    deleting: [],
    next: undefined,
    waiting: undefined,
    pausedUntil: undefined,
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

function operationOptions({ sync }: OperationField): SyncOptions {
  const options = readSyncOptions(sync?.syncOptions ?? []);
  const isForced = sync?.syncStrategy?.apply?.force || sync?.syncStrategy?.hook?.force;
  return isForced ? { ...options, apply: { ...options.apply, force: true } } : options;
}

/**
 * An attempt at all of the app has to make anew what every sync makes anew, though it is in sync (Force=true with
 * Replace=true); of one that is taken up again, not what its record says is done.
 */
function toMakeAgain(
  context: Context,
  begun: Pick<Operation, "partial" | "dryRun" | "options" | "field">,
  done: readonly ResourceResult[] = [],
): readonly ObjectState[] {
  if (begun.partial || begun.dryRun || begun.options.outOfSyncOnly) return context.objects;
  const isDone = ({ key }: ObjectState) =>
    done.some(
      (one) =>
        one.status === "Synced" &&
        one.kind === key.kind &&
        one.name === key.name &&
        (one.namespace ?? "") === key.namespace &&
        (one.group ?? "") === key.group,
    );
  return context.objects.map((object) =>
    object.remade && object.status === "Synced" && isSelected(begun, object) && !isDone(object)
      ? { ...object, status: "OutOfSync", again: true }
      : object,
  );
}

/** Begins the operation that was decided on. */
export function beginOperation(before: Context, at: number): Partial<Context> {
  if (before.decision.kind !== "sync") return {};
  const { request, partial } = before.decision;
  const desired = before.view.desired!;
  const { field, automated, resumed } = request;
  const options = operationOptions(field);
  const dryRun = field.sync?.dryRun ?? false;
  const done = resumed && (before.operationState?.syncResult?.resources ?? []);
  const context = { ...before, objects: toMakeAgain(before, { partial, dryRun, options, field }, done) };
  const prune = field.sync?.prune ?? false;
  const begun = {
    id: resumed?.id || `${context.view.ref.uid.slice(0, 8)}-${requestId(context)}`,
    epoch: context.epoch,
    automated,
    ...(request.requestedBy && { requestedBy: request.requestedBy }),
    partial,
    dryRun,
    prune,
    field,
    options,
    retry: retryPolicy(field.retry ?? (automated ? desired.retry : undefined), automated),
    render: context.render!,
    ...(request.source && { source: request.source }),
    startedAt: (!resumed?.waited && resumed?.startedAt) || seconds(at),
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
    objects: context.objects,
    seq: context.seq + 1,
    decision: { kind: "none" },
    request: undefined,
    syncCondition: undefined,
    heldBack: [],
    operationState: runningState(next, operation),
  };
}

/**
 * Whoever says how often to retry gets that, whatever it failed of, as in Argo CD; without being told, only what may pass by
 * itself is tried again at once.
 */
export const canRetry = (context: Context, at: number): boolean => {
  const { operation, view } = context;
  if (!operation?.outcome || operation.outcome.phase === "Succeeded" || operation.terminated) return false;
  const { outcome, automated, field, retry, retryCount } = operation;
  if (outcome.failures.some((one) => one.code === "OPERATION_SUPERSEDED")) return false;
  const isAsked = (automated ? view.desired?.retry : field.retry) !== undefined;
  if (!isAsked && !outcome.retryable) return false;
  const end = operationDeadline(context, operation) ?? Infinity;
  return (retry.limit < 0 || retryCount < retry.limit) && at + retryDelayMs(retry, retryCount) < end;
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
export function beginAttempt(compared: Context, at: number): Partial<Context> {
  const before = compared.operation!;
  const context = { ...compared, objects: toMakeAgain(compared, before) };
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
    objects: context.objects,
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
      ...(operation.requestedBy && { requestedBy: operation.requestedBy }),
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
    isSucceeded && !operation.partial && !operation.dryRun && !isSelective(operation) && !operation.source?.manifests
      ? historyWith(context, operation, at)
      : context.history;
  const supersededNow = outcome.failures.some((one) => one.code === "OPERATION_SUPERSEDED");
  const pinned =
    operation.render.sourceHash !== context.view.sourceHash || !follows(operation.render, desired?.sources ?? []);
  const ended: Context = { ...context, operation: undefined };
  const state = runningState(context, operation, outcome.message);
  const result = state.syncResult!;
  result.resources = [
    ...toldUnchanged(result.resources!, { ...operation, outcome }),
    ...leftBehind(context, operation),
  ];
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
            message: `[${outcome.failures[0]!.code}] Failed last sync attempt to ${revisionText(operation.render)}: ${outcome.message}`,
          },
    heal: healAfter(context, operation, isSucceeded, at),
    superseded: supersededNow ? context.superseded : 0,
    causes: operation.causes,
    since: operation.since,
    timings: operation.timings,
    decision: { kind: "none" },
    now: at,
  };
  const isUnwatched = operation.results.some(({ newKind }) => newKind);
  // What was applied was a revision that the app does not follow, or not all of it came about: look again.
  if (pinned || isUnwatched || (!isSucceeded && !supersededNow)) {
    // While another revision was asked for nobody may have followed the app's own: what was pushed then went unheard.
    const over = pinned ? ({ from: "fetch", freshness: "latest" } as const) : ({ from: "diff" } as const);
    Object.assign(changes, want(ended, wish("operation", at, { detail: outcome.message }, over)));
  }
  Object.assign(changes, requestAfter({ ...ended, ...changes }, at));
  return changes;
}

/** Anything but a heal begins the counting of heals anew. */
function healAfter({ heal }: Context, operation: Operation, isSucceeded: boolean, at: number): Context["heal"] {
  const attempts = operation.field.sync?.autoHealAttemptsCount;
  if (!operation.automated || attempts === undefined) return { ...heal, attempts: 0, finishedAt: at };
  return isSucceeded ? { ...heal, attempts, finishedAt: at } : heal;
}

/** An `operation` field that was written while this one ran is its turn now. */
function requestAfter(context: Context, at: number): Partial<Context> {
  const taken = takeRequest(context, at);
  if (!taken.request) return taken.operationState ? {} : taken;
  const by = taken.request.field.initiatedBy?.username || taken.request.requestedBy;
  return { ...taken, ...want(context, wish("user", at, { by, detail: "sync requested" }, { freshness: "latest" })) };
}

function historyWith(context: Context, operation: Operation, at: number): Context["history"] {
  const limit = context.view.desired?.historyLimit ?? 10;
  if (limit <= 0) return [];
  const id = Math.max(-1, ...context.history.map((entry) => entry.id ?? 0)) + 1;
  const entry = {
    id,
    ...toldRevisions(operation.render),
    ...toldSources(operation.render),
    deployStartedAt: operation.startedAt,
    deployedAt: seconds(at),
    initiatedBy: operation.field.initiatedBy ?? {},
  };
  return [...context.history, entry].slice(-limit);
}

export function arrive(context: Context, to: SyncState): Partial<Context> {
  return { reported: to, transition: context.reported === to ? undefined : { from: context.reported, to } };
}
