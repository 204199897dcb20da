// Resource filter (pure): `resource.exclusions` and `resource.inclusions` of argocd-cm (contract §6).
import { z } from "zod";
import type { KindFilter, ResourceFilter } from "@driftless/contracts/pipeline/4-diff";
import { readYaml } from "@driftless/customizations/entries";

const names = z.array(z.string()).nullish();
const Filters = z.array(z.looseObject({ apiGroups: names, kinds: names, clusters: names }));

/** Without a filter when neither says anything. */
export function resourceFilterOf(data: Readonly<Record<string, unknown>>): {
  filter?: ResourceFilter;
  problems: string[];
} {
  const problems: string[] = [];
  const read = (key: string): KindFilter[] => {
    const text = data[key];
    if (typeof text !== "string" || text.trim() === "") return [];
    const list = readYaml(Filters, text, []);
    if (list.kind === "invalid") {
      problems.push(`${key}: ${list.reason}`);
      return [];
    }
    return list.value.map(({ apiGroups, kinds, clusters }) => ({
      apiGroups: apiGroups ?? [],
      kinds: kinds ?? [],
      clusters: clusters ?? [],
    }));
  };
  const exclusions = read("resource.exclusions");
  const inclusions = read("resource.inclusions");
  return { ...(exclusions.length + inclusions.length > 0 && { filter: { exclusions, inclusions } }), problems };
}
