// Measures repo-fetcher's Git core beside `git fetch --depth 1` (a plain program):
//   node test/bench/git-fetch.ts [--files 50000] [--increment-files 10000]
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startGitServer } from "@driftless/local/git-server";
import { systemClock } from "@driftless/process/clock";
import type { Outcome } from "@driftless/repo-fetcher/git-failure";
import { InputIndex, readInputs } from "@driftless/repo-fetcher/inputs";
import { RemoteObjects } from "@driftless/repo-fetcher/objects";

const { values } = parseArgs({
  options: { files: { type: "string", default: "50000" }, "increment-files": { type: "string", default: "10000" } },
});
const dir = mkdtempSync(join(tmpdir(), "driftless-git-bench-"));
const server = await startGitServer({ dir: join(dir, "repos"), port: 0 });
const now = () => performance.now();
const unwrap = <T>(result: Outcome<T>): T => {
  if (result.kind === "ok") return result.value;
  throw new Error(`${result.failure.code}: ${result.failure.message}`);
};
const filesOf = (count: number) => {
  const files: Record<string, string> = {};
  for (let i = 0; i < count; i += 1)
    files[`apps/team-${Math.floor(i / 400)}/app-${Math.floor(i / 4)}/file-${i % 4}.yaml`] =
      `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c${i}\ndata:\n  value: "${(i * 7919) % 104729}"\n`;
  return files;
};
const median = (numbers: number[]) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]!;

try {
  const large = await server.createRepository("large", filesOf(Number(values.files)));
  const [plain, ours, trees]: [number[], number[], number[]] = [[], [], []];
  for (let round = 0; round < 5; round += 1) {
    const clone = join(dir, `clone-${round}`);
    spawnSync("git", ["init", "-q", "--bare", clone]);
    let start = now();
    // Asynchronous, because the server lives in this process.
    await new Promise<void>((resolve, reject) => {
      void import("node:child_process").then(({ spawn }) =>
        spawn("git", ["-C", clone, "fetch", "-q", "--depth", "1", large.url, "main"]).once("close", (code) =>
          code === 0 ? resolve() : reject(new Error(`git fetch: ${code}`)),
        ),
      );
    });
    plain.push(now() - start);

    const remote = new RemoteObjects({ url: large.url, clock: systemClock });
    server.resetStats();
    start = now();
    const refs = unwrap(await remote.listRefs());
    const [commit] = unwrap(await remote.fetchCommits([refs.refs.get("refs/heads/main")!]));
    ours.push(now() - start);
    let files = 0;
    const blobs: string[] = [];
    const walk = (oid: string) => {
      for (const entry of remote.readTree(oid)) {
        if (entry.kind === "tree") walk(entry.oid);
        else if ((files += 1) <= 4000) blobs.push(entry.oid);
      }
    };
    walk(remote.rootTree(commit!)!);
    trees.push(now() - start);
    const fetchedBytes = server.stats().bytesOut;
    start = now();
    unwrap(await remote.blobs(blobs));
    if (round === 4)
      console.log(
        `${files} files: git fetch --depth 1 ${median(plain).toFixed(0)} ms; ours ${median(ours).toFixed(0)} ms, with every tree read ` +
          `${median(trees).toFixed(0)} ms (${(median(trees) / median(plain)).toFixed(1)} x), ${fetchedBytes} bytes; then ${blobs.length} files ` +
          `in ${(now() - start).toFixed(0)} ms; held ${JSON.stringify(remote.held())}`,
      );
    remote.close();
  }

  const small = await server.createRepository("small", filesOf(Number(values["increment-files"])));
  const remote = new RemoteObjects({ url: small.url, clock: systemClock });
  let refs = unwrap(await remote.listRefs());
  let [commit] = unwrap(await remote.fetchCommits([refs.refs.get("refs/heads/main")!]));
  const index = new InputIndex();
  for (const team of remote.readTree(remote.readTree(remote.rootTree(commit!)!)[0]!.oid))
    for (const app of remote.readTree(team.oid)) {
      const path = `apps/${team.name}/${app.name}`;
      const keys = [`list:${path}`, ...[0, 1, 2, 3].map((i) => `file:${path}/file-${i}.yaml`)];
      index.set(path, readInputs(keys, remote.readTree, remote.rootTree(commit!)!));
    }
  const [list, fetch, compare, bytes]: number[][] = [[], [], [], []];
  for (let round = 0; round < 20; round += 1) {
    const app = round * 13;
    const to = await server.commitFiles(
      "small",
      { [`apps/team-${Math.floor(app / 100)}/app-${app}/file-1.yaml`]: `round: ${round}\n` },
      "one file",
    );
    server.resetStats();
    let start = now();
    refs = unwrap(await remote.listRefs());
    list!.push(now() - start);
    start = now();
    const [next] = unwrap(await remote.fetchCommits([to]));
    fetch!.push(now() - start);
    bytes!.push(server.stats().bytesOut);
    start = now();
    const touched = index.touched(remote.readTree, remote.rootTree(commit!)!, remote.rootTree(next!)!);
    compare!.push(now() - start);
    if (touched.size !== 1) throw new Error(`${touched.size} sources touched`);
    commit = next;
  }
  console.log(
    `1-file push, ${values["increment-files"]} files, ${index.size} sources: list refs ${median(list!).toFixed(1)} ms, fetch ` +
      `${median(fetch!).toFixed(1)} ms, compare ${median(compare!).toFixed(2)} ms, ${median(bytes!)} bytes from the server for both`,
  );
  remote.close();
} finally {
  await server.stop();
  rmSync(dir, { recursive: true, force: true });
}
