// Prediction (pure): what an apply would change, from the live object and the dry run's answer. Both come from the
// API server, so nothing is defaulted or normalised here: what differs would really change.
import type { PathDifference } from "./footprint.ts";
import { joinPath } from "./fields-v1.ts";
import { isSecret, maskedValue } from "./mask.ts";
import type { KubeObject } from "./resource.ts";

export type Prediction =
  | { kind: "same" }
  /** `missing`: there is no live object, so all of it; `paths` is empty then. */
  | { kind: "differs"; missing: boolean; paths: PathDifference[] };

const PATHS_MAX = 50;
// Bookkeeping; and status, which no manifest carries (DESIGN rule 5): there only the object's controller was faster.
const IGNORED = new Set(["metadata.resourceVersion", "metadata.generation", "metadata.managedFields", "status"]);

/**
 * `answer` must be that of a dry run fenced with `live`'s uid and resourceVersion, or another's write in between would be
 * taken for ours. Without a live object: differs, missing. Cut at `pathsMax` (default 50).
 */
export function predict(
  live: KubeObject | undefined,
  answer: KubeObject,
  options: { pathsMax?: number } = {},
): Prediction {
  if (!live) return { kind: "differs", missing: true, paths: [] };
  const paths: PathDifference[] = [];
  compare(live, answer, "", paths, options.pathsMax ?? PATHS_MAX);
  if (paths.length === 0) return { kind: "same" };
  const masked = isSecret(live) || isSecret(answer);
  return {
    kind: "differs",
    missing: false,
    paths: masked
      ? paths.map(({ path, live: a, desired: b }) => ({
          path,
          live: maskedValue(path, a),
          desired: maskedValue(path, b),
        }))
      : paths,
  };
}

function compare(live: unknown, desired: unknown, path: string, found: PathDifference[], pathsMax: number): void {
  if (live === desired || found.length >= pathsMax || IGNORED.has(path)) return;
  if (isRecord(live) && isRecord(desired)) {
    for (const name of new Set([...Object.keys(live), ...Object.keys(desired)])) {
      compare(live[name], desired[name], joinPath(path, name), found, pathsMax);
    }
    return;
  }
  if (Array.isArray(live) && Array.isArray(desired)) {
    compareLists(live, desired, path, found, pathsMax);
    return;
  }
  found.push({ path, live, desired });
}

function compareLists(
  live: unknown[],
  desired: unknown[],
  path: string,
  found: PathDifference[],
  pathsMax: number,
): void {
  const names = namesOf(live);
  const desiredNames = namesOf(desired);
  // Aligned by name where the items have one, so that an inserted item does not make all after it differ.
  if (names && desiredNames) {
    const before = found.length;
    for (const name of new Set([...names, ...desiredNames])) {
      compare(live[names.indexOf(name)], desired[desiredNames.indexOf(name)], `${path}[name=${name}]`, found, pathsMax);
    }
    const reordered = found.length === before && names.some((name, index) => name !== desiredNames[index]);
    if (reordered) found.push({ path, live: names, desired: desiredNames });
    return;
  }
  for (let index = 0; index < Math.max(live.length, desired.length); index++) {
    compare(live[index], desired[index], `${path}[${index}]`, found, pathsMax);
  }
}

/** Where each item has a name of its own: what tells them apart. */
export function namesOf(list: readonly unknown[]): string[] | undefined {
  const names: string[] = [];
  for (const item of list) {
    const name = isRecord(item) ? item["name"] : undefined;
    if (typeof name !== "string" || names.includes(name)) return undefined;
    names.push(name);
  }
  return names;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
