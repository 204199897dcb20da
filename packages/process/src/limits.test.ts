// Bounded parallelism.
import { expect, test } from "vitest";
import { createKeyedLimit, createLimit } from "./limits.ts";

test("no more than so many run at a time, in order of arrival, and a failure frees its place", async () => {
  const limit = createLimit(2);
  const begun: number[] = [];
  let highest = 0;
  const work = (n: number) =>
    limit(async () => {
      begun.push(n);
      highest = Math.max(highest, limit.running);
      await Promise.resolve();
      if (n === 1) throw new Error("no");
      return n;
    });
  const results = await Promise.allSettled([0, 1, 2, 3, 4].map(work));
  expect(results.map((result) => result.status)).toEqual([
    "fulfilled",
    "rejected",
    "fulfilled",
    "fulfilled",
    "fulfilled",
  ]);
  expect(begun).toEqual([0, 1, 2, 3, 4]);
  expect(highest).toBe(2);
  expect(limit.running).toBe(0);
});

test("one key that is full does not hold up another", async () => {
  const limit = createKeyedLimit(1);
  let release: () => void = () => undefined;
  const held = limit("a", () => new Promise<void>((resolve) => (release = resolve)));
  const waiting = limit("a", async () => "a");
  expect(await limit("b", async () => "b")).toBe("b");
  release();
  await held;
  expect(await waiting).toBe("a");
});
