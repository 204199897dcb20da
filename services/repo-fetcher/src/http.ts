// The HTTP edge for Git (edge): isomorphic-git's http plugin, and the one door through which we reach a Git server.
//
// H1  Only http and https, no userinfo in the URL; link-local and cloud metadata addresses are refused after DNS, at
//     the moment of connecting, so that a name which resolves differently the second time gains nothing.
// H2  Redirects are followed for the first GET alone, inside the configured origin; credentials never leave it.
// H3  Bytes (after decompression), connecting, silence and the whole request have limits.
// H4  No message holds credentials, userinfo or a query string.
import { lookup as dnsLookup } from "node:dns";
import type { LookupAddress, LookupOptions } from "node:dns";
import { Agent as HttpAgent, request as httpRequest } from "node:http";
import type { ClientRequest, IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { BlockList, isIP } from "node:net";
import { createGunzip, createInflate } from "node:zlib";
import type { GitHttpRequest, GitHttpResponse } from "isomorphic-git";
import type { Clock } from "@driftless/process/clock";
import { GitFailure } from "./git-failure.ts";

export type HttpCredentials = {
  auth: { kind: "none" } | { kind: "basic"; username: string; password: string } | { kind: "bearer"; token: string };
  tls?: { ca?: string; cert?: string; key?: string; insecure?: boolean };
};

export const anonymous: HttpCredentials = { auth: { kind: "none" } };

export type HttpLimits = {
  /** Of one answer, after decompression. */
  responseBytesMax: number;
  connectMs: number;
  /** Silence on the socket. */
  idleMs: number;
  totalMs: number;
  redirectsMax: number;
};

const defaultLimits: HttpLimits = {
  responseBytesMax: 512 * 1024 * 1024,
  connectMs: 10_000,
  idleMs: 30_000,
  totalMs: 180_000,
  redirectsMax: 3,
};

// Private ranges and loopback are where companies and the local mode have their Git; these never are.
const denied = new BlockList();
denied.addSubnet("169.254.0.0", 16); // link-local, with the metadata services of AWS, GCP, Azure, OpenStack
denied.addSubnet("fe80::", 10, "ipv6");
denied.addAddress("fd00:ec2::254", "ipv6"); // AWS metadata
denied.addAddress("fd20:ce::254", "ipv6"); // GCP metadata
denied.addAddress("100.100.100.200"); // Alibaba metadata
denied.addAddress("168.63.129.16"); // Azure wire server
denied.addAddress("192.0.0.192"); // Oracle metadata
denied.addSubnet("224.0.0.0", 4);
denied.addSubnet("ff00::", 8, "ipv6");
denied.addSubnet("64:ff9b::a9fe:0", 112, "ipv6"); // 169.254/16 through NAT64
denied.addSubnet("2002:a9fe::", 32, "ipv6"); // and through 6to4

export function addressDenied(address: string): boolean {
  const family = isIP(address);
  if (family === 0) return true;
  // BlockList checks an IPv4-mapped IPv6 address against the IPv4 rules too.
  return denied.check(address, family === 6 ? "ipv6" : "ipv4");
}

/** A repository URL as people may see it. */
export function displayUrl(url: string): string {
  const parsed = URL.parse(url);
  if (!parsed) return url.replace(/^[^/]*@/, "").replace(/[?#].*$/s, "");
  return `${parsed.protocol}//${parsed.host}${parsed.pathname}`;
}

/** Parses and allow-lists (H1); isomorphic-git's own scheme test is not anchored, so this comes first. */
export function checkRepositoryUrl(url: string): URL {
  const shown = displayUrl(url);
  const parsed = URL.parse(url);
  if (!parsed) throw new GitFailure("REPO_URL_DENIED", `${shown} is not a URL; use https://host/path`);
  if (parsed.protocol !== "https:" && parsed.protocol !== "http:")
    throw new GitFailure("REPO_URL_DENIED", `${shown}: only http and https repositories are supported so far`);
  if (parsed.username !== "" || parsed.password !== "")
    throw new GitFailure(
      "REPO_URL_DENIED",
      `${shown}: put user name and password into a repository Secret, not into the URL`,
    );
  if (parsed.search !== "" || parsed.hash !== "")
    throw new GitFailure("REPO_URL_DENIED", `${shown}: a repository URL has no query and no fragment`);
  const host = parsed.hostname.replace(/^\[|\]$/g, "");
  if (isIP(host) !== 0 && addressDenied(host))
    throw new GitFailure("REPO_URL_DENIED", `${shown}: link-local and metadata addresses are never asked`);
  parsed.pathname = parsed.pathname.replace(/\/+$/, "");
  return parsed;
}

type LookupCallback = (error: Error | null, address: string | LookupAddress[], family?: number) => void;

/** All addresses of a name; node's own unless a test brings another. */
export type ResolveName = (
  hostname: string,
  options: LookupOptions & { all: true },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/** DNS for one connection attempt (H1): refuses the name when any of its addresses is refused. */
const guardedLookup =
  (resolveName: ResolveName) =>
  (hostname: string, options: LookupOptions, callback: LookupCallback): void => {
    resolveName(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, []);
      const first = addresses[0];
      if (!first || addresses.some((a) => addressDenied(a.address))) {
        const why = `${hostname} leads to a link-local or metadata address, which is never asked`;
        return callback(new GitFailure("REPO_URL_DENIED", why), []);
      }
      if (options.all) return callback(null, addresses);
      callback(null, first.address, first.family);
    });
  };

export type GitAnswer = { body: Buffer; contentType: string; wireBytes: number };

export class GitHttp {
  readonly #clock: Clock;
  readonly #limits: HttpLimits;
  readonly #agent: HttpAgent | HttpsAgent;
  readonly #lookup: ReturnType<typeof guardedLookup>;
  readonly #authorization: string | undefined;
  readonly #shown: string;
  readonly #configured: URL;
  /** Where the repository is after redirects of the first GET (a renamed repository). */
  #base: URL;

  constructor(options: {
    url: string;
    credentials?: HttpCredentials;
    clock: Clock;
    limits?: Partial<HttpLimits>;
    resolveName?: ResolveName;
  }) {
    this.#lookup = guardedLookup(options.resolveName ?? dnsLookup);
    this.#configured = checkRepositoryUrl(options.url);
    this.#base = this.#configured;
    this.#shown = displayUrl(options.url);
    this.#clock = options.clock;
    this.#limits = { ...defaultLimits, ...options.limits };
    const { auth, tls } = options.credentials ?? anonymous;
    if (auth.kind === "basic")
      this.#authorization = `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString("base64")}`;
    if (auth.kind === "bearer") this.#authorization = `Bearer ${auth.token}`;
    const pool = { keepAlive: true, maxSockets: 4, keepAliveMsecs: 10_000 };
    this.#agent =
      this.#configured.protocol === "https:"
        ? new HttpsAgent({ ...pool, ca: tls?.ca, cert: tls?.cert, key: tls?.key, rejectUnauthorized: !tls?.insecure })
        : new HttpAgent(pool);
  }

  get url(): string {
    return this.#configured.href;
  }

  /** isomorphic-git's plugin. Non-200 answers never reach the library: they are thrown here, with our codes. */
  readonly request = async (wanted: GitHttpRequest): Promise<GitHttpResponse> => {
    if (!wanted.url.startsWith(`${this.#configured.href}/`))
      throw new GitFailure("REPO_URL_DENIED", `${this.#shown}: a request outside the repository was refused`);
    const chunks: Uint8Array[] = [];
    if (wanted.body) for await (const chunk of wanted.body as AsyncIterable<Uint8Array>) chunks.push(chunk);
    const answer = await this.send({
      path: wanted.url.slice(this.#configured.href.length),
      method: wanted.method === "POST" ? "POST" : "GET",
      headers: wanted.headers ?? {},
      body: Buffer.concat(chunks),
    });
    return {
      url: wanted.url,
      method: wanted.method ?? "GET",
      statusCode: 200,
      statusMessage: "OK",
      headers: { "content-type": answer.contentType },
      body: [answer.body] as unknown as GitHttpResponse["body"] & object,
    };
  };

  /** One request below the repository's URL (`/info/refs?…`, `/git-upload-pack`), answered with 200 or thrown. */
  async send(wanted: {
    path: string;
    method: "GET" | "POST";
    headers: Record<string, string>;
    body?: Buffer;
  }): Promise<GitAnswer> {
    let target = new URL(this.#base.href + wanted.path);
    for (let redirects = 0; ; redirects += 1) {
      const answer = await this.#once(target, wanted);
      if (answer.status < 300) {
        this.#checkIsGit(answer, wanted.method);
        return { body: answer.body, contentType: answer.contentType, wireBytes: answer.wireBytes };
      }
      if (answer.status < 400) {
        const next = answer.location === undefined ? null : URL.parse(answer.location, target.href);
        if (!next || next.origin !== this.#configured.origin)
          throw new GitFailure(
            "REPO_URL_DENIED",
            `${this.#shown} redirects to ${next ? next.origin : "nowhere"}; use the new address as the repository's URL`,
          );
        if (wanted.method !== "GET" || redirects >= this.#limits.redirectsMax)
          throw new GitFailure("GIT_UNREACHABLE", `${this.#shown} redirects again and again`);
        const suffix = wanted.path.split("?")[0]!;
        if (!next.pathname.endsWith(suffix))
          throw new GitFailure("GIT_PROTOCOL", `${this.#shown} redirects to something that is not a Git repository`);
        this.#base = new URL(next.origin + next.pathname.slice(0, -suffix.length));
        target = new URL(this.#base.href + wanted.path);
        continue;
      }
      this.#refuse(answer.status);
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  #refuse(status: number): never {
    if (status === 401 || status === 403 || status === 407)
      throw new GitFailure(
        "GIT_AUTH_FAILED",
        this.#authorization === undefined
          ? `${this.#shown} asks for credentials (HTTP ${status}); add a repository or repo-creds Secret for it`
          : `${this.#shown} refused the credentials of its repository Secret (HTTP ${status})`,
      );
    if (status === 404 || status === 410)
      throw new GitFailure("REPO_NOT_FOUND", `${this.#shown} does not exist, or is hidden without credentials`);
    throw new GitFailure("GIT_UNREACHABLE", `${this.#shown} answered with HTTP ${status}`);
  }

  #checkIsGit(answer: { status: number; contentType: string }, method: string): void {
    // 203 is Azure DevOps' sign-in page.
    if (answer.status === 203) this.#refuse(401);
    const expected =
      method === "GET" ? "application/x-git-upload-pack-advertisement" : "application/x-git-upload-pack-result";
    if (answer.status !== 200 || answer.contentType !== expected)
      throw new GitFailure(
        "GIT_PROTOCOL",
        `${this.#shown} is not a Git repository over smart HTTP: it answered with ${answer.contentType || "no content type"}`,
      );
  }

  async #once(
    target: URL,
    wanted: { method: "GET" | "POST"; headers: Record<string, string>; body?: Buffer },
  ): Promise<Answer> {
    for (let attempt = 0; ; attempt += 1) {
      const sent = { reused: false };
      try {
        return await this.#exchange(target, wanted, sent);
      } catch (error) {
        // The server may close a kept connection in the moment we use it again; that is not its failure.
        const reset = (error as NodeJS.ErrnoException).code === "ECONNRESET";
        if (sent.reused && reset && attempt === 0) continue;
        throw this.#explain(error);
      }
    }
  }

  #explain(error: unknown): GitFailure {
    if (error instanceof GitFailure) return error;
    const code = (error as NodeJS.ErrnoException).code ?? "";
    if (code === "Z_DATA_ERROR" || code === "Z_BUF_ERROR")
      return new GitFailure("FETCH_CORRUPT", `${this.#shown}: the compressed answer is damaged`, { cause: error });
    const why = /^[A-Z][A-Z0-9_]+$/.test(code) ? code : "no connection";
    return new GitFailure("GIT_UNREACHABLE", `${this.#shown} cannot be reached (${why})`, { cause: error });
  }

  #exchange(
    target: URL,
    wanted: { method: "GET" | "POST"; headers: Record<string, string>; body?: Buffer },
    sent: { reused: boolean },
  ): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const limits = this.#limits;
    const headers: Record<string, string> = {
      ...wanted.headers,
      "user-agent": "git/driftless",
      "accept-encoding": "gzip, deflate",
    };
    for (const name of Object.keys(headers)) if (name.toLowerCase() === "authorization") delete headers[name];
    if (this.#authorization !== undefined) headers["authorization"] = this.#authorization;
    if (wanted.method === "POST") headers["content-length"] = String(wanted.body?.byteLength ?? 0);

    let request: ClientRequest;
    const fail = (error: Error) => {
      reject(error);
      request.destroy();
    };
    const late = (which: string, ms: number) => () =>
      fail(new GitFailure("GIT_UNREACHABLE", `${this.#shown}: ${which} took longer than ${ms / 1000} s`));
    const stopTotal = this.#clock.setTimer(limits.totalMs, late("the answer", limits.totalMs));
    let stopConnect = () => {};

    const open = target.protocol === "https:" ? httpsRequest : httpRequest;
    request = open(target, {
      method: wanted.method,
      headers,
      agent: this.#agent,
      lookup: this.#lookup as never,
    });
    request.setTimeout(limits.idleMs, late("silence", limits.idleMs));
    request.on("socket", (socket) => {
      sent.reused = request.reusedSocket;
      if (!socket.connecting) return;
      stopConnect = this.#clock.setTimer(limits.connectMs, late("connecting", limits.connectMs));
      socket.once(target.protocol === "https:" ? "secureConnect" : "connect", () => stopConnect());
    });
    request.on("error", reject);
    request.on("response", (response) => this.#receive(response, resolve, fail));
    request.end(wanted.body);
    return promise.finally(() => {
      stopTotal();
      stopConnect();
    });
  }

  #receive(response: IncomingMessage, resolve: (answer: Answer) => void, fail: (error: Error) => void): void {
    const encoding = response.headers["content-encoding"];
    const unzip =
      encoding === "gzip" || encoding === "x-gzip"
        ? createGunzip()
        : encoding === "deflate"
          ? createInflate()
          : undefined;
    const chunks: Buffer[] = [];
    let bytes = 0;
    let wireBytes = 0;
    // A redirect's or an error's body is of no use; a little is read so that the connection can be kept.
    const max = response.statusCode === 200 ? this.#limits.responseBytesMax : 64 * 1024;
    const take = (chunk: Buffer) => {
      bytes += chunk.byteLength;
      if (bytes > max)
        return fail(
          new GitFailure("FETCH_LIMIT", `${this.#shown}: the answer is larger than ${max} bytes`, {
            which: "responseBytes",
          }),
        );
      chunks.push(chunk);
    };
    const done = () =>
      resolve({
        status: response.statusCode ?? 0,
        contentType: (response.headers["content-type"] ?? "").split(";")[0]!.trim().toLowerCase(),
        location: response.headers.location,
        body: Buffer.concat(chunks, bytes),
        wireBytes,
      });
    response.on("data", (chunk: Buffer) => {
      wireBytes += chunk.byteLength;
      if (!unzip) take(chunk);
    });
    response.on("error", fail);
    response.on("aborted", () => fail(Object.assign(new Error("aborted"), { code: "ECONNABORTED" })));
    if (!unzip) return void response.on("end", done);
    unzip.on("data", take);
    unzip.on("error", fail);
    unzip.on("end", done);
    response.pipe(unzip);
  }
}

type Answer = { status: number; contentType: string; location: string | undefined; body: Buffer; wireBytes: number };
