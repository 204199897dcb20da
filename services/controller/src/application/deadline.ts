// Deadlines of what an operation waits for (pure): of the operation as a whole, of a wave, of one object. Each names what it
// waited for. A pause between waves, where the installation asks for one, ends here too.
import { failure } from "@driftless/contracts/failure";
import type { Context, Operation } from "./context.ts";
import { parseBackoffDuration } from "./go-duration.ts";
import { runningState } from "./operation-state.ts";
import { DEGRADED_GRACE_MS, failed, type Next, type Outcome } from "./sync-plan.ts";
import { windowWaitMs } from "./window-wait.ts";

type Wait = Extract<Next, { kind: "wait" }>;

interface Deadline {
  at: number;
  /** All of it ends; otherwise the step has failed, and what follows a failure follows. */
  ends: boolean;
  text: string;
}

/** When the operation has taken too long, all its attempts together; undefined: never. */
export function operationDeadline({ view }: Context, { startedAt }: Pick<Operation, "startedAt">): number | undefined {
  const { syncTimeoutMs } = view.policy;
  return syncTimeoutMs > 0 ? (Date.parse(startedAt) || 0) + syncTimeoutMs : undefined;
}

function deadlinesOf(context: Context, wait: Wait): Deadline[] {
  const operation = context.operation!;
  const { waveTimeoutMs, syncTimeoutMs } = context.view.policy;
  const since = operation.waiting?.since ?? context.now;
  const end = operationDeadline(context, operation);
  return [
    ...(end === undefined ? [] : [{ at: end, ends: true, text: timedOut(syncTimeoutMs, "the sync", wait.message) }]),
    ...(waveTimeoutMs === 0 || wait.approval || wait.window
      ? []
      : [{ at: since + waveTimeoutMs, ends: false, text: timedOut(waveTimeoutMs, "the wave", wait.message) }]),
    ...wait.blockers.flatMap(({ name, healthTimeout = "" }): Deadline[] => {
      const ms = parseBackoffDuration(healthTimeout);
      return ms === undefined ? [] : [{ at: since + ms, ends: false, text: timedOut(ms, name, wait.message) }];
    }),
  ];
}

const timedOut = (ms: number, what: string, message: string): string =>
  `${what} took longer than ${durationText(ms)}: ${message}`;

function durationText(ms: number): string {
  const seconds = Math.round(ms / 1_000);
  const parts = [`${Math.floor(seconds / 3_600)}h`, `${Math.floor(seconds / 60) % 60}m`, `${seconds % 60}s`];
  return parts.filter((part) => !part.startsWith("0")).join("") || `${ms}ms`;
}

/** What has run out; the operation's own end before all others. */
export function overdue(context: Context, at: number): Deadline | undefined {
  const next = context.operation?.next;
  if (next?.kind !== "wait") return undefined;
  return deadlinesOf(context, next)
    .filter((deadline) => deadline.at <= at)
    .toSorted((a, b) => Number(b.ends) - Number(a.ends))[0];
}

/** How long nothing needs to be looked at, at most `usualMs`. */
export function untilDeadline(context: Context, at: number, usualMs: number): number {
  const { next, pausedUntil, waiting } = context.operation!;
  const ends = next?.kind === "wait" ? deadlinesOf(context, next).map((deadline) => deadline.at) : [];
  // Once it is over, the look that is under way finds that out.
  const graceEnd = (waiting?.since ?? at) + DEGRADED_GRACE_MS;
  if (next?.kind === "wait" && graceEnd > at && next.blockers.some(({ mayFlap }) => mayFlap)) ends.push(graceEnd);
  // What only waits for the time is not looked at.
  const looks = next?.kind === "wait" && next.window ? windowWaitMs(next.window.until, at) : usualMs;
  return Math.max(0, Math.min(looks, ...ends.map((end) => end - at), (pausedUntil ?? Infinity) - at));
}

/** Time is up: a step that waits has failed, an operation is ended as if somebody terminated it. */
export function giveUp(context: Context, at: number): Partial<Context> {
  const before = context.operation!;
  const deadline = overdue(context, at)!;
  const outcome: Outcome = failed(deadline.text, [failure("SYNC_TIMEOUT", deadline.text)], !deadline.ends);
  if (!deadline.ends) {
    const hooks = before.hooks.map((hook) =>
      hook.state === "running" ? { ...hook, state: "failed" as const, overdue: true, message: deadline.text } : hook,
    );
    return { operation: { ...before, hooks, failing: before.failing ?? outcome, changes: before.changes + 1 } };
  }
  const operation: Operation = { ...before, terminated: true, timedOut: outcome };
  return {
    operation,
    operationState: runningState(context, operation, "operation is terminating due to timeout"),
  };
}

/** `controller.sync.wave.delay.seconds`, after each step but the last. */
export function pauseAfterStep(context: Context, at: number): number | undefined {
  const { waveDelayMs } = context.view.policy;
  return waveDelayMs > 0 && context.operation!.layout.multiStep ? at + waveDelayMs : undefined;
}

export const isPauseOver = ({ operation }: Context, at: number): boolean =>
  operation?.pausedUntil !== undefined && operation.pausedUntil <= at;
