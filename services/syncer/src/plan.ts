// Plan (pure): in which groups the objects of one step go. Groups follow each other, the objects of one go in parallel:
// a kind rank is a group, a Namespace stands before what lives in it and a CRD before its objects (Argo CD's order).
import type { ObjectKey } from "@driftless/contracts/identity";
import type { PlannedHook, PlannedObject } from "@driftless/contracts/pipeline/5-sync";
import type { DesiredHook, DesiredObject } from "@driftless/kube/desired-set";
import { applyOrder, kindRank, pruneOrder, type Ordered } from "@driftless/manifests/order";
import { keyText } from "@driftless/manifests/resource-key";

export interface PlannedApply extends Ordered {
  planned: PlannedObject;
  desired: DesiredObject;
}

export interface PlannedRun extends Ordered {
  hook: PlannedHook;
  desired: DesiredHook;
}

export interface Plan {
  groups: (PlannedApply | PlannedRun)[][];
  /** Planned, but the set does not have them: the command and its blob contradict each other. */
  absent: PlannedObject[];
  absentHooks: PlannedHook[];
}

/** Of objects alone, for a prediction. */
export function planObjects(apply: readonly PlannedObject[], desired: readonly DesiredObject[]) {
  const byKey = new Map(desired.map((object) => [keyText(object.prepared.key), object]));
  const items: PlannedApply[] = [];
  const absent: PlannedObject[] = [];
  for (const planned of apply) {
    const object = byKey.get(keyText(planned));
    if (object) items.push({ key: object.prepared.key, planned, desired: object });
    else absent.push(planned);
  }
  return { items, absent };
}

export function plan(
  apply: readonly PlannedObject[],
  desired: readonly DesiredObject[],
  hooks: readonly PlannedHook[] = [],
  desiredHooks: readonly DesiredHook[] = [],
): Plan {
  const objects = planObjects(apply, desired);
  const byIndex = new Map(desiredHooks.map((hook) => [hook.index, hook]));
  const items: (PlannedApply | PlannedRun)[] = objects.items;
  const absentHooks: PlannedHook[] = [];
  for (const hook of hooks) {
    const found = byIndex.get(hook.index);
    if (found) items.push({ key: keyOf(hook), hook, desired: found });
    else absentHooks.push(hook);
  }
  return {
    groups: groups(applyOrder(items, (item) => item.desired.defines)),
    absent: objects.absent,
    absentHooks,
  };
}

export interface PlannedPrune extends Ordered {
  planned: PlannedObject;
}

export function planPrune(prune: readonly PlannedObject[]): PlannedPrune[][] {
  return groups(pruneOrder(prune.map((planned) => ({ key: keyOf(planned), planned }))));
}

function groups<T extends Ordered>(ordered: readonly T[]): T[][] {
  const result: T[][] = [];
  let last: T | undefined;
  for (const item of ordered) {
    if (last && kindRank(last.key.kind) === kindRank(item.key.kind)) result.at(-1)!.push(item);
    else result.push([item]);
    last = item;
  }
  return result;
}

const keyOf = ({ group, kind, namespace, name }: ObjectKey) => ({ group, kind, namespace, name });
