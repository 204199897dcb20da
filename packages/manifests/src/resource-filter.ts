// Resource filter (pure): which kinds are left alone altogether: those that only the machinery of a cluster writes, and what
// `resource.exclusions` and `resource.inclusions` say (contract §6). Groups and clusters are globs; a kind is a name or `*`.
import type { KindFilter, ResourceFilter } from "@driftless/contracts/pipeline/4-diff";
import { matchesGlob } from "./glob.ts";
import type { ResourceKey } from "./resource-key.ts";

const ALWAYS: readonly KindFilter[] = [
  { apiGroups: ["events.k8s.io", "metrics.k8s.io"], kinds: [], clusters: [] },
  { apiGroups: [""], kinds: ["Event"], clusters: [] },
  { apiGroups: ["coordination.k8s.io"], kinds: ["Lease"], clusters: [] },
];

/** `server`: of the destination's cluster, as cluster Secrets name it. An exclusion counts before an inclusion. */
export function isExcluded(
  key: Pick<ResourceKey, "group" | "kind">,
  server: string,
  filter: ResourceFilter | undefined,
): boolean {
  const named = (rule: KindFilter) => concerns(rule, key, server);
  if (ALWAYS.some(named) || filter?.exclusions.some(named)) return true;
  return filter !== undefined && filter.inclusions.length > 0 && !filter.inclusions.some(named);
}

const concerns = (
  { apiGroups, kinds, clusters }: KindFilter,
  { group, kind }: Pick<ResourceKey, "group" | "kind">,
  server: string,
): boolean =>
  any(apiGroups, (pattern) => matchesGlob(pattern, group)) &&
  any(kinds, (name) => name === "*" || name === kind) &&
  any(clusters, (pattern) => matchesGlob(pattern, server));

const any = (list: readonly string[], matches: (item: string) => boolean): boolean =>
  list.length === 0 || list.some(matches);
