// Health of an Application (pure): the worst of its objects. A missing object is OutOfSync and says so there; only an app
// with objects of which none is there is Missing (contract §7).
import type { Health } from "@driftless/contracts/identity";
import { isWorse } from "@driftless/manifests/health/health";
import type { Context, ObjectState } from "./context.ts";

const CAUSES_SHOWN = 3;

export function appHealth({ objects, view }: Pick<Context, "objects" | "view">): Health {
  const listed = objects.filter(({ unlisted }) => !unlisted);
  if (listed.length > 0 && listed.every(({ live }) => live === undefined)) return { status: "Missing" };
  let status: Health["status"] = "Healthy";
  const causes: string[] = [];
  for (const object of objects) {
    const { health, key } = object;
    if (!health || !counts(object, view.ref)) continue;
    if (isWorse(status, health.status)) {
      status = health.status;
      causes.length = 0;
    }
    if (status === "Healthy" || health.status !== status) continue;
    const who = `${key.kind} ${key.name}`;
    causes.push(health.message ? `${who}: ${health.message}` : who);
  }
  return causes.length > 0 ? { status, message: causes.slice(0, CAUSES_SHOWN).join("; ") } : { status };
}

function counts({ key, live, health, healthIgnored }: ObjectState, app: { namespace: string; name: string }): boolean {
  if (!live || healthIgnored) return false;
  if (key.group !== "argoproj.io" || key.kind !== "Application") return true;
  // What its health is made of cannot be a part of it; and a child says of itself what is missing.
  if (key.namespace === app.namespace && key.name === app.name) return false;
  return health?.status !== "Missing" && health?.status !== "Unknown";
}
