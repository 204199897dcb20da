// Steps of a deletion (pure): what each answer makes of what is known of it.
import { failure, type Failure } from "@driftless/contracts/failure";
import type { ResourceResult } from "@driftless/contracts/application";
import type { MessageOf } from "@driftless/contracts/message";
import type { DiffComputed } from "@driftless/contracts/pipeline/4-diff";
import { consentTo } from "@driftless/manifests/consent";
import { keyText } from "@driftless/manifests/resource-key";
import { keyOf, sameKey, type Context, type Deletion, type ObjectState } from "./context.ts";
import { deletionHooks, hookFailure, needsHooks, nextOfDeletion, type DeletionHook } from "./deletion-plan.ts";
import type { EventOf } from "./events.ts";
import { parseBackoffDuration } from "./go-duration.ts";
import { followsGit, requestId, spreadOf, want, wish } from "./look.ts";
import { deleteResult, hookResult } from "./operation-state.ts";
import { lookAgainDelayMs } from "./retry-delay.ts";
import { hookProgress, lost } from "./sync-plan.ts";
import { isAllowed } from "./gate.ts";

/** Waits after each survey that found the same: a second, then ever longer. */
const AWAIT_MS = 1_000;
const AWAIT_MAX_MS = 30_000;
/** So many surveys in a row that found nothing to do are told: what holds the objects is somebody's to see. */
const AWAITS_SILENT = 4;

export function beginDeletion(context: Context, at: number): Partial<Context> {
  const deletion: Deletion = {
    requestId: "",
    done: [],
    abandoned: false,
    looked: false,
    surveyed: false,
    remaining: [],
    unreadable: [],
    kept: [],
    hooks: [],
    attempts: 0,
    results: [],
    awaits: 0,
  };
  const began = { wish: undefined, operation: undefined, request: undefined, deletion };
  if (!needsHooks({ ...context, ...began })) return { ...began, pass: undefined };
  const asked = wish("spec", at, { detail: "deletion requested" }, { freshness: "latest" });
  return { ...began, ...want({ ...context, ...began }, asked) };
}

const change = (context: Context, changes: Partial<Deletion>): Partial<Context> => ({
  deletion: { ...context.deletion!, ...changes },
});

export const sendDeletion = (context: Context): Partial<Context> => ({
  seq: context.seq + 1,
  ...change(context, { requestId: requestId(context) }),
});

/** What comes next is settled, and what it waits for named. */
export function planDeletion(context: Context, at: number): Partial<Context> {
  const before = context.deletion!;
  const deletion = { ...before, hooks: before.hooks.map((hook) => overdue(hook, at)) };
  const next = nextOfDeletion({ ...context, deletion }, at);
  const changes: Partial<Deletion> = { hooks: deletion.hooks, next };
  if (before.next?.kind === "hold") changes.failure = undefined;
  switch (next.kind) {
    case "hold":
      changes.failure = next.failure;
      break;
    case "record":
      Object.assign(changes, { done: [...before.done, next.stage], failure: undefined, attempts: 0 });
      break;
    case "release":
      changes.results = withResults(before, next.hooks.map(hookResult));
      if (next.failed) changes.failure = hookFailure(next.hooks[0]!);
      break;
    case "await":
      if (!before.failure && before.awaits >= AWAITS_SILENT) changes.failure = failure("DELETION_WAITS", next.message);
      break;
    case "finish":
    case "look":
    case "pause":
    case "survey":
    case "remove":
    case "run":
    case "watch":
  }
  return change(context, changes);
}

function overdue(hook: DeletionHook, at: number): DeletionHook {
  const ms = parseBackoffDuration(hook.healthTimeout ?? "");
  if (hook.state !== "running" || hook.since === undefined || ms === undefined || at < hook.since + ms) return hook;
  return { ...hook, state: "failed", message: `it took longer than ${hook.healthTimeout}` };
}

/** When the first of those that are watched has taken too long; at most `usualMs` from now. */
export function untilHookIsOverdue({ deletion }: Context, at: number, usualMs: number): number {
  const running = (deletion?.hooks ?? []).filter(({ state }) => state === "running");
  const ends = running.flatMap(({ since, healthTimeout = "" }) => {
    const ms = parseBackoffDuration(healthTimeout);
    return ms === undefined || since === undefined ? [] : [since + ms - at];
  });
  return Math.max(0, Math.min(usualMs, ...ends));
}

/** How long nothing is done, unless something is heard. */
export function deletionPauseMs({ deletion }: Context, at: number): number {
  const { next, pausedUntil = at, awaits } = deletion!;
  if (next?.kind === "pause") return Math.max(0, pausedUntil - at);
  return Math.min(AWAIT_MAX_MS, AWAIT_MS * 2 ** Math.max(0, awaits - 2));
}

/** The pause is over, or something was heard: look at what is left anew. */
export const wakeDeletion = (context: Context): Partial<Context> =>
  change(context, { pausedUntil: undefined, surveyed: false });

/** The stages that are over are told in Kubernetes. */
export const stageRecorded = (context: Context): Partial<Context> => change(context, { surveyed: false });

// ── objects ───────────────────────────────────────────────────────────────────────────────────────────────────────

const isCrd = (object: ObjectState): boolean =>
  object.key.kind === "CustomResourceDefinition" && object.key.group === "apiextensions.k8s.io";

/**
 * What a deletion takes along: everything live and ours but CRDs, the Application itself, what asks to stay, and what the
 * project does not allow.
 */
export function acceptRemaining(context: Context, event: EventOf<"DiffComputed">): Partial<Context> {
  const { message } = event;
  const deletion = context.deletion!;
  const remaining = message.objects
    .filter((object) => object.verdict === "Extra" && object.live !== undefined)
    .filter((object) => !/resource-policy|owned by/.test(object.keep ?? ""))
    .map((object): ObjectState => ({
      key: keyOf(object),
      status: "OutOfSync",
      live: object.live,
      health: object.health,
      extra: true,
      predicted: true,
      fields: [],
      managers: [],
      ...(object.wave && { wave: object.wave }),
      ...(object.consents && { consents: object.consents }),
      ...(object.deleting && { deleting: object.deleting }),
    }))
    .filter((object) => goesAlong(context, object, message) && !deletion.kept.includes(keyText(object.key)));
  const unread = message.objects.filter((object) => object.verdict === "Unknown" && object.failure);
  const isSame = textOf(remaining) === textOf(deletion.remaining);
  return change(context, {
    surveyed: true,
    remaining,
    unreadable: unread.map((object) => ({ key: keyOf(object), wave: lastWave(context, object) })),
    attempts: 0,
    awaits: isSame ? deletion.awaits + 1 : 0,
    failure: unread[0]?.failure,
  });
}

const textOf = (objects: readonly ObjectState[]): string =>
  objects.map(({ key, deleting }) => `${keyText(key)} ${deleting !== undefined}`).join();

function goesAlong(context: Context, object: ObjectState, comparison: MessageOf<typeof DiffComputed>): boolean {
  const { desired, ref } = context.view;
  if (isCrd(object) || object.live!.uid === ref.uid) return false;
  if (!desired) return false;
  const consent = consentTo("delete", object.consents, desired.options.consents);
  return consent !== "no" && isAllowed({ ...context, comparison }, object.key);
}

/** As the Application last said. */
function lastWave({ view }: Context, { group, kind, namespace, name }: ObjectState["key"]): number {
  const known = view.status.resources?.find(
    (one) =>
      one.kind === kind && one.name === name && (one.namespace ?? "") === namespace && (one.group ?? "") === group,
  );
  return known?.syncWave ?? 0;
}

/** Of an object only the last word. */
function withResults({ results }: Deletion, news: readonly ResourceResult[]): readonly ResourceResult[] {
  const text = ({ group, kind, namespace, name, hookType }: ResourceResult) =>
    [group, kind, namespace, name, hookType].join("/");
  return [...new Map([...results, ...news].map((one) => [text(one), one])).values()];
}

/** What the syncer, which reads the objects themselves, left alone: kept for good, unless that may change. */
export function noteRemoved(context: Context, event: EventOf<"StepApplied">): Partial<Context> {
  const { objects } = event.message;
  const kept = objects
    .filter((object) => object.outcome === "pruneSkipped" && !/being deleted|approval/.test(object.message))
    .map((object) => keyText(object));
  const results = withResults(context.deletion!, objects.map(deleteResult));
  const refused = objects.find((object) => object.outcome === "failed");
  if (refused) {
    const why = refused.failure ?? failure("APPLY_FAILED", refused.message);
    return failDeletion({ ...context, ...change(context, { results }) }, [why], event.at);
  }
  return change(context, {
    results,
    kept: [...new Set([...context.deletion!.kept, ...kept])],
    surveyed: false,
    attempts: 0,
    awaits: 0,
    pausedUntil: event.at + AWAIT_MS,
  });
}

/** A cluster that nobody knows any more cannot be cleaned: the Application may go (as Argo CD does). */
export function failDeletion(context: Context, failures: readonly Failure[], at: number): Partial<Context> {
  const attempts = context.deletion!.attempts + 1;
  return change(context, {
    attempts,
    surveyed: false,
    failure: failures[0],
    pausedUntil: at + lookAgainDelayMs(attempts, spreadOf(context)),
    abandoned: isOfNoCluster(failures),
  });
}

const isOfNoCluster = (failures: readonly Failure[]): boolean =>
  failures.some((one) => one.code === "DESTINATION_UNKNOWN");

// ── hooks ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What Git has now is known. A hook that was repaired there does not wait for its next attempt. */
export function hooksLooked(context: Context): Partial<Context> {
  const settled = { verdictPending: false, pass: undefined };
  // It was a look of an operation, at another revision.
  if (!followsGit(context)) return settled;
  return {
    ...settled,
    ...change(context, {
      looked: true,
      hooks: deletionHooks(context),
      pausedUntil: undefined,
      failure: undefined,
      attempts: 0,
    }),
  };
}

export function noteUnrendered(context: Context): Partial<Context> {
  const failures = context.failed?.failures ?? [];
  if (context.deletion!.looked) return {};
  return change(context, { failure: failures[0], abandoned: isOfNoCluster(failures) });
}

const withHooks = (context: Context, each: (hook: DeletionHook) => DeletionHook): Partial<Context> =>
  change(context, { hooks: context.deletion!.hooks.map(each) });

export function acceptHookRuns(context: Context, event: EventOf<"StepApplied">): Partial<Context> {
  const ran = new Map((event.message.hooks ?? []).map((one) => [one.run, one]));
  const { failure: before } = context.deletion!;
  const answered = change(context, { failure: before?.code === "HOOK_FAILED" ? before : undefined });
  return withHooks({ ...context, ...answered }, (hook) => {
    const result = ran.get(hook.run);
    if (!result) return hook;
    const told = { ...hook, message: result.message };
    if (result.outcome === "failed") return { ...told, state: "failed", failure: result.failure };
    return { ...hookProgress(told, result), since: hook.since ?? event.at };
  });
}

/** What is waited for, as it is now: looked at once after each run, for what came about before it was watched. */
export function acceptWatched(context: Context, event: EventOf<"DiffComputed">): Partial<Context> {
  const seen = new Map((event.message.awaited ?? []).map((object) => [keyText(object), object]));
  return withHooks(context, (hook) => {
    const now = seen.get(keyText(hook.key));
    if (hook.state !== "running" || !now) return hook;
    if (now.live && now.live.uid === hook.live?.uid) return hookProgress(hook, now);
    const unseen = (hook.unseen ?? 0) + 1;
    return unseen > 1 ? lost(hook) : { ...hook, unseen };
  });
}

export function noteHook(context: Context, event: EventOf<"LiveChanged">): Partial<Context> {
  const { object, live, change: kind, health, deleting } = event.message;
  return withHooks(context, (hook) => {
    if (hook.state !== "running" || !sameKey(hook.key, object) || hook.live?.uid !== live?.uid) return hook;
    return kind === "deleted" ? lost(hook) : hookProgress(hook, { health, deleting, live });
  });
}

/** What failed is gone, and is run again after a pause; the rest of them is over. */
export function hooksLetGo(context: Context, at: number): Partial<Context> {
  const { next, attempts } = context.deletion!;
  if (next?.kind !== "release") return {};
  const runs = new Set(next.hooks.map(({ run }) => run));
  const after = withHooks(context, (hook) => {
    if (!runs.has(hook.run)) return hook;
    return next.failed
      ? { ...hook, state: "pending", message: "", failure: undefined, live: undefined, since: undefined }
      : { ...hook, released: true };
  });
  if (!next.failed) return after;
  return {
    deletion: {
      ...after.deletion!,
      attempts: attempts + 1,
      pausedUntil: at + lookAgainDelayMs(attempts + 1, spreadOf(context)),
    },
  };
}

/** A body is gone: everything is rendered anew. */
export const hooksGone = (context: Context, at: number): Partial<Context> => ({
  ...change(context, { looked: false }),
  ...want(context, wish("retry", at, { detail: "a cached body was gone" }, { hard: true })),
});
