import { expect, test } from "vitest";
import type { FieldPath } from "./field-path.ts";
import { pathOfPointer } from "./field-path.ts";
import { respectIgnored } from "./respect.ts";
import type { KubeObject } from "./resource.ts";

type Fields = Record<string, unknown>;

const entry = (manager: string, fieldsV1: Fields, operation = "Apply") => ({ manager, operation, fieldsV1 });
const ours = (fieldsV1: Fields) => entry("argocd-controller", fieldsV1);
const theirs = (fieldsV1: Fields) => entry("hpa", fieldsV1, "Update");

const live = (spec: unknown, managedFields: unknown[]) =>
  ({
    apiVersion: "v1",
    kind: "X",
    metadata: { name: "x", uid: "u", resourceVersion: "1", managedFields },
    spec,
  }) as never as KubeObject;

/** What is sent of `desired`, with the pointers ignored wherever they lead. */
function sent(desired: unknown, object: KubeObject, pointers: string[], mode: "apply" | "replace" = "apply") {
  const asked = structuredClone({ metadata: { name: "x" }, spec: desired });
  const paths = (of: unknown) => pointers.map((one) => pathOfPointer(one, of)).filter((one): one is FieldPath => !!one);
  respectIgnored({ desired: asked, live: object, ignored: { desired: paths(asked), live: paths(object) }, mode });
  return asked.spec;
}

const replicas = { "f:spec": { "f:replicas": {} } };

test("what another owns is left out", () => {
  const object = live({ replicas: 5, paused: false }, [ours({ "f:spec": { "f:paused": {} } }), theirs(replicas)]);
  expect(sent({ replicas: 1, paused: true }, object, ["/spec/replicas"])).toEqual({ paused: true });
});

test.each([
  ["we alone own", [ours(replicas)]],
  ["nobody owns", []],
  ["kubectl applied before us", [entry("kubectl-client-side-apply", replicas, "Update")]],
])("what %s is sent as it is", (_who, entries) => {
  expect(sent({ replicas: 1 }, live({ replicas: 5 }, entries), ["/spec/replicas"])).toEqual({ replicas: 5 });
});

test("R1: what is ours alone is sent though Git no longer has it, what is nobody's is not", () => {
  const object = live({ replicas: 5, other: 1 }, [ours(replicas)]);
  expect(sent({}, object, ["/spec/replicas", "/spec/other"])).toEqual({ replicas: 5 });
});

test("what the cluster does not have is left out, with the map that becomes empty by it", () => {
  expect(sent({ limits: { cpu: "1" }, paused: true }, live({}, []), ["/spec/limits/cpu"])).toEqual({ paused: true });
});

const containers = (...items: [string, string, string][]) =>
  items.map(([name, image, mode]) => ({ name, image, mode }));
const owned = (...names: string[]) => ({
  "f:spec": {
    "f:containers": Object.fromEntries(
      names.map((name) => [`k:{"name":"${name}"}`, { ".": {}, "f:image": {}, "f:name": {} }]),
    ),
  },
});

test("items of a keyed list are found by their keys, and their neighbours change", () => {
  const object = live({ containers: containers(["mesh", "m:2", "a"], ["web", "w:1", "a"]) }, [
    ours(owned("mesh", "web")),
  ]);
  const desired = { containers: containers(["web", "w:2", "b"], ["mesh", "m:1", "b"]) };
  const ignored = { desired: [["spec", "containers", 1, "image"]], live: [["spec", "containers", 0, "image"]] };
  const asked = { spec: structuredClone(desired) };
  respectIgnored({ desired: asked, live: object, ignored, mode: "apply" });
  expect(asked.spec.containers).toEqual(containers(["web", "w:2", "b"], ["mesh", "m:2", "b"]));
});

test("of an ignored list our own items are sent and those of others left to them", () => {
  const entries = [ours(owned("web")), theirs(owned("mesh"))];
  const object = live({ containers: containers(["mesh", "m:2", "a"], ["web", "w:1", "a"]) }, entries);
  expect(sent({ containers: containers(["web", "w:2", "b"]) }, object, ["/spec/containers"])).toEqual({
    containers: containers(["web", "w:1", "a"]),
  });
});

test("inside a value that is owned as a whole the live value is sent, items found by their names", () => {
  const rules = { "f:spec": { "f:rules": {} } };
  for (const entries of [[ours(rules)], [theirs(rules)], [ours(rules), theirs(rules)]]) {
    const object = live(
      {
        rules: [
          { name: "b", weight: 9 },
          { name: "a", weight: 7 },
        ],
      },
      entries,
    );
    const asked = {
      spec: {
        rules: [
          { name: "a", weight: 1, port: 2 },
          { name: "c", weight: 1 },
          { name: "b", weight: 1 },
        ],
      },
    };
    const ignored = { desired: [["spec", "rules", 0, "weight"]], live: [["spec", "rules", 1, "weight"]] };
    respectIgnored({ desired: asked, live: object, ignored, mode: "apply" });
    expect(asked.spec.rules).toEqual([
      { name: "a", weight: 7, port: 2 },
      { name: "c", weight: 1 },
      { name: "b", weight: 1 },
    ]);
  }
});

test("an ignored item of a list that is owned as a whole is kept beside those of Git", () => {
  const rules = { "f:spec": { "f:rules": {} } };
  const object = live({ rules: [{ name: "injected" }, { name: "a" }] }, [ours(rules), theirs(rules)]);
  const asked = { spec: { rules: [{ name: "a", port: 1 }] } };
  const ignored = { desired: [], live: [["spec", "rules", 0]] };
  respectIgnored({ desired: asked, live: object, ignored, mode: "apply" });
  expect(asked.spec.rules).toEqual([{ name: "a", port: 1 }, { name: "injected" }]);
});

test("a replacement sends everything that is ignored, since what it does not send goes", () => {
  const object = live({ replicas: 5, note: "x" }, [theirs({ "f:spec": { "f:replicas": {}, "f:note": {} } })]);
  expect(sent({ replicas: 1 }, object, ["/spec/replicas", "/spec/note"], "replace")).toEqual({
    replicas: 5,
    note: "x",
  });
});

test("an item that the cluster does not have yet is made as Git has it", () => {
  const object = live({ containers: containers(["web", "w:1", "a"]) }, [ours(owned("web"))]);
  const asked = { spec: { containers: containers(["mesh", "m:1", "a"], ["web", "w:2", "a"]) } };
  const ignored = { desired: [0, 1].map((at): FieldPath => ["spec", "containers", at, "image"]), live: [] };
  respectIgnored({ desired: asked, live: object, ignored, mode: "apply" });
  expect(asked.spec.containers).toEqual(containers(["mesh", "m:1", "a"], ["web", "w:2", "a"]));
});

test("fences, names and status are never taken from the cluster", () => {
  const object = { ...live({}, []), status: { ready: true } };
  const asked = { metadata: { name: "x" }, spec: {} };
  const ignored: FieldPath[] = [
    ["metadata", "uid"],
    ["metadata", "resourceVersion"],
    ["metadata", "managedFields"],
    ["status", "ready"],
  ];
  respectIgnored({ desired: asked, live: object, ignored: { desired: [], live: ignored }, mode: "replace" });
  expect(asked).toEqual({ metadata: { name: "x" }, spec: {} });
});
