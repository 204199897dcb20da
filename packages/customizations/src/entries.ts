// Entries (pure): what argocd-cm says about kinds, `resource.customizations.<what>.<group>_<Kind>` and the older single
// map (contract §6). One bad entry is a problem of its own; the others count.
import { z } from "zod";
import { parse } from "yaml";

const PREFIX = "resource.customizations";

/** One entry: of which kinds it speaks (globs), what it says, and its key for messages. */
export interface Customization {
  group: string;
  kind: string;
  text: string;
  origin: string;
}

/** All entries of one sort, those of the single map first; there it may go by another name. */
export function customizationsOf(
  data: Readonly<Record<string, unknown>>,
  what: string,
  nameInMap = what,
): { entries: Customization[]; problems: string[] } {
  const entries: Customization[] = [];
  const problems: string[] = [];
  const map = data[PREFIX];
  if (typeof map === "string" && map.trim() !== "") {
    const read = readYaml(z.record(z.string(), z.record(z.string(), z.unknown())), map);
    if (read.kind === "invalid") problems.push(`${PREFIX}: ${read.reason}`);
    else {
      for (const [name, values] of Object.entries(read.value)) {
        const value = values[nameInMap];
        if (typeof value !== "string" && typeof value !== "boolean") continue;
        const slash = name.indexOf("/");
        const [group, kind] = slash < 0 ? ["", name] : [name.slice(0, slash), name.slice(slash + 1)];
        entries.push({ group, kind, text: String(value), origin: `${PREFIX}[${name}].${nameInMap}` });
      }
    }
  }
  const keyPrefix = `${PREFIX}.${what}.`;
  for (const [key, text] of Object.entries(data)) {
    if (!key.startsWith(keyPrefix) || typeof text !== "string") continue;
    const name = key.slice(keyPrefix.length);
    const line = name.indexOf("_");
    const [group, kind] =
      name === "all" ? ["*", "*"] : line < 0 ? ["", name] : [name.slice(0, line), name.slice(line + 1)];
    entries.push({ group, kind, text, origin: key });
  }
  return { entries, problems };
}

export function readYaml<T>(
  schema: z.ZodType<T>,
  text: unknown,
  empty: unknown = {},
): { kind: "ok"; value: T } | { kind: "invalid"; reason: string } {
  try {
    const read = schema.safeParse(parse(String(text)) ?? empty);
    if (read.success) return { kind: "ok", value: read.data };
    const issue = read.error.issues[0]!;
    return { kind: "invalid", reason: `${issue.path.join(".")} ${issue.message}`.trim() };
  } catch (error) {
    return { kind: "invalid", reason: (error as Error).message.split("\n")[0]! };
  }
}
