// Health of one object and of an Application, with Argo CD's values and messages.
import type { Health, HealthStatus } from "@driftless/contracts/identity";
import { HOOK_FINALIZER } from "../hooks.ts";
import { groupOf, versionOf, type ResourceKey } from "../resource-key.ts";
import { apiServiceHealth } from "./api-service.ts";
import { conditionsHealth } from "./conditions.ts";
import { daemonSetHealth } from "./daemon-set.ts";
import { deploymentHealth } from "./deployment.ts";
import { at, listAt, textAt } from "./fields.ts";
import { horizontalPodAutoscalerHealth } from "./horizontal-pod-autoscaler.ts";
import { ingressHealth } from "./ingress.ts";
import { jobHealth } from "./job.ts";
import { persistentVolumeClaimHealth } from "./persistent-volume-claim.ts";
import { podHealth } from "./pod.ts";
import { replicaSetHealth } from "./replica-set.ts";
import { serviceHealth } from "./service.ts";
import { statefulSetHealth } from "./stateful-set.ts";

export type { Health, HealthStatus };

/** A live object as the API server gives it. */
export type LiveObject = Record<string, unknown>;

export interface ResourceHealth {
  key: ResourceKey;
  /** undefined = the kind has no health; Missing = not in the cluster. */
  health: Health | undefined;
  /** Annotation `argocd.argoproj.io/ignore-healthcheck: "true"`. */
  ignored?: boolean;
}

/** Best to worst. */
export const HEALTH_ORDER: readonly HealthStatus[] = [
  "Healthy",
  "Suspended",
  "Progressing",
  "Missing",
  "Degraded",
  "Unknown",
];

/** `group/Kind` → the rule and the versions that it knows how to read (all of them without a list). */
const RULES: Record<string, { rule: (object: LiveObject) => Health | undefined; versions?: string[] }> = {
  "apps/Deployment": { rule: deploymentHealth, versions: ["v1"] },
  "apps/StatefulSet": { rule: statefulSetHealth, versions: ["v1"] },
  "apps/DaemonSet": { rule: daemonSetHealth, versions: ["v1"] },
  "apps/ReplicaSet": { rule: replicaSetHealth, versions: ["v1"] },
  "/Pod": { rule: podHealth, versions: ["v1"] },
  "batch/Job": { rule: jobHealth, versions: ["v1"] },
  "/Service": { rule: serviceHealth, versions: ["v1"] },
  "networking.k8s.io/Ingress": { rule: ingressHealth },
  "extensions/Ingress": { rule: ingressHealth },
  "/PersistentVolumeClaim": { rule: persistentVolumeClaimHealth, versions: ["v1"] },
  "apiregistration.k8s.io/APIService": { rule: apiServiceHealth, versions: ["v1", "v1beta1"] },
  "autoscaling/HorizontalPodAutoscaler": { rule: horizontalPodAutoscalerHealth, versions: ["v1", "v2"] },
  // Child Applications have no health unless somebody writes a rule for them.
  "argoproj.io/Application": { rule: () => undefined },
};

/** undefined = objects of this kind have no health. A rule that fails is Unknown with its reason. */
export function healthOf(object: LiveObject): Health | undefined {
  if (
    at(object, "metadata", "deletionTimestamp") !== undefined &&
    !listAt(object, "metadata", "finalizers").includes(HOOK_FINALIZER)
  ) {
    return { status: "Progressing", message: "Pending deletion" };
  }
  const apiVersion = textAt(object, "apiVersion");
  const kind = textAt(object, "kind");
  const name = `${groupOf(apiVersion)}/${kind}`;
  const entry = Object.hasOwn(RULES, name) ? RULES[name] : undefined;
  if (entry?.versions && !entry.versions.includes(versionOf(apiVersion))) {
    return { status: "Unknown", message: `unsupported ${kind} GVK: ${apiVersion}, Kind=${kind}` };
  }
  try {
    const health = (entry?.rule ?? conditionsHealth)(object);
    return health && (health.message ? health : { status: health.status });
  } catch (error) {
    return { status: "Unknown", message: (error as Error).message };
  }
}

export function isWorse(current: HealthStatus, candidate: HealthStatus): boolean {
  return HEALTH_ORDER.indexOf(candidate) > HEALTH_ORDER.indexOf(current);
}

export function worst(a: HealthStatus, b: HealthStatus): HealthStatus {
  return isWorse(a, b) ? b : a;
}

const CAUSES_SHOWN = 3;

/**
 * Health of an Application from that of its objects, hooks left out. A missing object is OutOfSync and says so there;
 * only when none of them is there the Application is Missing.
 */
export function applicationHealth(resources: readonly ResourceHealth[]): Health {
  let status: HealthStatus = "Healthy";
  let causes: ResourceKey[] = [];
  for (const { key, health, ignored } of resources) {
    if (!health || ignored || health.status === "Missing") continue;
    if (key.group === "argoproj.io" && key.kind === "Application" && health.status === "Unknown") continue;
    if (isWorse(status, health.status)) {
      status = health.status;
      causes = [key];
    } else if (status === health.status && status !== "Healthy") causes.push(key);
  }
  const noneLive = resources.length > 0 && resources.every(({ health }) => health?.status === "Missing");
  if (noneLive && isWorse(status, "Missing")) return { status: "Missing" };
  if (causes.length === 0) return { status };
  const shown = causes.slice(0, CAUSES_SHOWN).map(causeText).join(", ");
  const rest = causes.length > CAUSES_SHOWN ? ` and ${causes.length - CAUSES_SHOWN} more` : "";
  return { status, message: `Caused by ${shown}${rest}` };
}

function causeText({ group, kind, namespace, name }: ResourceKey): string {
  return `${group === "" ? kind : `${group}/${kind}`}:${namespace === "" ? name : `${namespace}/${name}`}`;
}
