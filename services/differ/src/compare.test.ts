import type { ObjectKey } from "@driftless/contracts/identity";
import { failure } from "@driftless/contracts/failure";
import type { DesiredObject } from "@driftless/kube/desired-set";
import { footprintFrom } from "@driftless/kube/footprint";
import { prepare } from "@driftless/manifests/manifest";
import { expect, test } from "vitest";
import { compare, type CompareInput, type KindView } from "./compare.ts";
import type { Remembered } from "./judge.ts";
import type { Seen } from "./seen.ts";

const footprint = footprintFrom('{"f:data":{"f:a":{}}}');
const resource = {
  group: "",
  version: "v1",
  kind: "ConfigMap",
  plural: "configmaps",
  namespaced: true,
  verbs: [],
  versions: ["v1"],
};

function desired(name: string, data = "1"): DesiredObject {
  const manifest = { apiVersion: "v1", kind: "ConfigMap", metadata: { name }, body: `"data":{"a":"${data}"}` };
  const prepared = prepare(
    { ...manifest, images: [], file: "a.yaml", line: 1, warnings: [] },
    {
      app: { name: "shop", namespace: "argocd", controlPlaneNamespace: "argocd" },
      destinationNamespace: "ns",
      scope: "Namespaced",
      trackingMethod: "annotation",
    },
  );
  return { prepared, resource, kindPending: false };
}
const HASH = desired("one").prepared.desiredHash;

const live = (more: Partial<Seen> = {}): Seen => ({ uid: "u", resourceVersion: "10", owner: "shop", ...more });
const record = (more: Partial<Remembered> = {}): Remembered => ({
  app: "uid",
  uid: "u",
  resourceVersion: "10",
  version: "v1",
  desiredHash: HASH,
  footprint,
  imprint: "same",
  ...more,
});
const key = (name: string): ObjectKey => ({ group: "", version: "v1", kind: "ConfigMap", namespace: "ns", name });
const listed = (objects: Record<string, Seen>): KindView => ({
  kind: "listed",
  get: (_namespace, name) => objects[name],
});

function verdictOf(
  objects: Record<string, Seen>,
  remembered: Remembered | undefined,
  more: Partial<CompareInput> = {},
) {
  const view = listed(objects);
  return compare({
    desired: { objects: [desired("one")], unresolved: [] },
    inventory: [],
    view: () => view,
    record: () => remembered,
    app: { uid: "uid", trackingName: "shop", namespace: "argocd", name: "shop" },
    tracking: { trackingMethod: "annotation" },
    ...more,
  }).map(({ name, verdict, reason, failure: why, keep }) => [name, verdict, why?.code ?? keep ?? reason]);
}

test.each<[string, Seen | undefined, Remembered | undefined, (string | undefined)[]]>([
  ["is Missing when it is not live", undefined, record(), ["one", "Missing", undefined]],
  ["is Synced at the record's resourceVersion", live(), record(), ["one", "Synced", undefined]],
  [
    "is Synced while the watch is behind our own apply",
    live({ resourceVersion: "9" }),
    record(),
    ["one", "Synced", undefined],
  ],
  [
    "is Synced when only its status moved on",
    live({ resourceVersion: "11", footprint, imprint: "same" }),
    record(),
    ["one", "Synced", undefined],
  ],
  ["D3: is Suspect without a record", live(), undefined, ["one", "Suspect", "no record"]],
  ["is Suspect when Git changed", live(), record({ desiredHash: "old" }), ["one", "Suspect", "desired changed"]],
  ["is Suspect when it is another object of that name", live({ uid: "v" }), record(), ["one", "Suspect", "replaced"]],
  [
    "is Suspect when its imprint differs",
    live({ resourceVersion: "11", footprint, imprint: "x" }),
    record(),
    ["one", "Suspect", "drift"],
  ],
  [
    "is Suspect when nobody has judged its newest state",
    live({ resourceVersion: "11" }),
    record(),
    ["one", "Suspect", "not judged yet"],
  ],
  [
    "is refused when another Application tracks it",
    live({ owner: "other" }),
    record(),
    ["one", "Suspect", "RESOURCE_OWNED_BY_OTHER"],
  ],
  ["may be adopted when nobody tracks it", live({ owner: undefined }), undefined, ["one", "Suspect", "no record"]],
])("a desired object %s", (_title, object, remembered, expected) => {
  expect(verdictOf(object ? { one: object } : {}, remembered)).toEqual([expected]);
});

test("what is in the inventory, live, ours and not desired is Extra; the rest of the inventory is dropped", () => {
  const objects = {
    one: live(),
    old: live(),
    kept: live({ keep: "has Prune=false" }),
    foreign: live({ owner: "other" }),
    bare: live({ owner: undefined }),
  };
  const view = listed(objects);
  const inventory = ["one", "old", "kept", "foreign", "bare", "gone"].map((name) => ({ key: key(name), view }));
  expect(verdictOf(objects, record(), { inventory })).toEqual([
    ["one", "Synced", undefined],
    ["old", "Extra", "no longer desired"],
    ["kept", "Extra", "has Prune=false"],
  ]);
});

test("D2: a kind that cannot be read makes its desired and its former objects Unknown, never Missing or Extra", () => {
  const view: KindView = { kind: "unreadable", failure: failure("CLUSTER_FORBIDDEN", "no") };
  const inventory = [{ key: key("old"), view }];
  expect(verdictOf({}, record(), { inventory, view: () => view })).toEqual([
    ["one", "Unknown", "CLUSTER_FORBIDDEN"],
    ["old", "Unknown", "CLUSTER_FORBIDDEN"],
  ]);
});

test("an object whose kind is unknown is not taken for one that Git no longer has", () => {
  const unresolved = [{ key: key("thing"), failure: failure("KIND_UNKNOWN", "no such kind") }];
  const objects = { thing: live() };
  const inventory = [{ key: { ...key("thing"), namespace: "" }, view: listed(objects) }];
  const desiredSet = { objects: [], unresolved };
  expect(verdictOf(objects, undefined, { desired: desiredSet, inventory })).toEqual([
    ["thing", "Unknown", "KIND_UNKNOWN"],
  ]);
});

test("an object whose kind comes with the same set is Missing, and its kind is not looked at", () => {
  const pending = { ...desired("one"), kindPending: true };
  const view: KindView = { kind: "unreadable", failure: failure("INTERNAL", "not watched") };
  expect(verdictOf({}, undefined, { desired: { objects: [pending], unresolved: [] }, view: () => view })).toEqual([
    ["one", "Missing", "its kind comes with the same set"],
  ]);
});

test("by label tracking the label decides, not the annotation", () => {
  const objects = { one: live({ owner: undefined, instance: "other" }) };
  expect(verdictOf(objects, undefined, { tracking: { trackingMethod: "label" } })).toEqual([
    ["one", "Suspect", "RESOURCE_OWNED_BY_OTHER"],
  ]);
});
