// Status (pure): from the context to what the Application should say, in Argo CD's shape, and the merge patch that
// brings it there. Comparing with what is there already means that a look which finds nothing new writes nothing.
import type { Application, ApplicationStatus, ConditionField, ResourceStatus } from "@driftless/contracts/application";
import { FAILURE_CODES, failureText, type Failure } from "@driftless/contracts/failure";
import { needsApproval, type Consents } from "@driftless/manifests/consent";
import { isDeletePhase } from "@driftless/manifests/hooks";
import type { Context, ObjectState } from "./context.ts";
import { NONDETERMINISTIC, nondeterministic } from "./decision.ts";
import { cycleFailure } from "./depends-on.ts";
import { appHealth } from "./health.ts";
import { stageOf, withHookFinalizers, type Stage } from "./finalizers.ts";
import { followsGit, seconds } from "./look.ts";
import { isFieldOfRunning } from "./operation-record.ts";
import { predictionFailures } from "./operation-steps.ts";
import { toldRevisions, toldSources } from "./render.ts";
import { REFRESH_ANNOTATION, refreshAsked } from "./view.ts";

export type Json = Record<string, unknown>;

const WARNING_CONDITIONS: Partial<Record<Failure["code"], string>> = {
  DUPLICATE_RESOURCE: "RepeatedResourceWarning",
  RESOURCE_OWNED_BY_OTHER: "SharedResourceWarning",
  EXCLUDED_RESOURCE: FAILURE_CODES.EXCLUDED_RESOURCE.condition,
  ORPHANED_RESOURCES: FAILURE_CODES.ORPHANED_RESOURCES.condition,
  NONDETERMINISTIC_RENDER: FAILURE_CODES.NONDETERMINISTIC_RENDER.condition,
};

/** Of one sort: a status stays readable, and small. */
const CONDITIONS_MAX = 5;

const isNotShared = (one: Failure): boolean => one.code !== "RESOURCE_OWNED_BY_OTHER";

const condition = (one: Failure): ConditionField => ({
  type: FAILURE_CODES[one.code].condition,
  message: failureText(one),
});

export function conditionsOf(context: Context): ConditionField[] {
  const { view, failed, render, deletion } = context;
  const conditions: ConditionField[] = view.blocked.map(condition);
  if (view.desired) conditions.push(...(failed?.failures ?? []).map(condition));
  if (view.desired && render && nondeterministic(context.operationState, render)) {
    conditions.push(condition(NONDETERMINISTIC));
  }
  const cycle = cycleFailure(view.awaited);
  if (cycle) conditions.push(condition(cycle));
  if (context.syncCondition) conditions.push(context.syncCondition);
  else if (!context.operation)
    conditions.push(...predictionFailures(context).filter(isNotShared).slice(0, CONDITIONS_MAX).map(condition));
  if (deletion?.failure) conditions.push({ type: "DeletionError", message: failureText(deletion.failure) });
  const shared = context.objects.flatMap(({ failure }) => (failure && !isNotShared(failure) ? [failure] : []));
  const warnings = [...context.warnings, ...context.diffWarnings, ...shared.slice(0, CONDITIONS_MAX)];
  for (const warning of warnings) {
    const type = WARNING_CONDITIONS[warning.code];
    if (type) conditions.push({ type, message: failureText(warning) });
  }
  const seen = new Set<string>();
  return conditions.filter(({ type, message }) => {
    const text = `${type} ${message}`;
    return !seen.has(text) && Boolean(seen.add(text));
  });
}

function withTimes(conditions: ConditionField[], live: readonly ConditionField[], now: number): ConditionField[] {
  return conditions.map((one) => {
    const before = live.find((other) => other.type === one.type && other.message === one.message);
    return { ...one, lastTransitionTime: before?.lastTransitionTime ?? seconds(now) };
  });
}

function resourceStatus(object: ObjectState, usual: Consents, withHealth: boolean): ResourceStatus {
  const { group, version, kind, namespace, name } = object.key;
  return {
    ...(group ? { group } : {}),
    version,
    kind,
    ...(namespace ? { namespace } : {}),
    name,
    ...(object.extraneous ? {} : { status: object.status }),
    ...(object.health && object.live && withHealth
      ? {
          health: {
            status: object.health.status,
            ...(object.health.message ? { message: object.health.message } : {}),
          },
        }
      : object.live === undefined && !object.extra && withHealth
        ? { health: { status: "Missing" } }
        : {}),
    ...(object.extra ? { requiresPruning: true } : {}),
    ...(needsApproval(object.consents, usual) ? { requiresDeletionConfirmation: true } : {}),
    ...(object.wave ? { syncWave: object.wave } : {}),
  };
}

const inOrder = (a: ResourceStatus, b: ResourceStatus): number =>
  compare(a.group ?? "", b.group ?? "") ||
  compare(a.kind ?? "", b.kind ?? "") ||
  compare(a.namespace ?? "", b.namespace ?? "") ||
  compare(a.name ?? "", b.name ?? "");

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** The status that the Application should have; members that are not ours stay out of it and as they are. */
export function statusOf(context: Context, live: ApplicationStatus, now: number): Json {
  const { view, comparison, render } = context;
  const looked =
    comparison !== undefined || context.failed !== undefined || !view.desired || context.deletion !== undefined;
  const desired: Json = {};
  if (context.operationState !== undefined) desired["operationState"] = context.operationState;
  if (!looked) return desired;
  desired["conditions"] = withTimes(conditionsOf(context), live.conditions ?? [], now);
  // Refused by name: nothing is written for it but the condition.
  if (!view.desired) return desired;
  const failedVisibly = context.failed?.shown === true && context.verdict === "Unknown";
  if (!comparison || !render) {
    // Where nothing was known before there is nothing to keep either.
    if (failedVisibly || (context.failed && live.sync?.status === undefined))
      desired["sync"] = { ...live.sync, status: "Unknown" };
    return desired;
  }
  const { destination, ignoreDifferences, options } = view.desired;
  desired["sync"] = {
    status: context.verdict,
    ...toldRevisions(render),
    comparedTo: {
      ...toldSources(render),
      destination,
      ...(ignoreDifferences.length > 0 && { ignoreDifferences }),
    },
  };
  const health = appHealth(context);
  desired["health"] = {
    status: health.status,
    ...(health.message ? { message: health.message } : {}),
    lastTransitionTime:
      live.health?.status === health.status ? (live.health.lastTransitionTime ?? seconds(now)) : seconds(now),
  };
  desired["resources"] = context.objects
    .filter((object) => !object.unlisted)
    .map((object) => resourceStatus(object, options.consents, view.policy.persistHealth))
    .toSorted(inOrder);
  desired["history"] = context.history;
  const types = render.sources.map(({ sourceType }) => sourceType);
  desired["sourceType"] = render.isMultiSource ? null : types[0];
  desired["sourceTypes"] = render.isMultiSource ? types : null;
  desired["summary"] = { ...live.summary, images: [...comparison.images].toSorted() };
  desired["controllerNamespace"] = view.controlPlaneNamespace;
  return desired;
}

/** A JSON merge patch from `live` to `desired`, members that `desired` lacks set to null; undefined when equal. */
export function mergeDiff(live: unknown, desired: unknown): unknown {
  if (live === desired) return undefined;
  if (!isObject(live) || !isObject(desired)) return equal(live, desired) ? undefined : desired;
  const patch: Json = {};
  for (const [name, value] of Object.entries(desired)) {
    if (value === undefined) continue;
    const change = mergeDiff(live[name], value);
    if (change !== undefined) patch[name] = change;
  }
  for (const name of Object.keys(live)) {
    if (desired[name] === undefined && live[name] !== undefined) patch[name] = null;
  }
  return Object.keys(patch).length > 0 ? patch : undefined;
}

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const names = Object.keys(a).filter((name) => (a as Json)[name] !== undefined);
  const others = Object.keys(b).filter((name) => (b as Json)[name] !== undefined);
  return names.length === others.length && names.every((name) => equal((a as Json)[name], (b as Json)[name]));
}

export interface ApplicationPatch {
  patch: Json;
  /** Value of the refresh annotation that the patch takes away. */
  refresh?: string;
}

/** The patch of the whole Application, or undefined when it says everything already. */
export function applicationPatch(context: Context, live: Application, now: number): ApplicationPatch | undefined {
  const liveStatus = live.status ?? {};
  const status: Json = {};
  for (const [name, value] of Object.entries(statusOf(context, liveStatus, now))) {
    const change = mergeDiff((liveStatus as Json)[name] ?? emptyOf(value), value);
    if (change !== undefined) status[name] = change;
  }
  const patch: Json = {};
  const annotations = live.metadata.annotations ?? {};
  const refresh = context.answeredRefresh;
  // Asked for once more since, it stays until that look is over too.
  const answered = refresh !== undefined && refreshAsked(annotations) === refresh;
  if (answered) patch["metadata"] = { annotations: { [REFRESH_ANNOTATION]: null } };
  const finalizers = finalizersOf(context, live.metadata.finalizers ?? []);
  if (finalizers) patch["metadata"] = { ...(patch["metadata"] as Json | undefined), finalizers };
  if (context.operation && !live.operation) patch["operation"] = context.operationState?.operation;
  else if (live.operation && isOperationOver(context, live)) patch["operation"] = null;
  // Another commit that changes nothing for this app is told with its next write (DESIGN §3).
  const revisionOnly =
    Object.keys(status).length === 1 &&
    isObject(status["sync"]) &&
    /^revisions?$/.test(Object.keys(status["sync"]).join());
  const asked = context.causes.some((one) => one.kind === "user" || one.kind === "refresh");
  if (revisionOnly && Object.keys(patch).length === 0 && !asked) return undefined;
  if (Object.keys(status).length > 0) {
    // Clients of Argo CD wait after an operation for a comparison that is not older than its end.
    const endsOperation = isObject(status["operationState"]) && context.operation === undefined;
    if (status["sync"] || status["resources"] || endsOperation) status["reconciledAt"] = seconds(now);
    patch["status"] = status;
  }
  return Object.keys(patch).length > 0 ? { patch, refresh: answered ? refresh : undefined } : undefined;
}

/** Undefined when they are as they should be. Of hooks that cannot be told now nothing is concluded. */
function finalizersOf(context: Context, live: readonly string[]): string[] | undefined {
  const { view, deletion } = context;
  if (deletion) {
    const isOver = (stage: Stage) => deletion.abandoned || deletion.done.includes(stage);
    const left = live.filter((name) => {
      const stage = stageOf(name);
      return stage === undefined || !isOver(stage);
    });
    return left.length < live.length ? left : undefined;
  }
  const isKnown = context.comparison !== undefined && !context.objects.some(({ hook }) => hook);
  if (view.deletion || !isKnown || context.pass?.pinned || !followsGit(context)) return undefined;
  const rendered = context.hooks.flatMap(({ phases }) => phases.filter(isDeletePhase));
  return withHookFinalizers(live, new Set(rendered));
}

/** An absent list and an empty one are the same to a reader, and what is to be absent is. */
const emptyOf = (value: unknown): unknown =>
  value === null || (Array.isArray(value) && value.length === 0) ? value : undefined;

const isOperationOver = ({ view, takenOperationHash, request, operation }: Context, live: Application): boolean =>
  operation === undefined &&
  request === undefined &&
  ((view.operationHash !== "" && view.operationHash === takenOperationHash) || isFieldOfRunning(live));
