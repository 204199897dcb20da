// Footprint and imprint (pure): which fields of an object our manager set, and a hash of their values. As long as the
// imprint of a watched object is the one taken from the apply's own answer, nobody has touched what Git decides.
//
// F1  Read along the recorded footprint, never along today's managedFields: another writer takes fields out of those.
// F2  What is missing leaves a mark, so that a removed field, item or set member gives another imprint.
// F3  Items of keyed lists and sets are taken in the live list's order: swapped init containers are a change, an item
//     of somebody else between two of ours is none, a second item of the same key is one.
import { hash } from "node:crypto";
import { canonicalJson } from "./canonical-json.ts";
import { fieldsWithout, type FieldPath } from "./field-path.ts";
import { type FieldNode, type KeyedItems, findItem, joinPath, keyText, parseFieldsV1 } from "./fields-v1.ts";
import { isSecret, maskedValue } from "./mask.ts";
import type { KubeObject, ManagedFieldsEntry } from "./resource.ts";

export const FIELD_MANAGER = "argocd-controller";

export interface Footprint {
  /** SHA-256 of the fieldsV1 text; equal footprints are one object in memory. */
  readonly digest: string;
  /** fieldsV1 as JSON, as the API server orders it: what is stored; `footprintFrom(text)` gives the footprint back. */
  readonly text: string;
  readonly root: FieldNode;
}

/** The entry of our applies: not one of a subresource (`kubectl scale`), not one from before the takeover. */
export function ownEntry(object: KubeObject, fieldManager = FIELD_MANAGER): ManagedFieldsEntry | undefined {
  return object.metadata.managedFields?.find(
    (entry) => entry.manager === fieldManager && entry.operation === "Apply" && !entry.subresource,
  );
}

/** Our entry in an apply's answer, without what does not count of `values`; undefined when we own nothing there. */
export function footprintOf(
  answer: KubeObject,
  ignored?: { paths: readonly FieldPath[]; values: KubeObject },
): Footprint | undefined {
  const fields = ownEntry(answer)?.fieldsV1;
  if (fields === undefined) return undefined;
  return footprintFrom(JSON.stringify(ignored ? fieldsWithout(fields, ignored.paths, ignored.values) : fields));
}

// Most objects of a kind share their footprint. Held weakly: a footprint lives as long as a record that has it.
const interned = new Map<string, WeakRef<Footprint>>();
const forgotten = new FinalizationRegistry<string>((digest) => {
  if (interned.get(digest)?.deref() === undefined) interned.delete(digest);
});

export function footprintFrom(text: string): Footprint {
  const digest = hash("sha256", text, "hex");
  const known = interned.get(digest)?.deref();
  if (known) return known;
  const footprint: Footprint = { digest, text, root: parseFieldsV1(JSON.parse(text)) };
  interned.set(digest, new WeakRef(footprint));
  forgotten.register(footprint, digest);
  return footprint;
}

/** Hash of the values at the footprint, hex. */
export function imprintOf(object: KubeObject, footprint: Footprint): string {
  return hash("sha256", valuesAt(footprint.root, object), "hex");
}

// None of these can stand at the start of a JSON value, so that no value looks like a mark.
const MISSING = "!";
const PRESENT = "+";

function valuesAt(node: FieldNode, value: unknown): string {
  if (node.leaf) return value === undefined ? MISSING : canonicalJson(value);
  if (value === undefined || value === null) return MISSING;
  let text = node.existence ? `${PRESENT}(` : "(";
  if (node.members.length > 0) {
    const isRecord = typeof value === "object" && !Array.isArray(value);
    for (const { name, node: child } of node.members) {
      const member = isRecord ? (value as Record<string, unknown>)[name] : undefined;
      text += `${valuesAt(child, member)};`;
    }
  }
  const list = Array.isArray(value) ? value : [];
  if (node.items) text += itemsAt(node.items, list);
  if (node.values) text += setAt(node.values, list);
  for (const { index, node: child } of node.positions) text += `${valuesAt(child, list[index])};`;
  return `${text})`;
}

function itemsAt(items: KeyedItems, list: unknown[]): string {
  let text = "";
  let found = 0;
  const seen = items.count > 1 ? new Set<number>() : undefined;
  for (const live of list) {
    const item = findItem(items, live);
    if (!item) continue;
    text += `${item.position}=${valuesAt(item.node, live)};`;
    found++;
    seen?.add(item.position);
  }
  // Which ones are missing shows in the positions that are there; the count keeps "none" apart from "empty".
  return `${text}#${seen?.size ?? found}`;
}

function setAt(values: ReadonlyMap<string, number>, list: unknown[]): string {
  let text = "";
  for (const live of list) {
    const position = values.get(JSON.stringify(live));
    if (position !== undefined) text += `${position},`;
  }
  return `${text}#`;
}

export interface PathDifference {
  /** `spec.template.spec.containers[name=web].image` */
  path: string;
  /** undefined = absent. Masked for Secrets. */
  live: unknown;
  desired: unknown;
}

/** What differs between two objects along a footprint, for people. */
export function differingPaths(footprint: Footprint, live: KubeObject, desired: KubeObject): PathDifference[] {
  const found: PathDifference[] = [];
  collect(footprint.root, live, desired, "", found);
  if (!isSecret(live) && !isSecret(desired)) return found;
  return found.map(({ path, live: a, desired: b }) => ({
    path,
    live: maskedValue(path, a),
    desired: maskedValue(path, b),
  }));
}

function collect(node: FieldNode, live: unknown, desired: unknown, path: string, found: PathDifference[]): void {
  if (node.leaf) {
    if (valuesAt(node, live) !== valuesAt(node, desired)) found.push({ path, live, desired });
    return;
  }
  if ((live === undefined || live === null) !== (desired === undefined || desired === null)) {
    found.push({ path, live, desired });
    return;
  }
  const before = found.length;
  const member = (value: unknown, name: string) =>
    typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
  for (const { name, node: child } of node.members) {
    collect(child, member(live, name), member(desired, name), joinPath(path, name), found);
  }
  const liveList = Array.isArray(live) ? (live as unknown[]) : [];
  const desiredList = Array.isArray(desired) ? (desired as unknown[]) : [];
  if (node.items) {
    const items = node.items;
    for (const item of items.all) {
      const pick = (list: unknown[]) => list.find((entry) => findItem(items, entry) === item);
      collect(item.node, pick(liveList), pick(desiredList), path + keyText(item.key), found);
    }
  }
  for (const text of node.values?.keys() ?? []) {
    const pick = (list: unknown[]) => list.find((entry) => JSON.stringify(entry) === text);
    const [a, b] = [pick(liveList), pick(desiredList)];
    if ((a === undefined) !== (b === undefined)) found.push({ path: `${path}[${text}]`, live: a, desired: b });
  }
  for (const { index, node: child } of node.positions) {
    collect(child, liveList[index], desiredList[index], `${path}[${index}]`, found);
  }
  // Order, or a second item of the same key: nothing below differs, and yet the list does.
  if ((node.items || node.values) && found.length === before && valuesAt(node, live) !== valuesAt(node, desired)) {
    found.push({ path, live, desired });
  }
}

/**
 * Managers other than ours that own something which differs between two objects: whom a forced apply takes fields
 * from, or who changed them. Reads the owners from `live`.
 */
export function ownersOfDifferences(live: KubeObject, desired: KubeObject, fieldManager = FIELD_MANAGER): string[] {
  const owners = new Set<string>();
  for (const entry of live.metadata.managedFields ?? []) {
    if (entry.manager === fieldManager || entry.subresource === "status" || !entry.fieldsV1) continue;
    const root = parseFieldsV1(entry.fieldsV1);
    if (valuesAt(root, live) !== valuesAt(root, desired)) owners.add(entry.manager);
  }
  return [...owners];
}
