// Order: which object goes first, as in Argo CD: phase, wave, kind rank, name; a Namespace before what lives in it, a CRD
// before its objects. Prune goes the other way round.
import { keyText, type ResourceKey } from "./resource-key.ts";

export interface Ordered {
  key: ResourceKey;
  /** Sync without it. */
  phase?: SyncPhase;
  /** Sync wave; 0 without it. */
  wave?: number;
}

export type SyncPhase = "PreSync" | "Sync" | "PostSync" | "SyncFail";
const PHASES: readonly SyncPhase[] = ["PreSync", "Sync", "PostSync", "SyncFail"];

export interface Slot {
  phase: SyncPhase;
  wave: number;
}

export function compareSlots(a: Slot, b: Slot): number {
  return PHASES.indexOf(a.phase) - PHASES.indexOf(b.phase) || a.wave - b.wave;
}

/** Argo CD's list; a kind that is not in it comes last. */
const KINDS = [
  "Namespace",
  "NetworkPolicy",
  "ResourceQuota",
  "LimitRange",
  "PodSecurityPolicy",
  "PodDisruptionBudget",
  "ServiceAccount",
  "Secret",
  "SecretList",
  "ConfigMap",
  "StorageClass",
  "PersistentVolume",
  "PersistentVolumeClaim",
  "CustomResourceDefinition",
  "ClusterRole",
  "ClusterRoleList",
  "ClusterRoleBinding",
  "ClusterRoleBindingList",
  "Role",
  "RoleList",
  "RoleBinding",
  "RoleBindingList",
  "Service",
  "DaemonSet",
  "Pod",
  "ReplicationController",
  "ReplicaSet",
  "Deployment",
  "HorizontalPodAutoscaler",
  "StatefulSet",
  "Job",
  "CronJob",
  "IngressClass",
  "Ingress",
  "APIService",
];
const RANKS = new Map(KINDS.map((kind, rank) => [kind, rank]));

/** Objects of one rank may be applied in parallel. */
export function kindRank(kind: string): number {
  return RANKS.get(kind) ?? KINDS.length;
}

export function compareForApply(a: Ordered, b: Ordered): number {
  return (
    compareSlots(slotOf(a), slotOf(b)) ||
    kindRank(a.key.kind) - kindRank(b.key.kind) ||
    compareText(a.key.name, b.key.name) ||
    compareText(keyText(a.key), keyText(b.key))
  );
}

export const slotOf = ({ phase = "Sync", wave = 0 }: Ordered): Slot => ({ phase, wave });

export function comparePrune(a: Ordered, b: Ordered): number {
  return compareForApply(b, a);
}

export interface CrdDefines {
  group: string;
  kind: string;
}

/**
 * The order of an apply. `defines` tells which group and kind a CRD brings; without it the CRD's text is read, where
 * there is one. A lifted object also takes on the phase and wave of the first object that needs it.
 */
export function applyOrder<T extends Ordered>(items: readonly T[], defines = crdDefines<T>): T[] {
  const sorted = items.toSorted(compareForApply);
  const namespacesLifted = lift(
    sorted,
    ({ key }) => (key.kind === "Namespace" && key.group === "" ? key.name : undefined),
    ({ key }) => key.namespace || undefined,
  );
  return lift(
    namespacesLifted,
    (item) => {
      const crd = isCrd(item.key) ? defines(item) : undefined;
      return crd && `${crd.group}/${crd.kind}`;
    },
    ({ key }) => `${key.group}/${key.kind}`,
  );
}

export function pruneOrder<T extends Ordered>(items: readonly T[]): T[] {
  return applyOrder(items).toReversed();
}

/** Moves what `provides` a thing to right before the first object that `needs` it. */
function lift<T extends Ordered>(
  sorted: readonly T[],
  provides: (item: T) => string | undefined,
  needs: (item: T) => string | undefined,
): T[] {
  const result: T[] = [];
  for (const item of sorted) {
    const provided = provides(item);
    const firstUser =
      provided === undefined
        ? -1
        : result.findIndex((other) => provides(other) === undefined && needs(other) === provided);
    if (firstUser < 0) result.push(item);
    else {
      const slot = slotOf(result[firstUser]!);
      result.splice(firstUser, 0, compareSlots(slot, slotOf(item)) === 0 ? item : { ...item, ...slot });
    }
  }
  return result;
}

function isCrd(key: ResourceKey): boolean {
  return key.kind === "CustomResourceDefinition" && key.group === "apiextensions.k8s.io";
}

/** What a CRD's own text says that it brings. */
export function crdDefines<T extends Ordered>(item: T & { text?: string }): CrdDefines | undefined {
  if (item.text === undefined) return undefined;
  try {
    const crd = JSON.parse(item.text) as { spec?: { group?: unknown; names?: { kind?: unknown } } };
    const group = crd.spec?.group;
    const kind = crd.spec?.names?.kind;
    return typeof group === "string" && typeof kind === "string" ? { group, kind } : undefined;
  } catch {
    return undefined;
  }
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
