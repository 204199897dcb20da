// What an Application may say that it depends on, and when such a one is ready.
import { expect, test } from "vitest";
import type { Application } from "@driftless/contracts/application";
import type { Context } from "./context.ts";
import { cycleThrough, dependsOn, ownState, toldState, waitForOthers } from "./depends-on.ts";

const ANNOTATION = "driftless.io/depends-on";
const read = (text: string) => dependsOn({ [ANNOTATION]: text }, "argocd");

test.each([
  ["db", ["argocd/db"]],
  [" db , team-a/cache,db ", ["argocd/db", "team-a/cache"]],
  ["", []],
])("%j names %j", (text, names) => {
  expect(read(text)).toEqual({ names, wrong: [] });
});

test.each(["db,", "db cache", "a/b/c", "Db", "/db", "argocd/", Array.from({ length: 101 }, (_, n) => `a${n}`).join()])(
  "%j is refused as a whole, with the path of the annotation",
  (text) => {
    const { names, wrong } = read(text);
    expect(names).toEqual([]);
    expect(wrong).toMatchObject([{ code: "SPEC_INVALID", path: `metadata.annotations[${ANNOTATION}]` }]);
  },
);

test("an Application without the annotation depends on nothing", () => {
  expect(dependsOn({}, "argocd").names).toEqual([]);
  expect(waitForOthers(undefined)).toBeUndefined();
});

const object = { key: { kind: "Deployment", name: "db" }, live: {}, health: { status: "Healthy" } };
const actor = (over: Record<string, unknown> = {}) =>
  ({
    view: { ref: { namespace: "argocd", name: "db" }, desired: {} },
    verdict: "Synced",
    verdictPending: false,
    objects: [object],
    decision: { kind: "none" },
    ...over,
  }) as unknown as Context;

test.each<[string, Record<string, unknown>, string | undefined]>([
  ["is in sync and healthy", {}, undefined],
  ["differs", { verdict: "OutOfSync" }, "OutOfSync, Healthy"],
  ["is not healthy yet", { objects: [{ ...object, health: { status: "Progressing" } }] }, "Synced, Progressing"],
  ["was never compared", { verdict: "Unknown", objects: [] }, "Unknown, Healthy"],
  ["runs its last hooks", { operation: {} }, "Synced, Healthy, syncing"],
  ["has been asked to sync", { request: {} }, "Synced, Healthy, syncing"],
  ["has heard of a commit that it has not looked at", { wish: {} }, "Synced, Healthy, being compared"],
  ["cannot reach its Git server", { failed: {} }, "Synced, Healthy, being compared"],
  [
    "has an object whose status is of its earlier spec",
    { objects: [{ ...object, health: { status: "Healthy", stale: true } }] },
    "Synced, Healthy, being compared",
  ],
  ["is refused", { view: { ref: {} } }, "refused"],
  ["is being deleted", { view: { ref: {}, deletion: {} } }, "being deleted"],
])("of this replica, one that %s", (_what, over, state) => {
  expect(ownState(actor(over), false)).toBe(state);
});

test("of this replica, one that is at work is not ready whatever it was before", () => {
  expect(ownState(actor(), true)).toBe("Synced, Healthy, being compared");
});

const source = { repoURL: "https://git.example.com/db", targetRevision: "v2" };
const ready = { sync: { status: "Synced", comparedTo: { source } }, health: { status: "Healthy" } };
const toldOf = (status: Record<string, unknown>, over: Record<string, unknown> = {}) =>
  toldState({ metadata: {}, spec: { source }, status, ...over } as unknown as Application);

test.each<[string, Record<string, unknown>, string | undefined]>([
  ["is in sync and healthy", ready, undefined],
  ["says nothing of itself", {}, "Unknown, Unknown"],
  ["differs", { ...ready, sync: { ...ready.sync, status: "OutOfSync" } }, "OutOfSync, Healthy"],
  ["runs its last hooks", { ...ready, operationState: { phase: "Running" } }, "Synced, Healthy, syncing"],
  [
    "was compared to an earlier spec",
    { ...ready, sync: { status: "Synced", comparedTo: { source: { ...source, targetRevision: "v1" } } } },
    "Synced, Healthy, being compared",
  ],
  ["is refused", { ...ready, conditions: [{ type: "InvalidSpecError", message: "" }] }, "refused"],
])("of another replica, one that %s", (_what, status, state) => {
  expect(toldOf(status)).toBe(state);
});

test("of another replica, one that has been asked to sync or is being deleted is not ready", () => {
  expect(toldOf(ready, { operation: { sync: {} } })).toBe("Synced, Healthy, syncing");
  expect(toldOf(ready, { metadata: { deletionTimestamp: "2026-01-01T00:00:00Z" } })).toBe("being deleted");
});

test("many blockers are counted, not all told", () => {
  const blockers = Array.from({ length: 7 }, (_, n) => `argocd/a${n} (not there)`);
  const waiting = waitForOthers({ blockers }) as { condition: { message: string } };
  expect(waiting.condition.message).toMatch(/a0 \(not there\), .*a4 \(not there\) and 2 more$/);
});

test("a cycle is found through any number of others, and one beside the way is not taken for it", () => {
  const graph: Record<string, string[]> = { a: ["x", "b"], b: ["c"], c: ["a"], x: ["y"], y: ["x"], self: ["self"] };
  const of = (name: string) => graph[name] ?? [];
  expect(cycleThrough("a", of)).toEqual(["a", "b", "c", "a"]);
  expect(cycleThrough("x", of)).toEqual(["x", "y", "x"]);
  expect(cycleThrough("self", of)).toEqual(["self", "self"]);
  expect(cycleThrough("z", of)).toBeUndefined();
  expect(cycleThrough("d", (name) => (name === "d" ? ["a"] : of(name)))).toBeUndefined();
});
