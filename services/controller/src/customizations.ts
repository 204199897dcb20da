// Customizations (pure): what argocd-cm says about kinds, `resource.customizations.<what>.<group>_<Kind>` and the older
// single map (contract §6). One bad entry is a problem of its own; the others count.
import { z } from "zod";
import { parse } from "yaml";
import type { IgnoreRule } from "@driftless/contracts/pipeline/4-diff";

const PREFIX = "resource.customizations";

/** One entry: of which kinds it speaks (globs), what it says, and its key for messages. */
export interface Customization {
  group: string;
  kind: string;
  text: string;
  origin: string;
}

/** All entries of one sort, those of the single map first. */
export function customizationsOf(
  data: Readonly<Record<string, unknown>>,
  what: string,
): { entries: Customization[]; problems: string[] } {
  const entries: Customization[] = [];
  const problems: string[] = [];
  const map = data[PREFIX];
  if (typeof map === "string" && map.trim() !== "") {
    const read = readYaml(z.record(z.string(), z.record(z.string(), z.unknown())), map);
    if (read.kind === "invalid") problems.push(`${PREFIX}: ${read.reason}`);
    else {
      for (const [name, values] of Object.entries(read.value)) {
        const text = values[what];
        if (typeof text !== "string") continue;
        const slash = name.indexOf("/");
        const [group, kind] = slash < 0 ? ["", name] : [name.slice(0, slash), name.slice(slash + 1)];
        entries.push({ group, kind, text, origin: `${PREFIX}[${name}].${what}` });
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

const texts = z.array(z.string()).nullish();
const IgnoreText = z.looseObject({ jsonPointers: texts, jqPathExpressions: texts, managedFieldsManagers: texts });

/** `resource.customizations.ignoreDifferences.…`, and the rules of ClusterRoles that others are gathered into. */
export function systemIgnoreRules(data: Readonly<Record<string, unknown>>): {
  rules: IgnoreRule[];
  problems: string[];
} {
  const { entries, problems } = customizationsOf(data, "ignoreDifferences");
  const rules = entries.flatMap(({ group, kind, text, origin }): IgnoreRule[] => {
    const read = readYaml(IgnoreText, text);
    if (read.kind === "invalid") {
      problems.push(`${origin}: ${read.reason}`);
      return [];
    }
    const { jsonPointers, jqPathExpressions, managedFieldsManagers } = read.value;
    return [
      {
        group,
        kind,
        origin: `argocd-cm ${origin}`,
        jsonPointers: jsonPointers ?? [],
        jqPathExpressions: jqPathExpressions ?? [],
        managedFieldsManagers: managedFieldsManagers ?? [],
      },
    ];
  });
  const compare = readYaml(
    z.looseObject({
      ignoreAggregatedRoles: z.boolean().nullish(),
      ignoreResourceStatusField: z.string().nullish(),
      ignoreDifferencesOnResourceUpdates: z.boolean().nullish(),
    }),
    data[COMPARE_OPTIONS] ?? "",
  );
  if (compare.kind === "invalid") problems.push(`${COMPARE_OPTIONS}: ${compare.reason}`);
  else {
    // `status` is never applied, so it cannot differ; whatever changes nothing of what was applied refreshes nothing.
    const status = compare.value.ignoreResourceStatusField ?? "all";
    if (status !== "all" && status !== "true")
      problems.push(`${COMPARE_OPTIONS}: ignoreResourceStatusField "${status}" is not honoured: status never counts`);
  }
  if (compare.kind === "ok" && compare.value.ignoreAggregatedRoles) {
    rules.push({
      group: "rbac.authorization.k8s.io",
      kind: "ClusterRole",
      origin: `argocd-cm ${COMPARE_OPTIONS}`,
      jsonPointers: [],
      jqPathExpressions: ["select(.aggregationRule != null) | .rules"],
      managedFieldsManagers: [],
    });
  }
  return { rules, problems };
}

const COMPARE_OPTIONS = "resource.compareoptions";

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
