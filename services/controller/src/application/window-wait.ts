// What waits for a sync window (pure): a sync that is due, an operation that was asked for, or the next step of one that
// runs. Each says what it waits for and until when, and goes on by itself.
import { FAILURE_CODES, failure, failureText } from "@driftless/contracts/failure";
import type { Context, Decision, OperationRequest } from "./context.ts";
import { seconds } from "./look.ts";
import { resumedOperation, terminatedState, WINDOW_MESSAGE } from "./operation-record.ts";
import { closedFor, type Closed, type SyncQuestion } from "./sync-windows.ts";
import type { AppView } from "./view.ts";

export const WINDOW_CONDITION = FAILURE_CODES.SYNC_WINDOW.condition;

/** Looked at the clock again at least so often: it may be set, and zones change their offsets. */
const WAIT_MAX_MS = 3_600_000;

export const closedWindow = ({ view }: Context, at: number, question: SyncQuestion): Closed | undefined =>
  view.desired && closedFor(view.desired.windows, at, question);

export function windowMessage({ why, until }: Closed): string {
  return `${WINDOW_MESSAGE}: ${why}${until === undefined ? "" : `, until ${seconds(until)}`}`;
}

export const windowWaitMs = (until: number | undefined, at: number): number =>
  Math.max(0, Math.min(WAIT_MAX_MS, (until ?? Infinity) - at));

export function waitForWindow(closed: Closed, now: number): Decision {
  const message = failureText(failure("SYNC_WINDOW", windowMessage(closed)));
  return {
    kind: "pause",
    delayMs: windowWaitMs(closed.until, now),
    condition: { type: WINDOW_CONDITION, message },
    window: closed,
  };
}

/** Whether what was asked for has to wait: begun earlier, it may run over; asked to end, it may. */
export function closedForRequest(context: Context, { automated, resumed }: OperationRequest, at: number) {
  if (resumed?.terminated) return undefined;
  const startedAt = resumed && !resumed.waited ? Date.parse(resumed.startedAt) : NaN;
  return closedWindow(context, at, { isManual: !automated, ...(!Number.isNaN(startedAt) && { startedAt }) });
}

/** An operation that waits stands in the Application as running, so that it outlives us and can be terminated. */
export function heldRequest(context: Context, closed: Closed, at: number): Partial<Context> {
  const request = context.request!;
  const held: OperationRequest = request.resumed
    ? request
    : { ...request, resumed: { id: "", startedAt: seconds(at), retryCount: 0, waited: true } };
  const before = request.resumed && context.operationState?.phase === "Running" ? context.operationState : undefined;
  return {
    request: held,
    lookedFor: held,
    operationState: {
      ...(before ?? { operation: request.field, startedAt: seconds(at) }),
      phase: "Running",
      message: windowMessage(closed),
    },
  };
}

/** Somebody ended the operation while it waited: at once, unless hooks of it have to be let go of. */
export function endHeld(context: Context, view: AppView, at: number): Partial<Context> | undefined {
  const state = view.status.operationState;
  if (!context.request?.resumed || context.operation || state?.phase !== "Terminating") return undefined;
  const ending = resumedOperation(view);
  if (ending) return { request: ending };
  return { request: undefined, refused: true, operationState: terminatedState(state, at) };
}
