import { expect, test } from "vitest";
import { fieldsWithout, pathOfPointer, pathsOfManagers, withoutPaths } from "./field-path.ts";
import type { KubeObject } from "./resource.ts";

const live = {
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: {
    name: "web",
    uid: "u",
    resourceVersion: "1",
    annotations: { "a/b~c": "1" },
    finalizers: ["one", "two"],
    managedFields: [
      { manager: "hpa", operation: "Update", fieldsV1: { "f:spec": { "f:replicas": {} } } },
      {
        manager: "mesh",
        operation: "Update",
        fieldsV1: {
          "f:metadata": { "f:finalizers": { 'v:"two"': {} } },
          "f:spec": { "f:containers": { 'k:{"name":"b"}': { ".": {}, "f:image": {} } } },
        },
      },
    ],
  },
  spec: {
    replicas: 3,
    containers: [
      { name: "a", image: "1" },
      { name: "b", image: "2" },
    ],
  },
} as unknown as KubeObject;

test.each([
  ["/spec/replicas", ["spec", "replicas"]],
  ["/spec/containers/1/image", ["spec", "containers", 1, "image"]],
  ["/metadata/annotations/a~1b~0c", ["metadata", "annotations", "a/b~c"]],
  ["/spec/containers/7", undefined],
  ["/spec/nothing/there", undefined],
  ["spec/replicas", undefined],
  ["/metadata/__proto__", undefined],
])("the pointer %s leads to %j", (pointer, path) => {
  expect(pathOfPointer(pointer, live)).toEqual(path);
});

test("what managers own is found by the keys of list items, wherever these stand in the object asked about", () => {
  const other = {
    ...live,
    spec: {
      containers: [
        { name: "b", image: "9" },
        { name: "a", image: "9" },
      ],
    },
  };
  expect(pathsOfManagers(["hpa", "mesh"], live, other)).toEqual([
    ["metadata", "finalizers", 1],
    ["spec", "containers", 0, "image"],
  ]);
  expect(pathsOfManagers(["mesh"], live, live)).toEqual([
    ["metadata", "finalizers", 1],
    ["spec", "containers", 1, "image"],
  ]);
});

test("paths are taken out of a copy, all as they were before any of them went", () => {
  const paths = [
    ["list", 0],
    ["list", 2],
    ["list", 10],
    ["map", "a"],
    ["gone", "x"],
  ];
  const object = { list: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"], map: { a: 1, b: 2 } };
  expect(withoutPaths(object, paths)).toEqual({ list: ["1", "3", "4", "5", "6", "7", "8", "9"], map: { b: 2 } });
  expect(object.list).toHaveLength(11);
});

test("ownership is cut at the items that an index means in this object, and never at what is owned as a whole", () => {
  const fields = {
    "f:metadata": { "f:finalizers": { 'v:"one"': {}, 'v:"two"': {} } },
    "f:spec": {
      "f:replicas": {},
      "f:selector": {},
      "f:containers": {
        'k:{"name":"a"}': { ".": {}, "f:image": {}, "f:name": {} },
        'k:{"name":"b"}': { ".": {}, "f:image": {}, "f:name": {} },
      },
    },
  };
  const paths = [
    ["spec", "replicas"],
    ["spec", "selector", "x"],
    ["spec", "containers", 1, "image"],
    ["metadata", "finalizers", 0],
    ["metadata", "finalizers", 1],
  ];
  expect(fieldsWithout(fields, paths, live)).toEqual({
    "f:spec": {
      "f:selector": {},
      "f:containers": {
        'k:{"name":"a"}': { ".": {}, "f:image": {}, "f:name": {} },
        'k:{"name":"b"}': { ".": {}, "f:name": {} },
      },
    },
  });
  expect(fieldsWithout({ "f:spec": { "f:replicas": {} } }, [["spec"]], live)).toEqual({ ".": {} });
});
