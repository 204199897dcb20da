// Duplicates in keyed lists: an environment variable or a port given twice. kubectl takes the last one; a server-side
// apply is refused by the schema. So the last one is kept here, and a warning tells of it. Other keyed lists are left
// alone, because the API server calls their duplicates an error whoever sends them.
import { splitItems, splitMembers } from "./json-text.ts";

const POD_SPEC: Record<string, string[]> = {
  "/Pod": ["spec"],
  "/ReplicationController": ["spec", "template", "spec"],
  "apps/Deployment": ["spec", "template", "spec"],
  "apps/StatefulSet": ["spec", "template", "spec"],
  "apps/DaemonSet": ["spec", "template", "spec"],
  "apps/ReplicaSet": ["spec", "template", "spec"],
  "batch/Job": ["spec", "template", "spec"],
  "batch/CronJob": ["spec", "jobTemplate", "spec", "template", "spec"],
};

/** What makes two items the same; undefined for an item that lacks it, which is nobody's duplicate. */
type KeyOf = (item: Record<string, unknown>) => string | undefined;

const by =
  (member: string): KeyOf =>
  (item) =>
    item[member] === undefined ? undefined : JSON.stringify(item[member]);
const byPort: KeyOf = ({ containerPort, protocol = "TCP" }) =>
  containerPort === undefined ? undefined : JSON.stringify([containerPort, protocol]);

/** `*` is each item. */
const LISTS: { path: string[]; keyOf: KeyOf }[] = [
  { path: ["containers", "*", "env"], keyOf: by("name") },
  { path: ["containers", "*", "ports"], keyOf: byPort },
  { path: ["initContainers", "*", "env"], keyOf: by("name") },
  { path: ["initContainers", "*", "ports"], keyOf: byPort },
  { path: ["imagePullSecrets"], keyOf: by("name") },
  { path: ["hostAliases"], keyOf: by("ip") },
];

export function foldDuplicates(kind: string, group: string, body: string): { body: string; warnings: string[] } {
  const podSpec = POD_SPEC[`${group}/${kind}`];
  const warnings: string[] = [];
  if (!podSpec) return { body, warnings };
  // Looking is done on the parsed value, which is fast; the text is only taken apart where there is something to fold.
  const parsed = JSON.parse(`{${body}}`) as unknown;
  let folded = body;
  for (const { path, keyOf } of LISTS) {
    const whole = [...podSpec, ...path];
    const lists = valuesAt(parsed, whole).filter((list) => Array.isArray(list));
    const repeated = new Set(lists.flatMap((list) => repeatedKeys(list, keyOf)));
    if (repeated.size === 0) continue;
    folded = edit(`{${folded}}`, whole, (list) => keepLast(list, keyOf)).slice(1, -1);
    warnings.push(
      `${whole.join(".").replaceAll(".*", "[]")}: ${[...repeated].join(", ")} given twice, the last one counts`,
    );
  }
  return { body: folded, warnings };
}

function valuesAt(value: unknown, path: string[]): unknown[] {
  const [step, ...rest] = path;
  if (step === undefined) return [value];
  if (step === "*") return Array.isArray(value) ? value.flatMap((item) => valuesAt(item, rest)) : [];
  return typeof value === "object" && value !== null ? valuesAt((value as Record<string, unknown>)[step], rest) : [];
}

function keysOf(items: unknown[], keyOf: KeyOf): (string | undefined)[] {
  return items.map((item) =>
    typeof item === "object" && item !== null ? keyOf(item as Record<string, unknown>) : undefined,
  );
}

function repeatedKeys(list: unknown[], keyOf: KeyOf): string[] {
  const keys = keysOf(list, keyOf);
  return keys.filter((key, index): key is string => key !== undefined && keys.indexOf(key) !== index);
}

function keepLast(list: string, keyOf: KeyOf): string {
  const items = splitItems(list);
  const keys = keysOf(
    items.map((item) => JSON.parse(item) as unknown),
    keyOf,
  );
  return `[${items.filter((_, index) => keys[index] === undefined || keys.lastIndexOf(keys[index]) === index).join(",")}]`;
}

function edit(text: string, path: string[], change: (text: string) => string): string {
  const [step, ...rest] = path;
  if (step === undefined) return text.startsWith("[") ? change(text) : text;
  if (step === "*")
    return text.startsWith("[")
      ? `[${splitItems(text)
          .map((item) => edit(item, rest, change))
          .join(",")}]`
      : text;
  if (!text.startsWith("{")) return text;
  const members = splitMembers(text).map(
    ({ name, quoted, value }) => `${quoted}:${name === step ? edit(value, rest, change) : value}`,
  );
  return `{${members.join(",")}}`;
}
