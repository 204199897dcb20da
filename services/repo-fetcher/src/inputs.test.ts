import { fileInput, listInput } from "@driftless/manifests/inputs";
import { expect, test } from "vitest";
import { InputIndex, inputsDiffer, readInputs } from "./inputs.ts";
import type { TreeEntry } from "./tree.ts";

type Folder = { [name: string]: Folder | string };

/** Trees by content, as Git has them, and a count of what was read. */
function world() {
  const trees = new Map<string, TreeEntry[]>();
  const counter = { reads: 0 };
  const put = (folder: Folder): string => {
    const entries = Object.entries(folder).map(([name, value]): TreeEntry =>
      typeof value === "string"
        ? { name, kind: "file", oid: `blob:${value}` }
        : { name, kind: "tree", oid: put(value) },
    );
    const oid = JSON.stringify(entries);
    trees.set(oid, entries);
    return oid;
  };
  const readTree = (oid: string) => {
    counter.reads += 1;
    return trees.get(oid)!;
  };
  return { put, readTree, counter };
}

const { put, readTree, counter } = world();
const base: Folder = { a: { "x.yaml": "1", "notes.md": "1", sub: { "y.yaml": "1" } }, b: { "z.yaml": "1" } };
const root = put(base);
const keys = [listInput("a"), fileInput("a/x.yaml"), fileInput("a/kustomization.yaml"), fileInput("lib/base.yaml")];

function touchedBy(change: (folder: any) => void): string[] {
  const folder = structuredClone(base);
  change(folder);
  const index = new InputIndex();
  index.set("app", readInputs(keys, readTree, root));
  const newRoot = put(folder);
  const touched = [...index.touched(readTree, root, newRoot)];
  // I1: the index and comparing each input by itself must agree.
  expect(inputsDiffer(index.inputsOf("app")!, readTree, newRoot)).toBe(touched.length > 0);
  return touched;
}

test("a source is touched by what it read: a file, a listing, a look-up that missed", () => {
  expect(touchedBy((f) => (f.a["x.yaml"] = "2"))).toEqual(["app"]);
  expect(touchedBy((f) => (f.a["new.yaml"] = "1"))).toEqual(["app"]);
  expect(touchedBy((f) => delete f.a["notes.md"])).toEqual(["app"]);
  expect(touchedBy((f) => (f.a["kustomization.yaml"] = "1"))).toEqual(["app"]);
  expect(touchedBy((f) => (f.lib = { "base.yaml": "1" }))).toEqual(["app"]);
  expect(touchedBy((f) => delete f.a)).toEqual(["app"]);
  expect(touchedBy((f) => (f.a["x.yaml"] = { deep: "1" }))).toEqual(["app"]);
});

test("a source is not touched by what it did not read", () => {
  expect(touchedBy((f) => (f.a["notes.md"] = "2"))).toEqual([]);
  expect(touchedBy((f) => (f.a.sub["y.yaml"] = "2"))).toEqual([]);
  expect(touchedBy((f) => (f.b["z.yaml"] = "2"))).toEqual([]);
  expect(touchedBy((f) => (f.c = { new: "1" }))).toEqual([]);
  expect(touchedBy((f) => (f.lib = { "other.yaml": "1" }))).toEqual([]);
});

test("a push back to what was rendered touches nobody", () => {
  const index = new InputIndex();
  index.set("app", readInputs(keys, readTree, root));
  const other = put({ ...base, a: { "x.yaml": "2" } });
  expect(index.touched(readTree, other, root).size).toBe(0);
});

test("I2: a push that nobody reads costs the same however many sources there are", () => {
  const folder: Folder = {};
  for (let i = 0; i < 500; i += 1) folder[`app-${i}`] = { "m.yaml": String(i) };
  const before = put({ apps: folder, docs: { many: { "a.md": "1" } } });
  const after = put({ apps: folder, docs: { many: { "a.md": "2" }, more: { x: "1" } } });
  const index = new InputIndex();
  for (let i = 0; i < 500; i += 1)
    index.set(`${i}`, readInputs([listInput(`apps/app-${i}`), fileInput(`apps/app-${i}/m.yaml`)], readTree, before));
  counter.reads = 0;
  expect(index.touched(readTree, before, after).size).toBe(0);
  expect(counter.reads).toBe(2);
});

test("a source that was forgotten is not told, and leaves nothing in the index", () => {
  const index = new InputIndex();
  index.set("app", readInputs(keys, readTree, root));
  index.set("app", readInputs([fileInput("b/z.yaml")], readTree, root));
  expect([...index.touched(readTree, root, put({ b: base["b"]! }))]).toEqual([]);
  index.delete("app");
  counter.reads = 0;
  expect(index.touched(readTree, root, put({ b: { "z.yaml": "9" } })).size).toBe(0);
  expect(counter.reads).toBe(0);
});
