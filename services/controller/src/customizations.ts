// Customizations (pure): what of argocd-cm's words about kinds the controller passes on with each command (contract §6).
import { z } from "zod";
import type { IgnoreRule } from "@driftless/contracts/pipeline/4-diff";
import { customizationsOf, readYaml } from "@driftless/customizations/entries";

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
