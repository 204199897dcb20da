// Staleness: whether a status is about an earlier spec than the object has now. Right after an apply most are, and a
// wave must neither pass nor fail on them (argo-cd#4577).
import { at, numberAt, optionalNumberAt } from "./fields.ts";
import type { LiveObject } from "./health.ts";

export function isStale(object: LiveObject): boolean {
  const observed = optionalNumberAt(object, "status", "observedGeneration");
  if (observed !== undefined) return observed < numberAt(object, "metadata", "generation");
  return isApplication(object) && !isCompared(object);
}

/** Its generation rises with each write of the status; what it was compared to tells. */
const isApplication = ({ kind, apiVersion }: LiveObject): boolean =>
  kind === "Application" && String(apiVersion).startsWith("argoproj.io/");

const isCompared = (application: LiveObject): boolean =>
  ["source", "sources", "destination"].every((field) => {
    const wanted = at(application, "spec", field);
    return wanted === undefined || covers(at(application, "status", "sync", "comparedTo", field), wanted);
  });

/** All that is wanted is there; what is empty may as well be absent. */
function covers(there: unknown, wanted: unknown): boolean {
  if (isEmpty(wanted)) return isEmpty(there);
  if (Array.isArray(wanted)) {
    return (
      Array.isArray(there) &&
      there.length === wanted.length &&
      wanted.every((item, index) => covers(there[index], item))
    );
  }
  if (typeof wanted === "object" && wanted !== null) {
    return Object.entries(wanted).every(([name, value]) => covers(at(there, name), value));
  }
  return there === wanted;
}

const isEmpty = (value: unknown): boolean =>
  value === undefined ||
  value === null ||
  value === "" ||
  value === false ||
  (typeof value === "object" && Object.values(value).every(isEmpty));
