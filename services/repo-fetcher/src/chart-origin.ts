// Where charts come from: a Helm repository or an OCI registry, asked the same questions (edge).
import type { Clock } from "@driftless/process/clock";
import type { ResolveName } from "./addresses.ts";
import { Exchange } from "./exchange.ts";
import type { ExchangeAnswer, ExchangeRequest, HttpLimits } from "./exchange.ts";
import { GitFailure } from "./git-failure.ts";
import type { HttpCredentials } from "./http.ts";

/** One version of a chart; the digest (`sha256:…`, of archive or manifest) where the place knows it beforehand. */
export type FoundChart = { version: string; digest: string | undefined };

export type FetchedArchive = {
  archive: Buffer;
  /** `sha256:…` of the archive. */
  digest: string;
  /** Its files stand in one directory, as a chart's do. */
  strip: boolean;
};

/** All of these throw GitFailure. */
export interface ChartOrigin {
  readonly shown: string;
  /** Looks anew; what is answered from now on is at least as new as this call. */
  look(): Promise<void>;
  versions(chart: string): Promise<readonly string[]>;
  find(chart: string, version: string): Promise<FoundChart | undefined>;
  archive(chart: string, found: FoundChart, options: { passCredentials: boolean }): Promise<FetchedArchive>;
  close(): void;
}

export type OriginOptions = {
  url: string;
  credentials?: HttpCredentials;
  clock: Clock;
  http?: Partial<HttpLimits>;
  resolveName?: ResolveName;
};

const redirectsMax = 5;

/**
 * The connections of one origin: its own server with the credentials' TLS settings, and all others, to which neither
 * credentials nor client certificate go.
 */
export class OriginHttp {
  readonly base: URL;
  readonly shown: string;
  readonly #own: Exchange;
  readonly #others: Exchange;

  constructor(base: URL, options: OriginOptions) {
    this.base = base;
    this.shown = `${base.protocol}//${base.host}${base.pathname}`;
    const common = { clock: options.clock, limits: options.http ?? {}, resolveName: options.resolveName };
    const tls = options.credentials?.tls;
    this.#own = new Exchange({ ...common, tls, shown: this.shown, unreachable: "CHART_REPO_UNREACHABLE" });
    this.#others = new Exchange({ ...common, shown: this.shown, unreachable: "CHART_REPO_UNREACHABLE" });
  }

  isOwn(url: URL): boolean {
    return url.origin === this.base.origin;
  }

  send(url: URL, wanted: ExchangeRequest): Promise<ExchangeAnswer> {
    if (this.base.protocol === "https:" && url.protocol !== "https:")
      throw new GitFailure("REPO_URL_DENIED", `${this.shown} leads from https to ${url.protocol}//${url.host}`);
    return (this.isOwn(url) ? this.#own : this.#others).send(url, wanted);
  }

  /**
   * Follows redirects. The authorization goes to the first URL if it is allowed there, and along redirects only while
   * they stay within the origin that was configured.
   */
  async get(
    url: URL,
    wanted: Omit<ExchangeRequest, "method"> & { method?: "GET" | "HEAD"; authorization?: string },
  ): Promise<ExchangeAnswer> {
    const { authorization, method = "GET", ...rest } = wanted;
    let target = url;
    for (let redirects = 0; redirects <= redirectsMax; redirects += 1) {
      const withIt = authorization !== undefined && (redirects === 0 || this.isOwn(target));
      const headers = { ...rest.headers, ...(withIt ? { authorization } : {}) };
      const answer = await this.send(target, { ...rest, method, headers });
      if (answer.status < 300 || answer.status === 304 || answer.status >= 400) return answer;
      const next = answer.location === undefined ? null : URL.parse(answer.location, target.href);
      if (!next || next.username !== "" || next.password !== "")
        throw new GitFailure("CHART_REPO_INVALID", `${this.shown} redirects to nowhere`);
      target = next;
    }
    throw new GitFailure("CHART_REPO_UNREACHABLE", `${this.shown} redirects again and again`);
  }

  refuse(status: number, withCredentials: boolean): never {
    if (status === 401 || status === 403 || status === 407)
      throw new GitFailure(
        "CHART_REPO_AUTH_FAILED",
        withCredentials
          ? `${this.shown} refused the credentials of its repository Secret (HTTP ${status})`
          : `${this.shown} asks for credentials (HTTP ${status}); add a repository or repo-creds Secret for it`,
      );
    if (status === 404 || status === 410)
      throw new GitFailure("CHART_NOT_FOUND", `${this.shown} does not exist, or is hidden without credentials`);
    throw new GitFailure("CHART_REPO_UNREACHABLE", `${this.shown} answered with HTTP ${status}`);
  }

  close(): void {
    this.#own.close();
    this.#others.close();
  }
}
