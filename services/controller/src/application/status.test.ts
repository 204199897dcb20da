// Merge patches, delays and durations: the small pure rules.
import { expect, test } from "vitest";
import { parseBackoffDuration, parseGoDuration } from "./go-duration.ts";
import { POLICY_USUAL } from "./policy.ts";
import { healPauseMs, lookAgainDelayMs, retryDelayMs } from "./retry-delay.ts";
import { mergeDiff } from "./status.ts";

test.each([
  [{ a: 1 }, { a: 1 }, undefined],
  [{ a: 1, b: 2 }, { a: 1 }, { b: null }],
  [{ a: { x: 1, y: 2 } }, { a: { x: 1, z: 3 } }, { a: { z: 3, y: null } }],
  [{ list: [1, 2] }, { list: [1] }, { list: [1] }],
  [{ list: [{ a: 1 }] }, { list: [{ a: 1 }] }, undefined],
  [undefined, { a: 1 }, { a: 1 }],
  [{ a: 1 }, { a: 1, b: undefined }, undefined],
])("from %j to %j is %j", (live, desired, patch) => {
  expect(mergeDiff(live, desired)).toEqual(patch);
});

test("retries wait as Argo CD's do: duration · factor^n up to the greatest", () => {
  const policy = { limit: 5, durationMs: 5_000, factor: 2, durationMaxMs: 30_000 };
  expect([0, 1, 2, 3, 9].map((attempt) => retryDelayMs(policy, attempt))).toEqual([
    5_000, 10_000, 20_000, 30_000, 30_000,
  ]);
});

test("heals wait 0, 2, 6, 18 … 300 seconds after the last, and begin anew after a quiet time", () => {
  const at = (attempts: number) => healPauseMs({ attempts, finishedAt: 0 }, 0, POLICY_USUAL.heal);
  expect([0, 1, 2, 3, 9].map(at)).toEqual([0, 2_000, 6_000, 18_000, 300_000]);
  expect(healPauseMs({ attempts: 2, finishedAt: 0 }, 5_000, POLICY_USUAL.heal)).toBe(1_000);
  expect(healPauseMs({ attempts: 1, finishedAt: 0 }, 30_000, POLICY_USUAL.heal)).toBe(0);
});

test("looks that fail are repeated after 5 s, doubled up to 3 minutes and spread by half", () => {
  expect([1, 2, 3, 20].map((attempts) => lookAgainDelayMs(attempts, 0))).toEqual([5_000, 10_000, 20_000, 180_000]);
  expect(lookAgainDelayMs(1, 0.999)).toBeLessThan(7_501);
});

test.each([
  ["120s", 120_000],
  ["1h30m", 5_400_000],
  ["500ms", 500],
  ["0", 0],
  ["soon", undefined],
  ["5", undefined],
])("the Go duration %s is %s ms", (text, ms) => {
  expect(parseGoDuration(text)).toBe(ms);
});

test("a bare number in a backoff means seconds", () => {
  expect(parseBackoffDuration("5")).toBe(5_000);
});
