// Confirmation of prunes (pure): which deletions of a sync wait until a person approves of them: those that ask for it
// (`Prune=confirm`), and all of them when they are suspiciously many. A wrong path, a renamed prefix or a values file that
// was not read look like an honest wish to delete; the cluster does not give back what is gone.
import { consentTo } from "@driftless/manifests/consent";
import { keyText } from "@driftless/manifests/resource-key";
import { isApproved } from "./approval.ts";
import type { Context, ObjectState, Operation } from "./context.ts";
import { belongsToOwner, isWipe } from "./decision.ts";
import { isSelective, pruned } from "./sync-plan.ts";

/** More than so many at once want an approval, */
const PRUNES_MAX = 20;
/**
 * and more than half of what the app has in the cluster, but not so few: an app of three objects changes half of itself in an
 * ordinary commit, and people see at a glance what goes.
 */
const FEW = 3;

/**
 * How much the operation would prune when that wants an approval, for people; undefined otherwise. Objects that go by an
 * explicit `Prune=true`, their own or the app's (or operation's), are not counted: that is how an app says that it means it.
 * Neither are those that somebody named one by one, nor a wipe that `allowEmpty` allows.
 */
export function massPrune(
  context: Context,
  operation: Pick<Operation, "field" | "prune" | "options" | "automated">,
): string | undefined {
  const goes = pruned(operation, context.objects);
  const counted = goes.filter((object) => consentTo("prune", object.consents, operation.options.consents) !== "yes");
  const live = context.objects.filter(
    (object) => object.live !== undefined && !object.unlisted && !belongsToOwner(object),
  );
  const isHalf = counted.length > FEW && counted.length * 2 > live.length;
  if (counted.length <= PRUNES_MAX && !isHalf) return undefined;
  if (isSelective(operation) && !operation.automated) return undefined;
  if (isWipe(context.objects) && operation.automated && context.view.desired?.automated?.allowEmpty) return undefined;
  return (
    `${counted.length} of the app's ${live.length} objects would be deleted; ` +
    "approve of it by the annotation argocd.argoproj.io/deletion-approved, or set the sync option Prune=true"
  );
}

/** Those of a step that wait for an approval. */
export function unapprovedPrunes(context: Context, prunes: readonly ObjectState[]): readonly ObjectState[] {
  if (prunes.length === 0) return [];
  const operation = context.operation!;
  const asked = operation.massPrune
    ? pruned(operation, context.objects).toSorted((a, b) => (keyText(a.key) < keyText(b.key) ? -1 : 1))
    : prunes.filter((object) => consentTo("prune", object.consents, operation.options.consents) === "confirm");
  return asked.length > 0 && isApproved(context, operation.startedAt) ? [] : asked;
}
