// When a prune waits for a person.
import { describe, expect, test } from "vitest";
import type { Context, ObjectState, Operation } from "./context.ts";
import { massPrune } from "./prune-confirmation.ts";
import { readSyncOptions } from "./sync-options.ts";
import { advance, layoutOf } from "./sync-plan.ts";

const object = (name: string, over: Partial<ObjectState> = {}): ObjectState => ({
  key: { group: "", version: "v1", kind: "ConfigMap", namespace: "shop", name },
  status: "Synced",
  live: { uid: `uid-${name}`, resourceVersion: "1" },
  extra: false,
  predicted: true,
  fields: [],
  managers: [],
  ...over,
});
const gone = (name: string, over: Partial<ObjectState> = {}) =>
  object(name, { extra: true, status: "OutOfSync", ...over });
const many = (count: number, make: (name: string) => ObjectState): ObjectState[] =>
  Array.from({ length: count }, (_, n) => make(`o-${n}`));

interface Case {
  options?: string[];
  sync?: object;
  automated?: boolean;
  allowEmpty?: boolean;
  approvedAt?: string;
}

function context(objects: ObjectState[], { options = [], sync = {}, automated = true, ...over }: Case = {}): Context {
  const begun = {
    field: { sync },
    prune: true,
    options: readSyncOptions(options),
    automated,
    hooks: [],
    deleting: [],
    startedAt: "2026-01-01T12:00:00Z",
    render: { sources: [{ observations: { r: 1 }, revision: "a", refRevisions: {} }] },
  } as unknown as Operation;
  const base = {
    objects,
    hooks: [],
    superseded: 0,
    view: { approvedAt: over.approvedAt, desired: { automated: { allowEmpty: over.allowEmpty ?? false } } },
  } as unknown as Context;
  const operation = { ...begun, layout: layoutOf(objects, begun), massPrune: massPrune(base, begun) };
  return { ...base, operation };
}

const waits = (objects: ObjectState[], of: Case = {}): string => {
  const next = advance(context(objects, of));
  return next.kind === "wait" ? next.message : next.kind;
};

describe("a prune of many", () => {
  const half = [...many(4, gone), object("stays")];

  test("waits when it is more than half of the app, and names the first, how many, and what to do", () => {
    expect(waits(half)).toBe(
      "waiting for pruning confirmation of /ConfigMap/o-0 and 3 more resources: 4 of the app's 5 objects would be deleted; " +
        "approve of it by the annotation argocd.argoproj.io/deletion-approved, or set the sync option Prune=true",
    );
    expect(waits([...many(4, gone), ...many(4, (name) => object(`kept-${name}`))])).toBe("apply");
  });

  test("waits when it is more than 20, however many stay", () => {
    const others = many(100, (name) => object(`kept-${name}`));
    expect(waits([...many(21, gone), ...others])).toMatch(/^waiting for pruning confirmation/);
    expect(waits([...many(20, gone), ...others])).toBe("apply");
  });

  test("does not wait in a small app, where one commit easily changes most of it", () => {
    expect(waits([...many(3, gone), object("stays")])).toBe("apply");
  });

  test("does not wait for objects that are somebody else's to delete, nor count what is not there", () => {
    const owned = { keep: "is owned by another object" };
    expect(waits([...many(30, (name) => gone(name, owned)), gone("x"), object("stays")])).toBe("apply");
    const missing = many(10, (name) => object(`m-${name}`, { live: undefined }));
    expect(waits([...half, ...missing])).toMatch(/^waiting for pruning confirmation/);
  });

  test.each<[string, Case]>([
    ["Prune=true, which says it", { options: ["Prune=true"] }],
    ["an approval of this operation", { approvedAt: "2026-01-01T13:00:00+01:00" }],
    ["the objects named one by one", { automated: false, sync: { resources: half.map(({ key }) => key) } }],
  ])("goes on with %s", (_title, of) => {
    expect(waits(half, of)).toBe("apply");
  });

  test.each<[string, Case]>([
    ["an approval of an earlier one", { approvedAt: "2026-01-01T11:59:59Z" }],
    ["an approval that is no time", { approvedAt: "2027" }],
    ["allowEmpty while something stays", { allowEmpty: true }],
    ["somebody asking for the sync by hand", { automated: false }],
  ])("is not let through by %s", (_title, of) => {
    expect(waits(half, of)).toMatch(/^waiting for pruning confirmation/);
  });

  test("of everything goes where allowEmpty allows a wipe by itself, not by hand", () => {
    expect(waits(many(30, gone), { allowEmpty: true })).toBe("apply");
    expect(waits(many(30, gone), { allowEmpty: true, automated: false })).toMatch(/^waiting/);
  });
});

test("a newer commit ends the wait however often it was waited before, unless somebody asked for the sync", () => {
  const half = [...many(4, gone), object("stays")];
  const newer = (automated: boolean) => {
    const asked = {
      ...context(half, { automated }),
      superseded: 99,
      wish: { observation: 2, repository: "r", revision: "b" },
    };
    return advance(asked as unknown as Context).kind;
  };
  expect([newer(true), newer(false)]).toEqual(["done", "wait"]);
});

describe("Prune=confirm", () => {
  const guarded = gone("guarded", { consents: { prune: "confirm" } });

  test("holds its whole step, as in Argo CD, and says for what", () => {
    const objects = [guarded, gone("free"), object("new", { status: "OutOfSync", live: undefined })];
    expect(waits(objects)).toBe("waiting for pruning confirmation of /ConfigMap/guarded");
    expect(waits(objects, { approvedAt: "2026-01-01T12:00:00Z" })).toBe("apply");
  });

  test("of the app counts for objects that say nothing themselves", () => {
    expect(waits([gone("a")], { options: ["Prune=confirm"] })).toBe("waiting for pruning confirmation of /ConfigMap/a");
    expect(waits([gone("a", { consents: { prune: "yes" } })], { options: ["Prune=confirm"] })).toBe("apply");
  });
});

test("Prune=false of the app keeps all but what says Prune=true itself", () => {
  const next = advance(context([gone("a"), gone("b", { consents: { prune: "yes" } })], { options: ["Prune=false"] }));
  expect(next.kind === "apply" && next.prunes.map(({ name }) => name)).toEqual(["b"]);
});
