// Health of an Application (pure): the worst of its objects. A single missing object does not count; an app with
// objects of which none is there is Missing (contract §7).
import type { Health, HealthStatus } from "@driftless/contracts/identity";
import type { ObjectState } from "./context.ts";

const WORST_LAST: readonly HealthStatus[] = ["Healthy", "Suspended", "Progressing", "Missing", "Degraded", "Unknown"];

const rank = (health: Health): number => WORST_LAST.indexOf(health.status);

export function appHealth(objects: readonly ObjectState[]): Health {
  const own = objects.filter((object) => !object.extra);
  if (own.length > 0 && own.every((object) => object.live === undefined)) return { status: "Missing" };
  let worst: Health = { status: "Healthy" };
  const causes: string[] = [];
  for (const object of own) {
    const health = object.health;
    if (!health || object.live === undefined || health.status === "Missing") continue;
    if (rank(health) > rank(worst)) {
      worst = { status: health.status };
      causes.length = 0;
    }
    if (worst.status !== "Healthy" && health.status === worst.status && health.message) {
      causes.push(`${object.key.kind} ${object.key.name}: ${health.message}`);
    }
  }
  return causes.length > 0 ? { ...worst, message: causes.slice(0, 3).join("; ") } : worst;
}
