// Respect (pure): what is applied of a manifest so that ignored fields stay as they are in the cluster
// (`RespectIgnoreDifferences`, DESIGN §5). By ownership instead of by copying everything: what another manager owns is
// left out and stays its; what we own, what nobody owns, and what is inside a value that is owned as a whole is sent as
// it is in the cluster. Neighbours in the same list are found by their keys and change all the same.
//
// R1  Leaving out a field of which we are the only owner would delete it.
// R2  What is true of the object as it was read is true only as long as it is that: whatever comes of this is fenced.
import { memberOf, removePaths, type FieldPath } from "./field-path.ts";
import { findItem, parseFieldsV1, type FieldNode } from "./fields-v1.ts";
import { ownEntry } from "./footprint.ts";
import { namesOf } from "./predict.ts";
import { legacyEntries, type Takeover } from "./takeover.ts";
import type { KubeObject } from "./resource.ts";

export interface RespectInput {
  /** As it stands in Git; changed in place. */
  desired: unknown;
  live: KubeObject;
  /** Places that are ignored, in each of the two. */
  ignored: { desired: readonly FieldPath[]; live: readonly FieldPath[] };
  /** `replace`: what is not sent goes, whoever owns it. */
  mode: "apply" | "replace";
  takeover?: Takeover;
}

/** Fences and bookkeeping are ours to settle, whatever a rule says. */
const NEVER = new Set(["metadata.name", "metadata.namespace", "metadata.uid", "metadata.resourceVersion"]);
const isRespected = (path: FieldPath): boolean =>
  !["status", "apiVersion", "kind"].includes(String(path[0])) &&
  !NEVER.has(path.slice(0, 2).join(".")) &&
  path[1] !== "managedFields" &&
  path.length > 0;

export function respectIgnored(input: RespectInput): void {
  const { desired, live, ignored, mode } = input;
  const owners = ownersOf(live, input.takeover);
  const absent: FieldPath[] = [];
  for (const path of ignored.desired.filter(isRespected)) {
    if (!counterpart(path, desired, live, owners.all) && !isInNewItem(path, desired, live, owners.all))
      absent.push(path);
  }
  for (const path of ignored.live.filter(isRespected)) {
    const kept = mode === "replace" ? { value: valueAt(live, path), isNeeded: true } : keptOf(path, live, owners);
    const place = counterpart(path, live, desired, owners.all);
    if (!kept) absent.push(...(place ? [place] : []));
    else if (place) replaceAt(desired, place, kept.value);
    else if (kept.isNeeded) putBeside(desired, { path, value: kept.value, live, owners });
  }
  leaveOut(desired, absent);
}

interface Owners {
  ours: FieldNode[];
  others: FieldNode[];
  all: FieldNode[];
}

/** What will be ours with this very apply is ours. */
function ownersOf(live: KubeObject, takeover?: Takeover): Owners {
  const legacy = legacyEntries(live, takeover);
  const own = ownEntry(live);
  const owners: Owners = { ours: [], others: [], all: [] };
  for (const entry of live.metadata.managedFields ?? []) {
    if (!entry.fieldsV1) continue;
    const node = parseFieldsV1(entry.fieldsV1);
    owners.all.push(node);
    (entry === own || legacy.includes(entry) ? owners.ours : owners.others).push(node);
  }
  return owners;
}

/**
 * Of the live value what is sent so that it stays; undefined where others see to that. Needed also where Git does not have
 * it, since it is ours to lose (R1).
 */
function keptOf(path: FieldPath, live: KubeObject, { ours, others }: Owners) {
  const value = valueAt(live, path);
  const own = ours.map((root) => descend(root, path, live)).filter((found) => found !== undefined);
  const foreign = others.map((root) => descend(root, path, live)).filter((found) => found !== undefined);
  const theirs = foreign.filter((found) => found !== "inside");
  if (theirs.length === 0) return { value, isNeeded: own.length > 0 };
  const exclusive = own
    .filter((found) => found !== "inside")
    .map((node) => exclusiveOf(value, node, theirs))
    .find((part) => part !== undefined);
  return exclusive === undefined ? undefined : { value: exclusive, isNeeded: true };
}

/** The node of a path, `inside` where something above it is owned as a whole, undefined where it is not owned. */
function descend(root: FieldNode, path: FieldPath, live: unknown): FieldNode | "inside" | undefined {
  let node = root;
  let value = live;
  for (const step of path) {
    if (node.leaf) return "inside";
    value = memberOf(value, step);
    const next = childOf(node, step, value);
    if (!next) return undefined;
    node = next;
  }
  return node;
}

const SET_MEMBER: FieldNode = parseFieldsV1({});

function childOf(node: FieldNode, step: string | number, value: unknown): FieldNode | undefined {
  if (typeof step === "string") return node.members.find(({ name }) => name === step)?.node;
  const item = node.items && findItem(node.items, value);
  if (item) return item.node;
  if (node.values?.has(JSON.stringify(value))) return SET_MEMBER;
  return node.positions.find(({ index }) => index === step)?.node;
}

/** Of a value what only we own, list items with their keys; undefined where that is nothing. */
function exclusiveOf(value: unknown, own: FieldNode, others: readonly FieldNode[]): unknown {
  if (value === undefined || others.some(({ leaf }) => leaf)) return undefined;
  if (others.length === 0 || own.leaf) return others.length === 0 ? value : undefined;
  const below = (step: string | number, child: unknown) => {
    const node = childOf(own, step, child);
    if (!node) return undefined;
    const theirs = others.map((other) => childOf(other, step, child)).filter((other) => other !== undefined);
    return exclusiveOf(child, node, theirs);
  };
  if (Array.isArray(value)) {
    const kept = value.flatMap((item: unknown, index) => {
      const part = below(index, item);
      if (part === undefined) return [];
      const keys = own.items && findItem(own.items, item)?.key;
      return [isRecord(part) && isRecord(item) ? { ...pick(item, Object.keys(keys ?? {})), ...part } : part];
    });
    return kept.length === 0 ? undefined : kept;
  }
  if (!isRecord(value)) return undefined;
  const kept = Object.entries(value).flatMap(([name, child]) => {
    const part = below(name, child);
    return part === undefined ? [] : [[name, part] as const];
  });
  return kept.length === 0 ? undefined : Object.fromEntries(kept);
}

/** The same place in the other object, list items found by their keys; undefined where it has none. */
function counterpart(path: FieldPath, from: unknown, to: unknown, roots: readonly FieldNode[]): FieldPath | undefined {
  const place: (string | number)[] = [];
  let [here, there] = [from, to];
  let nodes = roots;
  for (const step of path) {
    const child = memberOf(here, step);
    const other = typeof step === "number" ? sameItem(step, here, there, nodes) : step;
    if (other === undefined || memberOf(there, other) === undefined) return undefined;
    place.push(other);
    nodes = nodes.map((node) => childOf(node, step, child)).filter((node) => node !== undefined);
    [here, there] = [child, memberOf(there, other)];
  }
  return place;
}

/** Of a list item that the cluster does not have yet nothing can be respected: it is made as Git has it. */
function isInNewItem(path: FieldPath, desired: unknown, live: unknown, roots: readonly FieldNode[]): boolean {
  return path.some(
    (step, at) =>
      typeof step === "number" &&
      at < path.length - 1 &&
      counterpart(path.slice(0, at), desired, live, roots) !== undefined &&
      counterpart(path.slice(0, at + 1), desired, live, roots) === undefined,
  );
}

function sameItem(index: number, from: unknown, to: unknown, nodes: readonly FieldNode[]): number | undefined {
  if (!Array.isArray(from) || !Array.isArray(to)) return undefined;
  const item = from[index] as unknown;
  const found = (at: number): number | undefined => (at < 0 ? undefined : at);
  const keys = nodes.flatMap(({ items }) => items?.shapes ?? [])[0]?.names;
  if (keys) return found(to.findIndex((other) => hasKeys(other, item, keys)));
  const [names, others] = [namesOf(from), namesOf(to)];
  if (names && others) return found(others.indexOf(names[index]!));
  if (!isRecord(item)) return found(to.findIndex((other) => JSON.stringify(other) === JSON.stringify(item)));
  return index < to.length ? index : undefined;
}

/** A key that has a default may be absent in one of the two. */
const hasKeys = (a: unknown, b: unknown, keys: readonly string[]): boolean =>
  isRecord(a) &&
  isRecord(b) &&
  keys.every((key) => a[key] === b[key] || a[key] === undefined || b[key] === undefined) &&
  keys.some((key) => a[key] !== undefined && a[key] === b[key]);

/** Of an ignored value nothing that Git says counts. */
function replaceAt(desired: unknown, place: FieldPath, value: unknown): void {
  const parent = valueAt(desired, place.slice(0, -1)) as Record<string | number, unknown>;
  parent[place.at(-1)!] = value;
}

interface Kept {
  path: FieldPath;
  value: unknown;
  live: KubeObject;
  owners: Owners;
}

/** Where Git does not have it; but no list item is made for it that Git took away. */
function putBeside(desired: unknown, { path, value, live, owners }: Kept): void {
  let parent = desired;
  for (const [length, step] of path.slice(0, -1).entries()) {
    const here = path.slice(0, length + 1);
    const known = counterpart(here, live, desired, owners.all);
    if (known) parent = valueAt(desired, known);
    else if (typeof step === "number" || !isRecord(parent)) return;
    else parent = parent[step] = typeof path[length + 1] === "number" ? [] : {};
  }
  const last = path.at(-1)!;
  if (Array.isArray(parent)) parent.push(value);
  else if (isRecord(parent)) parent[last] = value;
}

function leaveOut(desired: unknown, paths: readonly FieldPath[]): void {
  const distinct = [...new Map(paths.map((path) => [JSON.stringify(path), path])).values()];
  const isItem = (path: FieldPath): boolean => typeof path.at(-1) === "number";
  // Items last, so that an index means the same until then.
  for (const path of distinct.filter((one) => !isItem(one))) removeMember(desired, path);
  removePaths(desired, distinct.filter(isItem));
}

/** With what becomes empty by that: it would own as a whole what others have in it. */
function removeMember(desired: unknown, path: FieldPath): void {
  removePaths(desired, [path]);
  const above = path.slice(0, -1);
  const value = valueAt(desired, above);
  if (typeof above.at(-1) === "string" && isRecord(value) && Object.keys(value).length === 0) {
    removeMember(desired, above);
  }
}

const valueAt = (object: unknown, path: FieldPath): unknown => path.reduce<unknown>(memberOf, object);

const pick = (item: Record<string, unknown>, names: readonly string[]): Record<string, unknown> =>
  Object.fromEntries(names.filter((name) => item[name] !== undefined).map((name) => [name, item[name]]));

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
