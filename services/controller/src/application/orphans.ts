// Orphans (pure): whether an Application's AppProject wants to hear of objects that belong to no Application, and what is said.
import { failure, type Failure } from "@driftless/contracts/failure";
import type { ObjectKey } from "@driftless/contracts/identity";
import type { Context } from "./context.ts";

/** Without `warn` nothing would be told, so nothing is looked for. */
export const asksForOrphans = ({ view }: Pick<Context, "view">): boolean =>
  view.desired?.project.orphanedResources?.warn === true && Boolean(view.desired.destination.namespace);

const NAMED_MAX = 5;

/** `orphans`: those that the AppProject would let its Applications have. */
export function orphansWarning(orphans: readonly ObjectKey[]): Failure[] {
  if (orphans.length === 0) return [];
  const named = orphans.slice(0, NAMED_MAX).map(({ kind, name }) => `${kind}/${name}`);
  const rest = orphans.length - named.length;
  const list = `${named.join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
  const text = `Application has ${orphans.length} orphaned resource${orphans.length === 1 ? "" : "s"}: ${list}`;
  return [failure("ORPHANED_RESOURCES", text)];
}
