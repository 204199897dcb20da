// The plan of a sync, made from what is known at one moment.
import { describe, expect, test } from "vitest";
import type { Context, ObjectState, Operation } from "./context.ts";
import { readSyncOptions } from "./sync-options.ts";
import { advance, hookProgress, hookRuns, layoutOf, releases, type HookRun, type Next } from "./sync-plan.ts";

const object = (name: string, over: Partial<ObjectState> = {}): ObjectState => ({
  key: { group: "apps", version: "v1", kind: "Deployment", namespace: "shop", name },
  status: "Synced",
  live: { uid: `uid-${name}`, resourceVersion: "1" },
  health: { status: "Healthy" },
  extra: false,
  predicted: true,
  fields: [],
  managers: [],
  ...over,
});

const hook = (name: string, over: Partial<HookRun> = {}): HookRun => ({
  key: { group: "batch", version: "v1", kind: "Job", namespace: "shop", name },
  index: 0,
  phase: "PreSync",
  wave: 0,
  deletePolicies: ["BeforeHookCreation"],
  run: `op.0.${name}`,
  state: "pending",
  message: "",
  ...over,
});

function context(objects: ObjectState[], hooks: HookRun[] = [], over: Partial<Operation> = {}): Context {
  const begun = {
    field: { sync: {} },
    prune: true,
    options: readSyncOptions([]),
    hooks,
    deleting: [],
    terminated: false,
    automated: true,
    render: { sources: [{ observations: { r: 1 }, revision: "a", refRevisions: {} }] },
    ...over,
  } as unknown as Operation;
  const operation = { ...begun, layout: layoutOf(objects, begun) };
  return { objects, hooks: [], operation, superseded: 0 } as unknown as Context;
}

const summary = (next: Next) => {
  if (next.kind === "wait") return next.message;
  if (next.kind === "done") return `${next.outcome.phase}: ${next.outcome.message}`;
  const names = [...next.apply, ...next.prunes, ...next.hooks.map(({ key }) => key)].map(({ name }) => name);
  return `${next.slot.phase} ${next.slot.wave}: ${names.join(" ")}`;
};
const next = (...args: Parameters<typeof context>) => summary(advance(context(...args)));
const missing = { status: "OutOfSync", live: undefined, health: undefined } as const;

describe("what comes next", () => {
  test("after a failure is one wave of SyncFail hooks after the other, whatever becomes of them", () => {
    const failing = { phase: "Failed" as const, message: "no", retryable: true, failures: [] };
    const hooks = (first: HookRun["state"], second: HookRun["state"] = "pending") => [
      hook("late", { phase: "SyncFail", wave: 1, state: second }),
      hook("early", { phase: "SyncFail", wave: -1, state: first }),
    ];
    expect(next([], hooks("pending"), { failing })).toBe("SyncFail -1: early");
    expect(next([], hooks("running"), { failing })).toBe("waiting for completion of hook batch/Job/early");
    expect(next([], hooks("failed"), { failing })).toBe("SyncFail 1: late");
    expect(next([], hooks("failed", "succeeded"), { failing })).toMatch(/^Failed: no\n/);
  });

  test("is a pause between two steps where one is asked for, not before what is waited for", () => {
    const objects = [object("a"), object("b", { ...missing, wave: 1 })];
    expect(next(objects, [], { pausedUntil: 1 })).toBe("waiting for the pause between two waves");
    expect(next([object("a", { health: { status: "Progressing" } }), objects[1]!], [], { pausedUntil: 1 })).toBe(
      "waiting for healthy state of apps/Deployment/a",
    );
  });

  test("is the lowest wave of the first phase that has something to do", () => {
    const objects = [object("b", { ...missing, wave: 1 }), object("a", { ...missing, wave: -1 })];
    expect(next(objects, [hook("pre"), hook("post", { phase: "PostSync" })])).toBe("PreSync 0: pre");
    expect(next(objects, [hook("pre", { state: "succeeded" })])).toBe("Sync -1: a");
  });

  test("is a wait while a wave is not healthy, with the blocker named as Argo CD names it", () => {
    const objects = [
      object("a", { health: { status: "Progressing" } }),
      object("c", { health: { status: "Suspended" } }),
      object("b", { ...missing, wave: 1 }),
    ];
    expect(next(objects)).toBe("waiting for healthy state of apps/Deployment/a and 1 more resources");
    expect(next([object("a")], [hook("pre", { state: "running" })])).toBe(
      "waiting for completion of hook batch/Job/pre",
    );
  });

  test("is the end when one wave is applied, whatever its health", () => {
    expect(next([object("a", { health: { status: "Degraded" } })])).toBe(
      "Succeeded: successfully synced (all tasks run)",
    );
    expect(next([])).toBe("Succeeded: successfully synced (no more tasks)");
  });

  test("of the last wave, objects are waited for only beside hooks", () => {
    const objects = [object("a"), object("b", { wave: 1, health: { status: "Progressing" } })];
    expect(next(objects)).toMatch(/^Succeeded/);
    expect(next(objects, [hook("h", { phase: "Sync", wave: 1, state: "succeeded" })])).toBe(
      "waiting for healthy state of apps/Deployment/b",
    );
  });

  test("is failure when an object of a wave that is waited for degrades or vanishes", () => {
    const after = object("b", { ...missing, wave: 1 });
    const unsuccessful =
      "Failed: one or more synchronization tasks completed unsuccessfully, reason: apps/Deployment/a";
    expect(next([object("a", { health: { status: "Degraded", message: "no" } }), after])).toBe(`${unsuccessful}: no`);
    expect(next([object("a", { live: undefined }), after])).toBe(
      `${unsuccessful} is missing, it might have been deleted`,
    );
  });

  test("is a wait on a status of an earlier spec, whether it is a good or a bad one", () => {
    const of = (status: "Healthy" | "Degraded") =>
      next([object("a", { health: { status, stale: true } }), object("b", { ...missing, wave: 1 })]);
    expect(of("Healthy")).toBe("waiting for healthy state of apps/Deployment/a");
    expect(of("Degraded")).toBe("waiting for healthy state of apps/Deployment/a");
  });

  test("is a wait while an object of many a kind is Degraded for a moment, and then failure", () => {
    const widget = { ...object("a").key, group: "example.com", kind: "Widget" };
    const objects = [
      object("a", { key: widget, health: { status: "Degraded", message: "no" } }),
      object("b", { ...missing, wave: 1 }),
    ];
    const waited = (graceOver: boolean) => next(objects, [], { waiting: { step: "Sync 0", since: 0, graceOver } });
    expect(next(objects)).toBe("waiting for healthy state of example.com/Widget/a");
    expect(waited(false)).toBe("waiting for healthy state of example.com/Widget/a");
    expect(waited(true)).toMatch(/^Failed: .*example.com\/Widget\/a: no/);
  });

  test("after a failed hook are the SyncFail hooks, and then that failure", () => {
    const pre = hook("pre", { state: "failed", message: "boom" });
    const sorry = hook("sorry", { phase: "SyncFail" });
    expect(next([object("a", missing)], [pre, sorry])).toBe("SyncFail 0: sorry");
    expect(next([object("a", missing)], [pre, { ...sorry, state: "succeeded" }])).toMatch(/^Failed: .*boom$/);
    expect(next([object("a", missing)], [pre, { ...sorry, state: "failed", message: "bang" }])).toMatch(
      /boom\none or more SyncFail hooks failed, reason: .*bang$/s,
    );
  });

  test("is the end at once when it was terminated", () => {
    expect(next([object("a", missing)], [hook("pre", { state: "running" })], { terminated: true })).toBe(
      "Failed: Operation terminated",
    );
  });

  test("is nothing more once a newer observation is known, but never while a hook runs", () => {
    const objects = [object("a"), object("b", { ...missing, wave: 1 })];
    const wished = { wish: { observation: 2, repository: "r", revision: "b" } };
    const newer = (hooks: HookRun[], over: Partial<Operation> = {}) =>
      summary(advance({ ...context(objects, hooks, over), ...wished } as unknown as Context));
    expect(newer([])).toBe("Failed: superseded by b");
    expect(newer([hook("pre", { state: "running" })])).toMatch(/^waiting/);
    expect(newer([], { automated: false })).toBe("Sync 1: b");
    expect(summary(advance({ ...context([object("a")]), ...wished } as unknown as Context))).toMatch(/^Succeeded/);
  });
});

describe("pruning", () => {
  const extra = (name: string, wave: number, over: Partial<ObjectState> = {}) =>
    object(name, { extra: true, status: "OutOfSync", wave, ...over });

  test("goes in mirrored waves, and the mirror holds while objects vanish", () => {
    const all = [extra("first", 0), extra("middle", 2), extra("last", 5)];
    const begun = context(all);
    expect(summary(advance(begun))).toBe("Sync 0: last");
    expect(summary(advance({ ...begun, objects: all.slice(0, 2) }))).toBe("Sync 2: middle");
    expect(summary(advance({ ...begun, objects: all.slice(0, 1) }))).toBe("Sync 5: first");
  });

  test("with PruneLast comes after every other wave of the Sync phase", () => {
    const objects = [object("a", { ...missing, wave: 3 }), extra("old", 0, { pruneLast: true })];
    expect(layoutOf(objects, context(objects).operation!).last).toEqual({ phase: "Sync", wave: 4 });
  });

  test("waits until what goes first is gone", () => {
    const begun = context([extra("first", 0), extra("last", 1)]);
    const deleting = [{ key: extra("last", 1).key, uid: "u" }];
    const operation = { ...begun.operation!, deleting };
    expect(summary(advance({ ...begun, operation, objects: [extra("first", 0)] } as Context))).toBe("Sync 1: first");
    const waits = [object("a", { wave: 0 }), extra("first", 0)];
    expect(summary(advance({ ...begun, operation, objects: waits } as Context))).toBe(
      "waiting for deletion of apps/Deployment/last",
    );
  });
});

describe("hooks", () => {
  test("have a run for each phase, its name made from operation, attempt, phase and hook", () => {
    const hooks = [
      {
        ...hook("x").key,
        name: "",
        generateName: "x-",
        index: 3,
        phases: ["PreSync", "PostSync"],
        wave: 1,
        deletePolicies: [],
      },
    ];
    const operation = {
      id: "op",
      retryCount: 1,
      partial: false,
      field: {},
      render: { sources: [{ revision: "0123456789" }] },
    };
    const runs = hookRuns({ hooks } as never, operation as never);
    expect(runs.map(({ run }) => run)).toEqual(["op.1.PreSync.3", "op.1.PostSync.3"]);
    expect(runs[0]!.key.name).toMatch(/^x-0123456-presync-/);
    const without = (field: object) => hookRuns({ hooks } as never, { ...operation, field } as never);
    expect(without({ sync: { syncStrategy: { apply: {} } } })).toEqual([]);
    expect(without({ sync: { resources: [{ kind: "Deployment", name: "web" }] } })).toEqual([]);
  });

  test.each([
    [undefined, false, "succeeded"],
    ["Healthy", false, "succeeded"],
    ["Healthy", true, "succeeded"],
    ["Degraded", false, "failed"],
    ["Unknown", false, "failed"],
    ["Progressing", false, "running"],
    ["Suspended", false, "running"],
    ["Progressing", true, "failed"],
  ] as const)("of health %s, being deleted %s, have %s", (status, deleting, state) => {
    expect(hookProgress(hook("x", { state: "running" }), { health: status && { status }, deleting }).state).toBe(state);
  });

  test("are let go of at the end; policy and outcome say which are deleted", () => {
    const hooks = [
      hook("kept", { state: "succeeded" }),
      hook("ok", { state: "succeeded", deletePolicies: ["HookSucceeded"] }),
      hook("bad", { state: "failed", deletePolicies: ["HookFailed"] }),
      hook("never"),
    ];
    const removed = (phase: string) =>
      releases({ hooks, outcome: { phase } } as never)
        .filter(({ remove }) => remove)
        .map(({ name }) => name);
    expect(removed("Succeeded")).toEqual(["ok"]);
    expect(removed("Failed")).toEqual(["bad"]);
    expect(releases({ hooks, outcome: { phase: "Failed" } } as never)).toHaveLength(3);
  });
});
