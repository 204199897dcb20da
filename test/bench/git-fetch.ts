// Rows of hop 2: repo-fetcher's Git core beside `git fetch --depth 1`, on a repository of 50,000 files and on a push to
// one of 10,000.
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startGitServer } from "@driftless/local/git-server";
import { systemClock } from "@driftless/process/clock";
import type { Outcome } from "@driftless/repo-fetcher/git-failure";
import { InputIndex, readInputs } from "@driftless/repo-fetcher/inputs";
import { RemoteObjects } from "@driftless/repo-fetcher/objects";
import { percentile } from "./meter.ts";
import type { BenchRow } from "./rows.ts";

const LARGE_FILES = 50_000;
const PUSHED_FILES = 10_000;
const ROUNDS = 5;
const PUSHES = 20;

const now = () => performance.now();
export const unwrap = <T>(result: Outcome<T>): T => {
  if (result.kind === "ok") return result.value;
  throw new Error(`${result.failure.code}: ${result.failure.message}`);
};

function filesOf(count: number): Record<string, string> {
  const files: Record<string, string> = {};
  for (let i = 0; i < count; i += 1)
    files[`apps/team-${Math.floor(i / 400)}/app-${Math.floor(i / 4)}/file-${i % 4}.yaml`] =
      `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c${i}\ndata:\n  value: "${(i * 7919) % 104729}"\n`;
  return files;
}

/** Not waited for synchronously, because the server lives in this process. */
const git = (...args: string[]): Promise<void> =>
  new Promise((resolve, reject) => {
    spawn("git", args).once("close", (code) => (code === 0 ? resolve() : reject(new Error(`git ${args[2]}: ${code}`))));
  });

export async function fetchRows(options: {
  progress(what: string, done: number, total: number): void;
}): Promise<BenchRow[]> {
  const dir = await mkdtemp(join(tmpdir(), "driftless-bench-git-"));
  const server = await startGitServer({ dir: join(dir, "repos"), port: 0 });
  try {
    options.progress("first fetch: repository", 0, 1);
    const large = await server.createRepository("large", filesOf(LARGE_FILES));
    const [plain, ours]: [number[], number[]] = [[], []];
    let fetchedBytes = 0;
    for (let round = 0; round < ROUNDS; round += 1) {
      const clone = join(dir, `clone-${round}`);
      await git("init", "-q", "--bare", clone);
      let start = now();
      await git("-C", clone, "fetch", "-q", "--depth", "1", large.url, "main");
      plain.push(now() - start);

      const remote = new RemoteObjects({ url: large.url, clock: systemClock });
      server.resetStats();
      start = now();
      const refs = unwrap(await remote.listRefs());
      const [commit] = unwrap(await remote.fetchCommits([refs.refs.get("refs/heads/main")!]));
      const walk = (oid: string): void => {
        for (const entry of remote.readTree(oid)) if (entry.kind === "tree") walk(entry.oid);
      };
      walk(remote.rootTree(commit!)!);
      ours.push(now() - start);
      fetchedBytes = server.stats().bytesOut;
      remote.close();
      options.progress("first fetch", round + 1, ROUNDS);
    }
    const first = rowOf(
      `first fetch of ${LARGE_FILES} files, until every tree is read`,
      ours,
      plain,
      4,
      `${fetchedBytes} bytes; bare is git fetch --depth 1`,
    );
    return [first, await pushedRow(server, dir, options)];
  } finally {
    await server.stop();
    await rm(dir, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** A push of one file: list the refs, fetch, find whose inputs it changes. */
async function pushedRow(
  server: Awaited<ReturnType<typeof startGitServer>>,
  dir: string,
  options: { progress(what: string, done: number, total: number): void },
): Promise<BenchRow> {
  const { url } = await server.createRepository("pushed", filesOf(PUSHED_FILES));
  const clone = join(dir, "clone-pushed");
  await git("init", "-q", "--bare", clone);
  await git("-C", clone, "fetch", "-q", "--depth", "1", url, "+main:main");
  const remote = new RemoteObjects({ url, clock: systemClock });
  let refs = unwrap(await remote.listRefs());
  let [commit] = unwrap(await remote.fetchCommits([refs.refs.get("refs/heads/main")!]));
  const index = new InputIndex();
  for (const team of remote.readTree(remote.readTree(remote.rootTree(commit!)!)[0]!.oid))
    for (const app of remote.readTree(team.oid)) {
      const path = `apps/${team.name}/${app.name}`;
      const keys = [`list:${path}`, ...[0, 1, 2, 3].map((i) => `file:${path}/file-${i}.yaml`)];
      index.set(path, readInputs(keys, remote.readTree, remote.rootTree(commit!)!));
    }
  const [ours, plain, bytes]: [number[], number[], number[]] = [[], [], []];
  for (let round = 0; round < PUSHES; round += 1) {
    const app = round * 13;
    const file = `apps/team-${Math.floor(app / 100)}/app-${app}/file-1.yaml`;
    const to = await server.commitFiles("pushed", { [file]: `round: ${round}\n` }, "one file");
    server.resetStats();
    let start = now();
    refs = unwrap(await remote.listRefs());
    const [next] = unwrap(await remote.fetchCommits([to]));
    const touched = index.touched(remote.readTree, remote.rootTree(commit!)!, remote.rootTree(next!)!);
    ours.push(now() - start);
    bytes.push(server.stats().bytesOut);
    if (touched.size !== 1) throw new Error(`${touched.size} sources touched`);
    commit = next;
    start = now();
    await git("-C", clone, "fetch", "-q", "--depth", "1", url, "+main:main");
    plain.push(now() - start);
    options.progress("fetch of a push", round + 1, PUSHES);
  }
  remote.close();
  return rowOf(
    `fetch of a push to one file of ${PUSHED_FILES}, until it is known whom it touches of ${index.size}`,
    ours,
    plain,
    1,
    `${percentile(bytes, 50)} bytes; bare is git fetch --depth 1`,
  );
}

function rowOf(row: string, ours: number[], bare: number[], goal: number, notes: string): BenchRow {
  const [p50, bareP50] = [percentile(ours, 50), percentile(bare, 50)];
  return {
    row,
    unit: "ms",
    p50,
    p99: percentile(ours, 99),
    bareP50,
    bareP99: percentile(bare, 99),
    ratio: p50 / bareP50,
    goal: `≤ ${goal} ×`,
    met: p50 / bareP50 <= goal,
    notes,
  };
}
