import { expect, test } from "vitest";
import { customKindOf } from "./custom-kind.ts";

const crd = (spec: unknown) => ({
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  body: `"spec":${JSON.stringify(spec)}`,
});
const names = { kind: "Thing", plural: "things" };

test("a definition tells the kind it brings, with the versions that are served", () => {
  const versions = [{ name: "v1", served: true }, { name: "v1alpha1", served: false }, { name: "v2" }];
  expect(customKindOf(crd({ group: "example.org", scope: "Cluster", names, versions }))).toEqual({
    group: "example.org",
    kind: "Thing",
    plural: "things",
    namespaced: false,
    versions: ["v1", "v2"],
  });
});

test("another kind brings none, nor does a definition too broken to say", () => {
  expect(customKindOf({ apiVersion: "v1", kind: "ConfigMap", body: "" })).toBeUndefined();
  expect(customKindOf({ ...crd({}), apiVersion: "example.org/v1" })).toBeUndefined();
  expect(customKindOf(crd({ group: 7, names, versions: "x" }))).toBeUndefined();
  expect(customKindOf({ ...crd({}), body: "" })).toBeUndefined();
});
