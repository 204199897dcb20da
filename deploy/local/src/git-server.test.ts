import { execFile } from "node:child_process";
import { createHmac } from "node:crypto";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { gitEnvironment } from "./git-repository.ts";
import { cgiHead, startGitServer, type GitRequest, type GitServer } from "./git-server.ts";

let folder: string;
let server: GitServer;
let requests: GitRequest[];

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "driftless-git-"));
  requests = [];
  server = await startGitServer({
    dir: path.join(folder, "served"),
    stateFile: path.join(folder, "git.json"),
    onRequest: (request) => requests.push(request),
  });
});
afterEach(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

const person = { GIT_AUTHOR_NAME: "a", GIT_AUTHOR_EMAIL: "a@b", GIT_COMMITTER_NAME: "a", GIT_COMMITTER_EMAIL: "a@b" };
async function git(cwd: string, ...args: string[]): Promise<string> {
  const env = { ...gitEnvironment(), ...person, GIT_TERMINAL_PROMPT: "0" };
  return (await promisify(execFile)("git", args, { cwd, env })).stdout.trim();
}

test("a restart keeps the port, because Applications name it; when it is taken, another is found", async () => {
  const dir = path.join(folder, "again");
  const first = await startGitServer({ dir, port: 0 });
  await first.stop();
  const again = await startGitServer({ dir });
  expect(again.port).toBe(first.port);
  await cp(dir, path.join(folder, "copy"), { recursive: true });
  const copy = await startGitServer({ dir: path.join(folder, "copy") });
  expect(copy.port).not.toBe(first.port);
  await Promise.all([again.stop(), copy.stop()]);
});

test("what is committed here can be cloned, and what is pushed is served to the next clone", async () => {
  const { url, sha } = await server.createRepository("team/app", {
    "deep/a.yaml": "a: 1\n",
    "run.sh": { executable: "#!/bin/sh\n" },
    link: { symlink: "deep/a.yaml" },
  });
  const second = await server.commitFiles("team/app", { deep: null, 'odd "name".txt': "x" }, "second");
  const clone = path.join(folder, "clone");
  await git(folder, "clone", "--quiet", url, clone);
  expect(await git(clone, "log", "--format=%H")).toBe(`${second}\n${sha}`);
  expect((await git(clone, "ls-tree", "-r", "--format=%(objectmode) %(path)", "HEAD")).split("\n")).toEqual([
    "120000 link",
    String.raw`100644 "odd \"name\".txt"`,
    "100755 run.sh",
  ]);
  await writeFile(path.join(clone, "b.yaml"), "b: 2\n");
  await git(clone, "add", ".");
  await git(clone, "commit", "--quiet", "--message", "third");
  await git(clone, "push", "--quiet");
  expect((await server.refs("team/app")).get("refs/heads/main")).toBe(await git(clone, "rev-parse", "HEAD"));
});

test("single objects and filtered fetches are allowed, as they are at GitHub", async () => {
  const { url, sha } = await server.createRepository("app", { "a.yaml": "a: 1\n" });
  await server.commitFiles("app", { "a.yaml": "a: 2\n" }, "second");
  const clone = path.join(folder, "clone");
  await git(folder, "init", "--quiet", clone);
  await git(clone, "fetch", "--quiet", "--depth=1", "--filter=blob:none", url, sha!);
  expect(await git(clone, "rev-parse", "FETCH_HEAD")).toBe(sha);
});

test("requests are counted and reported", async () => {
  const { url } = await server.createRepository("app", { "a.yaml": "a: 1\n" });
  await git(folder, "ls-remote", url);
  // The server hears of the end of an answer a moment after the client has read it.
  await vi.waitUntil(() => requests.length === 2);
  expect(requests.map((request) => request.request)).toEqual([
    "GET info/refs?service=git-upload-pack",
    "POST git-upload-pack",
  ]);
  expect(server.stats()).toMatchObject({ requests: 2, bytesOut: requests[0]!.bytesOut + requests[1]!.bytesOut });
  server.resetStats();
  expect(server.stats().requests).toBe(0);
});

test("a repository with credentials refuses everybody else", async () => {
  const { url } = await server.createRepository("private", { "a.yaml": "a: 1\n" });
  server.setCredentials("private", { username: "u", password: "right" });
  const as = (userinfo: string) => git(folder, "ls-remote", url.replace("://", `://${userinfo}@`));
  await expect(git(folder, "ls-remote", url)).rejects.toThrow(/could not read Username|Authentication failed/);
  await expect(as("u:wrong")).rejects.toThrow("Authentication failed");
  expect(await as("u:right")).toContain("refs/heads/main");
  server.setCredentials("private", undefined);
  expect(await git(folder, "ls-remote", url)).toContain("refs/heads/main");
});

test("nothing outside the folder of repositories is served", async () => {
  await server.createRepository("app");
  const statuses = await Promise.all(
    ["/x%2f..%2fapp.git/info/refs", "/missing.git/info/refs", "/app.git/config", "/"].map(
      async (address) => (await fetch(server.url + address)).status,
    ),
  );
  expect(statuses).toEqual([404, 404, 404, 404]);
  await expect(server.createRepository("../outside")).rejects.toThrow("not a repository name");
});

test("where it is asked for, the first push makes the repository and its branch the HEAD; nothing else does", async () => {
  const open = await startGitServer({ dir: path.join(folder, "open"), createOnPush: true, port: 0 });
  try {
    const mine = path.join(folder, "mine");
    await git(folder, "init", "--quiet", "--initial-branch=trunk", mine);
    await git(mine, "commit", "--quiet", "--allow-empty", "--message", "first");
    const push = (url: string) => git(mine, "push", "--quiet", url, "trunk");
    await expect(git(folder, "ls-remote", open.repositoryUrl("team/mine"))).rejects.toThrow("not found");
    // A browser asks like this when a page tells it to.
    const asked = await fetch(`${open.url}/other.git/info/refs?service=git-receive-pack`);
    expect(asked.status).toBe(404);
    await push(open.repositoryUrl("team/mine"));
    expect(await git(folder, "ls-remote", "--symref", open.repositoryUrl("team/mine"), "HEAD")).toContain(
      "ref: refs/heads/trunk",
    );
    await expect(push(`${open.url}/team/mine.git/inside.git`)).rejects.toThrow("not found");
    await expect(push(server.repositoryUrl("mine"))).rejects.toThrow("not found");
  } finally {
    await open.stop();
  }
});

test("a push and a commit made here are reported as GitHub does, signed, and only while there is a webhook", async () => {
  const heard: { headers: IncomingHttpHeaders; body: string }[] = [];
  const receiver = createServer((incoming, response) => {
    let body = "";
    incoming.on("data", (chunk: Buffer) => (body += chunk.toString()));
    incoming.on("end", () => {
      heard.push({ headers: incoming.headers, body });
      response.writeHead(202).end();
    });
  });
  await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  const hook = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/api/webhook`;
  try {
    const { url, sha } = await server.createRepository("app", { "a.yaml": "a: 1\n", "b.yaml": "b: 1\n" });
    await server.setWebhook({ url: hook, secret: "s3cret" });
    const state = await readFile(path.join(folder, "git.json"), "utf8");
    expect(JSON.parse(state)).toEqual({ url: server.url, webhookUrl: hook });
    expect(state).not.toContain("s3cret");

    const after = await server.commitFiles("app", { "a.yaml": "a: 2\n", "b.yaml": null, "c.yaml": "" }, "second");
    await vi.waitUntil(() => server.deliveries.length === 1);
    const { headers, body } = heard[0]!;
    expect(headers["x-github-event"]).toBe("push");
    expect(headers["x-hub-signature-256"]).toBe(`sha256=${createHmac("sha256", "s3cret").update(body).digest("hex")}`);
    expect(JSON.parse(body)).toMatchObject({
      ref: "refs/heads/main",
      before: sha,
      after,
      repository: { clone_url: url },
      commits: [{ id: after, added: ["c.yaml"], modified: ["a.yaml"], removed: ["b.yaml"] }],
    });
    expect(server.deliveries[0]).toMatchObject({ repository: "app", ref: "refs/heads/main", status: 202 });

    const clone = path.join(folder, "clone");
    await git(folder, "clone", "--quiet", url, clone);
    await git(clone, "commit", "--quiet", "--allow-empty", "--message", "third");
    await git(clone, "push", "--quiet", "origin", "HEAD:refs/heads/other");
    await vi.waitUntil(() => server.deliveries.length === 2);
    expect(JSON.parse(heard[1]!.body)).toMatchObject({ ref: "refs/heads/other", created: true });

    await server.setWebhook(undefined);
    await server.setRef("app", "refs/heads/other", null);
    await server.commitFiles("app", { "d.yaml": "" }, "fourth");
    expect(heard).toHaveLength(2);
  } finally {
    receiver.close();
  }
});

test("the head of a CGI answer gives status and headers, 200 when it names none", () => {
  expect(cgiHead("Status: 403 Forbidden\r\nContent-Type: text/plain")).toEqual({
    status: 403,
    fields: { "Content-Type": "text/plain" },
  });
  expect(cgiHead("Expires: 0").status).toBe(200);
});
