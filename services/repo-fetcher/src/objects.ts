// The objects of one Git repository, in memory (edge: asks the Git server).
//
// What is held: commits and trees of the revisions in use, completely; blobs only as far as somebody asked for them,
// in a bounded cache. A first fetch therefore costs the trees alone (`filter blob:none`), a push one small pack built
// on what is held (`thin-pack`), and the files of all sources that ask at once one request. Where the server has no
// filter everything of the one commit is fetched and held.
//
// O1  A commit counts as held only after its whole answer was unpacked; after a surprise the store starts afresh.
// O2  What no revision in use needs is swept when the store has doubled: no need to fetch again what is still good.
import { getRemoteInfo2, listServerRefs } from "isomorphic-git";
import type { GitHttpRequest, ServerRef } from "isomorphic-git";
import type { Clock } from "@driftless/process/clock";
import type { ResolveName } from "./addresses.ts";
import type { HttpLimits } from "./exchange.ts";
import { GitFailure, outcome } from "./git-failure.ts";
import type { Outcome } from "./git-failure.ts";
import { displayUrl, GitHttp } from "./http.ts";
import type { GitAnswer, GitTransport, HttpCredentials } from "./http.ts";
import { GitSsh, isSshUrl } from "./ssh.ts";
import { defaultPackLimits, unpack } from "./pack.ts";
import type { GitObject, PackLimits } from "./pack.ts";
import type { Refs } from "./revision.ts";
import { parseTree } from "./tree.ts";
import type { TreeEntry } from "./tree.ts";
import { fetchRequest, readFetchAnswer, withRefPrefixes } from "./upload-pack.ts";
import type { FetchRequest } from "./upload-pack.ts";

export type ObjectLimits = {
  /** Of trees and commits, and of blobs where the server cannot send them one by one. */
  storeBytesMax: number;
  blobCacheBytesMax: number;
  refsMax: number;
  pack: PackLimits;
};

const defaultLimits: ObjectLimits = {
  storeBytesMax: 512 * 1024 * 1024,
  blobCacheBytesMax: 48 * 1024 * 1024,
  refsMax: 200_000,
  pack: defaultPackLimits,
};

/** Blobs up to this size come along with a push; larger ones wait until a source wants them. */
const pushedBlobBytesMax = 128 * 1024;
const wantsPerRequest = 4_000;
/** Parsed trees are ten times as large as their bytes; some megabytes of them are kept. */
const parsedEntriesMax = 40_000;
const shortestSweepBytes = 4 * 1024 * 1024;

export type CommitInfo = { author: string; message: string };

type Server = { version: 1 | 2; filter: boolean; anyOid: boolean; empty: boolean };
type HeldCommit = { tree: string; shallow: boolean; usedIn: number };

export class RemoteObjects {
  readonly #http: GitTransport;
  readonly #shown: string;
  readonly #limits: ObjectLimits;
  #server: Server | undefined;
  #advertisement: GitAnswer | undefined;
  #objects = new Map<string, GitObject>();
  #objectBytes = 0;
  #objectBytesAfterSweep = 0;
  #commits = new Map<string, HeldCommit>();
  readonly #blobs = new Map<string, Buffer>();
  #blobBytes = 0;
  readonly #parsed = new Map<string, TreeEntry[]>();
  #parsedEntries = 0;
  #pending = new Map<string, PromiseWithResolvers<Buffer>>();
  /** Counts the calls of `keep`: what was asked for since the last one may be in somebody's hands. */
  #generation = 0;
  #lane: Promise<unknown> = Promise.resolve();

  constructor(options: {
    url: string;
    credentials?: HttpCredentials;
    clock: Clock;
    http?: Partial<HttpLimits>;
    resolveName?: ResolveName;
    limits?: Partial<ObjectLimits>;
  }) {
    const to = { ...options, limits: options.http ?? {} };
    this.#http = isSshUrl(options.url) ? new GitSsh(to) : new GitHttp(to);
    this.#shown = displayUrl(options.url);
    this.#limits = { ...defaultLimits, ...options.limits };
  }

  /** HEAD, branches and tags as the server has them now; other refs under the extra prefixes only. */
  listRefs(extraPrefixes: readonly string[] = []): Promise<Outcome<Refs>> {
    return outcome(`listing the refs of ${this.#shown}`, async () => {
      try {
        const server = await this.#discover();
        if (server.empty) return { head: undefined, refs: new Map() };
        const prefixes = ["HEAD", "refs/heads/", "refs/tags/", ...extraPrefixes];
        const listed = await this.#reading(() =>
          listServerRefs({
            http: { request: (request) => this.#plugin(request, prefixes) },
            url: this.#http.url,
            // An own property, so that nothing in Object.prototype can put a proxy here (CVE-2026-89011).
            corsProxy: undefined,
            protocolVersion: server.version,
            symrefs: true,
            peelTags: true,
          }),
        );
        return toRefs(listed, this.#limits.refsMax);
      } catch (error) {
        this.#server = undefined;
        this.#advertisement = undefined;
        throw error;
      }
    });
  }

  /** Makes these commits (or annotated tags) readable with all their trees; answers the commits' own oids. */
  fetchCommits(oids: readonly string[]): Promise<Outcome<string[]>> {
    return outcome(`fetching from ${this.#shown}`, () =>
      this.#exclusive(async () => {
        try {
          return await this.#fetchCommits(oids);
        } catch (error) {
          if (!(error instanceof GitFailure) || error.code !== "FETCH_CORRUPT") throw error;
          // Perhaps what we hold is not what the server thinks we hold: once more, from nothing (O1).
          this.forget();
          return await this.#fetchCommits(oids);
        }
      }),
    );
  }

  /** The root tree of a commit that was fetched. */
  rootTree(commit: string): string | undefined {
    return this.#commits.get(commit)?.tree;
  }

  /** Who wrote a commit that was fetched, and its message; for people. */
  commitInfo(commit: string): CommitInfo | undefined {
    const object = this.#objects.get(commit);
    if (object?.type !== "commit") return undefined;
    const text = object.bytes.toString("utf8");
    const end = text.indexOf("\n\n");
    const author = /^author (.*) \d+ [+-]\d+$/m.exec(end < 0 ? text : text.slice(0, end))?.[1] ?? "";
    return { author, message: end < 0 ? "" : text.slice(end + 2, end + 2 + 4096).trimEnd() };
  }

  readonly readTree = (oid: string): readonly TreeEntry[] => {
    const known = this.#parsed.get(oid);
    if (known) return known;
    const object = this.#objects.get(oid);
    if (object?.type !== "tree")
      throw new GitFailure(
        "FETCH_CORRUPT",
        `${this.#shown}: a directory (${oid.slice(0, 10)}) did not come with its commit`,
      );
    const entries = parseTree(object.bytes);
    this.#parsed.set(oid, entries);
    this.#parsedEntries += entries.length;
    // The oldest goes first; a Map iterates in order of insertion.
    for (const [oldest, its] of this.#parsed) {
      if (this.#parsedEntries <= parsedEntriesMax || oldest === oid) break;
      this.#parsed.delete(oldest);
      this.#parsedEntries -= its.length;
    }
    return entries;
  };

  /** The contents of these blobs; what is not held is asked for together with what others want just now. */
  blobs(oids: Iterable<string>): Promise<Outcome<Map<string, Buffer>>> {
    return outcome(`fetching files from ${this.#shown}`, async () => {
      const found = new Map<string, Buffer>();
      const waiting: Promise<unknown>[] = [];
      let pump = false;
      for (const oid of new Set(oids)) {
        const held = this.#heldBlob(oid);
        if (held) {
          found.set(oid, held);
          continue;
        }
        let wanted = this.#pending.get(oid);
        if (!wanted) {
          wanted = Promise.withResolvers<Buffer>();
          this.#pending.set(oid, wanted);
          pump = true;
        }
        waiting.push(wanted.promise.then((bytes) => found.set(oid, bytes)));
      }
      if (pump) waiting.push(this.#exclusive(() => this.#fetchPending()));
      const results = await Promise.allSettled(waiting);
      for (const result of results) if (result.status === "rejected") throw result.reason;
      return found;
    });
  }

  /** The commit a short SHA means, if the server lets us read the history without its contents. */
  expandShort(short: string, tips: Iterable<string>): Promise<Outcome<string[]>> {
    return outcome(`looking up ${short} in ${this.#shown}`, async () => {
      const server = await this.#discover();
      if (!server.filter) return [];
      const wants = [...new Set(tips)].slice(0, wantsPerRequest);
      if (wants.length === 0) return [];
      const { objects } = await this.#exchange(server, { wants, haves: [], shallows: [], filter: "tree:0" });
      return [...objects].filter(([oid, o]) => o.type === "commit" && oid.startsWith(short)).map(([oid]) => oid);
    });
  }

  /** Names the commits in use; when the store has doubled since the last sweep, the rest goes (O2). */
  keep(commits: Iterable<string>): void {
    this.#generation += 1;
    if (this.#objectBytes < 2 * this.#objectBytesAfterSweep + shortestSweepBytes) return;
    const kept = new Map<string, GitObject>();
    const keptCommits = new Map<string, HeldCommit>();
    let bytes = 0;
    const keepOne = (oid: string) => {
      const object = this.#objects.get(oid);
      if (!object || kept.has(oid)) return false;
      kept.set(oid, object);
      bytes += object.bytes.byteLength;
      return true;
    };
    const inUse = new Set(commits);
    for (const [commit, held] of this.#commits) {
      if (!inUse.has(commit) && held.usedIn < this.#generation - 1) continue;
      keepOne(commit);
      keptCommits.set(commit, held);
      const trees = keepOne(held.tree) ? [held.tree] : [];
      for (let tree = trees.pop(); tree; tree = trees.pop())
        for (const entry of parseTree(this.#objects.get(tree)!.bytes))
          if (entry.kind !== "submodule" && keepOne(entry.oid) && entry.kind === "tree") trees.push(entry.oid);
    }
    this.#objects = kept;
    this.#commits = keptCommits;
    this.#objectBytes = this.#objectBytesAfterSweep = bytes;
    this.#parsed.clear();
    this.#parsedEntries = 0;
  }

  /** Starts afresh: nothing is held any more. */
  forget(): void {
    this.#objects.clear();
    this.#commits.clear();
    this.#blobs.clear();
    this.#parsed.clear();
    this.#parsedEntries = 0;
    this.#objectBytes = this.#objectBytesAfterSweep = this.#blobBytes = 0;
    this.#server = undefined;
    this.#advertisement = undefined;
  }

  held(): { commits: number; objects: number; bytes: number } {
    return { commits: this.#commits.size, objects: this.#objects.size, bytes: this.#objectBytes + this.#blobBytes };
  }

  close(): void {
    this.#http.close();
    this.forget();
  }

  /** One conversation that changes the store at a time. */
  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#lane.then(work);
    this.#lane = mine.catch(() => {});
    return mine;
  }

  async #plugin(request: GitHttpRequest, prefixes: readonly string[]) {
    if (request.method !== "POST") {
      // Protocol 2 says the same about itself each time; one request less on the way from push to cluster.
      const answer = this.#advertisement ?? (await this.#http.send({ ...this.#advertisementRequest() }));
      return { ...plain(request), body: once(answer.body), headers: { "content-type": answer.contentType } };
    }
    const chunks: Uint8Array[] = [];
    if (request.body) for await (const chunk of request.body as AsyncIterable<Uint8Array>) chunks.push(chunk);
    if (!request.url.startsWith(`${this.#http.url}/`))
      throw new GitFailure("REPO_URL_DENIED", `${this.#shown}: a request outside the repository was refused`);
    const answer = await this.#http.send({
      path: request.url.slice(this.#http.url.length),
      method: "POST",
      headers: request.headers ?? {},
      body: withRefPrefixes(Buffer.concat(chunks), prefixes),
    });
    return { ...plain(request), body: once(answer.body), headers: { "content-type": answer.contentType } };
  }

  #advertisementRequest() {
    return {
      path: "/info/refs?service=git-upload-pack",
      method: "GET" as const,
      headers: { "git-protocol": "version=2" },
    };
  }

  async #discover(): Promise<Server> {
    if (this.#server) return this.#server;
    const answer = await this.#http.send(this.#advertisementRequest());
    const info = await this.#reading(() =>
      getRemoteInfo2({
        http: {
          request: async (request) => ({
            ...plain(request),
            body: once(answer.body),
            headers: { "content-type": answer.contentType },
          }),
        },
        url: this.#http.url,
        corsProxy: undefined,
        protocolVersion: 2,
      }),
    );
    const capabilities = info.capabilities as Record<string, string | true>;
    if (info.protocolVersion === 2) {
      this.#advertisement = answer;
      const fetch = String(capabilities["fetch"] ?? "").split(" ");
      this.#server = { version: 2, filter: fetch.includes("filter"), anyOid: true, empty: false };
    } else {
      const anyOid = Boolean(
        capabilities["allow-reachable-sha1-in-want"] ?? capabilities["allow-any-sha1-in-want"] ?? false,
      );
      const empty = Object.keys(info.refs ?? {}).length === 0;
      // What a version 1 server says is true for its refs of this moment only.
      return { version: 1, filter: "filter" in capabilities, anyOid, empty };
    }
    return this.#server;
  }

  /** isomorphic-git reads the server's words; what it stumbles over is the server's fault. */
  async #reading<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof GitFailure) throw error;
      throw new GitFailure("GIT_PROTOCOL", `${this.#shown} did not answer as a Git server does`, { cause: error });
    }
  }

  async #fetchCommits(oids: readonly string[]): Promise<string[]> {
    const missing = [...new Set(oids)].filter((oid) => !this.#commits.has(oid));
    if (missing.length > 0) {
      const server = await this.#discover();
      const lazy = server.filter && server.anyOid;
      const haves = [...this.#commits.keys()];
      const answer = await this.#exchange(server, {
        wants: missing,
        haves,
        shallows: haves.filter((oid) => this.#commits.get(oid)!.shallow),
        depth: 1,
        filter: lazy ? (haves.length === 0 ? "blob:none" : `blob:limit=${pushedBlobBytesMax}`) : undefined,
      });
      for (const [oid, object] of answer.objects) this.#hold(oid, object, lazy);
      for (const oid of missing) this.#admit(oid, answer.shallows);
    }
    return oids.map((oid) => {
      const commit = this.#peel(oid);
      const held = this.#commits.get(commit);
      if (held) held.usedIn = this.#generation;
      return commit;
    });
  }

  /** Counts a fetched commit as held (O1). */
  #admit(oid: string, shallows: readonly string[]): void {
    const commit = this.#peel(oid);
    const tree = /^tree ([0-9a-f]{40})\n/.exec(this.#objects.get(commit)!.bytes.toString("latin1", 0, 46))?.[1];
    if (tree === undefined || this.#objects.get(tree)?.type !== "tree")
      throw new GitFailure("FETCH_CORRUPT", `${this.#shown}: commit ${commit.slice(0, 10)} came without its files`);
    this.#commits.set(commit, { tree, shallow: shallows.includes(commit), usedIn: this.#generation });
  }

  /** From annotated tags to their commit; a tag of a tag of a tag … is followed a few steps only. */
  #peel(oid: string): string {
    let at = oid;
    for (let steps = 0; steps < 8; steps += 1) {
      const object = this.#objects.get(at);
      if (!object) break;
      if (object.type === "commit") return at;
      const next =
        object.type === "tag"
          ? /^object ([0-9a-f]{40})\n/.exec(object.bytes.toString("latin1", 0, 48))?.[1]
          : undefined;
      if (next === undefined) break;
      at = next;
    }
    throw new GitFailure("REVISION_NOT_FOUND", `${this.#shown}: ${oid.slice(0, 10)} is not a commit`);
  }

  #hold(oid: string, object: GitObject, lazy: boolean): void {
    if (object.type === "blob" && lazy) return this.#cacheBlob(oid, object.bytes);
    if (this.#objects.has(oid)) return;
    this.#objectBytes += object.bytes.byteLength;
    if (this.#objectBytes > this.#limits.storeBytesMax) {
      this.forget();
      throw new GitFailure(
        "FETCH_LIMIT",
        `${this.#shown} needs more than ${this.#limits.storeBytesMax} bytes of memory`,
        {
          which: "storeBytes",
        },
      );
    }
    this.#objects.set(oid, object);
  }

  #heldBlob(oid: string): Buffer | undefined {
    const pinned = this.#objects.get(oid);
    if (pinned) return pinned.type === "blob" ? pinned.bytes : undefined;
    const cached = this.#blobs.get(oid);
    if (cached) {
      this.#blobs.delete(oid);
      this.#blobs.set(oid, cached);
    }
    return cached;
  }

  #cacheBlob(oid: string, bytes: Buffer): void {
    if (this.#blobs.has(oid)) return;
    this.#blobs.set(oid, bytes);
    this.#blobBytes += bytes.byteLength;
    for (const [oldest, old] of this.#blobs) {
      if (this.#blobBytes <= this.#limits.blobCacheBytesMax) break;
      this.#blobs.delete(oldest);
      this.#blobBytes -= old.byteLength;
    }
  }

  async #fetchPending(): Promise<void> {
    const pending = this.#pending;
    if (pending.size === 0) return;
    this.#pending = new Map();
    try {
      const server = await this.#discover();
      if (!server.anyOid) throw new GitFailure("FETCH_CORRUPT", `${this.#shown}: a file did not come with its commit`);
      const oids = [...pending.keys()];
      for (let i = 0; i < oids.length; i += wantsPerRequest) {
        const wants = oids.slice(i, i + wantsPerRequest);
        const { objects } = await this.#exchange(server, { wants, haves: [], shallows: [] });
        for (const oid of wants) {
          const object = objects.get(oid);
          if (object?.type !== "blob")
            throw new GitFailure("FETCH_CORRUPT", `${this.#shown}: the server did not send a file it was asked for`);
          this.#cacheBlob(oid, object.bytes);
          pending.get(oid)!.resolve(object.bytes);
        }
      }
    } catch (error) {
      // A file that vanished with its history is not a missing revision of the caller's.
      const failure =
        error instanceof GitFailure && error.code === "REVISION_NOT_FOUND"
          ? new GitFailure("FETCH_CORRUPT", `${this.#shown}: a file of this revision is gone from the server`)
          : error;
      for (const wanted of pending.values()) wanted.reject(failure);
    }
  }

  async #exchange(server: Server, request: FetchRequest) {
    const { body } = await this.#http.send({
      path: "/git-upload-pack",
      method: "POST",
      headers: {
        "content-type": "application/x-git-upload-pack-request",
        accept: "application/x-git-upload-pack-result",
        ...(server.version === 2 ? { "git-protocol": "version=2" } : {}),
      },
      body: fetchRequest(server.version, request),
    });
    const answer = readFetchAnswer(body);
    const { objects } = await unpack(answer.pack, (oid) => this.#base(oid), this.#limits.pack);
    return { objects, shallows: answer.shallows };
  }

  #base(oid: string): GitObject | undefined {
    const bytes = this.#blobs.get(oid);
    return this.#objects.get(oid) ?? (bytes ? { type: "blob", bytes } : undefined);
  }
}

function toRefs(listed: readonly ServerRef[], refsMax: number): Refs {
  if (listed.length > refsMax)
    throw new GitFailure("FETCH_LIMIT", `the repository has more than ${refsMax} refs`, { which: "refs" });
  const refs = new Map<string, string>();
  let head: string | undefined;
  for (const { ref, oid, peeled, target } of listed) {
    if (!/^[0-9a-f]{40}$/.test(oid)) continue;
    if (ref === "HEAD") head = target;
    refs.set(ref, peeled ?? oid);
  }
  return { head, refs };
}

const plain = (request: GitHttpRequest) => ({
  url: request.url,
  method: request.method ?? "GET",
  statusCode: 200,
  statusMessage: "OK",
});

async function* once(bytes: Uint8Array): AsyncIterableIterator<Uint8Array> {
  yield bytes;
}
