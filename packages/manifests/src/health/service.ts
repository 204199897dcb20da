// Health of Services: a load balancer waits for its address.
import { listAt, textAt } from "./fields.ts";
import type { Health, LiveObject } from "./health.ts";

export function serviceHealth(object: LiveObject): Health {
  const waits =
    textAt(object, "spec", "type") === "LoadBalancer" &&
    listAt(object, "status", "loadBalancer", "ingress").length === 0;
  return { status: waits ? "Progressing" : "Healthy" };
}
