// Health of Ingresses: they wait for an address.
import { listAt } from "./fields.ts";
import type { Health, LiveObject } from "./health.ts";

export function ingressHealth(object: LiveObject): Health {
  return { status: listAt(object, "status", "loadBalancer", "ingress").length > 0 ? "Healthy" : "Progressing" };
}
