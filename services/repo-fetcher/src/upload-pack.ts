// Git's fetch conversation as bytes (pure): one request and its answer, in protocol 2 or 1, both without state.
//
// isomorphic-git speaks it too, but asks for one ref only, cannot want blobs by oid, takes no `thin-pack` and no
// `filter`, and reads every ref of the repository before each fetch. Here one POST is the whole fetch.
import { GitFailure } from "./git-failure.ts";

export type FetchRequest = {
  wants: readonly string[];
  /** Commits whose trees we hold completely. */
  haves: readonly string[];
  /** Those of our commits whose parents we do not hold. */
  shallows: readonly string[];
  depth?: number;
  filter?: string;
};

export type FetchAnswer = { pack: Buffer; shallows: string[] };

const flush = Buffer.from("0000");
const delimiter = Buffer.from("0001");

function line(text: string): Buffer {
  const bytes = Buffer.from(`${text}\n`);
  return Buffer.concat([Buffer.from((bytes.byteLength + 4).toString(16).padStart(4, "0")), bytes]);
}

/** Without `thin-pack` the server may not leave out what a shallow parent has, and each push costs the whole tree. */
export function fetchRequest(version: 1 | 2, request: FetchRequest): Buffer {
  const parts: Buffer[] = [];
  const details = () => {
    for (const oid of request.shallows) parts.push(line(`shallow ${oid}`));
    if (request.depth !== undefined) parts.push(line(`deepen ${request.depth}`));
    if (request.filter !== undefined) parts.push(line(`filter ${request.filter}`));
  };
  if (version === 2) {
    parts.push(line("command=fetch"), line("agent=git/driftless"), delimiter);
    parts.push(line("thin-pack"), line("ofs-delta"), line("no-progress"));
    for (const oid of request.wants) parts.push(line(`want ${oid}`));
    details();
    for (const oid of request.haves) parts.push(line(`have ${oid}`));
    parts.push(line("done"), flush);
    return Buffer.concat(parts);
  }
  const filter = request.filter === undefined ? "" : " filter";
  const capabilities = `side-band-64k thin-pack ofs-delta no-progress shallow${filter} agent=git/driftless`;
  request.wants.forEach((oid, i) => parts.push(line(i === 0 ? `want ${oid} ${capabilities}` : `want ${oid}`)));
  details();
  parts.push(flush);
  for (const oid of request.haves) parts.push(line(`have ${oid}`));
  parts.push(line("done"));
  return Buffer.concat(parts);
}

/** Adds `ref-prefix` lines to an ls-refs request, of which isomorphic-git can say only one. */
export function withRefPrefixes(body: Buffer, prefixes: readonly string[]): Buffer {
  if (prefixes.length === 0 || body.byteLength < 4) return body;
  return Buffer.concat([body.subarray(0, -4), ...prefixes.map((prefix) => line(`ref-prefix ${prefix}`)), flush]);
}

/** Reads the answer of either version: its text lines and its side-band cannot be mistaken for each other. */
export function readFetchAnswer(body: Buffer): FetchAnswer {
  const pack: Buffer[] = [];
  const shallows: string[] = [];
  let at = 0;
  while (at < body.byteLength) {
    const size = Number.parseInt(body.toString("latin1", at, at + 4), 16);
    if (Number.isNaN(size) || at + Math.max(size, 4) > body.byteLength)
      throw new GitFailure("FETCH_CORRUPT", "the Git server's answer ends too early");
    const payload = body.subarray(at + 4, at + Math.max(size, 4));
    at += Math.max(size, 4);
    if (payload.byteLength === 0) continue;
    if (payload[0] === 1) pack.push(payload.subarray(1));
    else if (payload[0] === 3) refused(payload.toString("utf8", 1));
    else if (payload[0] !== 2) {
      const text = payload.toString("utf8").trimEnd();
      if (text.startsWith("ERR ")) refused(text.slice(4));
      if (text.startsWith("shallow ")) shallows.push(text.slice(8));
    }
  }
  if (pack.length === 0) throw new GitFailure("FETCH_CORRUPT", "the Git server's answer holds no objects");
  return { pack: Buffer.concat(pack), shallows };
}

function refused(said: string): never {
  const missing = /not our ref ([0-9a-f]{40})/.exec(said);
  if (missing) throw new GitFailure("REVISION_NOT_FOUND", `the repository has no object ${missing[1]}`);
  // The server's own words, kept short and printable; they are about its repository, not about our credentials.
  const words = said
    .replace(/[^\x20-\x7e]+/g, " ")
    .trim()
    .slice(0, 200);
  throw new GitFailure("GIT_UNREACHABLE", `the Git server refused to send the objects: ${words}`);
}
