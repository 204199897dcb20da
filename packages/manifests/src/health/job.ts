// Health of Jobs.
import { conditionsOf, listAt } from "./fields.ts";
import type { Health, LiveObject } from "./health.ts";

export function jobHealth(object: LiveObject): Health {
  const conditions = conditionsOf(listAt(object, "status", "conditions"));
  const find = (type: string) => conditions.findLast((entry) => entry.type === type);
  const failed = find("Failed");
  if (failed) return { status: "Degraded", message: failed.message };
  const settled = conditions.findLast((entry) => entry.type === "Complete" || entry.type === "Suspended");
  if (!settled) return { status: "Progressing", message: "" };
  const suspended = conditions.some((entry) => entry.type === "Suspended" && entry.status === "True");
  return { status: suspended ? "Suspended" : "Healthy", message: settled.message };
}
