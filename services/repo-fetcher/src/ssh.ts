// Git over SSH (edge): `git-upload-pack` at the other end of a channel, asked in the words of smart HTTP.
//
// S1  No program is run here, no file read, no proxy command known: the connection is a socket to the host in the URL,
//     whose address is judged as for http.
// S2  A server whose key does not stand in argocd-ssh-known-hosts-cm is told nothing: neither user nor path, and
//     no signature of ours.
// S3  Bytes, connecting, silence and the whole request have limits.
// S4  No message holds a key, nor a server's words but a few printable ones.
//
// Each request is a channel of its own on one kept connection: the server says what it can, hears one command, answers
// and ends. That is what smart HTTP does too, so objects.ts need not know the difference.
import { connect as connectTcp, isIP } from "node:net";
import type { Clock } from "@driftless/process/clock";
import ssh2 from "ssh2";
import type { Client, ClientChannel, ConnectConfig } from "ssh2";
import { addressDenied, guardedLookup } from "./addresses.ts";
import type { ResolveName } from "./addresses.ts";
import { defaultHttpLimits } from "./exchange.ts";
import type { HttpLimits } from "./exchange.ts";
import { GitFailure } from "./git-failure.ts";
import type { GitAnswer, GitRequest, GitTransport, HttpCredentials } from "./http.ts";
import { checkHostKey, keyType, knownKeys } from "./known-hosts.ts";

export type SshUrl = { user: string; host: string; port: number; path: string };

const scpForm = /^(?:([^/@:]+)@)([^/:@]+):(?!\/\/)(.+)$/s;

export const isSshUrl = (url: string): boolean => /^ssh:\/\//i.test(url) || (!url.includes("://") && scpForm.test(url));

/** `ssh://user@host:port/path` and `user@host:path`, with nothing in them that a shell or an option could be made of. */
export function parseSshUrl(url: string): SshUrl {
  const denied = (why: string) => new GitFailure("REPO_URL_DENIED", `${shownSshUrl(url)}: ${why}`);
  const scp = url.includes("://") ? null : scpForm.exec(url);
  const parsed = scp ? null : URL.parse(url);
  if (!scp && parsed?.protocol !== "ssh:") throw denied("not an ssh URL");
  if (parsed && (parsed.password !== "" || parsed.search !== "" || parsed.hash !== ""))
    throw denied("a repository URL has no password, no query and no fragment");
  const user = decoded(scp ? scp[1]! : parsed!.username) || "git";
  const host = (scp ? scp[2]! : parsed!.hostname.replace(/^\[|\]$/g, "")).toLowerCase();
  const port = parsed && parsed.port !== "" ? Number(parsed.port) : 22;
  let path = decoded(scp ? scp[3]! : parsed!.pathname);
  if (path.startsWith("/~")) path = path.slice(1);
  if (isIP(host) === 0 && !/^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$/.test(host)) throw denied("the host is not a name");
  if (isIP(host) !== 0 && addressDenied(host)) throw denied("link-local and metadata addresses are never asked");
  if (!/^[\w.][\w.@+-]*$/.test(user)) throw denied("the user is not a name");
  // The far end's shell reads this path; git quotes it, and what begins with a dash would be an option there.
  // eslint-disable-next-line no-control-regex
  if (path === "" || path === "/" || path.startsWith("-") || path.length > 1024 || /[\x00-\x1f\x7f]/.test(path))
    throw denied("the path is not one of a repository");
  return { user, host, port, path: path.replace(/(.)\/+$/, "$1") };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const shownSshUrl = (url: string): string => url.replace(/^(ssh:\/\/)?[^/]*@/i, "$1").replace(/[?#].*$/s, "");

/** As git quotes it for the far end's shell. */
const quoted = (path: string): string => `'${path.replace(/['!]/g, "'\\$&'")}'`;

const idleConnectionMs = 30_000;
const flush = Buffer.from("0000");
const preamble = Buffer.from("001e# service=git-upload-pack\n0000");
const rsaSignatures = ["rsa-sha2-512", "rsa-sha2-256"] as const;
const hostKeyAlgorithms = [
  "ssh-ed25519",
  "ecdsa-sha2-nistp256",
  "ecdsa-sha2-nistp384",
  "ecdsa-sha2-nistp521",
  ...rsaSignatures,
] as const;
type HostKeyAlgorithm = (typeof hostKeyAlgorithms)[number];

export class GitSsh implements GitTransport {
  /** For isomorphic-git only, which knows http alone; nothing is ever sent there. */
  readonly url = "https://ssh.invalid/repository";
  readonly #to: SshUrl;
  readonly #shown: string;
  readonly #credentials: NonNullable<HttpCredentials["ssh"]>;
  readonly #clock: Clock;
  readonly #limits: HttpLimits;
  readonly #lookup: ReturnType<typeof guardedLookup>;
  #connection: Promise<Client> | undefined;
  #used = 0;
  #stopIdle = () => {};
  #closed = false;

  constructor(options: {
    url: string;
    credentials?: HttpCredentials;
    clock: Clock;
    limits?: Partial<HttpLimits>;
    resolveName?: ResolveName;
  }) {
    this.#to = parseSshUrl(options.url);
    this.#shown = shownSshUrl(options.url);
    this.#credentials = options.credentials?.ssh ?? { knownHosts: "" };
    this.#clock = options.clock;
    this.#limits = { ...defaultHttpLimits, ...options.limits };
    this.#lookup = guardedLookup(options.resolveName);
  }

  async send(wanted: GitRequest): Promise<GitAnswer> {
    const version2 = Object.entries(wanted.headers).some(
      ([name, value]) => name.toLowerCase() === "git-protocol" && value === "version=2",
    );
    const said = await this.#command(
      version2,
      wanted.method === "GET" ? flush : version2 ? Buffer.concat([wanted.body!, flush]) : wanted.body!,
    );
    const end = advertisementEnd(said);
    if (end === undefined) throw new GitFailure("GIT_PROTOCOL", `${this.#shown} did not answer as a Git server does`);
    const isGet = wanted.method === "GET";
    return {
      body: isGet ? Buffer.concat([preamble, said.subarray(0, end)]) : said.subarray(end),
      contentType: `application/x-git-upload-pack-${isGet ? "advertisement" : "result"}`,
      wireBytes: said.byteLength,
    };
  }

  close(): void {
    this.#closed = true;
    this.#stopIdle();
    void this.#drop();
  }

  async #drop(): Promise<void> {
    const connection = this.#connection;
    this.#connection = undefined;
    try {
      (await connection)?.destroy();
    } catch {
      // It never came to be; whoever wanted it has been told.
    }
  }

  /** One run of git-upload-pack: all it says. */
  async #command(version2: boolean, input: Buffer): Promise<Buffer> {
    this.#stopIdle();
    this.#used += 1;
    try {
      for (let attempt = 0; ; attempt += 1) {
        const reused = this.#connection !== undefined;
        const connection = await (this.#connection ??= this.#connect());
        const channel = await this.#open(connection, version2);
        if (channel) return await this.#converse(channel, input);
        // A kept connection that the server has ended meanwhile is not its failure.
        await this.#drop();
        if (!reused || attempt > 0) throw this.#unreachable("it opens no channel");
      }
    } finally {
      this.#used -= 1;
      if (this.#used === 0 && this.#connection && !this.#closed)
        this.#stopIdle = this.#clock.setTimer(idleConnectionMs, () => void this.#drop());
    }
  }

  #open(connection: Client, version2: boolean): Promise<ClientChannel | undefined> {
    const { promise, resolve } = Promise.withResolvers<ClientChannel | undefined>();
    const stop = this.#clock.setTimer(this.#limits.connectMs, () => resolve(undefined));
    const ended = () => resolve(undefined);
    connection.once("close", ended);
    const env = version2 ? { GIT_PROTOCOL: "version=2" } : {};
    try {
      connection.exec(`git-upload-pack ${quoted(this.#to.path)}`, { env }, (error, channel) =>
        resolve(error ? undefined : channel),
      );
    } catch {
      resolve(undefined);
    }
    return promise.finally(() => {
      stop();
      connection.off("close", ended);
    });
  }

  #converse(channel: ClientChannel, input: Buffer): Promise<Buffer> {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    const limits = this.#limits;
    const chunks: Buffer[] = [];
    let bytes = 0;
    let words = "";
    const fail = (error: GitFailure) => {
      reject(error);
      channel.destroy();
      void this.#drop();
    };
    const late = (what: string, ms: number) => () => fail(this.#unreachable(`${what} took longer than ${ms / 1000} s`));
    const stopTotal = this.#clock.setTimer(limits.totalMs, late("the answer", limits.totalMs));
    let stopIdle = this.#clock.setTimer(limits.idleMs, late("silence", limits.idleMs));
    channel.on("data", (chunk: Buffer) => {
      stopIdle();
      stopIdle = this.#clock.setTimer(limits.idleMs, late("silence", limits.idleMs));
      bytes += chunk.byteLength;
      chunks.push(chunk);
      if (bytes > limits.responseBytesMax)
        fail(
          new GitFailure("FETCH_LIMIT", `${this.#shown}: the answer is larger than ${limits.responseBytesMax} bytes`, {
            which: "responseBytes",
          }),
        );
    });
    channel.stderr.on("data", (chunk: Buffer) => {
      if (words.length < 4096) words += chunk.toString("latin1", 0, 4096);
    });
    channel.on("error", () => fail(this.#unreachable("the connection broke")));
    channel.on("close", (code: number | null | undefined) => {
      const said = Buffer.concat(chunks, bytes);
      if (advertisementEnd(said) === undefined || (typeof code === "number" && code !== 0 && bytes === 0))
        reject(this.#refused(words || said.toString("latin1", 0, 512), code));
      else resolve(said);
    });
    channel.end(input);
    return promise.finally(() => {
      stopTotal();
      stopIdle();
    });
  }

  #connect(): Promise<Client> {
    const { promise, resolve, reject } = Promise.withResolvers<Client>();
    const { host, port, user } = this.#to;
    const { privateKey, knownHosts, insecureHostKey } = this.#credentials;
    const client = new ssh2.Client();
    const known = insecureHostKey ? [] : knownKeys(knownHosts, host, port);
    if (!insecureHostKey && known.length === 0)
      return Promise.reject(
        new GitFailure(
          "SSH_HOST_KEY_UNKNOWN",
          `no host key of ${place(host, port)} stands in argocd-ssh-known-hosts-cm`,
        ),
      );
    let hostKey: GitFailure | undefined;
    const config: ConnectConfig = {
      username: user,
      algorithms: { serverHostKey: algorithmsFor(known.map(({ type }) => type)) },
      readyTimeout: 0,
      keepaliveInterval: 0,
      hostVerifier: (key: Buffer) => {
        if (insecureHostKey) return true;
        const check = checkHostKey(knownHosts, host, port, key);
        if (check.kind === "known") return true;
        const what = { unknown: "is not known", changed: "is another than the known one", revoked: "is revoked" };
        hostKey = new GitFailure(
          "SSH_HOST_KEY_UNKNOWN",
          `the ${keyType(key)} host key of ${place(host, port)} ${what[check.kind]}; argocd-ssh-known-hosts-cm has the keys that count`,
        );
        return false;
      },
    };
    if (privateKey !== undefined) {
      const parsed = ssh2.utils.parseKey(privateKey);
      if (parsed instanceof Error || Array.isArray(parsed) || !parsed.isPrivateKey())
        return Promise.reject(
          new GitFailure(
            "GIT_AUTH_FAILED",
            `${this.#shown}: sshPrivateKey is not a private key without a passphrase, in OpenSSH or PEM form`,
          ),
        );
      config.privateKey = privateKey;
    }
    const socket = connectTcp({ host, port, lookup: this.#lookup as never });
    const fail = (error: GitFailure) => {
      reject(error);
      client.destroy();
      socket.destroy();
    };
    const ms = this.#limits.connectMs;
    const stop = this.#clock.setTimer(ms, () => fail(this.#unreachable(`connecting took longer than ${ms / 1000} s`)));
    const explain = (error: Error & { level?: string; code?: string }) => {
      if (hostKey) return fail(hostKey);
      if (error instanceof GitFailure) return fail(error);
      if (error.level === "client-authentication")
        return fail(
          new GitFailure(
            "GIT_AUTH_FAILED",
            privateKey === undefined
              ? `${this.#shown} asks for a key; add a repository or repo-creds Secret with sshPrivateKey for it`
              : `${this.#shown} refused the sshPrivateKey of its repository Secret`,
          ),
        );
      const code = error.code !== undefined && /^[A-Z][A-Z0-9_]+$/.test(error.code) ? error.code : undefined;
      fail(this.#unreachable(code ?? (error.level === "handshake" ? "no common algorithm" : "no connection")));
    };
    socket.once("error", explain);
    client.on("error", explain);
    client.once("ready", () => resolve(client));
    client.once("close", () => {
      reject(hostKey ?? this.#unreachable("the connection was closed"));
      if (this.#connection === promise) this.#connection = undefined;
    });
    client.connect({ ...config, sock: socket });
    return promise.finally(stop).catch((error: unknown) => {
      this.#connection = undefined;
      throw error;
    });
  }

  #unreachable(why: string): GitFailure {
    return new GitFailure("GIT_UNREACHABLE", `${this.#shown} cannot be reached (${why})`);
  }

  #refused(words: string, code: number | null | undefined): GitFailure {
    const text = words
      .replace(/[^\x20-\x7e]+/g, " ")
      .trim()
      .slice(0, 200);
    if (/not found|does not appear|does not exist|could not be found|no such/i.test(text))
      return new GitFailure("REPO_NOT_FOUND", `${this.#shown} does not exist, or is hidden from this key: ${text}`);
    if (/denied|permission|unauthori[sz]ed|forbidden|access/i.test(text))
      return new GitFailure("GIT_AUTH_FAILED", `${this.#shown} refused: ${text}`);
    return new GitFailure(
      "GIT_UNREACHABLE",
      `${this.#shown} ended with ${code ?? "no code"}: ${text || "nothing said"}`,
    );
  }
}

/** Where the server's account of itself ends: after its first flush. */
function advertisementEnd(bytes: Buffer): number | undefined {
  for (let at = 0; at + 4 <= bytes.byteLength;) {
    const size = Number.parseInt(bytes.toString("latin1", at, at + 4), 16);
    if (Number.isNaN(size)) return undefined;
    at += Math.max(size, 4);
    if (size === 0) return at;
  }
  return undefined;
}

const place = (host: string, port: number): string => (port === 22 ? host : `${host}:${port}`);

/** Asks for the kinds of key that we could recognize, so that a server with several shows one of those. */
function algorithmsFor(types: readonly string[]): HostKeyAlgorithm[] {
  const wanted = new Set(types.flatMap((type) => (type === "ssh-rsa" ? [...rsaSignatures] : [type])));
  const possible = hostKeyAlgorithms.filter((algorithm) => wanted.has(algorithm));
  return possible.length > 0 ? possible : [...hostKeyAlgorithms];
}
