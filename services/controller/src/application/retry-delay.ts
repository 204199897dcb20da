// Delays (pure): how long to wait before the next attempt of an operation, a heal or a look.
import type { HealPacing } from "./policy.ts";
import type { RetryPolicy } from "./view.ts";

/** min(maxDuration, duration · factor^n), as Argo CD. */
export function retryDelayMs(policy: RetryPolicy, attempt: number): number {
  return Math.min(policy.durationMaxMs, policy.durationMs * policy.factor ** attempt);
}

const AGAIN_BASE_MS = 10_000;
const AGAIN_CAP_MS = 600_000;

/**
 * Between whole operations on the same desired state that failed: doubled each time up to 10 minutes, for ever, since
 * what they failed of may pass without anybody telling (argo-cd#18442). Spread so that apps do not march in step.
 */
export function syncAgainDelayMs(failedSyncs: number, spread: number): number {
  const delayMs = Math.min(AGAIN_CAP_MS, AGAIN_BASE_MS * 2 ** Math.max(0, failedSyncs - 1));
  return Math.round(delayMs * (1 + spread / 4));
}

/** An app that was quiet for so many times the pause begins anew. */
const HEAL_QUIET_FACTOR = 10;

export interface HealHistory {
  attempts: number;
  finishedAt: number;
}

const backoffMs = (attempts: number, { backoffMs: baseMs, factor, capMs }: HealPacing): number =>
  attempts === 0 ? 0 : Math.min(capMs, baseMs * factor ** (attempts - 1));

/** Heals done in a row: forgotten after a quiet time. */
export function healAttempts(heal: HealHistory, now: number, pacing: HealPacing): number {
  const quietMs = Math.max(backoffMs(heal.attempts, pacing), pacing.timeoutMs) * HEAL_QUIET_FACTOR;
  return now - heal.finishedAt > quietMs ? 0 : heal.attempts;
}

/** How long the next heal has to wait: nothing for the first, then the back-off since the last. */
export function healPauseMs(heal: HealHistory, now: number, pacing: HealPacing): number {
  const pauseMs = pacing.backoffMs === 0 ? pacing.timeoutMs : backoffMs(healAttempts(heal, now, pacing), pacing);
  return Math.max(0, heal.finishedAt + pauseMs - now);
}

const LOOK_BASE_MS = 5_000;
const LOOK_CAP_MS = 180_000;

/** After a look that failed: doubled each time up to 3 minutes, spread by `spread` in [0, 1) so that apps do not march in step. */
export function lookAgainDelayMs(attempts: number, spread: number): number {
  const delayMs = Math.min(LOOK_CAP_MS, LOOK_BASE_MS * 2 ** Math.max(0, attempts - 1));
  return Math.round(delayMs * (1 + spread / 2));
}
