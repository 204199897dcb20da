// Building Go programs into the cache, for real, with a module of three lines.
import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { buildGo, type GoBuild } from "@driftless/local/build";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

let folder: string;
let build: GoBuild;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "driftless-build-"));
  vi.stubEnv("XDG_CACHE_HOME", path.join(folder, "cache"));
  const moduleDir = path.join(folder, "module");
  await mkdir(moduleDir);
  await writeFile(path.join(moduleDir, "go.mod"), "module example.invalid/hello\n\ngo 1.26.0\n");
  await writeFile(path.join(moduleDir, "go.sum"), "");
  await writeFile(path.join(moduleDir, "main.go"), 'package main\n\nvar word = "?"\n\nfunc main() { println(word) }\n');
  build = { moduleDir, outputs: [{ pkg: ".", name: "greet" }], stamps: { "main.word": "hello" }, what: "a greeting" };
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

const cache = () => readdir(path.join(folder, "cache", "driftless"));

test("two that start at once build once, tell how far they are, and the next one finds it there", async () => {
  const builds = [1, 2].map(() => {
    const program = `
      import { buildGo } from "@driftless/local/build";
      const build = JSON.parse(process.argv[1]);
      console.log(JSON.stringify(await buildGo({ ...build, onProgress: () => console.error("progress") })));
    `;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", program, JSON.stringify(build)], {
      cwd: import.meta.dirname,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let [output, progressLines] = ["", 0];
    child.stdout.on("data", (text: Buffer) => (output += text.toString()));
    child.stderr.on("data", () => progressLines++);
    return new Promise<{ built: boolean; binDir: string; progressLines: number }>((resolve, reject) => {
      child.on("close", () => {
        try {
          resolve({ ...(JSON.parse(output) as { built: boolean; binDir: string }), progressLines });
        } catch (error) {
          reject(error as Error);
        }
      });
    });
  });
  const results = await Promise.all(builds);
  const builders = results.filter((result) => result.built);
  expect(builders).toHaveLength(1);
  expect(builders[0]!.progressLines).toBeGreaterThan(0);
  const greeting = await promisify(execFile)(path.join(results[0]!.binDir, "greet"));
  expect(greeting.stderr).toBe("hello\n");
  expect(await buildGo(build)).toMatchObject({ built: false, binDir: results[0]!.binDir });
  // No lock, no unfinished folder: the build and nothing else.
  expect(await cache()).toHaveLength(1);
});

test("a build that fails says why, leaves nothing, and the corrected source builds", async () => {
  await writeFile(path.join(build.moduleDir, "main.go"), "package main\n\nfunc main() { prinln(1) }\n");
  await expect(buildGo(build)).rejects.toThrow("undefined: prinln");
  expect(await cache()).toEqual([]);
  await writeFile(path.join(build.moduleDir, "main.go"), "package main\n\nfunc main() { println(1) }\n");
  const { binDir } = await buildGo(build);
  expect(existsSync(path.join(binDir, "greet"))).toBe(true);
});

test("what a killed build left is removed by the next one", async () => {
  const { binDir } = await buildGo(build);
  const target = path.dirname(binDir);
  await rm(target, { recursive: true });
  await mkdir(`${target}.building-1-aa/bin`, { recursive: true });
  await writeFile(`${target}.lock`, JSON.stringify({ holder: { pid: process.pid, began: "in an earlier life" } }));
  expect(await buildGo(build)).toMatchObject({ built: true });
  expect(await cache()).toEqual([path.basename(target)]);
});

test("without Go, or with one that is too old, the error says what to install", async () => {
  vi.stubEnv("PATH", folder);
  await expect(buildGo(build)).rejects.toThrow(/Go is not installed.*Install Go 1\.26\.0 or newer/s);
  const old = '#!/bin/sh\necho \'{"GOVERSION":"go1.19.8","GOOS":"linux","GOARCH":"amd64"}\'\n';
  await writeFile(path.join(folder, "go"), old, { mode: 0o755 });
  await expect(buildGo(build)).rejects.toThrow(/go1\.19\.8\) is too old.*Install Go 1\.26\.0/s);
});
