// Health of kinds without a rule of their own, by the conditions that most controllers agree on (kstatus). An object
// without a status, or with conditions of its own making, has no health, as in Argo CD.
import { at, conditionsOf, listAt, numberAt, optionalNumberAt } from "./fields.ts";
import type { Health, LiveObject } from "./health.ts";

export function conditionsHealth(object: LiveObject): Health | undefined {
  const all = conditionsOf(listAt(object, "status", "conditions"));
  const find = (type: string) => all.find((entry) => entry.type === type);
  const ready = find("Ready") ?? find("Available");
  const stalled = find("Stalled");
  const reconciling = find("Reconciling");
  if (!ready && !stalled && !reconciling) return undefined;

  const generation = numberAt(object, "metadata", "generation");
  const observed = optionalNumberAt(object, "status", "observedGeneration") ?? ready?.observedGeneration;
  if (at(object, "status") !== undefined && observed !== undefined && observed < generation) {
    return { status: "Progressing", message: `Waiting for generation ${generation} to be observed` };
  }
  const said = (entry: { reason: string; message: string }) => entry.message || entry.reason;
  if (stalled?.status === "True") return { status: "Degraded", message: said(stalled) };
  if (reconciling?.status === "True") return { status: "Progressing", message: said(reconciling) };
  if (!ready) return { status: "Healthy" };
  return { status: ready.status === "True" ? "Healthy" : "Progressing", message: said(ready) };
}
