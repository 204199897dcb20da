// Steps of the sync region (pure): operations, heals and deletions.
import { failure, failureText, isRetryable, type Failure } from "@driftless/contracts/failure";
import type { LiveIdentity } from "@driftless/contracts/identity";
import type { AppliedObject, PlannedObject } from "@driftless/contracts/pipeline/5-sync";
import type { SyncState } from "@driftless/contracts/pipeline/6-application";
import { keyText } from "@driftless/manifests/resource-key";
import { keyOf, mergeWishes, sameKey, type Context, type ObjectState, type Operation } from "./context.ts";
import { automatedOperation, decide, prunable, verdictOf } from "./decision.ts";
import type { EventOf } from "./events.ts";
import { HOPS_BACK_MAX, applyPredictions, requestId, seconds, takeRequest, want, wish } from "./look.ts";
import { withInfo } from "./operation-record.ts";
import { healAttempts, retryDelayMs } from "./retry-delay.ts";
import { readSyncOptions } from "./sync-options.ts";
import { isNewer } from "@driftless/kube/resource-version";
import { retryPolicy } from "./view.ts";

export const SYNCED_MESSAGE = "successfully synced (all tasks run)";
const DRY_RUN_MESSAGE = "one or more objects failed to apply (dry run)";
const SUPERSEDED_MAX = 3;

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

const planned = (object: ObjectState): PlannedObject =>
  object.live ? { ...object.key, live: object.live } : { ...object.key };

interface Plan {
  apply: PlannedObject[];
  prunes: PlannedObject[];
  toPredict: PlannedObject[];
}

function plan(objects: readonly ObjectState[], prune: boolean): Plan {
  const apply = objects.filter((object) => !object.extra && object.status === "OutOfSync");
  return {
    apply: apply.map(planned),
    prunes: prune ? objects.filter(prunable).map(planned) : [],
    toPredict: apply.filter((object) => !object.predicted).map(planned),
  };
}

/** Begins the operation that was decided on. */
export function beginOperation(context: Context, at: number): Partial<Context> {
  if (context.decision.kind !== "sync") return {};
  const { request, partial } = context.decision;
  const desired = context.view.desired!;
  const { field, automated, resumed } = request;
  const options = readSyncOptions(field.sync?.syncOptions ?? []);
  const prune = (field.sync?.prune ?? false) && !options.pruneNever;
  const work = plan(context.objects, prune);
  const operation: Operation = {
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
    startedAt: resumed?.startedAt || seconds(at),
    retryCount: resumed?.retryCount ?? 0,
    retryDue: false,
    causes: context.causes,
    since: context.since,
    lane: context.causes.some((one) => one.kind !== "start" && one.kind !== "poll") ? "now" : "bulk",
    ...work,
    predicted: work.toPredict.length === 0,
    recorded: false,
    requestId: "",
    sentAt: at,
    hopsBack: 0,
    results: [],
    timings: context.timings,
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
  const resources = context.objects
    .filter((object) => !object.extra || operation.prunes.some((prune) => sameKey(prune, object.key)))
    .map((object) => resourceResult(object, results.get(keyText(object.key))));
  return {
    operation: withInfo(operation),
    phase: "Running",
    ...(message ? { message } : {}),
    startedAt: operation.startedAt,
    ...(operation.retryCount > 0 ? { retryCount: operation.retryCount } : {}),
    syncResult: { revision: operation.render.revision, source: operation.render.sourceField, resources },
  };
}

function resourceResult(object: ObjectState, result: AppliedObject | undefined) {
  const { group, version, kind, namespace, name } = object.key;
  const base = { group, version, kind, namespace, name, syncPhase: "Sync" };
  if (!result && object.failure) return { ...base, status: "SyncFailed", message: failureText(object.failure) };
  if (!result) return base;
  const status = {
    created: "Synced",
    configured: "Synced",
    unchanged: "Synced",
    pruned: "Pruned",
    pruneSkipped: "PruneSkipped",
    failed: "SyncFailed",
  }[result.outcome];
  return {
    ...base,
    status,
    message: result.failure ? failureText(result.failure) : result.message,
    ...(result.images.length > 0 ? { images: result.images } : {}),
  };
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
  const work = plan(objects, operation.prune);
  return {
    objects,
    verdict: verdictOf(objects),
    operation: {
      ...operation,
      ...work,
      toPredict: [],
      predicted: true,
      timings: operationTimed(operation, "predictMs", event.at),
    },
  };
}

export const recorded = (context: Context): Partial<Context> => ({
  operation: context.operation && { ...context.operation, recorded: true },
});

export const predictionFailures = (context: Context): readonly Failure[] =>
  context.objects.flatMap((object) =>
    !object.extra && object.status !== "Synced" && object.failure ? [object.failure] : [],
  );

const fail = (
  context: Context,
  message: string,
  failures: readonly Failure[],
  retryable = failures.some(isRetryable),
): Partial<Context> => ({
  operation: { ...context.operation!, outcome: { phase: "Failed", message, retryable, failures } },
});

export const failDryRun = (context: Context): Partial<Context> => {
  const failures = predictionFailures(context);
  return fail(context, `${DRY_RUN_MESSAGE}: ${failures.map(failureText).slice(0, 3).join("; ")}`, failures);
};

export const failStep = (context: Context, failures: readonly Failure[]): Partial<Context> =>
  fail(context, failures.map(failureText).join("; "), failures);

export const terminate = (context: Context): Partial<Context> => fail(context, "Operation terminated", [], false);

export function supersede(context: Context): Partial<Context> {
  const newer = context.wish?.revision ?? context.render?.revision ?? "a newer revision";
  const why = failure("OPERATION_SUPERSEDED", `superseded by ${newer}`);
  return { ...fail(context, why.message, [why], false), superseded: context.superseded + 1 };
}

/** Something newer is known, and the operation may be given up between its steps. A manual one never is. */
export function isSuperseded(context: Context): boolean {
  const { operation, wish: wished } = context;
  return (
    operation !== undefined &&
    operation.automated &&
    context.superseded < SUPERSEDED_MAX &&
    wished?.observation !== undefined &&
    wished.revision !== undefined &&
    wished.observation > operation.render.observation &&
    wished.revision !== operation.render.revision
  );
}

export function acceptStep(context: Context, event: EventOf<"StepApplied">): Partial<Context> {
  const operation = context.operation!;
  const { results } = { results: event.message.objects };
  const failures = results.flatMap((result) =>
    result.outcome === "failed" ? [result.failure ?? failure("APPLY_FAILED", result.message)] : [],
  );
  const objects = applied(context.objects, results);
  const outcome: Operation["outcome"] =
    failures.length > 0
      ? {
          phase: "Failed",
          message: `one or more objects failed to apply: ${failures.map(failureText).slice(0, 3).join("; ")}`,
          retryable: failures.some(isRetryable),
          failures,
        }
      : { phase: "Succeeded", message: SYNCED_MESSAGE, retryable: false, failures: [] };
  return {
    objects,
    verdict: verdictOf(objects),
    operation: { ...operation, results, outcome, timings: operationTimed(operation, "applyMs", event.at) },
    ...judgeHeldBack(context, results, event.at),
  };
}

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
      { from: "diff", lane: context.operation!.lane },
    ),
  ),
});

/** The next attempt: planned anew, since the cluster has gone on. */
export function beginAttempt(context: Context, at: number): Partial<Context> {
  const before = context.operation!;
  const work = plan(context.objects, before.prune);
  const operation: Operation = {
    ...before,
    ...work,
    predicted: work.toPredict.length === 0,
    recorded: false,
    retryDue: false,
    retryAt: undefined,
    outcome: undefined,
    results: [],
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
      resumed: { id: operation.id, startedAt: operation.startedAt, retryCount: operation.retryCount },
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
  const outcome = operation.outcome ?? {
    phase: "Succeeded" as const,
    message: SYNCED_MESSAGE,
    failures: [],
    retryable: false,
  };
  const succeeded = outcome.phase === "Succeeded";
  const desired = context.view.desired;
  const history =
    succeeded && !operation.partial && !operation.dryRun ? historyWith(context, operation, at) : context.history;
  const supersededNow = outcome.failures.some((one) => one.code === "OPERATION_SUPERSEDED");
  const pinned = operation.render.targetRevision !== desired?.source.targetRevision;
  const ended: Context = { ...context, operation: undefined };
  const changes: Partial<Context> = {
    operation: undefined,
    operationState: {
      ...runningState(context, operation, outcome.message),
      phase: outcome.phase,
      finishedAt: seconds(at),
    },
    history,
    lastOperationId: operation.id,
    syncCondition:
      succeeded || supersededNow || outcome.failures.length === 0
        ? undefined
        : {
            type: "SyncError",
            message: `[${outcome.failures[0]!.code}] Failed last sync attempt to ${operation.render.revision}: ${outcome.message}`,
          },
    heal:
      operation.partial && succeeded
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
  if (pinned || (!succeeded && !supersededNow)) {
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
  if (!known) return {};
  const objects = message.health
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
    apply: heal.objects,
    prunes: [],
    toPredict: [],
    predicted: true,
    recorded: true,
    requestId: "",
    sentAt: at,
    hopsBack: 0,
    results: message.objects,
    timings: { applyMs: message.tookMs },
    outcome: { phase: "Succeeded", message: SYNCED_MESSAGE, retryable: false, failures: [] },
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
