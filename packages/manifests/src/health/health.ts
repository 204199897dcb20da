// Health of one object, with Argo CD's values and messages.
import type { Health, HealthStatus } from "@driftless/contracts/identity";
import { HOOK_FINALIZER } from "../hooks.ts";
import { groupOf, versionOf } from "../resource-key.ts";
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
import { isStale } from "./staleness.ts";
import { statefulSetHealth } from "./stateful-set.ts";
import { workflowHealth } from "./workflow.ts";

export type { Health, HealthStatus };

/** A live object as the API server gives it. */
export type LiveObject = Record<string, unknown>;

/** Best to worst. */
export const HEALTH_ORDER: readonly HealthStatus[] = [
  "Healthy",
  "Suspended",
  "Progressing",
  "Missing",
  "Degraded",
  "Unknown",
];

interface Rule {
  rule: (object: LiveObject) => Health | undefined;
  /** Those that it knows how to read; all of them without a list. */
  versions?: string[];
  /** As its kind is called in messages. */
  called?: string;
}

const RULES: Record<string, Rule> = {
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
  "autoscaling/HorizontalPodAutoscaler": {
    rule: horizontalPodAutoscalerHealth,
    versions: ["v1", "v2beta1", "v2beta2", "v2"],
    called: "HPA",
  },
  "argoproj.io/Workflow": { rule: workflowHealth },
  // Child Applications have no health unless somebody writes a rule for them.
  "argoproj.io/Application": { rule: () => undefined },
};

/** Kinds whose own controllers waited before they say that it went wrong: Degraded is their last word. */
const PATIENT = new Set(["apps/Deployment", "batch/Job", "/Pod", "argoproj.io/Workflow"]);

/** Others may be Degraded for a moment after they were made, while what they need is still coming up. */
export const isDegradedForGood = ({ group, kind }: { group: string; kind: string }): boolean =>
  PATIENT.has(`${group}/${kind}`);

/** undefined = objects of this kind have no health. A rule that fails is Unknown with its reason. */
export function healthOf(object: LiveObject): Health | undefined {
  return pendingDeletion(object) ?? settled(object, builtInHealth(object));
}

/** Whatever anybody says of an object that is on its way out. */
export const pendingDeletion = (object: LiveObject): Health | undefined =>
  at(object, "metadata", "deletionTimestamp") !== undefined &&
  !listAt(object, "metadata", "finalizers").includes(HOOK_FINALIZER)
    ? { status: "Progressing", message: "Pending deletion" }
    : undefined;

/** As it is told: without an empty message, and marked where it is of an earlier spec. */
export function settled(object: LiveObject, health: Health | undefined): Health | undefined {
  if (!health) return undefined;
  const { status, message } = health;
  return {
    status,
    ...(message && { message }),
    ...(status !== "Progressing" && isStale(object) && { stale: true }),
  };
}

function builtInHealth(object: LiveObject): Health | undefined {
  const apiVersion = textAt(object, "apiVersion");
  const kind = textAt(object, "kind");
  const name = `${groupOf(apiVersion)}/${kind}`;
  const entry = Object.hasOwn(RULES, name) ? RULES[name] : undefined;
  if (entry?.versions && !entry.versions.includes(versionOf(apiVersion))) {
    return { status: "Unknown", message: `unsupported ${entry.called ?? kind} GVK: ${apiVersion}, Kind=${kind}` };
  }
  try {
    return (entry?.rule ?? conditionsHealth)(object);
  } catch (error) {
    return { status: "Unknown", message: (error as Error).message };
  }
}

export function isWorse(current: HealthStatus, candidate: HealthStatus): boolean {
  return HEALTH_ORDER.indexOf(candidate) > HEALTH_ORDER.indexOf(current);
}
