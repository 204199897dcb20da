// The one source of time and randomness: everything that waits or draws takes a Clock, so that a
// seeded simulation can replace both without touching the code it drives.

export interface Clock {
  /** Wall clock, milliseconds since the epoch; for what people read and what Kubernetes stores. */
  now(): number;
  /** Milliseconds that never go backwards; for leases, deadlines and durations. */
  monotonic(): number;
  /** Calls `fire` once after `delayMs`; the answer cancels it. The timer never keeps the process alive. */
  setTimer(delayMs: number, fire: () => void): () => void;
  /** Uniform in [0, 1). */
  random(): number;
  /** Resolves after `delayMs`, or rejects with the signal's reason. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimer(delayMs, fire) {
    const timer = setTimeout(fire, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
  random: () => Math.random(),
  sleep(delayMs, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error);
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal!.reason as Error);
      };
      // Not unref'ed: somebody awaits this, so the process must live until it is over.
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      }, delayMs);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  },
};

/** "Between `baseMs` and `baseMs + spreadMs`": spreads polls and retries so that they do not march in step. */
export function jittered(clock: Clock, baseMs: number, spreadMs: number): number {
  return baseMs + clock.random() * spreadMs;
}

/**
 * Waits until `check` gives something other than undefined or false; for conditions that have no event of
 * their own. Throws `what` with the deadline when time is up.
 */
export async function waitUntil<T>(
  clock: Clock,
  what: string,
  check: () => T | undefined | false | Promise<T | undefined | false>,
  options: { deadlineMs: number; intervalMs?: number; signal?: AbortSignal },
): Promise<T> {
  const end = clock.monotonic() + options.deadlineMs;
  for (;;) {
    const value = await check();
    if (value !== undefined && value !== false) return value;
    if (clock.monotonic() >= end) throw new Error(`not within ${options.deadlineMs} ms: ${what}`);
    await clock.sleep(options.intervalMs ?? 50, options.signal);
  }
}
