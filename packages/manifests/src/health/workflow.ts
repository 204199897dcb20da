// Health of Argo Workflows, whatever their version: by phase alone.
import { textAt } from "./fields.ts";
import type { Health, LiveObject } from "./health.ts";

export function workflowHealth(object: LiveObject): Health {
  const message = textAt(object, "status", "message");
  switch (textAt(object, "status", "phase")) {
    case "":
    case "Pending":
    case "Running":
      return { status: "Progressing", message };
    case "Succeeded":
      return { status: "Healthy", message };
    case "Failed":
    case "Error":
      return { status: "Degraded", message };
    default:
      return { status: "Unknown", message };
  }
}
