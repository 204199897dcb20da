// Approval (pure): a person's word for what is not deleted without one (`Prune=confirm`, `Delete=confirm`, much at once).
// Argo CD's annotation `argocd.argoproj.io/deletion-approved: <RFC 3339>` on the Application; an approval counts for what
// began no later than it.
import type { Context } from "./context.ts";

export const APPROVED_ANNOTATION = "argocd.argoproj.io/deletion-approved";

const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;

/** `since`: RFC 3339, when the operation or the deletion began. */
export function isApproved({ view: { approvedAt = "" } }: Context, since: string): boolean {
  return RFC3339.test(approvedAt) && Date.parse(approvedAt) >= Date.parse(since);
}
