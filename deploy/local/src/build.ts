// Builds Go programs once per content, into a cache per user that every clone shares.
//
// 1. key: a digest of the module's sources, the Go version, the platform and what is asked for.
// 2. hit: the folder of that key exists, so it is complete (B2) and nothing is run.
// 3. lock: another process building the same key is waited for, showing its progress.
// 4. build: go list for the total, go build -v for each package done, into a folder of its own; then rename.
//
// B1  Nothing is written into the clone.
// B2  A folder named by its key is complete: it appears by one rename. A crash leaves only a folder of another
//     name, which the next build of that key removes.
// B3  The lock saves work and nothing else. Were it taken twice, two builds would run side by side and the second
//     rename would find the first one's result.
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, readdir, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { systemClock } from "@driftless/process/clock";
import { tryLock, type Lock } from "./lock.ts";
import { PartFailed } from "./part-failed.ts";

export interface BuildProgress {
  what: string;
  done: number;
  /** 0 while it is not known yet. */
  total: number;
  elapsedMs: number;
}

export interface GoBuild {
  /** Folder of go.mod. */
  moduleDir: string;
  /** Each package and the name its program gets. */
  outputs: { pkg: string; name: string }[];
  /** Files to keep beside the programs, out of modules in go.mod; several are joined as YAML documents. */
  files?: { module: string; paths: string[]; name: string }[];
  /** String variables to set at link time: what the original release builds stamp in. */
  stamps?: Record<string, string>;
  /** What people read in the progress line: "the Kubernetes control plane". */
  what: string;
  onProgress?: (progress: BuildProgress) => void;
  signal?: AbortSignal;
}

export interface GoBuildResult {
  binDir: string;
  filesDir: string;
  /** False when everything was there already. */
  built: boolean;
}

// Builds nobody asked for in this time are removed when another one is made: each is some hundred megabytes.
const keptUnusedDays = 30;

function flagsOf(build: GoBuild): string[] {
  const stamps = Object.entries(build.stamps ?? {}).map(([variable, value]) => `-X ${variable}=${value}`);
  return ["-trimpath", "-buildvcs=false", `-ldflags=${["-s -w", ...stamps].join(" ")}`];
}

export async function buildGo(build: GoBuild): Promise<GoBuildResult> {
  const go = await requireGo(build);
  const key = await contentKey(build, go);
  const root = cacheRoot();
  const target = path.join(root, key);
  const result = { binDir: path.join(target, "bin"), filesDir: path.join(target, "files") };
  if (await touch(target)) return { ...result, built: false };

  await mkdir(root, { recursive: true });
  const lock = await lockOrWait(target, build);
  if (!lock) return { ...result, built: false };
  try {
    // Whoever held the lock before may have finished between the look above and now.
    if (await touch(target)) return { ...result, built: false };
    await removeLeftovers(root, key);
    const tellOthers = atMostEvery(500, (progress: BuildProgress) => void lock.tell(progress));
    const unfinished = `${target}.building-${process.pid}-${randomBytes(4).toString("hex")}`;
    try {
      await buildInto(unfinished, build, (progress) => {
        build.onProgress?.(progress);
        tellOthers(progress);
      });
      await rename(unfinished, target).catch(async (error: unknown) => {
        if (!(await touch(target))) throw error;
      });
    } finally {
      await rm(unfinished, { recursive: true, force: true });
    }
    await removeUnused(root);
    return { ...result, built: true };
  } finally {
    await lock.release();
  }
}

export function cacheRoot(): string {
  const base = process.env["XDG_CACHE_HOME"];
  // The XDG specification says to ignore relative paths.
  return path.join(base && path.isAbsolute(base) ? base : path.join(homedir(), ".cache"), "driftless");
}

interface GoEnvironment {
  GOVERSION: string;
  GOOS: string;
  GOARCH: string;
}

async function requireGo(build: GoBuild): Promise<GoEnvironment> {
  const wanted = /^go (\S+)$/m.exec(await readFile(path.join(build.moduleDir, "go.mod"), "utf8"))?.[1] ?? "";
  const advice = `Install Go ${wanted} or newer (https://go.dev/dl/) and see that \`go\` is in the PATH.`;
  try {
    // In the module's folder, so that a Go that fetches newer toolchains by itself has done so already.
    const output = await run("go", ["env", "-json", "GOVERSION", "GOOS", "GOARCH"], build);
    const go = JSON.parse(output) as GoEnvironment;
    if (olderThan(go.GOVERSION.replace(/^go/, ""), wanted)) {
      throw new PartFailed("go", `the installed Go (${go.GOVERSION}) is too old to build ${build.what}. ${advice}`);
    }
    return go;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      throw new PartFailed("go", `Go is not installed, and ${build.what} must be built once. ${advice}`);
    }
    if (error instanceof PartFailed && /requires go >=|invalid go version/.test(error.message)) {
      throw new PartFailed("go", `the installed Go is too old to build ${build.what}. ${advice}\n${error.message}`);
    }
    throw error;
  }
}

/** Compares "1.26.8" by number; anything unreadable ("devel …") counts as new enough. */
export function olderThan(version: string, wanted: string): boolean {
  const numbers = (text: string) => (/^\d+(\.\d+)*/.exec(text)?.[0] ?? "").split(".").filter(Boolean).map(Number);
  const [has, wants] = [numbers(version), numbers(wanted)];
  if (has.length === 0) return false;
  for (const [index, want] of wants.entries()) {
    const difference = (has[index] ?? 0) - want;
    if (difference !== 0) return difference < 0;
  }
  return false;
}

export async function contentKey(build: GoBuild, go: GoEnvironment): Promise<string> {
  const digest = createHash("sha256");
  const { GOVERSION, GOOS, GOARCH } = go;
  digest.update(JSON.stringify([GOVERSION, GOOS, GOARCH, flagsOf(build), build.outputs, build.files ?? []]));
  for (const file of await goSources(build.moduleDir)) {
    digest.update(`\0${file}\0`).update(await readFile(path.join(build.moduleDir, file)));
  }
  const name = path.basename(path.resolve(build.moduleDir));
  return `${name}-${digest.digest("hex").slice(0, 20)}`;
}

async function goSources(moduleDir: string): Promise<string[]> {
  const entries = await readdir(moduleDir, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && /^go\.(mod|sum)$|(?<!_test)\.go$/.test(entry.name))
    .map((entry) => path.relative(moduleDir, path.join(entry.parentPath, entry.name)))
    .filter((file) => !file.split(path.sep).includes("node_modules"))
    .toSorted();
}

/** True when the build is there; marks it as used, for removeUnused. */
async function touch(target: string): Promise<boolean> {
  const now = new Date(systemClock.now());
  return utimes(target, now, now).then(
    () => true,
    () => existsSync(target),
  );
}

async function buildInto(folder: string, build: GoBuild, onProgress: (progress: BuildProgress) => void) {
  const startedMs = systemClock.monotonic();
  const tell = (what: string, done: number, total: number) =>
    onProgress({ what, done: Math.min(done, total || done), total, elapsedMs: systemClock.monotonic() - startedMs });
  await mkdir(path.join(folder, "bin"), { recursive: true });
  await mkdir(path.join(folder, "files"));
  const packages = build.outputs.map((output) => output.pkg);

  // Some of the modules are needed for other systems or for tests only, and not fetched: an upper bound.
  const modules =
    (await readFile(path.join(build.moduleDir, "go.sum"), "utf8")).match(/^\S+ \S+(?<!\/go\.mod) h1:/gm)?.length ?? 0;
  let fetched = 0;
  tell(build.what, 0, 0);
  // Only what Go's own cache does not hold already is printed by go build -v, so only that is counted.
  const staleOnly = "{{if .Stale}}{{.ImportPath}}{{end}}";
  const list = await run("go", ["list", "-deps", ...flagsOf(build), "-f", staleOnly, ...packages], build, (line) => {
    if (line.startsWith("go: downloading ")) tell(`Go modules for ${build.what}`, ++fetched, modules);
  });
  const total = list.split("\n").filter(Boolean).length;

  let done = 0;
  tell(build.what, done, total);
  // Linking takes long and prints nothing: without a tick now and then it looks stuck.
  const stopTicking = every(1000, () => tell(build.what, done, total));
  try {
    await run(
      "go",
      ["build", "-v", ...flagsOf(build), "-o", path.join(folder, "bin") + path.sep, ...packages],
      build,
      () => tell(build.what, ++done, total),
    );
  } finally {
    stopTicking();
  }
  const targets = await run("go", ["list", "-f", "{{.ImportPath}} {{.Target}}", ...packages], build);
  for (const [index, line] of targets.trim().split("\n").entries()) {
    const builtAs = path.basename(line.slice(line.indexOf(" ") + 1));
    const name = build.outputs[index]!.name;
    if (builtAs !== name) await rename(path.join(folder, "bin", builtAs), path.join(folder, "bin", name));
  }
  for (const { module, paths, name } of build.files ?? []) {
    const moduleFolder = (await run("go", ["list", "-m", "-f", "{{.Dir}}", module], build)).trim();
    const texts = await Promise.all(paths.map((file) => readFile(path.join(moduleFolder, file), "utf8")));
    await writeFile(path.join(folder, "files", name), texts.join("\n---\n"));
  }
  tell(build.what, total, total);
}

function atMostEvery<T>(intervalMs: number, act: (value: T) => void): (value: T) => void {
  let lastMs = -Infinity;
  return (value) => {
    if (systemClock.monotonic() - lastMs < intervalMs) return;
    lastMs = systemClock.monotonic();
    act(value);
  };
}

function every(intervalMs: number, act: () => void): () => void {
  let cancel = () => {};
  const again = () => {
    cancel = systemClock.setTimer(intervalMs, () => {
      act();
      again();
    });
  };
  again();
  return () => cancel();
}

/** Standard output; each line of standard error goes to `onLine`. cgo is off: one less thing to be installed. */
async function run(
  program: string,
  args: string[],
  build: GoBuild,
  onLine: (line: string) => void = () => {},
): Promise<string> {
  const child = spawn(program, args, {
    cwd: build.moduleDir,
    env: { ...process.env, CGO_ENABLED: "0" },
    stdio: ["ignore", "pipe", "pipe"],
    ...(build.signal && { signal: build.signal }),
  });
  const output: string[] = [];
  const lastLines: string[] = [];
  child.stdout.setEncoding("utf8").on("data", (text: string) => output.push(text));
  createInterface({ input: child.stderr }).on("line", (line) => {
    lastLines.push(line);
    if (lastLines.length > 20) lastLines.shift();
    onLine(line);
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject).on("close", resolve);
  });
  if (code !== 0) {
    const command = [program, ...args.slice(0, 2)].join(" ");
    throw new PartFailed("go", `\`${command} …\` for ${build.what} failed:\n${lastLines.join("\n")}`);
  }
  return output.join("");
}

/** Undefined when another process has made the build while we waited. */
async function lockOrWait(target: string, build: GoBuild): Promise<Lock<BuildProgress> | undefined> {
  for (;;) {
    const outcome = await tryLock<BuildProgress>(`${target}.lock`);
    if (outcome.kind === "taken") return outcome.lock;
    if (await touch(target)) return undefined;
    if (outcome.by.note) build.onProgress?.(outcome.by.note);
    await systemClock.sleep(500, build.signal);
  }
}

async function removeLeftovers(root: string, key: string) {
  for (const name of await readdir(root)) {
    if (name.startsWith(`${key}.building-`)) await rm(path.join(root, name), { recursive: true, force: true });
  }
}

async function removeUnused(root: string) {
  const oldestMs = systemClock.now() - keptUnusedDays * 24 * 3600 * 1000;
  for (const name of await readdir(root)) {
    const info = await stat(path.join(root, name)).catch(() => undefined);
    if (info && info.mtimeMs < oldestMs) await rm(path.join(root, name), { recursive: true, force: true });
  }
}
