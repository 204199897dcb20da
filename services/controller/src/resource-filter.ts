// Resource filter (pure): `resource.exclusions` and `resource.inclusions` of argocd-cm (contract §6).
import { z } from "zod";
import { failure, type Failure } from "@driftless/contracts/failure";
import type { KindFilter, ResourceFilter } from "@driftless/contracts/pipeline/4-diff";
import { readYaml } from "@driftless/customizations/entries";

const names = z.array(z.string()).nullish();
const Filters = z.array(z.looseObject({ apiGroups: names, kinds: names, clusters: names }));

/** Without a filter when neither says anything. */
export function resourceFilterOf(data: Readonly<Record<string, unknown>>): {
  filter?: ResourceFilter;
  /** What cannot be read: whoever excludes kinds must not have them applied. */
  refused: Failure[];
} {
  const refused: Failure[] = [];
  const read = (key: string): KindFilter[] => {
    const text = data[key];
    if (typeof text !== "string" || text.trim() === "") return [];
    const list = readYaml(Filters, text, []);
    if (list.kind === "invalid") {
      refused.push(failure("SPEC_INVALID", `${key} of argocd-cm: ${list.reason}`, { path: `data[${key}]` }));
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
  return { ...(exclusions.length + inclusions.length > 0 && { filter: { exclusions, inclusions } }), refused };
}
