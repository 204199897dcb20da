// What is wrong with sources is told by the path of its field.
import { expect, test } from "vitest";
import { desiredSources, followed, wrongRevisions, wrongSources } from "./sources.ts";

const one = { repoURL: "https://h/one", path: "a" };
const lends = { repoURL: "https://h/values", ref: "values" };
const reads = (...valueFiles: string[]) => ({ ...one, helm: { valueFiles } });

test.each([
  ["a source and what it refers to", { sources: [reads("$values/a.yaml", "b.yaml"), lends] }, []],
  ["a variable of the build environment is no ref", { source: reads("$ARGOCD_APP_NAME/a.yaml", "$$x/a") }, []],
  ["`sources` makes `source` ignored", { source: {}, sources: [one] }, []],
  ["an empty list does not", { source: {}, sources: [] }, ["spec.source.repoURL"]],
  ["a source needs path, chart or ref", { sources: [{ repoURL: "https://h/r" }, one] }, ["spec.sources[0].path"]],
  ["a ref alone renders nothing", { sources: [lends] }, ["spec.sources"]],
  ["spec.source cannot be referred to", { source: { ...one, ref: "x" } }, ["spec.source.ref"]],
  ["a name is letters, digits, - and _", { sources: [one, { ...lends, ref: "a.b" }] }, ["spec.sources[1].ref"]],
  ["names differ", { sources: [one, lends, lends] }, ["spec.sources[1].ref", "spec.sources[2].ref"]],
  [
    "a chart has no ref",
    { sources: [one, { repoURL: "https://h/c", chart: "c", targetRevision: "1", ref: "c" }] },
    ["spec.sources[1].ref"],
  ],
  ["an OCI artifact neither", { sources: [one, { repoURL: "oci://h/c", ref: "c" }] }, ["spec.sources[1].ref"]],
  [
    "what is referred to is there",
    { sources: [{ ...reads("a.yaml", "$other/b.yaml"), path: "b" }, lends] },
    ["spec.sources[0].helm.valueFiles[1]"],
  ],
  [
    "also by a file parameter",
    { sources: [{ ...one, helm: { fileParameters: [{ name: "a", path: "$other/b" }] } }, lends] },
    ["spec.sources[0].helm.fileParameters[0].path"],
  ],
  ["also in spec.source", { source: reads("$values/b.yaml") }, ["spec.source.helm.valueFiles[0]"]],
  ["not hundreds", { sources: Array.from({ length: 101 }, () => one) }, ["spec.sources"]],
])("%s", (_, spec, paths) => {
  expect(wrongSources(spec).map(({ path }) => path)).toEqual(paths);
});

test("only repositories that something is read from are followed, and only what is rendered has a key", () => {
  const spec = { destination: {}, sources: [lends, { ...lends, ref: "unread" }, reads("$values/a.yaml"), one] };
  const app = { metadata: { name: "a", namespace: "argocd", uid: "u", resourceVersion: "1" }, spec };
  const sources = desiredSources(app, { uid: "u", namespace: "argocd", name: "a", project: "default" });
  expect(sources.map(({ source, renders, refs }) => [source.key, renders, refs.join()])).toEqual([
    [undefined, false, ""],
    [undefined, false, ""],
    [undefined, true, "values"],
    ["1", true, ""],
  ]);
  expect(followed(sources)).toEqual([0, 2, 3].map((n) => sources[n]!.source));
});

test.each([
  [false, 1, { revision: "a" }, undefined],
  [true, 2, { revisions: ["a", ""] }, undefined],
  [true, 2, {}, undefined],
  [true, 2, { revision: "a" }, "operation.sync.revision"],
  [false, 1, { revisions: ["a"] }, "operation.sync.revisions"],
  [true, 2, { revisions: ["a"] }, "operation.sync.revisions"],
])("several: %s, %d sources, an operation of %o", (several, count, sync, path) => {
  const sources = Array.from({ length: count }, () => ({}) as never);
  expect(wrongRevisions({ sync }, sources, several)[0]?.path).toBe(path);
});
