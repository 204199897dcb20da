// Starts what ended by itself again, later each time, and gives up when that happens too often.
import { systemClock, type Clock } from "@driftless/process/clock";
import { PartFailed } from "./part-failed.ts";

export interface Revival {
  /** To be told of each end; one that comes while an attempt goes on belongs to it. */
  ended(failure: PartFailed): void;
  /** Fulfilled when nothing is being started any more. */
  stop(): Promise<void>;
}

const delayMsFirst = 250;
const attemptsMax = 5;
// A part that keeps ending (disk full, data damaged) is told within about ten seconds; one that is killed now and then
// by somebody may be for ever.
const windowMs = 120_000;

export function reviving(options: {
  /** Ends what is left and starts it anew. */
  start(): Promise<void>;
  /** Told before each attempt. */
  onRevival(failure: PartFailed): void;
  onGivenUp(failure: PartFailed): void;
  clock?: Clock;
}): Revival {
  const { clock = systemClock } = options;
  const abort = new AbortController();
  let attempts: number[] = [];
  let pending: PartFailed | undefined;
  let going = false;
  let loop: Promise<void> | undefined;

  async function revive(): Promise<void> {
    going = true;
    while (pending && !abort.signal.aborted) {
      const failure = pending;
      const now = clock.monotonic();
      attempts = attempts.filter((at) => now - at < windowMs);
      if (attempts.length >= attemptsMax) {
        const often = `it was started again ${attemptsMax} times within ${windowMs / 1000} s and is given up`;
        return options.onGivenUp(new PartFailed(failure.part, `${often}. ${failure.reason}`, { cause: failure }));
      }
      options.onRevival(failure);
      await clock.sleep(delayMsFirst * 2 ** attempts.length, abort.signal).catch(() => {});
      if (abort.signal.aborted) return;
      attempts.push(now);
      pending = undefined;
      try {
        await options.start();
      } catch (error) {
        pending = error instanceof PartFailed ? error : new PartFailed(failure.part, (error as Error).message);
      }
    }
    // At once and not when the promise is settled: an end told in between would be nobody's.
    going = false;
  }

  return {
    ended(failure) {
      if (pending) return;
      pending = failure;
      // What comes while start() runs is seen by the loop.
      if (!going) loop = revive();
    },
    async stop() {
      abort.abort();
      await loop;
    },
  };
}
