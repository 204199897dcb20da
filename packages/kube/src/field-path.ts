// Field paths (pure): places in one object as member names and item indexes, and what is left of the object, and of
// managed fields, without them. What ignoreDifferences leaves out of a comparison (DESIGN §5, contract §6).
import { findItem, parseFieldsV1, type FieldNode } from "./fields-v1.ts";
import type { KubeObject, ManagedFieldsEntry } from "./resource.ts";

export type FieldPath = readonly (string | number)[];

type Fields = Record<string, unknown>;

/** Where an RFC 6901 pointer leads in this object; undefined where it leads nowhere, or to the whole. */
export function pathOfPointer(pointer: string, object: unknown): FieldPath | undefined {
  if (!pointer.startsWith("/")) return undefined;
  const path: (string | number)[] = [];
  let value = object;
  for (const token of pointer.slice(1).split("/")) {
    const name = token.replaceAll("~1", "/").replaceAll("~0", "~");
    const step = Array.isArray(value) && /^(0|[1-9]\d*)$/.test(name) ? Number(name) : name;
    value = memberOf(value, step);
    if (value === undefined) return undefined;
    path.push(step);
  }
  return path;
}

/** Where in this object the fields are that these managers own in `live`. */
export function pathsOfManagers(managers: readonly string[], live: KubeObject, object: unknown): FieldPath[] {
  const entries = live.metadata.managedFields ?? [];
  return entries
    .filter(({ manager, fieldsV1 }) => managers.includes(manager) && fieldsV1)
    .flatMap(({ fieldsV1 }) => pathsOfFields(parseFieldsV1(fieldsV1), object, []));
}

function pathsOfFields(node: FieldNode, value: unknown, at: FieldPath): FieldPath[] {
  if (value === undefined) return [];
  if (node.leaf) return at.length > 0 ? [at] : [];
  const list = Array.isArray(value) ? (value as unknown[]) : [];
  return [
    ...node.members.flatMap(({ name, node: child }) => pathsOfFields(child, memberOf(value, name), [...at, name])),
    ...list.flatMap((item, index) => {
      const found = node.items && findItem(node.items, item);
      return found ? pathsOfFields(found.node, item, [...at, index]) : [];
    }),
    ...list.flatMap((item, index) => (node.values?.has(JSON.stringify(item)) ? [[...at, index]] : [])),
    ...node.positions.flatMap(({ index, node: child }) => pathsOfFields(child, list[index], [...at, index])),
  ];
}

/** The object without these, which are all of it as it is: no removal moves what another path means. */
export function withoutPaths<T>(object: T, paths: readonly FieldPath[]): T {
  if (paths.length === 0) return object;
  const copy = structuredClone(object);
  removePaths(copy, paths);
  return copy;
}

/** The same, in place. */
export function removePaths(object: unknown, paths: readonly FieldPath[]): void {
  // From the end of each list, so that an index means the same until it is its turn.
  for (const path of paths.toSorted(backwards)) {
    const parent = path.slice(0, -1).reduce<unknown>(memberOf, object);
    const last = path.at(-1);
    if (Array.isArray(parent) && typeof last === "number") parent.splice(last, 1);
    else if (typeof parent === "object" && parent !== null) delete (parent as Fields)[last!];
  }
}

function backwards(a: FieldPath, b: FieldPath): number {
  for (let at = 0; at < Math.min(a.length, b.length); at++) {
    const [x, y] = [a[at]!, b[at]!];
    if (x === y) continue;
    return typeof x === "number" && typeof y === "number" ? y - x : String(x) < String(y) ? 1 : -1;
  }
  return b.length - a.length;
}

/** Ownership without that of these places of `object`. A value that is owned as a whole cannot be divided, and stays. */
export function fieldsWithout(fields: Fields, paths: readonly FieldPath[], object: unknown): Fields {
  let left: Fields | undefined = fields;
  for (const path of paths) left &&= subtract(left, path, object);
  // Empty fields would mean the whole object; of this one only its existence is left.
  return left ?? { ".": {} };
}

function subtract(fields: Fields, path: FieldPath, value: unknown): Fields | undefined {
  const [step, ...rest] = path;
  if (step === undefined) return undefined;
  const name = typeof step === "string" ? `f:${step}` : itemName(fields, memberOf(value, step), step);
  const child = name === undefined ? undefined : (fields[name] as Fields | undefined);
  if (name === undefined || child === undefined) return fields;
  if (rest.length > 0 && Object.keys(child).length === 0) return fields;
  const below = subtract(child, rest, memberOf(value, step));
  if (below === child) return fields;
  const { [name]: _taken, ...others } = fields;
  const left = below ? { ...fields, [name]: below } : others;
  return Object.keys(left).length === 0 ? undefined : left;
}

function itemName(fields: Fields, item: unknown, index: number): string | undefined {
  for (const name of Object.keys(fields)) {
    if (name === `i:${index}`) return name;
    if (name.startsWith("v:") && sameJson(name.slice(2), item)) return name;
    if (!name.startsWith("k:")) continue;
    const { items } = parseFieldsV1({ [name]: {} });
    if (items && findItem(items, item)) return name;
  }
  return undefined;
}

const sameJson = (text: string, value: unknown): boolean => JSON.stringify(JSON.parse(text)) === JSON.stringify(value);

/** The object with the fields of its managers cut down likewise. */
export function withoutOwnership(object: KubeObject, paths: readonly FieldPath[]): KubeObject {
  const { managedFields } = object.metadata;
  if (!managedFields || paths.length === 0) return object;
  const cut = managedFields.map((entry): ManagedFieldsEntry =>
    entry.fieldsV1 ? { ...entry, fieldsV1: fieldsWithout(entry.fieldsV1, paths, object) } : entry,
  );
  return { ...object, metadata: { ...object.metadata, managedFields: cut } };
}

export function memberOf(value: unknown, step: string | number): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  if (Array.isArray(value)) return typeof step === "number" ? (value[step] as unknown) : undefined;
  return typeof step === "string" && Object.hasOwn(value, step) ? (value as Fields)[step] : undefined;
}
