// The manifests of several sources, read as one set.
import { expect, test } from "vitest";
import type { Manifest } from "./manifest.ts";
import { encodeManifests } from "./manifests-blob.ts";
import { bySource, ofSources, readManifests } from "./of-sources.ts";

const manifest = (name: string): Manifest => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name },
  body: "",
  images: [],
  file: "a.yaml",
  line: 1,
  warnings: [],
});
const blobs = new Map([
  ["one", encodeManifests([manifest("a"), manifest("b")])],
  ["two", encodeManifests([manifest("c")])],
  ["damaged", new Uint8Array([1, 2])],
]);
const files = async (digests: string) => {
  const read = await readManifests(digests, async (digest) => blobs.get(digest));
  return read.kind === "ok"
    ? read.manifests.map(({ metadata, file }) => `${String(metadata["name"])} ${file}`)
    : read.reason;
};

test("a source alone is what it always was", async () => {
  expect(ofSources(["one"])).toBe("one");
  expect(await files("one")).toEqual(["a a.yaml", "b a.yaml"]);
});

test("several come in their order, each file with its source; one that renders nothing keeps its place", async () => {
  expect(bySource(ofSources(["one", "", "two"]))).toEqual(["one", "", "two"]);
  expect(await files("one++two")).toEqual(["a sources[0]:a.yaml", "b sources[0]:a.yaml", "c sources[2]:a.yaml"]);
});

test("one that is gone or damaged is no set at all", async () => {
  expect(await files("")).toContain("gone");
  expect(await files("one+gone")).toContain("gone");
  expect(await files("one+damaged")).toContain("damaged");
});
