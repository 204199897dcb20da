import type { Clock } from "@driftless/process/clock";
import { expect, test, vi } from "vitest";
import { PartFailed } from "./part-failed.ts";
import { reviving } from "./revival.ts";

/** Sleeping takes no time and is only written down. */
function setUp(start: () => Promise<void>) {
  let now = 0;
  const slept: number[] = [];
  const clock = {
    monotonic: () => now,
    async sleep(ms: number) {
      slept.push(ms);
      now += ms;
    },
  } as Partial<Clock> as Clock;
  const onRevival = vi.fn();
  const givenUp: PartFailed[] = [];
  const revival = reviving({ start, onRevival, onGivenUp: (failure) => givenUp.push(failure), clock });
  return { revival, slept, onRevival, givenUp, wait: (ms: number) => (now += ms) };
}
const failure = new PartFailed("x", "ended by SIGKILL. Its log is /x.log");

test("a part that cannot be started is tried later each time, and given up with its log named", async () => {
  const { revival, slept, givenUp } = setUp(() => Promise.reject(failure));
  revival.ended(failure);
  await vi.waitUntil(() => givenUp.length === 1);
  expect(slept).toEqual([250, 500, 1000, 2000, 4000]);
  expect(givenUp[0]!.message).toMatch(/^x: it was started again 5 times .* \/x\.log$/);
});

test("one that ends now and then is started again for ever", async () => {
  const { revival, slept, onRevival, givenUp, wait } = setUp(() => Promise.resolve());
  for (let time = 1; time <= 20; time++) {
    revival.ended(failure);
    await vi.waitUntil(() => slept.length === time);
    await Promise.resolve();
    wait(60_000);
  }
  expect(onRevival).toHaveBeenCalledTimes(20);
  expect(givenUp).toEqual([]);
});

test("an end during the start, and right after it, is another one and not lost", async () => {
  let starts = 0;
  const { revival, onRevival } = setUp(() => {
    if (++starts === 1) revival.ended(failure);
    return Promise.resolve();
  });
  revival.ended(failure);
  await vi.waitUntil(() => starts === 2);
  await revival.stop();
  expect(onRevival).toHaveBeenCalledTimes(2);
});
