// Takeover (pure): objects last applied by kubectl, or client-side by Argo CD, become ours. Their fields stand in
// `Update` entries; unless these are moved into our `Apply` entry, what Git removes later stays for ever. Does what
// `kubectl apply --server-side` does (client-go util/csaupgrade), for several managers at once.
import { parseFieldsV1, coversPath, joinPath, leafPaths } from "./fields-v1.ts";
import { FIELD_MANAGER, ownEntry } from "./footprint.ts";
import type { JsonPatchOperation } from "./apply.ts";
import type { KubeObject, ManagedFieldsEntry } from "./resource.ts";

/** Whose entries become ours. */
export interface Takeover {
  /** false: only those that we made ourselves. */
  clientSide?: boolean;
  /** One more than kubectl's. */
  manager?: string;
}

const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";

/**
 * The patch that moves the legacy entries into ours, fenced by resourceVersion; undefined = nothing to take over.
 * Send with `jsonPatch` before the first apply.
 */
export function migrateManagers(object: KubeObject, takeover?: Takeover): JsonPatchOperation[] | undefined {
  const entries = object.metadata.managedFields ?? [];
  const legacy = legacyEntries(object, takeover);
  if (legacy.length === 0) return undefined;
  const own = ownEntry(object);
  // Without an entry of ours the most recent legacy one (they are sorted so) becomes it.
  const target = own ?? legacy[0]!;
  const merged = legacy
    // Paths of another version cannot be carried over; its ownership is dropped, as csaupgrade does.
    .filter((entry) => entry.apiVersion === target.apiVersion)
    .reduce((fields, entry) => mergeFields(fields, entry.fieldsV1 ?? {}), target.fieldsV1 ?? {});
  const taken: ManagedFieldsEntry = { ...target, manager: FIELD_MANAGER, operation: "Apply", fieldsV1: merged };
  const managedFields = entries
    .map((entry) => (entry === target ? taken : entry))
    .filter((entry) => entry === taken || !legacy.includes(entry));
  return [
    { op: "replace", path: "/metadata/managedFields", value: managedFields },
    // "replace", not "test": the API server then answers 409 and not "invalid" when somebody was faster.
    { op: "replace", path: "/metadata/resourceVersion", value: object.metadata.resourceVersion },
  ];
}

/**
 * Leaf paths that only the legacy entries own and that `predicted` (the answer of a dry-run apply) does not set: they
 * go with the first apply after the takeover. Legacy entries also own what the API server defaulted; where the
 * last-applied annotation tells what was really asked for, only that counts.
 */
export function legacyOnlyFields(live: KubeObject, predicted: KubeObject, takeover?: Takeover): string[] {
  const legacy = legacyEntries(live, takeover);
  if (legacy.length === 0) return [];
  const kept = new Set<string>();
  for (const entry of [ownEntry(predicted), ...(live.metadata.managedFields ?? [])]) {
    if (!entry || legacy.includes(entry)) continue;
    if (entry.manager === FIELD_MANAGER && entry !== ownEntry(predicted)) continue;
    for (const path of leafPaths(parseFieldsV1(entry.fieldsV1))) kept.add(path);
  }
  const asked = lastApplied(live);
  const paths = new Set<string>();
  for (const entry of legacy) {
    for (const path of leafPaths(parseFieldsV1(entry.fieldsV1))) {
      // A thing whose members are kept stays: its existence is all that is left to the legacy entry then.
      if (path.includes(LAST_APPLIED) || coversPath(kept, path) || holdsAny(path, kept)) continue;
      if (asked && !hasPath(asked, entry.fieldsV1, path)) continue;
      paths.add(path);
    }
  }
  return [...paths].toSorted();
}

function holdsAny(path: string, kept: ReadonlySet<string>): boolean {
  for (const one of kept) if (one.startsWith(`${path}.`) || one.startsWith(`${path}[`)) return true;
  return false;
}

/** Entries of kubectl's and Argo CD's client-side apply, and of whoever else wrote the last-applied annotation. */
export function legacyEntries(object: KubeObject, { clientSide = true, manager }: Takeover = {}): ManagedFieldsEntry[] {
  const updates = (object.metadata.managedFields ?? []).filter(
    (entry) => entry.operation === "Update" && !entry.subresource,
  );
  const managers = new Set([FIELD_MANAGER]);
  if (clientSide) managers.add("kubectl-client-side-apply");
  if (clientSide && manager !== undefined) managers.add(manager);
  for (const entry of updates) if (clientSide && ownsLastApplied(entry)) managers.add(entry.manager);
  return updates.filter((entry) => managers.has(entry.manager));
}

function ownsLastApplied(entry: ManagedFieldsEntry): boolean {
  const metadata = entry.fieldsV1?.["f:metadata"] as Record<string, unknown> | undefined;
  const annotations = metadata?.["f:annotations"] as Record<string, unknown> | undefined;
  return annotations?.[`f:${LAST_APPLIED}`] !== undefined;
}

type Fields = Record<string, unknown>;

/** The union of two field sets: a tree of names, so merging members is all there is to it. */
function mergeFields(a: Fields, b: Fields): Fields {
  const merged: Fields = { ...a };
  for (const [name, child] of Object.entries(b)) {
    const own = merged[name];
    if (own === undefined) merged[name] = child;
    else if (isEmpty(own) !== isEmpty(child)) {
      // `{}` on one side is the thing itself: `.` keeps that beside the members of the other.
      merged[name] = { ".": {}, ...(isEmpty(own) ? (child as Fields) : (own as Fields)) };
    } else merged[name] = mergeFields(own as Fields, child as Fields);
  }
  return merged;
}

function isEmpty(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

function lastApplied(object: KubeObject): unknown {
  const text = object.metadata.annotations?.[LAST_APPLIED];
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** Whether the leaf path of an entry's fields has a value in the last-applied object. */
function hasPath(asked: unknown, fields: unknown, wanted: string): boolean {
  let found = false;
  const walk = (value: unknown, node: ReturnType<typeof parseFieldsV1>, path: string): void => {
    if (value === undefined || found || !wanted.startsWith(path)) return;
    if (path === wanted) {
      found = true;
      return;
    }
    for (const { name, node: child } of node.members) {
      if (typeof value === "object" && value !== null) {
        walk((value as Fields)[name], child, joinPath(path, name));
      }
    }
    for (const item of node.items?.all ?? []) {
      const live = Array.isArray(value)
        ? value.find((entry) =>
            Object.entries(item.key).every(
              ([name, key]) => (entry as Fields)?.[name] === key || (entry as Fields)?.[name] === undefined,
            ),
          )
        : undefined;
      walk(
        live,
        item.node,
        path +
          `[${Object.entries(item.key)
            .map(([name, key]) => `${name}=${String(key)}`)
            .join(",")}]`,
      );
    }
    for (const text of node.values?.keys() ?? []) {
      const has = Array.isArray(value) && value.some((entry) => JSON.stringify(entry) === text);
      if (has) walk(text, node, `${path}[${text}]`);
    }
  };
  walk(asked, parseFieldsV1(fields), "");
  return found;
}
