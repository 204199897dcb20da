// Delays (pure): how long to wait before the next attempt of an operation, a heal or a look.
import type { RetryPolicy } from "./view.ts";

/** min(maxDuration, duration · factor^n), as Argo CD. */
export function retryDelayMs(policy: RetryPolicy, attempt: number): number {
  return Math.min(policy.durationMaxMs, policy.durationMs * policy.factor ** attempt);
}

const HEAL_BASE_MS = 2_000;
const HEAL_FACTOR = 3;
const HEAL_CAP_MS = 300_000;
/** An app that was quiet for so many times the pause begins anew. */
const HEAL_QUIET_FACTOR = 10;

export interface HealHistory {
  attempts: number;
  finishedAt: number;
}

/** Heals done in a row: forgotten after a quiet time. */
export function healAttempts(heal: HealHistory, now: number): number {
  if (heal.attempts === 0) return 0;
  const quietMs = Math.min(HEAL_CAP_MS, HEAL_BASE_MS * HEAL_FACTOR ** (heal.attempts - 1)) * HEAL_QUIET_FACTOR;
  return now - heal.finishedAt > quietMs ? 0 : heal.attempts;
}

/** How long the next heal has to wait: nothing for the first, then 2 s · 3^n up to 5 minutes since the last. */
export function healPauseMs(heal: HealHistory, now: number): number {
  const attempts = healAttempts(heal, now);
  if (attempts === 0) return 0;
  const pauseMs = Math.min(HEAL_CAP_MS, HEAL_BASE_MS * HEAL_FACTOR ** (attempts - 1));
  return Math.max(0, heal.finishedAt + pauseMs - now);
}

const LOOK_BASE_MS = 5_000;
const LOOK_CAP_MS = 180_000;

/** After a look that failed: doubled each time up to 3 minutes, spread by `spread` in [0, 1) so that apps do not march in step. */
export function lookAgainDelayMs(attempts: number, spread: number): number {
  const delayMs = Math.min(LOOK_CAP_MS, LOOK_BASE_MS * 2 ** Math.max(0, attempts - 1));
  return Math.round(delayMs * (1 + spread / 2));
}
