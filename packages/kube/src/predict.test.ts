import { expect, test } from "vitest";
import { predict } from "./predict.ts";
import type { KubeObject } from "./resource.ts";

const object = (spec: unknown, metadata: object = {}, kind = "Thing"): KubeObject =>
  ({
    apiVersion: "v1",
    kind,
    metadata: { name: "x", uid: "u", resourceVersion: "1", ...metadata },
    spec,
  }) as KubeObject;

test("without a live object everything is to be made", () => {
  expect(predict(undefined, object({}))).toEqual({ kind: "differs", missing: true, paths: [] });
});

test("a status that moved on between the two is no difference", () => {
  expect(predict({ ...object({}), status: { ready: 0 } }, { ...object({}), status: { ready: 1 } })).toEqual({
    kind: "same",
  });
});

test("resourceVersion, generation and managedFields are no difference, anything else of metadata is", () => {
  const later = { resourceVersion: "2", generation: 3, managedFields: [{ manager: "a" }] };
  expect(predict(object({ a: 1 }), object({ a: 1 }, later))).toEqual({ kind: "same" });
  expect(predict(object({}), object({}, { labels: { "a.b/c": "1" } }))).toMatchObject({
    paths: [{ path: "metadata.labels", live: undefined, desired: { "a.b/c": "1" } }],
  });
});

test.each([
  [{ a: { b: 1 } }, { a: { b: 2 } }, ["spec.a.b"]],
  [
    { c: [{ name: "x", v: 1 }, { name: "y" }] },
    { c: [{ name: "new" }, { name: "x", v: 2 }, { name: "y" }] },
    ["spec.c[name=x].v", "spec.c[name=new]"],
  ],
  [{ c: [{ name: "x" }, { name: "y" }] }, { c: [{ name: "y" }, { name: "x" }] }, ["spec.c"]],
  [{ c: [1, 2] }, { c: [1] }, ["spec.c[1]"]],
  [{ c: [] }, { c: {} }, ["spec.c"]],
  [{ m: { "a.b/c": "1" } }, { m: { "a.b/c": "2" } }, ['spec.m["a.b/c"]']],
])("%j against %j differs at %j", (live, desired, paths) => {
  const prediction = predict(object(live), object(desired));
  expect(prediction.kind === "differs" && prediction.paths.map(({ path }) => path)).toEqual(paths);
});

test("the values of a Secret are masked, and the list of paths has an end", () => {
  const secret = (value: string) => ({ ...object(undefined, {}, "Secret"), data: { p: value } });
  expect(predict(secret("b25l"), secret("dHdv"))).toMatchObject({
    paths: [{ path: "data.p", live: "++++++++", desired: "++++++++" }],
  });
  const many = (value: number) =>
    object(Object.fromEntries(Array.from({ length: 99 }, (_, index) => [`f${index}`, value])));
  const prediction = predict(many(1), many(2), { pathsMax: 5 });
  expect(prediction.kind === "differs" && prediction.paths.length).toBe(5);
});
