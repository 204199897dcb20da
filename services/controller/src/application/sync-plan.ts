// Plan of a sync (pure), made again at each step from what is known then: phases and waves in order, one of them a
// step; what is waited for between them; and what a failure leads to (contract §3).
import { failure, failureText, isRetryable, type Failure } from "@driftless/contracts/failure";
import type { Health, LiveIdentity, ObjectKey } from "@driftless/contracts/identity";
import type { SyncPhase } from "@driftless/contracts/pipeline/4-diff";
import type { PlannedHook, PlannedObject } from "@driftless/contracts/pipeline/5-sync";
import { isDegradedForGood } from "@driftless/manifests/health/health";
import { generatedName, isDeletePhase, type HookPhase } from "@driftless/manifests/hooks";
import { compareSlots, type Slot } from "@driftless/manifests/order";
import { keyText } from "@driftless/manifests/resource-key";
import type { Context, ObjectState, Operation } from "./context.ts";
import { prunable } from "./decision.ts";
import { SUPERSEDED_MESSAGE, TERMINATED_MESSAGE } from "./operation-record.ts";
import { holdsRevision, observedOf, revisionText } from "./render.ts";
import type { Closed } from "./sync-windows.ts";
import { unapprovedPrunes } from "./prune-confirmation.ts";

const ALL_RUN_MESSAGE = "successfully synced (all tasks run)";
const NO_MORE_MESSAGE = "successfully synced (no more tasks)";
const PAUSE_MESSAGE = "waiting for the pause between two waves";
const UNSUCCESSFUL_MESSAGE = "one or more synchronization tasks completed unsuccessfully";
const SYNC_FAIL_MESSAGE = "one or more SyncFail hooks failed";
const HEALTHY_STATE = "healthy state of";
const SUPERSEDED_MAX = 3;
/**
 * Right after it was made an object of many a kind is Degraded while what it needs is still coming up (argo-cd#25084): so
 * long that is waited for like Progressing. Deployments, Jobs and Pods waited by themselves before they say it.
 */
export const DEGRADED_GRACE_MS = 10_000;

export type HookState = "pending" | "running" | "succeeded" | "failed";

/** One hook in one phase of one attempt. */
export interface HookRun {
  key: ObjectKey;
  index: number;
  phase: SyncPhase;
  wave: number;
  deletePolicies: readonly string[];
  /** Stands on the object: a run that was begun is found, not made again. */
  run: string;
  state: HookState;
  message: string;
  live?: LiveIdentity;
  /** Looks in a row that did not see it: a watch may be a moment behind the apply. */
  unseen?: number;
  /** How long it may take, as it says of itself. */
  healthTimeout?: string;
  /** It took longer than it may, and is taken away. */
  overdue?: boolean;
}

export interface Outcome {
  phase: "Succeeded" | "Failed" | "Error";
  message: string;
  retryable: boolean;
  failures: readonly Failure[];
}

/** What the steps are does not change while they are gone through, though pruned objects vanish from the list. */
export interface Layout {
  multiStep: boolean;
  last: Slot;
  lastHasHooks: boolean;
  /** keyText → wave in which it is pruned. */
  pruneWaves: Readonly<Record<string, number>>;
}

export interface Blocker {
  /** `apps/Deployment/web`. */
  name: string;
  healthTimeout?: string;
  /** Its kind may be Degraded for a moment. */
  mayFlap?: boolean;
}

export type Next =
  | { kind: "apply"; slot: Slot; apply: PlannedObject[]; prunes: PlannedObject[]; hooks: HookRun[]; failing?: Outcome }
  /** `approval`: of a person, who may take days. `window`: until it opens. */
  | {
      kind: "wait";
      slot: Slot;
      message: string;
      blockers: Blocker[];
      approval?: true;
      window?: Closed;
      failing?: Outcome;
    }
  | { kind: "done"; outcome: Outcome };

type Planned = Pick<Operation, "field" | "prune" | "options" | "hooks">;

const NO_SLOT: Slot = { phase: "Sync", wave: 0 };

export const isSelective = ({ field }: Pick<Operation, "field">): boolean => (field.sync?.resources?.length ?? 0) > 0;

/** Everything, or what the operation names; the destination namespace comes along with whatever is in it. */
export function isSelected(operation: Pick<Operation, "field">, { key, unlisted }: ObjectState): boolean {
  if (!isSelective(operation) || unlisted) return true;
  return operation.field.sync!.resources!.some(
    ({ group = "", kind, name, namespace }) =>
      group === key.group && kind === key.kind && name === key.name && (!namespace || namespace === key.namespace),
  );
}

const isSyncPhase = (phase: HookPhase): phase is SyncPhase => !isDeletePhase(phase);

export const planned = ({ key, live, again }: ObjectState): PlannedObject => ({
  ...key,
  ...(live && { live }),
  ...(again && { again }),
});

/** Of a sync or of a deletion. */
export type AnyHook = Omit<HookRun, "phase"> & { phase: HookPhase };

export const plannedHook = ({ key, index, phase, run, deletePolicies }: AnyHook): PlannedHook => ({
  ...key,
  index,
  phase,
  run,
  replace: deletePolicies.includes("BeforeHookCreation"),
});

/** The runs of one attempt; hooks have no part in a selective sync, a heal, or one by `apply`. */
export function hookRuns(
  context: Context,
  operation: Pick<Operation, "id" | "retryCount" | "partial" | "field" | "render">,
): HookRun[] {
  if (operation.partial || isSelective(operation) || operation.field.sync?.syncStrategy?.apply) return [];
  return context.hooks.flatMap((hook) =>
    hook.phases.filter(isSyncPhase).map((phase): HookRun => {
      const run = `${operation.id}.${operation.retryCount}.${phase}.${hook.index}`;
      const { group, version, kind, namespace } = hook;
      const name =
        hook.generateName === undefined
          ? hook.name
          : generatedName(hook.generateName, operation.render.sources[0]!.revision, phase, run);
      return {
        key: { group, version, kind, namespace, name },
        index: hook.index,
        phase,
        wave: hook.wave,
        deletePolicies: hook.deletePolicies,
        run,
        state: "pending",
        message: "",
        ...(hook.healthTimeout !== undefined && { healthTimeout: hook.healthTimeout }),
      };
    }),
  );
}

export const pruned = (
  operation: Pick<Planned, "field" | "prune" | "options">,
  objects: readonly ObjectState[],
): ObjectState[] =>
  operation.prune
    ? objects.filter((object) => prunable(object, operation.options.consents) && isSelected(operation, object))
    : [];

export function layoutOf(objects: readonly ObjectState[], operation: Planned): Layout {
  const slots: Slot[] = objects
    .filter((object) => !object.extra && isSelected(operation, object))
    .map(({ phase = "Sync", wave = 0 }) => ({ phase, wave }));
  const hooks = operation.hooks.filter(({ phase }) => phase !== "SyncFail");
  slots.push(...hooks.map(({ phase, wave }) => ({ phase, wave })));
  const pruneWaves = mirroredWaves(pruned(operation, objects), operation.options.pruneLast, slots);
  slots.push(...Object.values(pruneWaves).map((wave) => ({ phase: "Sync" as const, wave })));
  const last = slots.toSorted(compareSlots).at(-1) ?? NO_SLOT;
  return {
    multiStep: slots.some((slot) => compareSlots(slot, last) !== 0),
    last,
    lastHasHooks: hooks.some((hook) => compareSlots(hook, last) === 0),
    pruneWaves,
  };
}

/** What came up last goes first; `PruneLast` goes after everything else of the Sync phase. */
function mirroredWaves(prunes: readonly ObjectState[], allLast: boolean, slots: readonly Slot[]) {
  const waves = [...new Set(prunes.map(({ wave = 0 }) => wave))].toSorted((a, b) => a - b);
  const mirrored = new Map(waves.map((wave, at) => [wave, waves[waves.length - 1 - at]!]));
  const inSync = slots.filter(({ phase }) => phase === "Sync").map(({ wave }) => wave);
  const afterAll = Math.max(0, ...inSync, ...waves) + 1;
  return Object.fromEntries(
    prunes.map((object) => [
      keyText(object.key),
      allLast || object.pruneLast ? afterAll : mirrored.get(object.wave ?? 0)!,
    ]),
  );
}

interface Stage {
  slot: Slot;
  objects: ObjectState[];
  prunes: ObjectState[];
  hooks: HookRun[];
}

function stagesOf(context: Context): Stage[] {
  const operation = context.operation!;
  const stages = new Map<string, Stage>();
  const at = (phase: SyncPhase, wave: number): Stage => {
    const id = `${phase} ${wave}`;
    const stage = stages.get(id) ?? { slot: { phase, wave }, objects: [], prunes: [], hooks: [] };
    stages.set(id, stage);
    return stage;
  };
  for (const object of context.objects) {
    if (!object.extra && isSelected(operation, object))
      at(object.phase ?? "Sync", object.wave ?? 0).objects.push(object);
  }
  for (const object of pruned(operation, context.objects)) {
    at("Sync", operation.layout.pruneWaves[keyText(object.key)] ?? operation.layout.last.wave).prunes.push(object);
  }
  for (const hook of operation.hooks) if (hook.phase !== "SyncFail") at(hook.phase, hook.wave).hooks.push(hook);
  return [...stages.values()].toSorted((a, b) => compareSlots(a.slot, b.slot));
}

const done = (outcome: Outcome): Next => ({ kind: "done", outcome });

export const failed = (message: string, failures: readonly Failure[], retryable: boolean): Outcome => ({
  phase: "Failed",
  message,
  retryable,
  failures,
});

export const succeeded = (message = ALL_RUN_MESSAGE): Outcome => ({
  phase: "Succeeded",
  message,
  retryable: false,
  failures: [],
});

/** What comes next of the operation that runs. */
export function advance(context: Context): Next {
  const operation = context.operation!;
  if (operation.terminated) return done(operation.timedOut ?? failed(TERMINATED_MESSAGE, [], false));
  if (operation.outcome) return done(operation.outcome);
  const next = operation.failing ? afterFailure(operation, operation.failing) : throughStages(context);
  const mayGiveUp = next.kind !== "done" && !operation.failing && !operation.hooks.some(isRunning);
  const isPatient = next.kind === "wait" && next.approval === true;
  return mayGiveUp && isSuperseded(context, isPatient) ? done(supersededBy(context)) : next;
}

const isRunning = ({ state }: HookRun): boolean => state === "running";

function throughStages(context: Context): Next {
  const operation = context.operation!;
  const { layout } = operation;
  const stages = stagesOf(context);
  for (const { slot, objects, prunes, hooks } of stages) {
    const apply = objects.filter(({ status }) => status === "OutOfSync");
    const toRun = hooks.filter(({ state }) => state === "pending");
    const unapproved = unapprovedPrunes(context, prunes);
    if (unapproved.length > 0) {
      const wait = waiting(slot, "pruning confirmation of", unapproved, "resources");
      const message = operation.massPrune ? `${wait.message}: ${operation.massPrune}` : wait.message;
      return { ...wait, message, blockers: [], approval: true };
    }
    if (apply.length > 0 || prunes.length > 0 || toRun.length > 0) {
      if (operation.pausedUntil !== undefined) return { kind: "wait", slot, message: PAUSE_MESSAGE, blockers: [] };
      return { kind: "apply", slot, apply: apply.map(planned), prunes: prunes.map(planned), hooks: toRun };
    }
    const isLast = compareSlots(slot, layout.last) >= 0;
    // Alone in one step, objects are not waited for: the sync is over once they are applied.
    const gated = layout.multiStep && (!isLast || layout.lastHasHooks) ? objects : [];
    const isPatient = !graceIsOver(operation, slot);
    const bad = [...hooks.flatMap(hookFailure), ...gated.flatMap((object) => objectFailure(object, isPatient))];
    if (bad.length > 0) {
      const reasons = bad.map(({ message }) => message).slice(0, 3);
      const outcome = failed(`${UNSUCCESSFUL_MESSAGE}, reason: ${reasons.join(",")}`, bad, bad.some(isRetryable));
      return afterFailure(operation, outcome);
    }
    const running = hooks.filter(isRunning);
    if (running.length > 0) return waiting(slot, "completion of hook", running, "hooks");
    const unhealthy = gated.filter(
      ({ health }) => health !== undefined && (health.status !== "Healthy" || health.stale === true),
    );
    if (unhealthy.length > 0) return waiting(slot, HEALTHY_STATE, unhealthy, "resources");
    if (!isLast && operation.deleting.length > 0) return waiting(slot, "deletion of", operation.deleting, "resources");
  }
  return done(succeeded(layout.lastHasHooks || stages.length === 0 ? NO_MORE_MESSAGE : ALL_RUN_MESSAGE));
}

/** As Argo CD says it: `waiting for completion of hook batch/Job/migrate and 2 more hooks`. */
function waiting(
  slot: Slot,
  what: string,
  awaited: readonly { key: ObjectKey; healthTimeout?: string }[],
  many: string,
): Next & { kind: "wait" } {
  const blockers = awaited.map((one) => ({
    name: nameOf(one),
    healthTimeout: one.healthTimeout,
    ...(what === HEALTHY_STATE && !isDegradedForGood(one.key) && { mayFlap: true }),
  }));
  const more = blockers.length > 1 ? ` and ${blockers.length - 1} more ${many}` : "";
  return { kind: "wait", slot, message: `waiting for ${what} ${blockers[0]!.name}${more}`, blockers };
}

const nameOf = ({ key: { group, kind, name } }: { key: ObjectKey }): string => `${group}/${kind}/${name}`;

const hookFailure = (hook: HookRun): Failure[] =>
  hook.state === "failed"
    ? [failure("HOOK_FAILED", `${nameOf(hook)}: ${hook.message || "failed"}`, { path: nameOf(hook) })]
    : [];

export const slotText = ({ phase, wave }: Slot): string => `${phase} ${wave}`;

const graceIsOver = ({ waiting: wait }: Operation, slot: Slot): boolean =>
  wait?.step === slotText(slot) && wait.graceOver === true;

function objectFailure(object: ObjectState, isPatient: boolean): Failure[] {
  const why = (text: string) => [failure("NOT_HEALTHY", text, { path: nameOf(object) })];
  if (!object.live) return why(`${nameOf(object)} is missing, it might have been deleted`);
  if (object.health?.status !== "Degraded" || object.health.stale) return [];
  if (isPatient && !isDegradedForGood(object.key)) return [];
  return why(`${nameOf(object)}: ${object.health.message ?? "Degraded"}`);
}

/** SyncFail hooks run, wave by wave, and what failed before stays the outcome whatever becomes of them. */
function afterFailure(operation: Operation, outcome: Outcome): Next {
  const hooks = operation.hooks.filter(({ phase }) => phase === "SyncFail");
  for (const wave of [...new Set(hooks.map((hook) => hook.wave))].toSorted((a, b) => a - b)) {
    const slot: Slot = { phase: "SyncFail", wave };
    const ofWave = hooks.filter((hook) => hook.wave === wave);
    const toRun = ofWave.filter(({ state }) => state === "pending");
    if (toRun.length > 0) return { kind: "apply", slot, apply: [], prunes: [], hooks: toRun, failing: outcome };
    const running = ofWave.filter(isRunning);
    if (running.length > 0)
      return { ...waiting(slot, "completion of hook", running, "hooks"), failing: outcome } as Next;
  }
  const bad = hooks.flatMap(hookFailure);
  if (bad.length === 0) return done(outcome);
  const reasons = bad.map(({ message }) => message).join(",");
  return done({ ...outcome, message: `${outcome.message}\n${SYNC_FAIL_MESSAGE}, reason: ${reasons}` });
}

/** Objects that could not be applied. */
export function applyFailed(failures: readonly Failure[]): Outcome {
  const reasons = failures.map(failureText).slice(0, 3).join(",");
  return failed(`one or more objects failed to apply, reason: ${reasons}`, failures, failures.some(isRetryable));
}

/**
 * Something newer is known, and the operation may be given up between its steps. A manual one never is; and of those that
 * get somewhere not one after the other, lest a busy branch is never synced.
 */
export function isSuperseded(context: Context, isPatient = false): boolean {
  const { operation, wish: wished } = context;
  return (
    operation !== undefined &&
    operation.automated &&
    (isPatient || context.superseded < SUPERSEDED_MAX) &&
    wished?.observation !== undefined &&
    wished.revision !== undefined &&
    wished.observation > observedOf(operation.render, wished.repository ?? "") &&
    !holdsRevision(operation.render, wished.revision)
  );
}

export function supersededBy(context: Context): Outcome {
  const newer = context.wish?.revision ?? (context.render ? revisionText(context.render) : "a newer revision");
  const why = failure("OPERATION_SUPERSEDED", `${SUPERSEDED_MESSAGE} ${newer}`);
  return failed(why.message, [why], false);
}

/** What its health says of a hook; a kind without health is done once it is there. */
export function hookProgress<Hook extends AnyHook>(
  hook: Hook,
  now: { health?: Health; deleting?: boolean; live?: LiveIdentity },
): Hook {
  const next = { ...hook, live: now.live ?? hook.live, unseen: 0 };
  const message = now.health?.message ?? hook.message;
  switch (now.health?.status) {
    case undefined:
    case "Healthy":
      return { ...next, state: "succeeded", message };
    case "Degraded":
    case "Unknown":
      return { ...next, state: "failed", message };
    case "Progressing":
    case "Suspended":
    case "Missing":
      return now.deleting ? lost(next) : { ...next, state: "running", message };
  }
}

export const lost = <Hook extends AnyHook>(hook: Hook): Hook => ({
  ...hook,
  state: "failed",
  message: `${nameOf(hook)} is missing, it might have been deleted`,
});

/** Hooks that were begun and are held by a finalizer of ours; which of them go, their policies and the outcome say. */
export function releases(operation: Operation) {
  const { outcome, terminated } = operation;
  const policy = outcome?.phase === "Succeeded" ? "HookSucceeded" : "HookFailed";
  // A hook of several phases is one object: the last of its runs is the one that is there.
  return operation.hooks
    .filter(({ state }) => state !== "pending")
    .map((hook) => ({
      ...hook.key,
      run: hook.run,
      remove: isRunning(hook) ? terminated : hook.overdue === true || hook.deletePolicies.includes(policy),
    }));
}
