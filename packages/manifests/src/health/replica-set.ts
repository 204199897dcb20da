// Health of ReplicaSets.
import { condition, numberAt, optionalNumberAt } from "./fields.ts";
import type { Health, LiveObject } from "./health.ts";

export function replicaSetHealth(object: LiveObject): Health {
  if (numberAt(object, "metadata", "generation") > numberAt(object, "status", "observedGeneration")) {
    return {
      status: "Progressing",
      message: "Waiting for rollout to finish: observed replica set generation less than desired generation",
    };
  }
  const failure = condition(object, "ReplicaFailure");
  if (failure?.status === "True") return { status: "Degraded", message: failure.message };
  const wanted = optionalNumberAt(object, "spec", "replicas");
  const available = numberAt(object, "status", "availableReplicas");
  if (wanted !== undefined && available < wanted) {
    return {
      status: "Progressing",
      message: `Waiting for rollout to finish: ${available} out of ${wanted} new replicas are available...`,
    };
  }
  return { status: "Healthy" };
}
