// Health of Deployments.
import { at, condition, nameOf, numberAt, optionalNumberAt } from "./fields.ts";
import type { Health, LiveObject } from "./health.ts";

export function deploymentHealth(object: LiveObject): Health {
  if (at(object, "spec", "paused") === true) return { status: "Suspended", message: "Deployment is paused" };
  const waiting = (what: string): Health => ({
    status: "Progressing",
    message: `Waiting for rollout to finish: ${what}`,
  });
  if (numberAt(object, "metadata", "generation") > numberAt(object, "status", "observedGeneration")) {
    return waiting("observed deployment generation less than desired generation");
  }
  if (condition(object, "Progressing")?.reason === "ProgressDeadlineExceeded") {
    return { status: "Degraded", message: `Deployment "${nameOf(object)}" exceeded its progress deadline` };
  }
  const wanted = optionalNumberAt(object, "spec", "replicas");
  const updated = numberAt(object, "status", "updatedReplicas");
  const replicas = numberAt(object, "status", "replicas");
  const available = numberAt(object, "status", "availableReplicas");
  if (wanted !== undefined && updated < wanted) {
    return waiting(`${updated} out of ${wanted} new replicas have been updated...`);
  }
  if (replicas > updated) return waiting(`${replicas - updated} old replicas are pending termination...`);
  if (available < updated) return waiting(`${available} of ${updated} updated replicas are available...`);
  return { status: "Healthy" };
}
