// What an automated sync waits for (pure): the next try on a desired state that could not be brought about, or the end of
// the pin that a rollback left.
import type { OperationState } from "@driftless/contracts/application";
import { FAILURE_CODES, failure, failureText } from "@driftless/contracts/failure";
import { fnv1a32 } from "@driftless/contracts/subject";
import type { Context, Decision } from "./context.ts";
import { INFO, TERMINATED_MESSAGE, infoOf } from "./operation-record.ts";
import type { AppPolicy } from "./policy.ts";
import { revisionText, type Render } from "./render.ts";
import { syncAgainDelayMs } from "./retry-delay.ts";

export const PINNED_CONDITION = FAILURE_CODES.SYNC_PINNED.condition;

/** Timers end at 24 days; whoever waits longer looks at the clock in between. */
const PAUSE_MAX_MS = 86_400_000;

export function pinned({ pinnedUntil }: AppPolicy, now: number): Decision | undefined {
  if (pinnedUntil === undefined || pinnedUntil <= now) return undefined;
  const until = new Date(pinnedUntil).toISOString();
  const message = failureText(failure("SYNC_PINNED", `nothing is synced by itself until ${until}`));
  return {
    kind: "pause",
    delayMs: Math.min(PAUSE_MAX_MS, pinnedUntil - now),
    condition: { type: PINNED_CONDITION, message },
  };
}

/** Syncs in a row on the same desired state that failed, the last one included. */
export const failedSyncs = (state: OperationState | undefined): number =>
  (Number(infoOf(state?.operation, INFO.again)) || 0) + 1;

/**
 * After a sync of this very desired state failed: undefined when it is time for another. Never, where the Application says
 * how often to retry (`limit: 0` is not at all), or where somebody ended it: as in Argo CD, until there is something new.
 */
export function afterFailure(context: Context, render: Render, now: number): Decision | undefined {
  const { operationState: state, view } = context;
  const condition = { type: "SyncError", message: failedMessage(context, render) };
  const policy = view.desired?.retry;
  const isFinal = (policy !== undefined && (policy.limit ?? 0) >= 0) || state?.message === TERMINATED_MESSAGE;
  if (isFinal) return { kind: "refuse", condition };
  const spread = (fnv1a32(view.ref.uid) % 1000) / 1000;
  const since = Date.parse(state?.finishedAt ?? "") || 0;
  const delayMs = since + syncAgainDelayMs(failedSyncs(state), spread) - now;
  return delayMs > 0 ? { kind: "pause", delayMs, condition } : undefined;
}

function failedMessage({ syncCondition, operationState }: Context, render: Render): string {
  const before = syncCondition?.message ?? `[APPLY_FAILED] ${operationState?.message ?? ""}`;
  return before.includes("Failed last sync attempt")
    ? before
    : before.replace(/^(\[[A-Z_]+\] )?/, `$1Failed last sync attempt to ${revisionText(render)}: `);
}
