// A small Git server over http: the stock `git http-backend` behind node:http, for repositories made here.
//
// It serves fetch and push (protocol v2, partial clones, single objects by id), asks for a password where told to,
// counts what it is asked, and reports pushes with a webhook in the form GitHub sends. For trying things out on
// loopback only: whoever reaches the port may push.
import { spawn, type ChildProcess } from "node:child_process";
import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { systemClock } from "@driftless/process/clock";
import {
  commitStream,
  fileChanges,
  gitEnvironment,
  readRefs,
  refChanges,
  runGit,
  zeroSha,
  type FileContent,
  type RefChange,
} from "./git-repository.ts";
import { PartFailed } from "./part-failed.ts";
import { writeState } from "./state.ts";

export interface GitServerOptions {
  /** Holds the bare repositories. */
  dir: string;
  /** Exactly this port; when not given, the port of the last time, the usual 3000, or any. */
  port?: number;
  /** Where to write `{url, webhookUrl}` for other processes. */
  stateFile?: string;
  /** Whoever pushes to a repository that does not exist makes it: for people who try things out on their machine. */
  createOnPush?: boolean;
  onRequest?: (request: GitRequest) => void;
}

export interface GitRequest {
  repository: string;
  /** "GET info/refs?service=git-upload-pack" */
  request: string;
  status: number;
  bytesIn: number;
  bytesOut: number;
  durationMs: number;
}

export interface Webhook {
  url: string;
  secret?: string;
}

export interface WebhookDelivery {
  repository: string;
  ref: string;
  /** 0 when nobody answered. */
  status: number;
  durationMs: number;
}

export interface CommitOptions {
  branch?: string;
  author?: { name: string; email: string };
}

export interface GitServer {
  url: string;
  port: number;
  repositoryUrl(repository: string): string;
  /** Bare, with `main` as its HEAD and these files as its first commit, if any. An existing one stays as it is. */
  createRepository(repository: string, files?: Record<string, FileContent>): Promise<{ url: string; sha?: string }>;
  /** One commit on top of the branch, as if pushed: null deletes a file or a folder. Answers the commit. */
  commitFiles(
    repository: string,
    files: Record<string, FileContent>,
    message: string,
    options?: CommitOptions,
  ): Promise<string>;
  /** Makes, moves (also back) or deletes a ref, as if pushed. */
  setRef(repository: string, ref: string, sha: string | null): Promise<void>;
  refs(repository: string): Promise<Map<string, string>>;
  /** Asks for this user and password from now on; undefined opens the repository again. */
  setCredentials(repository: string, credentials: { username: string; password: string } | undefined): void;
  /** Where pushes are reported from now on; undefined for nowhere. */
  setWebhook(webhook: Webhook | undefined): Promise<void>;
  deliveries: WebhookDelivery[];
  stats(): { requests: number; bytesIn: number; bytesOut: number };
  resetStats(): void;
  stop(): Promise<void>;
}

const usualPort = 3000;
const branchUsual = "main";
const authorUsual = { name: "Driftless Example", email: "example@driftless.invalid" };
// Longer than any test or demo asks about; a server that runs for weeks must not collect for ever.
const deliveriesKept = 1000;

export async function startGitServer(options: GitServerOptions): Promise<GitServer> {
  await mkdir(options.dir, { recursive: true });
  const backend = path.join((await runGit(options.dir, ["--exec-path"])).trim(), "git-http-backend");
  if (!existsSync(backend)) throw new PartFailed("git", `${backend} does not exist: install the full git package.`);

  const credentialsOf = new Map<string, { username: string; password: string }>();
  const running = new Set<ChildProcess>();
  const deliveries: WebhookDelivery[] = [];
  const totals = { requests: 0, bytesIn: 0, bytesOut: 0 };
  let webhook: Webhook | undefined;
  let writing: Promise<unknown> = Promise.resolve();
  const delivering = new Set<Promise<void>>();
  const ending = new AbortController();

  const folderOf = (repository: string) => {
    if (!/^[\w.-]+(\/[\w.-]+)*$/.test(repository) || /(^|\/)\.\.?(\/|$)/.test(repository)) {
      throw new Error(`not a repository name: ${repository}`);
    }
    return path.join(options.dir, `${repository}.git`);
  };

  /** One writer at a time, so that "before" and "after" belong to this write alone. */
  function exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = writing.then(work);
    writing = result.catch(() => {});
    return result;
  }

  /** Appears whole: two first pushes at once find either nothing or a repository. */
  async function make(folder: string): Promise<void> {
    await mkdir(path.dirname(folder), { recursive: true });
    const unfinished = `${folder}.${randomUUID()}`;
    await runGit(options.dir, ["init", "--quiet", "--bare", `--initial-branch=${branchUsual}`, unfinished]);
    await rename(unfinished, folder).catch(async (error: unknown) => {
      await rm(unfinished, { recursive: true, force: true });
      if (!existsSync(folder)) throw error;
    });
  }

  /** Only git itself makes one: a page in a browser may send a GET to loopback too. And none inside another. */
  const makesRepository = (incoming: IncomingMessage, repository: string, url: URL, service: string) =>
    options.createOnPush === true &&
    service === "info/refs" &&
    url.searchParams.get("service") === "git-receive-pack" &&
    incoming.headers["user-agent"]?.startsWith("git/") === true &&
    !repository.includes(".git/");

  /** Whoever's git calls its first branch otherwise still means that one by HEAD. */
  async function pointHead(folder: string, refs: Map<string, string>): Promise<void> {
    const branches = [...refs.keys()].filter((ref) => ref.startsWith("refs/heads/"));
    const [first] = branches;
    if (!first || branches.includes(`refs/heads/${branchUsual}`)) return;
    await runGit(folder, ["symbolic-ref", "HEAD", first]);
  }

  function reporting<T>(repository: string, write: () => Promise<T>): Promise<T> {
    return exclusively(async () => {
      const before = await readRefs(folderOf(repository));
      const result = await write();
      if (options.createOnPush && before.size === 0) {
        await pointHead(folderOf(repository), await readRefs(folderOf(repository)));
      }
      const to = webhook;
      if (to) {
        for (const change of refChanges(before, await readRefs(folderOf(repository)))) {
          // Not awaited: like GitHub, the push is done when it is done, and the report comes after it.
          const delivery = deliver(repository, change, to).finally(() => delivering.delete(delivery));
          delivering.add(delivery);
        }
      }
      return result;
    });
  }

  async function deliver(repository: string, change: RefChange, to: Webhook) {
    const startedMs = systemClock.monotonic();
    let status = 0;
    try {
      const body = JSON.stringify(
        pushPayload(repository, repositoryUrl(repository), change, await fileChanges(folderOf(repository), change)),
      );
      const response = await fetch(to.url, {
        method: "POST",
        body,
        headers: webhookHeaders(body, to.secret),
        signal: AbortSignal.any([ending.signal, AbortSignal.timeout(10_000)]),
      });
      status = response.status;
      await response.body?.cancel();
    } catch {
      // GitHub does not try again either; the delivery below says that nobody answered.
    }
    deliveries.push({ repository, ref: change.ref, status, durationMs: systemClock.monotonic() - startedMs });
    if (deliveries.length > deliveriesKept) deliveries.shift();
  }

  const answer = (incoming: IncomingMessage, response: ServerResponse) => {
    const startedMs = systemClock.monotonic();
    const url = new URL(incoming.url ?? "/", "http://localhost");
    const match = /^\/(.+?)(?:\.git)?\/(info\/refs|HEAD|objects\/.+|git-upload-pack|git-receive-pack)$/.exec(
      decodeURIComponent(url.pathname),
    );
    const [, repository = "", service = ""] = match ?? [];
    const counts = { bytesIn: 0, bytesOut: 0 };
    incoming.on("data", (chunk: Buffer) => (counts.bytesIn += chunk.length));
    incoming.pause();
    response.once("close", () => {
      totals.requests++;
      totals.bytesIn += counts.bytesIn;
      totals.bytesOut += counts.bytesOut;
      options.onRequest?.({
        repository,
        request: `${incoming.method} ${service}${url.search}`,
        status: response.statusCode,
        ...counts,
        durationMs: systemClock.monotonic() - startedMs,
      });
    });
    const refuse = (status: number, text: string, headers = {}) => {
      incoming.resume();
      response.writeHead(status, { "content-type": "text/plain", ...headers }).end(`${text}\n`);
    };
    let folder: string;
    try {
      folder = folderOf(repository);
    } catch {
      return refuse(404, "not found");
    }
    const there = existsSync(folder);
    if (!match || !(there || makesRepository(incoming, repository, url, service))) {
      return refuse(404, `repository ${repository} not found`);
    }
    const wanted = credentialsOf.get(repository);
    if (wanted && !authorized(incoming.headers.authorization, wanted)) {
      return refuse(401, "authentication required", { "www-authenticate": 'Basic realm="git"' });
    }
    const serve = async () => {
      if (!there) await make(folder);
      return runBackend({ backend, dir: options.dir, repository, service, url, incoming, response, running, counts });
    };
    const served = service === "git-receive-pack" ? reporting(repository, serve) : serve();
    served.catch(() => {
      if (!response.headersSent) response.writeHead(500);
      response.end();
    });
  };

  const server = createServer(answer);
  const listen = (port: number) =>
    new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, "127.0.0.1", () => {
        server.off("error", reject);
        resolve();
      });
    });
  // Applications name the port in their repoURL and outlive this process, so it stays the same where it can.
  const portFile = path.join(options.dir, "port");
  const before = Number(await readFile(portFile, "utf8").catch(() => "")) || usualPort;
  for (const wish of options.port === undefined ? [before, usualPort, 0] : [options.port]) {
    try {
      await listen(wish);
      break;
    } catch (error) {
      if (options.port !== undefined || (error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    }
  }
  const { port } = server.address() as AddressInfo;
  await writeState(portFile, `${port}\n`);
  const baseUrl = `http://127.0.0.1:${port}`;
  const repositoryUrl = (repository: string) => `${baseUrl}/${repository}.git`;
  const tell = async () => {
    const webhookUrl = webhook?.url;
    if (options.stateFile) await writeState(options.stateFile, `${JSON.stringify({ url: baseUrl, webhookUrl })}\n`);
  };
  await tell();

  const commit = (
    repository: string,
    files: Record<string, FileContent>,
    message: string,
    { branch = branchUsual, author = authorUsual }: CommitOptions = {},
  ) =>
    reporting(repository, async () => {
      const folder = folderOf(repository);
      const parent = (await readRefs(folder)).get(`refs/heads/${branch}`);
      const seconds = Math.floor(systemClock.now() / 1000);
      const stream = commitStream({ branch, author, seconds, message, files, parent });
      return (await runGit(folder, ["fast-import", "--quiet"], stream)).trim();
    });

  return {
    url: baseUrl,
    port,
    repositoryUrl,
    async createRepository(repository, files) {
      const folder = folderOf(repository);
      const url = repositoryUrl(repository);
      if (existsSync(folder)) return { url, sha: (await readRefs(folder)).get(`refs/heads/${branchUsual}`) };
      await make(folder);
      return { url, sha: files && (await commit(repository, files, "First commit")) };
    },
    commitFiles: commit,
    setRef: (repository, ref, sha) =>
      reporting(repository, async () => {
        await runGit(folderOf(repository), sha === null ? ["update-ref", "-d", ref] : ["update-ref", ref, sha]);
      }),
    refs: (repository) => readRefs(folderOf(repository)),
    setCredentials(repository, credentials) {
      if (credentials) credentialsOf.set(repository, credentials);
      else credentialsOf.delete(repository);
    },
    async setWebhook(to) {
      webhook = to;
      await tell();
    },
    deliveries,
    stats: () => ({ ...totals }),
    resetStats() {
      totals.requests = totals.bytesIn = totals.bytesOut = 0;
    },
    async stop() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      ending.abort();
      const exits = [...running].map((child) => new Promise((resolve) => child.once("close", resolve)));
      for (const child of running) child.kill("SIGKILL");
      await Promise.all([closed, ...exits, ...delivering]);
      await writing;
    },
  };
}

/** CGI: the request in the environment and on stdin, the answer as headers, an empty line and a body on stdout. */
function runBackend(call: {
  backend: string;
  dir: string;
  repository: string;
  service: string;
  url: URL;
  incoming: IncomingMessage;
  response: ServerResponse;
  running: Set<ChildProcess>;
  counts: { bytesOut: number };
}): Promise<void> {
  const { incoming, response, counts } = call;
  const { headers } = incoming;
  const child = spawn(call.backend, {
    stdio: ["pipe", "pipe", "ignore"],
    env: {
      ...gitEnvironment(),
      GIT_PROJECT_ROOT: call.dir,
      GIT_HTTP_EXPORT_ALL: "1",
      PATH_INFO: `/${call.repository}.git/${call.service}`,
      QUERY_STRING: call.url.search.slice(1),
      REQUEST_METHOD: incoming.method ?? "GET",
      REMOTE_USER: "git",
      REMOTE_ADDR: "127.0.0.1",
      CONTENT_TYPE: headers["content-type"] ?? "",
      // Without a length (chunked) the backend reads to the end, which is what is wanted.
      ...(headers["content-length"] && { CONTENT_LENGTH: headers["content-length"] }),
      ...(headers["content-encoding"] && { HTTP_CONTENT_ENCODING: headers["content-encoding"] }),
      ...(headers["git-protocol"] && { GIT_PROTOCOL: String(headers["git-protocol"]) }),
    },
  });
  call.running.add(child);
  child.stdin.on("error", () => {});
  incoming.pipe(child.stdin);
  // A client that has gone wants no answer; the backend would go on for it.
  response.once("close", () => child.kill());

  let head = Buffer.alloc(0);
  child.stdout.on("data", (chunk: Buffer) => {
    if (!response.headersSent) {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf("\r\n\r\n");
      if (end < 0) return;
      const { status, fields } = cgiHead(head.subarray(0, end).toString());
      response.writeHead(status, fields);
      chunk = head.subarray(end + 4);
    }
    counts.bytesOut += chunk.length;
    if (chunk.length > 0 && !response.write(chunk)) {
      child.stdout.pause();
      response.once("drain", () => child.stdout.resume());
    }
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", () => {
      call.running.delete(child);
      if (!response.headersSent) return reject(new Error("git http-backend gave no answer"));
      response.end();
      resolve();
    });
  });
}

export function cgiHead(text: string): { status: number; fields: Record<string, string> } {
  const fields: Record<string, string> = {};
  let status = 200;
  for (const line of text.split("\r\n")) {
    const colon = line.indexOf(":");
    const [name, value] = [line.slice(0, colon), line.slice(colon + 1).trim()];
    if (name.toLowerCase() === "status") status = Number.parseInt(value, 10);
    else fields[name] = value;
  }
  return { status, fields };
}

function authorized(header: string | undefined, wanted: { username: string; password: string }): boolean {
  const expected = Buffer.from(`Basic ${Buffer.from(`${wanted.username}:${wanted.password}`).toString("base64")}`);
  const given = Buffer.from(header ?? "");
  return given.length === expected.length && timingSafeEqual(given, expected);
}

export function webhookHeaders(body: string, secret: string | undefined): Record<string, string> {
  const signature = (algorithm: "sha1" | "sha256") =>
    `${algorithm}=${createHmac(algorithm, secret ?? "")
      .update(body)
      .digest("hex")}`;
  return {
    "content-type": "application/json",
    "user-agent": "GitHub-Hookshot/driftless-local",
    "x-github-event": "push",
    "x-github-delivery": randomUUID(),
    ...(secret && { "x-hub-signature": signature("sha1"), "x-hub-signature-256": signature("sha256") }),
  };
}

/** The part of GitHub's push event that anybody reads. */
export function pushPayload(
  repository: string,
  url: string,
  change: RefChange,
  files: { added: string[]; removed: string[]; modified: string[] },
) {
  const pageUrl = url.replace(/\.git$/, "");
  const commit = change.after === zeroSha ? null : { id: change.after, distinct: true, ...files };
  return {
    ref: change.ref,
    before: change.before,
    after: change.after,
    created: change.before === zeroSha,
    deleted: change.after === zeroSha,
    repository: {
      name: repository.split("/").at(-1),
      full_name: repository,
      html_url: pageUrl,
      url: pageUrl,
      clone_url: url,
      default_branch: branchUsual,
    },
    pusher: authorUsual,
    commits: commit ? [commit] : [],
    head_commit: commit,
  };
}
