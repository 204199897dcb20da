// One HTTP request and its answer, whomever we ask (edge): addresses, bytes, time and compression are looked after here.
//
// X1  An address that is never asked is refused after DNS, at the moment of connecting.
// X2  Bytes (after decompression), connecting, silence and the whole request have limits.
// X3  Nothing is followed and nothing added: redirects and credentials are the caller's.
// X4  No message holds credentials, userinfo or a query string: the caller says by what name the server is shown.
import { Agent as HttpAgent, request as httpRequest } from "node:http";
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { isIP } from "node:net";
import { createGunzip, createInflate } from "node:zlib";
import type { FailureCode } from "@driftless/contracts/failure";
import type { Clock } from "@driftless/process/clock";
import { addressDenied, guardedLookup } from "./addresses.ts";
import type { GuardedLookup, ResolveName } from "./addresses.ts";
import { GitFailure } from "./git-failure.ts";

export type TlsSettings = { ca?: string; cert?: string; key?: string; insecure?: boolean };

export type HttpLimits = {
  /** Of one answer, after decompression. */
  responseBytesMax: number;
  connectMs: number;
  /** Silence on the socket. */
  idleMs: number;
  totalMs: number;
  redirectsMax: number;
};

export const defaultHttpLimits: HttpLimits = {
  responseBytesMax: 512 * 1024 * 1024,
  connectMs: 10_000,
  idleMs: 30_000,
  totalMs: 180_000,
  redirectsMax: 3,
};

export type ExchangeRequest = {
  method: "GET" | "HEAD" | "POST";
  headers: Record<string, string>;
  body?: Buffer;
  /** Less than `responseBytesMax`, where less is expected. */
  bytesMax?: number;
  /** The bytes as they are stored, whatever the server says of their encoding: they have a digest. */
  raw?: boolean;
};

export type ExchangeAnswer = {
  status: number;
  headers: IncomingHttpHeaders;
  contentType: string;
  location: string | undefined;
  body: Buffer;
  wireBytes: number;
};

export class Exchange {
  readonly #clock: Clock;
  readonly limits: HttpLimits;
  readonly #agents: { http: HttpAgent; https: HttpsAgent };
  readonly #lookup: GuardedLookup;
  readonly #shown: string;
  readonly #unreachable: FailureCode;

  constructor(options: {
    /** How the server is called in messages. */
    shown: string;
    /** The code of "did not answer". */
    unreachable: FailureCode;
    tls?: TlsSettings;
    clock: Clock;
    limits?: Partial<HttpLimits>;
    resolveName?: ResolveName;
  }) {
    this.#clock = options.clock;
    this.limits = { ...defaultHttpLimits, ...options.limits };
    this.#lookup = guardedLookup(options.resolveName);
    this.#shown = options.shown;
    this.#unreachable = options.unreachable;
    const { tls } = options;
    const pool = { keepAlive: true, maxSockets: 4, keepAliveMsecs: 10_000 };
    this.#agents = {
      http: new HttpAgent(pool),
      https: new HttpsAgent({
        ...pool,
        ca: tls?.ca,
        cert: tls?.cert,
        key: tls?.key,
        rejectUnauthorized: !tls?.insecure,
      }),
    };
  }

  async send(target: URL, wanted: ExchangeRequest): Promise<ExchangeAnswer> {
    // Of an address in the URL no name is looked up, so it is judged here.
    const host = target.hostname.replace(/^\[|\]$/g, "");
    if ((target.protocol !== "https:" && target.protocol !== "http:") || (isIP(host) !== 0 && addressDenied(host)))
      throw new GitFailure(
        "REPO_URL_DENIED",
        `${this.#shown} leads to ${target.protocol}//${host}, which is never asked`,
      );
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

  close(): void {
    this.#agents.http.destroy();
    this.#agents.https.destroy();
  }

  #explain(error: unknown): GitFailure {
    if (error instanceof GitFailure) return error;
    const code = (error as NodeJS.ErrnoException).code ?? "";
    if (code === "Z_DATA_ERROR" || code === "Z_BUF_ERROR")
      return new GitFailure("FETCH_CORRUPT", `${this.#shown}: the compressed answer is damaged`, { cause: error });
    const why = /^[A-Z][A-Z0-9_]+$/.test(code) ? code : "no connection";
    return new GitFailure(this.#unreachable, `${this.#shown} cannot be reached (${why})`, { cause: error });
  }

  #exchange(target: URL, wanted: ExchangeRequest, sent: { reused: boolean }): Promise<ExchangeAnswer> {
    const { promise, resolve, reject } = Promise.withResolvers<ExchangeAnswer>();
    const { limits } = this;
    const headers: Record<string, string> = {
      ...wanted.headers,
      "user-agent": "git/driftless",
      "accept-encoding": wanted.raw ? "identity" : "gzip, deflate",
    };
    if (wanted.method === "POST") headers["content-length"] = String(wanted.body?.byteLength ?? 0);

    let request: ClientRequest;
    const fail = (error: Error) => {
      reject(error);
      request.destroy();
    };
    const late = (which: string, ms: number) => () =>
      fail(new GitFailure(this.#unreachable, `${this.#shown}: ${which} took longer than ${ms / 1000} s`));
    const stopTotal = this.#clock.setTimer(limits.totalMs, late("the answer", limits.totalMs));
    let stopConnect = () => {};

    const open = target.protocol === "https:" ? httpsRequest : httpRequest;
    request = open(target, {
      method: wanted.method,
      headers,
      agent: target.protocol === "https:" ? this.#agents.https : this.#agents.http,
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
    request.on("response", (response) => this.#receive(response, wanted, resolve, fail));
    request.end(wanted.body);
    return promise.finally(() => {
      stopTotal();
      stopConnect();
    });
  }

  #receive(
    response: IncomingMessage,
    { raw, bytesMax = this.limits.responseBytesMax }: ExchangeRequest,
    resolve: (answer: ExchangeAnswer) => void,
    fail: (error: Error) => void,
  ): void {
    const encoding = raw ? undefined : response.headers["content-encoding"];
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
    const max = response.statusCode === 200 ? bytesMax : 64 * 1024;
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
        headers: response.headers,
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
