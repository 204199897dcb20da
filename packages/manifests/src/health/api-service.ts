// Health of APIServices.
import { condition } from "./fields.ts";
import type { Health, LiveObject } from "./health.ts";

export function apiServiceHealth(object: LiveObject): Health {
  const available = condition(object, "Available");
  if (!available) return { status: "Progressing", message: "Waiting to be processed" };
  return {
    status: available.status === "True" ? "Healthy" : "Progressing",
    message: `${available.reason}: ${available.message}`,
  };
}
