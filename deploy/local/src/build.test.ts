import { mkdtemp, mkdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { contentKey, olderThan, type GoBuild } from "./build.ts";

const go = { GOVERSION: "go1.26.8", GOOS: "linux", GOARCH: "amd64" };
let build: GoBuild;

beforeEach(async () => {
  const moduleDir = await mkdtemp(path.join(tmpdir(), "driftless-build-"));
  build = { moduleDir, outputs: [{ pkg: ".", name: "x" }], what: "a test" };
  await writeFile(path.join(moduleDir, "go.mod"), "module x\n\ngo 1.26.0\n");
  await mkdir(path.join(moduleDir, "deep"));
  await writeFile(path.join(moduleDir, "deep", "x.go"), "package deep\n");
});
afterEach(() => rm(build.moduleDir, { recursive: true, force: true }));

test("versions are compared by number, and what is not one counts as new enough", () => {
  expect(olderThan("1.9.3", "1.26.0")).toBe(true);
  expect(olderThan("1.26.0", "1.26.0")).toBe(false);
  expect(olderThan("1.26", "1.26.1")).toBe(true);
  expect(olderThan("1.27rc1", "1.26.0")).toBe(false);
  expect(olderThan("devel +abc", "1.26.0")).toBe(false);
});

test("the key changes with the sources, the Go version and what is asked for, and with nothing else", async () => {
  const key = await contentKey(build, go);
  await writeFile(path.join(build.moduleDir, "README.md"), "words");
  await writeFile(path.join(build.moduleDir, "deep", "x_test.go"), "package deep\n");
  expect(await contentKey({ ...build, what: "other words" }, go)).toBe(key);
  expect(await contentKey(build, { ...go, GOVERSION: "go1.27.0" })).not.toBe(key);
  expect(await contentKey(build, { ...go, GOARCH: "arm64" })).not.toBe(key);
  expect(await contentKey({ ...build, outputs: [{ pkg: ".", name: "y" }] }, go)).not.toBe(key);
  expect(await contentKey({ ...build, stamps: { "x.v": "1" } }, go)).not.toBe(key);
  await writeFile(path.join(build.moduleDir, "deep", "x.go"), "package deep // changed\n");
  expect(await contentKey(build, go)).not.toBe(key);
});
