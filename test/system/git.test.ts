// repo-fetcher's Git core against a real Git server over HTTP, and against servers that misbehave.
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runGit } from "@driftless/local/git-repository";
import { startGitServer } from "@driftless/local/git-server";
import type { GitServer } from "@driftless/local/git-server";
import { fileInput, listInput } from "@driftless/manifests/inputs";
import { systemClock } from "@driftless/process/clock";
import type { Outcome } from "@driftless/repo-fetcher/git-failure";
import { readInputs } from "@driftless/repo-fetcher/inputs";
import type { ResolveName } from "@driftless/repo-fetcher/addresses";
import type { HttpCredentials } from "@driftless/repo-fetcher/http";
import { RemoteObjects } from "@driftless/repo-fetcher/objects";
import { Repository } from "@driftless/repo-fetcher/repository";
import type { MovedRef } from "@driftless/repo-fetcher/repository";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";

let dir: string;
let server: GitServer;
const closing: (() => unknown)[] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "driftless-git-"));
  server = await startGitServer({ dir, port: 0 });
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});
afterAll(async () => {
  await server?.stop();
  await rm(dir, { recursive: true, force: true });
});

const cause = { kind: "user" as const, at: "2026-01-01T00:00:00Z" };
let names = 0;
const fresh = () => `repo-${(names += 1)}`;

function open(url: string, options: Partial<ConstructorParameters<typeof RemoteObjects>[0]> = {}): RemoteObjects {
  const remote = new RemoteObjects({ url, clock: systemClock, ...options });
  closing.push(() => remote.close());
  return remote;
}

function own(remote: RemoteObjects, options: Partial<ConstructorParameters<typeof Repository>[0]> = {}) {
  const told = {
    moved: [] as MovedRef[],
    polls: 0,
    changed: [] as { ids: string[]; observation: number; revision: string | undefined }[],
    unchanged: [] as { count: number }[],
    failed: [] as string[],
  };
  const repository = new Repository({
    remote,
    clock: systemClock,
    pollMs: 0,
    matchConstraint: (constraint, versions) =>
      constraint === "1.*"
        ? versions
            .filter((v) => v.startsWith("v1."))
            .sort()
            .at(-1)
        : undefined,
    events: {
      onPolled: (look) => {
        told.polls += 1;
        told.moved.push(...look.moved);
      },
      onSourcesChanged: (change) => told.changed.push(change),
      onSourcesUnchanged: (rest) => told.unchanged.push(rest),
      onFailed: (failed) => told.failed.push(failed.code),
    },
    ...options,
  });
  closing.push(() => repository.close());
  return { repository, told };
}

function value<T>(result: Outcome<T>): T {
  if (result.kind === "ok") return result.value;
  throw new Error(`${result.failure.code}: ${result.failure.message}`);
}
const codeOf = (result: Outcome<unknown>) => (result.kind === "ok" ? "ok" : result.failure.code);

/** "path kind text" of a bundle's entries. */
async function files(repository: Repository, commit: string, path: string, extra: string[] = []) {
  const { bundle } = value(await repository.bundle(commit, path, extra));
  return [...bundle.entries].map(([at, e]) => `${at} ${e.kind} ${Buffer.from(e.bytes).toString()}`.trim()).sort();
}

const git = (name: string, ...args: string[]) => runGit(join(dir, `${name}.git`), args).then((out) => out.trim());

describe("revisions", () => {
  test("branch, tag, annotated tag, HEAD, constraint, full and short SHA lead to their commits", async () => {
    const name = fresh();
    const { url, sha: first } = await server.createRepository(name, { "app/a.yaml": "one" });
    const second = await server.commitFiles(name, { "app/a.yaml": "two" }, "second");
    const third = await server.commitFiles(name, { "app/a.yaml": "three" }, "third");
    await git(name, "-c", "user.name=t", "-c", "user.email=t@t", "tag", "-a", "-m", "annotated", "v1.1.0", second);
    await server.setRef(name, "refs/tags/v1.0.0", first!);
    await server.setRef(name, "refs/pull/7/head", first!);
    const { repository } = own(open(url));
    const commit = async (targetRevision: string) =>
      value(await repository.resolve(targetRevision, "latest", cause)).commit;
    expect(await commit("main")).toBe(third);
    expect(await commit("")).toBe(third);
    expect(await commit("HEAD")).toBe(third);
    expect(await commit("v1.1.0")).toBe(second);
    expect(await commit("1.*")).toBe(second);
    expect(await commit("refs/tags/v1.0.0")).toBe(first);
    expect(await commit("refs/pull/7/head")).toBe(first);
    expect(await commit(first!)).toBe(first);
    expect(await commit(second.slice(0, 8))).toBe(second);
    expect(await files(repository, second, "app")).toEqual(["app/a.yaml file two"]);
    expect(repository.commitInfo(second)).toMatchObject({ message: "second" });
    // The tag object's own id stands for its commit too.
    expect(await files(repository, await git(name, "rev-parse", "refs/tags/v1.1.0"), "app")).toEqual([
      "app/a.yaml file two",
    ]);
    // A commit below the tip that no answer has named yet.
    expect(await commit((await git(name, "rev-parse", "main~1")).slice(0, 7))).toBe(second);
  });

  test("what cannot be found is said with a stable code", async () => {
    const { url, sha } = await server.createRepository(fresh(), { "app/a.yaml": "one" });
    const remote = open(url);
    const { repository } = own(remote);
    for (const missing of ["gone", "0123456", "9.*"])
      expect(codeOf(await repository.resolve(missing, "latest", cause))).toBe("REVISION_NOT_FOUND");
    // Nor is the history searched again for what is not in it.
    server.resetStats();
    expect(codeOf(await repository.resolve("0123456", "observed", cause))).toBe("REVISION_NOT_FOUND");
    expect(server.stats().requests).toBe(0);
    expect(codeOf(await repository.bundle("1".repeat(40), "app"))).toBe("REVISION_NOT_FOUND");
    for (const path of ["none", "app/a.yaml", "../x", "/app"])
      expect(codeOf(await repository.bundle(sha!, path)), path).toBe("PATH_NOT_FOUND");
    const tree = remote.rootTree(sha!)!;
    expect(codeOf(await repository.bundle(tree, "app"))).toBe("REVISION_NOT_FOUND");
    expect(await files(repository, sha!, "app")).toEqual(["app/a.yaml file one"]);
    const unknown = own(open(server.repositoryUrl("nobody/knows"))).repository;
    expect(codeOf(await unknown.resolve("main", "latest", cause))).toBe("REPO_NOT_FOUND");
  });

  test("an empty repository, and a HEAD whose branch is missing, are no surprise", async () => {
    const name = fresh();
    const { url } = await server.createRepository(name);
    const { repository } = own(open(url));
    expect(codeOf(await repository.resolve("HEAD", "latest", cause))).toBe("REVISION_NOT_FOUND");
    const sha = await server.commitFiles(name, { a: "1" }, "on another branch", { branch: "other" });
    expect(codeOf(await repository.resolve("HEAD", "latest", cause))).toBe("REVISION_NOT_FOUND");
    expect(value(await repository.resolve("other", "latest", cause)).commit).toBe(sha);
  });
});

describe("objects", () => {
  test("symlinks, executables and submodules are reported; extra paths come along, missing ones are named", async () => {
    const name = fresh();
    await server.createRepository(name, {
      "app/link": { symlink: "../lib/x" },
      "app/run": { executable: "#!" },
      "lib/x": "x",
      "lib/sub/y": "y",
    });
    const folder = join(dir, `${name}.git`);
    const tree = await runGit(folder, ["ls-tree", "main:app"]);
    const made = await runGit(
      folder,
      ["mktree", "--missing"],
      [Buffer.from(`${tree}160000 commit ${"a".repeat(40)}\tmodule\n`)],
    );
    const root = (await runGit(folder, ["ls-tree", "main"])).replace(/[0-9a-f]{40}\tapp$/m, `${made.trim()}\tapp`);
    const rootTree = (await runGit(folder, ["mktree"], [Buffer.from(root)])).trim();
    const sha = await git(name, "-c", "user.name=t", "-c", "user.email=t@t", "commit-tree", "-m", "m", rootTree);
    await server.setRef(name, "refs/heads/main", sha);
    const { repository } = own(open(server.repositoryUrl(name)));
    expect(await files(repository, sha, "app", ["lib/sub", "lib/none", "../out"])).toEqual([
      "app/link symlink ../lib/x",
      "app/module submodule",
      "app/run executable #!",
      "lib/sub/y file y",
    ]);
    expect(value(await repository.bundle(sha, "app", ["lib/none"])).bundle.absent).toEqual(["lib/none"]);
  });

  test("a push of one file costs about a kilobyte, also after a force-push back, and never the tree again", async () => {
    const name = fresh();
    const many: Record<string, string> = {};
    for (let i = 0; i < 3000; i += 1) many[`apps/app-${i}/file.yaml`] = `value: ${i * 7919}\n`;
    const { url, sha: first } = await server.createRepository(name, many);
    const remote = open(url);
    const { repository } = own(remote);
    server.resetStats();
    expect(await files(repository, first!, "apps/app-7")).toEqual(["apps/app-7/file.yaml file value: 55433"]);
    const firstBytes = server.stats().bytesOut;

    const second = await server.commitFiles(name, { "apps/app-7/file.yaml": "value: 1\n" }, "one file");
    server.resetStats();
    expect(await files(repository, second, "apps/app-7")).toEqual(["apps/app-7/file.yaml file value: 1"]);
    expect(server.stats()).toMatchObject({ requests: 1 });
    expect(server.stats().bytesOut).toBeLessThan(1500);
    expect(firstBytes).toBeGreaterThan(50 * server.stats().bytesOut);

    await server.setRef(name, "refs/heads/main", first!);
    const other = await server.commitFiles(name, { "apps/app-8/file.yaml": "value: 2\n" }, "beside");
    server.resetStats();
    expect(value(await repository.resolve("main", "latest", cause)).commit).toBe(other);
    expect(await files(repository, other, "apps/app-7")).toEqual(["apps/app-7/file.yaml file value: 55433"]);
    expect(server.stats().bytesOut).toBeLessThan(5000);
    expect(await files(repository, other, "apps/app-8")).toEqual(["apps/app-8/file.yaml file value: 2"]);
  });

  test("sources that ask at once share one request for their files", async () => {
    const many: Record<string, string> = {};
    for (let i = 0; i < 50; i += 1) many[`app-${i}/file`] = `${i}`;
    const { url, sha } = await server.createRepository(fresh(), many);
    const { repository } = own(open(url));
    value(await repository.bundle(sha!, "app-0"));
    server.resetStats();
    const all = await Promise.all([...Array(50).keys()].map((i) => files(repository, sha!, `app-${i}`)));
    expect(all.flat()).toContain("app-49/file file 49");
    expect(server.stats().requests).toBeLessThanOrEqual(2);
  });

  test("a store that grows is swept, and what is in use stays readable without asking again", async () => {
    const name = fresh();
    const many: Record<string, string> = {};
    for (let i = 0; i < 4000; i += 1) many[`wide/${"n".repeat(60)}-${i}`] = `${i}`;
    const { url, sha } = await server.createRepository(name, many);
    const remote = open(url);
    value(await remote.fetchCommits([sha!]));
    const commits = [sha!];
    for (let i = 0; i < 25; i += 1) commits.push(await server.commitFiles(name, { [`wide/extra`]: `${i}` }, `${i}`));
    for (const commit of commits) {
      value(await remote.fetchCommits([commit]));
      remote.keep([commit]);
    }
    expect(remote.held().bytes).toBeLessThan(6 * 1024 * 1024);
    expect(remote.held().commits).toBeLessThan(commits.length);
    server.resetStats();
    const entries = remote.readTree(remote.readTree(remote.rootTree(commits.at(-1)!)!)[0]!.oid);
    expect(entries.length).toBe(4001);
    expect(server.stats().requests).toBe(0);
  });

  test("over the store's limit the answer is FETCH_LIMIT, and the next fetch is clean", async () => {
    const { url, sha } = await server.createRepository(fresh(), { "a/b/c/d": "x".repeat(1000) });
    const small = open(url, { limits: { storeBytesMax: 100 } });
    expect(codeOf(await small.fetchCommits([sha!]))).toBe("FETCH_LIMIT");
    expect(small.held().objects).toBe(0);
    const few = open(url, { http: { responseBytesMax: 200 } });
    expect(codeOf(await few.fetchCommits([sha!]))).toBe("FETCH_LIMIT");
  });
});

describe("repositories made to do harm", () => {
  const object = async (name: string, type: string, bytes: Buffer) =>
    (
      await runGit(join(dir, `${name}.git`), ["hash-object", "-w", "-t", type, "--stdin", "--literally"], [bytes])
    ).trim();
  const commitOf = (name: string, tree: string) =>
    git(name, "-c", "user.name=t", "-c", "user.email=t@t", "commit-tree", "-m", "m", tree);
  const entry = (mode: string, at: string, oid: string) =>
    Buffer.concat([Buffer.from(`${mode} ${at}\0`), Buffer.from(oid, "hex")]);

  test.each(["..", ".", ".git", ".GIT", "a/b", "a\\b", ".git::$INDEX_ALLOCATION"])(
    "an entry named %s is FETCH_CORRUPT, and the next fetch is clean",
    async (bad) => {
      const name = fresh();
      const { url, sha } = await server.createRepository(name, { "app/a.yaml": "one" });
      const blob = await object(name, "blob", Buffer.from("evil"));
      const app = await object(name, "tree", entry("100644", bad, blob));
      const evil = await commitOf(name, await object(name, "tree", entry("40000", "app", app)));
      await server.setRef(name, "refs/heads/evil", evil);
      const { repository } = own(open(url));
      expect(codeOf(await repository.bundle(evil, "app"))).toBe("FETCH_CORRUPT");
      expect(await files(repository, sha!, "app")).toEqual(["app/a.yaml file one"]);
    },
  );

  test("a ref that is a file, and a tag of a tag of a tag without end, are no commits", async () => {
    const name = fresh();
    const { url, sha } = await server.createRepository(name, { "app/a.yaml": "one" });
    await server.setRef(name, "refs/tags/file", await object(name, "blob", Buffer.from("x")));
    let tag = sha!;
    for (let n = 0; n < 20; n += 1) {
      const type = n === 0 ? "commit" : "tag";
      tag = await object(
        name,
        "tag",
        Buffer.from(`object ${tag}\ntype ${type}\ntag t${n}\ntagger t <t> 0 +0000\n\nm\n`),
      );
    }
    const { repository } = own(open(url));
    const given = value(await repository.resolve("file", "latest", cause));
    expect(codeOf(await repository.bundle(given.commit, "app"))).toBe("REVISION_NOT_FOUND");
    expect(codeOf(await repository.bundle(tag, "app"))).toBe("REVISION_NOT_FOUND");
    expect(await files(repository, sha!, "app")).toEqual(["app/a.yaml file one"]);
  });

  test("directories hundreds deep are FETCH_LIMIT where they are asked for, and nothing elsewhere", async () => {
    const { url, sha } = await server.createRepository(fresh(), {
      "app/a.yaml": "one",
      [`deep/${"d/".repeat(300)}x`]: "x",
    });
    const { repository } = own(open(url));
    const deep = await repository.bundle(sha!, "deep");
    expect(deep).toMatchObject({ kind: "failed", failure: { code: "FETCH_LIMIT", which: "depth" } });
    expect(await files(repository, sha!, "app")).toEqual(["app/a.yaml file one"]);
  });

  test("a hundred thousand refs are listed, and lead where they say", async () => {
    const name = fresh();
    const { url, sha } = await server.createRepository(name, { "app/a.yaml": "one" });
    const lines = Array.from({ length: 100_000 }, (_, n) => `${sha} refs/tags/v0.0.${n}\n`).join("");
    await writeFile(join(dir, `${name}.git`, "packed-refs"), lines);
    const { repository } = own(open(url));
    expect(value(await repository.resolve("v0.0.99999", "latest", cause)).commit).toBe(sha);
  });
});

describe("the owner of a repository", () => {
  const watchApp = async (repository: Repository, remote: RemoteObjects, id: string, commit: string) => {
    value(await remote.fetchCommits([commit]));
    const keys = [listInput(id), fileInput(`${id}/a.yaml`), fileInput("lib/base.yaml")];
    const inputs = readInputs(keys, remote.readTree, remote.rootTree(commit)!);
    repository.watch({ id, targetRevision: "main", inputs, revision: commit }, cause);
  };

  test("a push tells the sources it touches, counts the others, and orders observations", async () => {
    const name = fresh();
    const { url, sha } = await server.createRepository(name, { "one/a.yaml": "1", "two/a.yaml": "1", "docs/x": "1" });
    const remote = open(url);
    const { repository, told } = own(remote);
    await watchApp(repository, remote, "one", sha!);
    await watchApp(repository, remote, "two", sha!);
    value(await repository.nudge(cause));
    expect(told.changed).toEqual([]);

    const second = await server.commitFiles(name, { "one/a.yaml": "2" }, "one");
    value(await repository.nudge(cause));
    expect(told.changed).toMatchObject([{ ids: ["one"], revision: second }]);
    expect(told.unchanged.at(-1)).toMatchObject({ count: 1 });
    expect(told.moved).toContainEqual({ ref: "refs/heads/main", from: sha, to: second });

    await server.commitFiles(name, { "docs/x": "2", "new/thing": "1" }, "nobody's");
    value(await repository.nudge(cause));
    expect(told.changed.length).toBe(1);
    expect(told.unchanged.at(-1)).toMatchObject({ count: 2 });

    // A look-up that missed is there now: both are touched.
    await server.commitFiles(name, { "lib/base.yaml": "1" }, "base");
    value(await repository.nudge(cause));
    expect(told.changed.at(-1)!.ids.toSorted()).toEqual(["one", "two"]);
    expect(told.changed.at(-1)!.observation).toBeGreaterThan(told.changed[0]!.observation);

    // Forced back to what both were rendered from: nothing to do, but a newer observation.
    await server.setRef(name, "refs/heads/main", sha!);
    const back = value(await repository.resolve("main", "latest", cause));
    expect(back.commit).toBe(sha);
    expect(back.observation).toBeGreaterThan(told.changed.at(-1)!.observation);
    expect(told.changed.length).toBe(2);
  });

  test("a source that registers inputs of an older commit is told at once", async () => {
    const name = fresh();
    const { url, sha } = await server.createRepository(name, { "one/a.yaml": "1" });
    const remote = open(url);
    const { repository, told } = own(remote);
    repository.watch({ id: "any", targetRevision: "main" }, cause);
    const second = await server.commitFiles(name, { "one/a.yaml": "2" }, "one");
    value(await repository.nudge(cause));
    await watchApp(repository, remote, "one", sha!);
    expect(told.changed.at(-1)).toMatchObject({ ids: ["one"], revision: second });
  });

  test("a deleted branch tells its followers, and its return tells them again", async () => {
    const name = fresh();
    const { url, sha } = await server.createRepository(name, { "one/a.yaml": "1" });
    const { repository, told } = own(open(url));
    repository.watch({ id: "one", targetRevision: "main" }, cause);
    value(await repository.nudge(cause));
    await server.setRef(name, "refs/heads/main", null);
    value(await repository.nudge(cause));
    expect(told.changed.at(-1)).toMatchObject({ ids: ["one"], revision: undefined });
    expect(codeOf(await repository.resolve("main", "observed", cause))).toBe("REVISION_NOT_FOUND");
    await server.setRef(name, "refs/heads/main", sha!);
    value(await repository.nudge(cause));
    expect(told.changed.at(-1)).toMatchObject({ ids: ["one"], revision: sha });
  });

  test("a source that gets nothing is told once, however often it says so, and again when the ref moves", async () => {
    const name = fresh();
    const { url, sha } = await server.createRepository(name, { "one/a.yaml": "1" });
    const { repository, told } = own(open(url));
    // Each time it is told it asks again, as an Application does.
    const ask = async (targetRevision: string, id: string) => {
      repository.expect(id, targetRevision, undefined, cause);
      repository.watch({ id, targetRevision }, cause);
      value(await repository.nudge(cause));
    };
    for (let n = 0; n < 5; n += 1) {
      await ask("no-branch", "branchless");
      await ask("main", "pathless");
    }
    const times = (id: string) => told.changed.filter((change) => change.ids.includes(id)).length;
    expect([times("branchless"), times("pathless")]).toEqual([1, 1]);
    await server.setRef(name, "refs/heads/no-branch", sha!);
    await server.commitFiles(name, { "two/b.yaml": "1" }, "the path");
    value(await repository.nudge(cause));
    expect([times("branchless"), times("pathless")]).toEqual([2, 2]);
  });

  test("a source that registers anew costs no look, also as the only one of its revision", async () => {
    const { url, sha } = await server.createRepository(fresh(), { "one/a.yaml": "1" });
    const { repository, told } = own(open(url));
    repository.watch({ id: "one", targetRevision: "main", revision: sha }, cause);
    value(await repository.nudge(cause));
    const polls = told.polls;
    for (let n = 0; n < 5; n += 1) repository.watch({ id: "one", targetRevision: "main", revision: sha }, cause);
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    value(await repository.nudge(cause));
    expect(told.polls - polls).toBe(1);
  });

  test("R1: a thousand questions while a look runs cost exactly one more", async () => {
    const { url } = await server.createRepository(fresh(), { a: "1" });
    const { repository, told } = own(open(url));
    value(await repository.nudge(cause));
    const polls = told.polls;
    const running = repository.nudge(cause);
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    await Promise.all([running, ...Array.from({ length: 1000 }, () => repository.resolve("main", "latest", cause))]);
    expect(told.polls - polls).toBe(2);
  });

  test("the poll comes by itself, sees a push, and goes on after failures", async () => {
    const name = fresh();
    const { url } = await server.createRepository(name, { a: "1" });
    const { repository, told } = own(open(url), { pollMs: 40, pollJitterMs: 20 });
    repository.watch({ id: "one", targetRevision: "main" }, cause);
    const sha = await server.commitFiles(name, { a: "2" }, "push without webhook");
    await vi.waitFor(() => expect(told.changed.at(-1)).toMatchObject({ revision: sha }), 5000);
    server.setCredentials(name, { username: "u", password: "p" });
    await vi.waitFor(() => expect(told.failed).toContain("GIT_AUTH_FAILED"), 5000);
    server.setCredentials(name, undefined);
    const again = await server.commitFiles(name, { a: "3" }, "after the failure");
    await vi.waitFor(() => expect(told.changed.at(-1)).toMatchObject({ revision: again }), 5000);
  });

  test("wrong credentials are GIT_AUTH_FAILED without a trace of them; right ones work", async () => {
    const name = fresh();
    const { url, sha } = await server.createRepository(name, { "app/a": "1" });
    server.setCredentials(name, { username: "u", password: "right" });
    const { repository, told } = own(open(url));
    expect(codeOf(await repository.resolve("main", "latest", cause))).toBe("GIT_AUTH_FAILED");
    const wrong = { auth: { kind: "basic" as const, username: "u", password: "CANARY" } };
    repository.replaceRemote(new RemoteObjects({ url, clock: systemClock, credentials: wrong }), cause);
    const refused = await repository.resolve("main", "latest", cause);
    expect(codeOf(refused)).toBe("GIT_AUTH_FAILED");
    expect(JSON.stringify([refused, told])).not.toMatch(/CANARY|Q0FOQVJZ/);
    const right = { auth: { kind: "basic" as const, username: "u", password: "right" } };
    repository.replaceRemote(new RemoteObjects({ url, clock: systemClock, credentials: right }), cause);
    expect(value(await repository.resolve("main", "latest", cause)).commit).toBe(sha);
    expect(await files(repository, sha!, "app")).toEqual(["app/a file 1"]);
  });
});

describe("servers that misbehave", () => {
  /** A server in front of the real one, or of nothing. */
  async function front(answer: (request: IncomingMessage, response: ServerResponse) => void) {
    const seen: { url: string; authorization: string | undefined }[] = [];
    const http = createServer((request, response) => {
      seen.push({ url: request.url ?? "", authorization: request.headers.authorization });
      answer(request, response);
    });
    await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
    closing.push(() => {
      http.closeAllConnections();
      return new Promise((resolve) => http.close(resolve));
    });
    return { url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`, seen };
  }

  /** Passes requests on, with the answer's body changed. */
  const through =
    (change: (body: Buffer, request: IncomingMessage) => Buffer, drop: string[] = []) =>
    (request: IncomingMessage, response: ServerResponse) => {
      const headers = { ...request.headers };
      for (const name of drop) delete headers[name];
      const onward = httpRequest(`${server.url}${request.url}`, { method: request.method, headers }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on("data", (chunk: Buffer) => chunks.push(chunk));
        answer.on("end", () => {
          const { "transfer-encoding": _encoding, "content-length": _length, ...rest } = answer.headers;
          response.writeHead(answer.statusCode ?? 500, rest).end(change(Buffer.concat(chunks), request));
        });
      });
      request.pipe(onward);
    };

  const credentials = { auth: { kind: "basic" as const, username: "u", password: "CANARY" } };

  test("a web page with status 200 is GIT_PROTOCOL, errors of the server are GIT_UNREACHABLE", async () => {
    const page = await front((_, response) => response.writeHead(200, { "content-type": "text/html" }).end("<html>"));
    expect(codeOf(await open(`${page.url}/r`).listRefs())).toBe("GIT_PROTOCOL");
    const type = "application/x-git-upload-pack-advertisement";
    for (const body of [
      "",
      "0000",
      "zzzz",
      "001e# service=git-upload-pack\n0000",
      "0010garbage-----",
      "0004".repeat(9),
    ]) {
      const odd = await front((_, response) => response.writeHead(200, { "content-type": type }).end(body));
      expect(["GIT_PROTOCOL", "ok"], body).toContain(codeOf(await open(`${odd.url}/r`).listRefs()));
    }
    const broken = await front((_, response) => response.writeHead(503).end("no"));
    expect(codeOf(await open(`${broken.url}/r`).listRefs())).toBe("GIT_UNREACHABLE");
    const nobody = await front((request) => request.socket.destroy());
    expect(codeOf(await open(`${nobody.url}/r`).listRefs())).toBe("GIT_UNREACHABLE");
  });

  test("H2: a redirect to another host is refused and never sees the credentials; a loop ends", async () => {
    const thief = await front((_, response) => response.writeHead(200).end());
    const bad = await front((request, response) =>
      response.writeHead(302, { location: thief.url + request.url }).end(),
    );
    const result = await open(`${bad.url}/r`, { credentials }).listRefs();
    expect(codeOf(result)).toBe("REPO_URL_DENIED");
    expect(JSON.stringify(result)).not.toContain("CANARY");
    expect(bad.seen[0]!.authorization).toMatch(/^Basic /);
    expect(thief.seen).toEqual([]);
    const loop = await front((request, response) => response.writeHead(302, { location: request.url! }).end());
    expect(codeOf(await open(`${loop.url}/r`, { credentials }).listRefs())).toBe("GIT_UNREACHABLE");
    expect(loop.seen.length).toBeLessThan(6);
    const away = await front((_, response) => response.writeHead(302, { location: "http://169.254.169.254/x" }).end());
    expect(codeOf(await open(`${away.url}/r`, { credentials }).listRefs())).toBe("REPO_URL_DENIED");
  });

  test("a renamed repository on the same origin is followed", async () => {
    const name = fresh();
    const { sha } = await server.createRepository(name, { "app/a": "1" });
    const pass = through((body) => body);
    const renamed = await front((request, response) => {
      if (request.url!.startsWith("/old/"))
        response.writeHead(301, { location: request.url!.replace("/old/", `/${name}.git/`) }).end();
      else pass(request, response);
    });
    const { repository } = own(open(`${renamed.url}/old`));
    expect(value(await repository.resolve("main", "latest", cause)).commit).toBe(sha);
    expect(await files(repository, sha!, "app")).toEqual(["app/a file 1"]);
  });

  test("a truncated or damaged pack is FETCH_CORRUPT, and the next fetch is clean", async () => {
    const name = fresh();
    const { sha } = await server.createRepository(name, { "app/a": "1", "app/b": "22" });
    let damage: (body: Buffer) => Buffer = (body) => body;
    const bad = await front(
      through((body, request) =>
        request.url!.endsWith("/git-upload-pack") && body.includes("PACK") ? damage(body) : body,
      ),
    );
    const { repository } = own(open(`${bad.url}/${name}.git`));
    damage = (body) => body.subarray(0, -30);
    expect(codeOf(await repository.bundle(sha!, "app"))).toBe("FETCH_CORRUPT");
    damage = (body) => {
      const copy = Buffer.from(body);
      copy[body.indexOf("PACK") + 20]! ^= 0xff;
      return copy;
    };
    expect(codeOf(await repository.bundle(sha!, "app"))).toBe("FETCH_CORRUPT");
    damage = (body) => body;
    expect(await files(repository, sha!, "app")).toEqual(["app/a file 1", "app/b file 22"]);
  });

  test("H3: a server that stops talking is given up", async () => {
    const silent = await front(() => {});
    const result = await open(`${silent.url}/r`, { http: { idleMs: 100 } }).listRefs();
    expect(codeOf(result)).toBe("GIT_UNREACHABLE");
    let stop = () => {};
    const drip = await front((_, response) => {
      response.writeHead(200, { "content-type": "application/x-git-upload-pack-advertisement" });
      const timer = setInterval(() => response.write("x"), 20);
      stop = () => clearInterval(timer);
    });
    expect(codeOf(await open(`${drip.url}/r`, { http: { totalMs: 200 } }).listRefs())).toBe("GIT_UNREACHABLE");
    stop();
  });

  test("older servers work too: protocol 1, and without filters or single objects", async () => {
    const without = (capability: RegExp) => (body: Buffer, request: IncomingMessage) =>
      request.method === "GET"
        ? Buffer.from(
            body.toString("latin1").replace(capability, (word) => "x".padStart(word.length)),
            "latin1",
          )
        : body;
    const fronts = [
      await front(through((body) => body, ["git-protocol"])),
      await front(through(without(/ filter|allow-(tip|reachable)-sha1-in-want/g), ["git-protocol"])),
      await front(through(without(/ filter/g))),
    ];
    for (const { url } of fronts) {
      const name = fresh();
      const { sha } = await server.createRepository(name, { "app/a": "1", "lib/b": "2" });
      const { repository, told } = own(open(`${url}/${name}.git`));
      expect(value(await repository.resolve("HEAD", "latest", cause)).commit).toBe(sha);
      expect(await files(repository, sha!, "app")).toEqual(["app/a file 1"]);
      repository.watch({ id: "any", targetRevision: "main" }, cause);
      value(await repository.nudge(cause));
      const next = await server.commitFiles(name, { "app/a": "3" }, "push");
      value(await repository.nudge(cause));
      expect(told.changed.at(-1)).toMatchObject({ revision: next });
      expect(await files(repository, next, "app")).toEqual(["app/a file 3"]);
      expect(await files(repository, next, "lib")).toEqual(["lib/b file 2"]);
      const nothing = fresh();
      await server.createRepository(nothing);
      const empty = own(open(`${url}/${nothing}.git`)).repository;
      expect(codeOf(await empty.resolve("HEAD", "latest", cause))).toBe("REVISION_NOT_FOUND");
    }
  });

  test("https: an unknown certificate is refused; its CA, `insecure`, and a client certificate are honoured", async () => {
    const name = fresh();
    const { sha } = await server.createRepository(name, { a: "1" });
    const tls = { key: testKey, cert: testCertificate };
    let clientCertificate = false;
    const https = createHttpsServer({ ...tls, requestCert: true, rejectUnauthorized: false }, (request, response) => {
      clientCertificate = "CN" in ((request.socket as TLSSocket).getPeerCertificate().subject ?? {});
      through((body) => body)(request, response);
    });
    await new Promise<void>((resolve) => https.listen(0, "127.0.0.1", resolve));
    closing.push(
      () => new Promise((resolve) => https.close(resolve)),
      () => https.closeAllConnections(),
    );
    const url = `https://localhost:${(https.address() as AddressInfo).port}/${name}.git`;
    const look = async (settings?: HttpCredentials["tls"]) => {
      const result = await open(url, { credentials: { auth: { kind: "none" }, tls: settings } }).listRefs();
      return result.kind === "ok" ? result.value.refs.get("HEAD") : result.failure.message;
    };
    expect(await look()).toContain("DEPTH_ZERO_SELF_SIGNED_CERT");
    expect(await look({ ca: testCertificate })).toBe(sha);
    expect(clientCertificate).toBe(false);
    expect(await look({ insecure: true, cert: testCertificate, key: testKey })).toBe(sha);
    expect(clientCertificate).toBe(true);
  });

  test("H1: a name is judged by where it leads at the moment of connecting", async () => {
    const name = fresh();
    const { url, sha } = await server.createRepository(name, { a: "1" });
    const byName = url.replace("127.0.0.1", "git.internal.example");
    let address = "127.0.0.1";
    const resolveName: ResolveName = (_host, _options, callback) => callback(null, [{ address, family: 4 }]);
    const look = async () => {
      const result = await open(byName, { resolveName, credentials }).listRefs();
      return result.kind === "ok" ? result.value.refs.get("HEAD") : result.failure.code;
    };
    expect(await look()).toBe(sha);
    address = "169.254.169.254";
    expect(await look()).toBe("REPO_URL_DENIED");
  });

  test("refs named after Object's own members reach nobody but the repository", async () => {
    const name = fresh();
    const { url, sha } = await server.createRepository(name, { "app/a": "1" });
    const proxy = await front((_, response) => response.writeHead(200).end());
    // What CVE-2026-89011 turned into a proxy of the attacker's choice.
    for (const ref of ["__proto__/corsProxy", "constructor/prototype/corsProxy"])
      await git(name, "symbolic-ref", `refs/heads/${ref}`, "refs/heads/main");
    const { repository } = own(open(url, { credentials }));
    expect(value(await repository.resolve("main", "latest", cause)).commit).toBe(sha);
    expect(value(await repository.resolve("__proto__/corsProxy", "latest", cause)).commit).toBe(sha);
    expect(({} as { corsProxy?: unknown }).corsProxy).toBeUndefined();
    expect(proxy.seen).toEqual([]);
  });
});

// Made for this test alone, for localhost, valid until 2126.
const testKey = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQghpPOhwsWgYKDMsbM
A5Ef8ecS2U/txetHT4xvvM/g+WShRANCAAQ1lCc8BtcYRp8eCS7xzax3Cgj8owAM
g/GZWFYg7V23Rl0abizwSTs3RzQJlq8dCkXP60SCdQzQpR7fjvVig43W
-----END PRIVATE KEY-----`;
const testCertificate = `-----BEGIN CERTIFICATE-----
MIIBpTCCAUugAwIBAgIULzeSOp6bqVG/5ncGpg1y/Y5jEU4wCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOZHJpZnRsZXNzLXRlc3QwIBcNMjYxMTI0MDMyMTQ4WhgPMjEy
NjEwMzEwMzIxNDhaMBkxFzAVBgNVBAMMDmRyaWZ0bGVzcy10ZXN0MFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAENZQnPAbXGEafHgku8c2sdwoI/KMADIPxmVhWIO1d
t0ZdGm4s8Ek7N0c0CZavHQpFz+tEgnUM0KUe3471YoON1qNvMG0wHQYDVR0OBBYE
FMlQLXQfm66ASjS52wck1o1T81YvMB8GA1UdIwQYMBaAFMlQLXQfm66ASjS52wck
1o1T81YvMA8GA1UdEwEB/wQFMAMBAf8wGgYDVR0RBBMwEYIJbG9jYWxob3N0hwR/
AAABMAoGCCqGSM49BAMCA0gAMEUCIAXvaNOrmqT2208gg52i9UmsIMOYEcb09Uqv
XtHrtPZcAiEAkLhsnau4S2mCqztbGXtG/LIgZp1zdGLOIcY/AlppNuE=
-----END CERTIFICATE-----`;
