// Observation (pure): with --observe, what Argo CD wrote into an Application beside what Driftless would write and do.
//
// The status is that of status.ts, which is compared instead of written, and the decision that of decision.ts.
import type { Application, ApplicationStatus, ConditionField, ResourceStatus } from "@driftless/contracts/application";
import type { MessageOf } from "@driftless/contracts/message";
import type { ApplicationObserved, Disagreement } from "@driftless/contracts/pipeline/6-application";
import type { KubeObject } from "@driftless/kube/resource";
import type { Context, ObjectState } from "./context.ts";
import { decideInCharge } from "./decision.ts";
import { rfc3339 } from "./look.ts";
import { conditionsOf, statusOf } from "./status.ts";
import { REFRESH_ANNOTATION, type AppView } from "./view.ts";

type Observation = MessageOf<typeof ApplicationObserved>;

const TOLD_MAX = 100;

/**
 * The Application as an actor may see it that must not act: what is asked of Argo CD (an operation, a refresh, a
 * deletion, an operation that runs) is Argo CD's to do.
 */
export function withoutRequests(object: KubeObject): KubeObject {
  const { operation: _asked, status, ...rest } = object as KubeObject & { status?: ApplicationStatus };
  const {
    deletionTimestamp: _deleted,
    annotations,
    ...metadata
  } = object.metadata as KubeObject["metadata"] & {
    deletionTimestamp?: string;
  };
  const { [REFRESH_ANNOTATION]: _refresh, ...others } = annotations ?? {};
  const { operationState, ...told } = status ?? {};
  const over = isRunning(operationState?.phase) ? {} : { operationState };
  return { ...rest, metadata: { ...metadata, annotations: others }, status: { ...told, ...over } } as KubeObject;
}

export const observed = (view: AppView): AppView => ({ ...view, observed: true });

/** Differs when Argo CD has done something: what is known of the last operation and the inventory is then read anew. */
export const doneByArgoCd = (status: ApplicationStatus | undefined): string =>
  JSON.stringify([
    status?.operationState?.startedAt,
    status?.operationState?.phase,
    status?.resources?.map(({ group, kind, namespace, name }) => [group, kind, namespace, name]),
  ]);

const isRunning = (phase: string | undefined): boolean => phase === "Running" || phase === "Terminating";

/** Undefined until there is something to compare with. */
export function observationOf(context: Context, live: Application, now: number): Observation | undefined {
  const { view } = context;
  const found = live.status ?? {};
  const ours = statusOf(context, found, now) as ApplicationStatus;
  const conditions = conditionsOf(context);
  const compared = ours.resources !== undefined;
  if (!compared && conditions.length === 0) return undefined;
  const disagreements = [
    ...syncThatDiffers(context, found, ours),
    ...(compared ? objectsThatDiffer(context, found, ours) : []),
    ...conditionsThatDiffer(found.conditions ?? [], conditions),
  ];
  const would = wouldDo(context, live, now);
  const differing = context.objects.filter(({ status, fields }) => status !== "Synced" || fields.length > 0);
  return {
    app: view.ref,
    at: rfc3339(now),
    agrees: disagreements.length === 0 && would.act !== "sync",
    found: { ...judgement(found), ...(found.operationState?.phase && { operation: found.operationState.phase }) },
    ours: judgement({ ...ours, ...(compared ? {} : { sync: { status: ours.sync?.status } }) }),
    would,
    disagreements: disagreements.slice(0, TOLD_MAX),
    disagreementsTotal: disagreements.length,
    resources: differing.slice(0, TOLD_MAX).map((object) => ({
      ...object.key,
      status: object.status,
      message: whyOf(object),
      fields: [...object.fields],
      takenFrom: [...object.managers],
    })),
    resourcesTotal: differing.length,
    conditions: conditions.map(({ type = "", message = "" }) => ({ type, message })),
  };
}

const judgement = ({ sync, health }: ApplicationStatus) => ({
  ...(sync?.status !== undefined && { sync: sync.status }),
  ...(health?.status !== undefined && { health: health.status }),
  ...(sync?.revision !== undefined && { revision: sync.revision }),
});

/** Another revision alone is none: a commit that changes nothing for the app is told late by the one, early by the other. */
function syncThatDiffers(context: Context, found: ApplicationStatus, ours: ApplicationStatus): Disagreement[] {
  // Of one that is refused nothing is judged.
  if (ours.sync === undefined) return [];
  const worst = context.objects.find(({ status }) => status === ours.sync?.status);
  const why = whyOf(worst) && `${worst!.key.kind}/${worst!.key.name}: ${whyOf(worst)}`;
  return differ("sync.status", found.sync?.status, ours.sync.status, why || context.failed?.failures[0]?.message);
}

function objectsThatDiffer(context: Context, found: ApplicationStatus, ours: ApplicationStatus): Disagreement[] {
  return [
    ...differ("health.status", found.health?.status, ours.health?.status, ours.health?.message),
    ...resourcesThatDiffer(context, found.resources ?? [], ours.resources ?? []),
  ];
}

function differ(field: string, found: string | undefined, ours: string | undefined, why?: string): Disagreement[] {
  if (found === ours) return [];
  return [{ field, ...(found && { found }), ...(ours && { ours }), ...(why && { why }) }];
}

function resourcesThatDiffer(
  context: Context,
  found: readonly ResourceStatus[],
  ours: readonly ResourceStatus[],
): Disagreement[] {
  // Argo CD lists hooks too; they are no part of the inventory.
  const theirs = new Map(found.filter(({ hook }) => !hook).map((resource) => [nameOf(resource), resource]));
  const objects = new Map(context.objects.map((object) => [nameOf(object.key), object]));
  const all: Disagreement[] = [];
  for (const resource of ours) {
    const name = nameOf(resource);
    const other = theirs.get(name);
    theirs.delete(name);
    const why = whyOf(objects.get(name));
    if (!other) {
      all.push({ field: `resources[${name}]`, ours: resource.status ?? "listed", ...(why && { why }) });
      continue;
    }
    all.push(...differ(`resources[${name}].status`, other.status, resource.status, why));
    all.push(...differ(`resources[${name}].requiresPruning`, flag(other), flag(resource), why));
    // Argo CD keeps it elsewhere unless told to persist it.
    if (other.health?.status !== undefined && resource.health?.status !== undefined) {
      const message = resource.health.message;
      all.push(...differ(`resources[${name}].health`, other.health.status, resource.health.status, message));
    }
  }
  for (const [name, other] of theirs)
    all.push({
      field: `resources[${name}]`,
      found: other.status ?? "listed",
      why: "neither in Git nor in the cluster",
    });
  return all;
}

const flag = ({ requiresPruning }: ResourceStatus): string | undefined => (requiresPruning ? "true" : undefined);

const nameOf = ({ group, kind, namespace, name }: ResourceStatus): string =>
  `${group ? `${group}/` : ""}${kind}/${namespace ? `${namespace}/` : ""}${name}`;

function whyOf(object: ObjectState | undefined): string | undefined {
  if (!object) return undefined;
  const [field] = object.fields;
  if (field) return `${field.path}: ${field.live ?? "(absent)"} in the cluster, ${field.desired ?? "(absent)"} in Git`;
  if (object.failure) return object.failure.message;
  if (object.extra) return object.keep ?? "it is in the cluster and no longer in Git";
  return object.live === undefined ? "it is in Git and not in the cluster" : object.message;
}

/** By type: what they say differs in words, and warnings are no judgement. */
function conditionsThatDiffer(found: readonly ConditionField[], ours: readonly ConditionField[]): Disagreement[] {
  const errors = (conditions: readonly ConditionField[]) =>
    new Map(conditions.filter(({ type }) => type?.endsWith("Error")).map(({ type, message }) => [type, message]));
  const [theirs, own] = [errors(found), errors(ours)];
  const types = [...new Set([...theirs.keys(), ...own.keys()])].filter((type) => theirs.has(type) !== own.has(type));
  return types.flatMap((type) => differ(`conditions[${type}]`, theirs.get(type), own.get(type)));
}

function wouldDo(context: Context, live: Application, now: number): Observation["would"] {
  const { view } = context;
  if (live.metadata.deletionTimestamp) return { act: "nothing", why: "the Application is being deleted" };
  if (live.operation || isRunning(live.status?.operationState?.phase))
    return { act: "wait", why: "an operation is under way" };
  if (!view.desired) return { act: "nothing", why: "the Application is refused: see the conditions" };
  const decision = decideInCharge(context, now);
  switch (decision.kind) {
    case "sync": {
      const objects = context.objects.filter(({ status }) => status === "OutOfSync");
      const [first] = objects;
      const more = objects.length > 1 ? ` and ${objects.length - 1} more` : "";
      const what = first ? `${first.key.kind}/${first.key.name}${more}` : "the Application";
      return { act: "sync", why: `${what} OutOfSync, and syncPolicy is automated` };
    }
    case "pause":
      return {
        act: "wait",
        why: decision.condition?.message ?? `heals are paced: ${Math.ceil(decision.delayMs / 1000)} s`,
      };
    case "refuse":
      return { act: "nothing", why: decision.condition.message ?? "an automated sync is refused" };
    case "none":
      if (context.verdict === "Synced") return { act: "nothing", why: "everything is as desired" };
      if (context.verdict === "Unknown") return { act: "nothing", why: "it cannot be told what is desired" };
      return {
        act: "nothing",
        why: view.desired.automated ? "policy keeps an automated sync from it" : "syncPolicy is not automated",
      };
  }
}
