import { expect, test } from "vitest";
import { differingPaths, footprintFrom, footprintOf, imprintOf, ownersOfDifferences } from "./footprint.ts";
import type { KubeObject } from "./resource.ts";

const object = (more: Record<string, unknown>): KubeObject =>
  ({
    apiVersion: "v1",
    kind: "Thing",
    ...more,
    metadata: { name: "x", uid: "u", resourceVersion: "1", ...(more["metadata"] as object) },
  }) as KubeObject;

const footprint = footprintFrom(
  JSON.stringify({
    "f:metadata": {
      "f:annotations": { ".": {}, "f:a": {} },
      "f:finalizers": { ".": {}, 'v:"one"': {}, 'v:"two"': {} },
    },
    "f:spec": {
      "f:replicas": {},
      "f:args": {},
      "f:selector": {},
      "f:env": {
        'k:{"name":"A"}': { ".": {}, "f:name": {}, "f:value": {} },
        'k:{"name":"B"}': { ".": {}, "f:name": {} },
      },
      "f:ports": { 'k:{"containerPort":53,"protocol":"TCP"}': { ".": {}, "f:containerPort": {} } },
    },
  }),
);

const spec = {
  replicas: 2,
  args: ["-a", "-b"],
  selector: { x: "1", y: "2" },
  env: [
    { name: "A", value: "1" },
    { name: "B", value: "b" },
  ],
  ports: [{ containerPort: 53, protocol: "TCP" }],
};
const metadata = { annotations: { a: "1" }, finalizers: ["one", "two"] };
const live = object({ metadata, spec });
const imprint = imprintOf(live, footprint);
const withSpec = (more: object) => object({ metadata, spec: { ...spec, ...more } });
const withMetadata = (more: object) => object({ spec, metadata: { ...metadata, ...more } });

test.each([
  ["a status", object({ metadata, spec, status: { ready: 1 } })],
  ["another resourceVersion", withMetadata({ resourceVersion: "2", generation: 9 })],
  ["somebody's annotation", withMetadata({ annotations: { a: "1", theirs: "1" } })],
  ["somebody's finalizer between two of ours", withMetadata({ finalizers: ["one", "theirs", "two"] })],
  ["somebody's item before ours", withSpec({ env: [{ name: "Z" }, ...spec.env] })],
  ["a field of our item that another manager set", withSpec({ env: [spec.env[0], { name: "B", value: "theirs" }] })],
  ["members of a map in another order", withSpec({ selector: { y: "2", x: "1" } })],
  ["another port of the same number", withSpec({ ports: [{ containerPort: 53, protocol: "UDP" }, spec.ports[0]] })],
  ["a key member left to its default", withSpec({ ports: [{ containerPort: 53 }] })],
])("F1: %s leaves the imprint as it is", (_what, changed) => {
  expect(imprintOf(changed, footprint)).toBe(imprint);
  expect(differingPaths(footprint, changed, live)).toEqual([]);
});

test.each([
  ["a changed value", withSpec({ replicas: 3 }), "spec.replicas"],
  ["a number that became a text", withSpec({ replicas: "2" }), "spec.replicas"],
  ["a removed field", withSpec({ replicas: undefined }), "spec.replicas"],
  ["an item of an atomic list", withSpec({ args: ["-a"] }), "spec.args"],
  ["the order of an atomic list", withSpec({ args: ["-b", "-a"] }), "spec.args"],
  ["an addition to an atomic map", withSpec({ selector: { x: "1", y: "2", z: "3" } }), "spec.selector"],
  ["a changed item", withSpec({ env: [{ name: "A", value: "2" }, spec.env[1]] }), "spec.env[name=A].value"],
  ["a removed item", withSpec({ env: [spec.env[0]] }), "spec.env[name=B]"],
  ["all items gone", withSpec({ env: [] }), "spec.env[name=A]"],
  ["the list gone", withSpec({ env: undefined }), "spec.env"],
  ["F3: a second item of the same key", withSpec({ env: [...spec.env, { name: "A", value: "9" }] }), "spec.env"],
  ["F3: our items in another order", withSpec({ env: spec.env.toReversed() }), "spec.env"],
  ["a set member gone", withMetadata({ finalizers: ["two"] }), 'metadata.finalizers["one"]'],
  ["the annotations gone", withMetadata({ annotations: undefined }), "metadata.annotations"],
  ["everything gone", object({ metadata }), "spec"],
])("F2: %s changes the imprint, and is named", (_what, changed, path) => {
  expect(imprintOf(changed, footprint)).not.toBe(imprint);
  expect(differingPaths(footprint, changed, live).map((difference) => difference.path)).toContain(path);
});

test("equal footprints are one object, and come back from their text", () => {
  const entry = {
    manager: "argocd-controller",
    operation: "Apply",
    apiVersion: "v1",
    fieldsV1: { "f:data": { "f:a": {} } },
  };
  const others = [
    { ...entry, operation: "Update" },
    { ...entry, subresource: "scale" },
    { ...entry, manager: "kubectl" },
  ];
  const one = footprintOf(object({ metadata: { managedFields: [...others, entry] } }))!;
  expect(footprintFrom(one.text)).toBe(one);
  expect(footprintOf(object({ metadata: { managedFields: others } }))).toBeUndefined();
});

test("values of Secrets are masked in what people see, paths and types are not", () => {
  const of = footprintFrom(
    JSON.stringify({ "f:data": { "f:p": {} }, "f:type": {}, "f:metadata": { "f:labels": { "f:l": {} } } }),
  );
  const secret = (value: string) =>
    object({ kind: "Secret", data: { p: value }, type: value, metadata: { labels: { l: value } } });
  expect(differingPaths(of, secret("b25l"), secret("dHdv"))).toEqual([
    { path: "data.p", live: "++++++++", desired: "++++++++" },
    { path: "metadata.labels.l", live: "b25l", desired: "dHdv" },
    { path: "type", live: "b25l", desired: "dHdv" },
  ]);
  expect(
    differingPaths(of, object({ kind: "Secret" }), secret("dHdv"))
      .map(({ desired }) => JSON.stringify(desired))
      .join(),
  ).not.toContain('"p":"dHdv"');
});

test("the owners of differing fields are named, whoever wrote the status is not", () => {
  const owner = (manager: string, fieldsV1: object, subresource?: string) => ({
    manager,
    operation: "Update",
    fieldsV1,
    subresource,
  });
  const changed = object({
    metadata: {
      managedFields: [
        owner("kubectl", { "f:spec": { "f:replicas": {} } }, "scale"),
        owner("bystander", { "f:spec": { "f:args": {} } }),
        owner("controller", { "f:status": {} }, "status"),
        owner("argocd-controller", { "f:spec": { "f:replicas": {} } }),
      ],
    },
    spec: { ...spec, replicas: 9 },
    status: { a: 1 },
  });
  expect(ownersOfDifferences(changed, live)).toEqual(["kubectl"]);
});
