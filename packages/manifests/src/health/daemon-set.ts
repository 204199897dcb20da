// Health of DaemonSets.
import { nameOf, numberAt, textAt } from "./fields.ts";
import type { Health, LiveObject } from "./health.ts";

export function daemonSetHealth(object: LiveObject): Health {
  if (numberAt(object, "metadata", "generation") > numberAt(object, "status", "observedGeneration")) {
    return {
      status: "Progressing",
      message: "Waiting for rollout to finish: observed daemon set generation less than desired generation",
    };
  }
  const wanted = numberAt(object, "status", "desiredNumberScheduled");
  const updated = numberAt(object, "status", "updatedNumberScheduled");
  const available = numberAt(object, "status", "numberAvailable");
  if (textAt(object, "spec", "updateStrategy", "type") === "OnDelete") {
    return { status: "Healthy", message: `daemon set ${updated} out of ${wanted} new pods have been updated` };
  }
  const waiting = (what: string): Health => ({
    status: "Progressing",
    message: `Waiting for daemon set "${nameOf(object)}" rollout to finish: ${what}`,
  });
  if (updated < wanted) return waiting(`${updated} out of ${wanted} new pods have been updated...`);
  if (available < wanted) return waiting(`${available} of ${wanted} updated pods are available...`);
  return { status: "Healthy" };
}
