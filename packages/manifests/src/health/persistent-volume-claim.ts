// Health of PersistentVolumeClaims.
import { textAt } from "./fields.ts";
import type { Health, LiveObject } from "./health.ts";

export function persistentVolumeClaimHealth(object: LiveObject): Health {
  switch (textAt(object, "status", "phase")) {
    case "Lost":
      return { status: "Degraded" };
    case "Pending":
      return { status: "Progressing" };
    case "Bound":
      return { status: "Healthy" };
    default:
      return { status: "Unknown" };
  }
}
