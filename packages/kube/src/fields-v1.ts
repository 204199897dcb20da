// FieldsV1 (pure): managed fields as a tree that objects can be read along. `f:` is a member, `k:` a list item by its
// key members, `v:` a member of a set, `i:` a list item by position, `.` the existence of the thing itself.

export interface FieldNode {
  /** Nothing below: the whole value is meant. */
  readonly leaf: boolean;
  /** `.`: that the thing is there counts, whatever is in it. */
  readonly existence: boolean;
  readonly members: readonly { name: string; node: FieldNode }[];
  readonly items: KeyedItems | undefined;
  /** Set members: canonical text of the value → position among them. */
  readonly values: ReadonlyMap<string, number> | undefined;
  readonly positions: readonly { index: number; node: FieldNode }[];
}

export interface KeyedItems {
  /** Sets of key names in use; one in practice. */
  readonly shapes: readonly { names: readonly string[]; byKey: ReadonlyMap<string, KeyedItem> }[];
  readonly count: number;
  readonly all: readonly KeyedItem[];
}

export interface KeyedItem {
  readonly position: number;
  readonly key: Readonly<Record<string, unknown>>;
  readonly node: FieldNode;
}

const WHOLE: FieldNode = {
  leaf: true,
  existence: false,
  members: [],
  items: undefined,
  values: undefined,
  positions: [],
};

export function parseFieldsV1(fields: unknown): FieldNode {
  if (typeof fields !== "object" || fields === null) return WHOLE;
  const names = Object.keys(fields);
  if (names.length === 0) return WHOLE;
  names.sort();
  let existence = false;
  const members: { name: string; node: FieldNode }[] = [];
  const items: KeyedItem[] = [];
  const values = new Map<string, number>();
  const positions: { index: number; node: FieldNode }[] = [];
  for (const name of names) {
    const child = (fields as Record<string, unknown>)[name];
    const rest = name.slice(2);
    if (name === ".") existence = true;
    else if (name.startsWith("f:")) members.push({ name: rest, node: parseFieldsV1(child) });
    else if (name.startsWith("k:")) {
      items.push({
        position: items.length,
        key: JSON.parse(rest) as Record<string, unknown>,
        node: parseFieldsV1(child),
      });
    } else if (name.startsWith("v:")) values.set(JSON.stringify(JSON.parse(rest)), values.size);
    else if (name.startsWith("i:")) positions.push({ index: Number(rest), node: parseFieldsV1(child) });
  }
  return {
    leaf: members.length + items.length + values.size + positions.length === 0 && !existence,
    existence,
    members,
    items: items.length === 0 ? undefined : keyedItems(items),
    values: values.size === 0 ? undefined : values,
    positions,
  };
}

function keyedItems(all: KeyedItem[]): KeyedItems {
  const shapes = new Map<string, { names: string[]; byKey: Map<string, KeyedItem> }>();
  for (const item of all) {
    const names = Object.keys(item.key).toSorted();
    const shapeName = JSON.stringify(names);
    let shape = shapes.get(shapeName);
    if (!shape) shapes.set(shapeName, (shape = { names, byKey: new Map() }));
    shape.byKey.set(itemKey(item.key, names), item);
  }
  return { shapes: [...shapes.values()], count: all.length, all };
}

function itemKey(item: Readonly<Record<string, unknown>>, names: readonly string[]): string {
  // The common case is one string (`name`); the prefix keeps "1" and 1 apart.
  if (names.length === 1) {
    const value = item[names[0]!];
    return typeof value === "string" ? `"${value}` : String(JSON.stringify(value));
  }
  return JSON.stringify(names.map((name) => item[name] ?? null));
}

/** The footprint's item that a live item is. */
export function findItem(items: KeyedItems, live: unknown): KeyedItem | undefined {
  if (typeof live !== "object" || live === null) return undefined;
  const record = live as Record<string, unknown>;
  for (const { names, byKey } of items.shapes) {
    const found = byKey.get(itemKey(record, names));
    if (found) return found;
    // A key member with a default in the schema may be absent in the object: the other members decide.
    if (names.some((name) => record[name] === undefined) && names.some((name) => record[name] !== undefined)) {
      for (const candidate of byKey.values()) {
        if (names.every((name) => record[name] === undefined || record[name] === candidate.key[name])) return candidate;
      }
    }
  }
  return undefined;
}

/** Leaf paths as text, each with whether it is there in the given node; for comparing two owners. */
export function leafPaths(node: FieldNode, prefix = ""): string[] {
  const paths: string[] = [];
  const isLeaf = node.leaf || (node.existence && node.members.length === 0 && !node.items && !node.values);
  if (isLeaf) return prefix === "" ? [] : [prefix];
  for (const member of node.members) paths.push(...leafPaths(member.node, joinPath(prefix, member.name)));
  for (const item of node.items?.all ?? []) paths.push(...leafPaths(item.node, `${prefix}${keyText(item.key)}`));
  for (const value of node.values?.keys() ?? []) paths.push(`${prefix}[${value}]`);
  for (const { index, node: child } of node.positions) paths.push(...leafPaths(child, `${prefix}[${index}]`));
  return paths;
}

export function keyText(key: Readonly<Record<string, unknown>>): string {
  const parts = Object.entries(key).map(([name, value]) => `${name}=${String(value)}`);
  return `[${parts.join(",")}]`;
}

/** `spec.replicas`, `metadata.annotations["a.b/c"]`. */
export function joinPath(prefix: string, name: string): string {
  if (!/^[\w-]+$/.test(name)) return `${prefix}[${JSON.stringify(name)}]`;
  return prefix === "" ? name : `${prefix}.${name}`;
}

/** Whether the node covers the whole path that `leafPaths` gave for another owner: itself or something above it. */
export function coversPath(paths: ReadonlySet<string>, path: string): boolean {
  if (paths.has(path)) return true;
  for (let at = path.length - 1; at > 0; at--) {
    const char = path[at];
    if ((char === "." || char === "[") && paths.has(path.slice(0, at))) return true;
  }
  return false;
}
