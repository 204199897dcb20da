import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readLock, tryLock } from "./lock.ts";
import { identityOf, isAlive } from "./process-identity.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "driftless-lock-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

test("a lock is held by one, tells its note to the other, and is free again after release", async () => {
  const file = path.join(folder, "deep", "lock");
  const first = await tryLock<{ done: number }>(file);
  if (first.kind !== "taken") throw new Error("not taken");
  await first.lock.tell({ done: 3 });
  const second = await tryLock<{ done: number }>(file);
  expect(second).toMatchObject({ kind: "held", by: { holder: { pid: process.pid }, note: { done: 3 } } });
  await first.lock.release();
  expect(await readdir(path.dirname(file))).toEqual([]);
  expect((await tryLock(file)).kind).toBe("taken");
});

test("a lock left by a process that is no more is taken over, with the note it left", async () => {
  const file = path.join(folder, "lock");
  // The pid lives (it is ours), but it began at another time: a reused pid.
  const holder = { pid: process.pid, began: "long ago" };
  await writeFile(file, JSON.stringify({ holder, note: { parts: [1] } }));
  const outcome = await tryLock(file);
  expect(outcome).toMatchObject({ kind: "taken", leftBy: { note: { parts: [1] } } });
  expect((await readLock(file))?.holder).toEqual(identityOf(process.pid));
});

test("half a lock file, as a full disk leaves it, locks nothing", async () => {
  const file = path.join(folder, "lock");
  await writeFile(file, '{"holder":{"pi');
  expect((await tryLock(file)).kind).toBe("taken");
});

test("a process is known by its pid and its beginning together", () => {
  const me = identityOf(process.pid);
  expect(isAlive(me)).toBe(true);
  expect(isAlive({ ...me, began: "another time" })).toBe(false);
  expect(isAlive(identityOf(2 ** 22 + 1))).toBe(false);
});
