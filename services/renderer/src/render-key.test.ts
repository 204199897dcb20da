import { expect, test } from "vitest";
import { renderKey } from "./render-key.ts";

const parts = { inputsDigest: "a", path: "app", directory: { recurse: false, include: "", exclude: "" } };

test("the same inputs and parameters have the same key", () => {
  expect(renderKey(parts)).toBe(renderKey(structuredClone(parts)));
});

test.each([
  ["inputs", { ...parts, inputsDigest: "b" }],
  ["path", { ...parts, path: "other" }],
  ["recurse", { ...parts, directory: { ...parts.directory, recurse: true } }],
  ["include", { ...parts, directory: { ...parts.directory, include: "*.yaml" } }],
  ["exclude", { ...parts, directory: { ...parts.directory, exclude: "*.yaml" } }],
])("another value of %s gives another key", (_, other) => {
  expect(renderKey(other)).not.toBe(renderKey(parts));
});
