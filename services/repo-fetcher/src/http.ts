// Git over HTTP (edge): the one door through which we reach such a Git server.
//
// H1  Only http and https, no userinfo in the URL; link-local and cloud metadata addresses are refused after DNS, at
//     the moment of connecting, so that a name which resolves differently the second time gains nothing.
// H2  Redirects are followed for the first GET alone, inside the configured origin; credentials never leave it.
// H3  Bytes (after decompression), connecting, silence and the whole request have limits.
// H4  No message holds credentials, userinfo or a query string.
import { isIP } from "node:net";
import type { Clock } from "@driftless/process/clock";
import { addressDenied } from "./addresses.ts";
import type { ResolveName } from "./addresses.ts";
import { Exchange } from "./exchange.ts";
import type { HttpLimits, TlsSettings } from "./exchange.ts";
import { GitFailure } from "./git-failure.ts";
import { GithubAppTokens } from "./github-app.ts";
import type { GithubApp } from "./github-app.ts";

export type Auth =
  | { kind: "none" }
  | { kind: "basic"; username: string; password: string }
  | { kind: "bearer"; token: string }
  | ({ kind: "githubApp" } & GithubApp);

export type HttpCredentials = {
  auth: Auth;
  tls?: TlsSettings;
  ssh?: SshSettings;
  /** `insecureOCIForceHttp`: this registry is spoken to without TLS. */
  plainHttp?: boolean;
};

export type SshSettings = {
  privateKey?: string;
  /** As in `ssh_known_hosts`. */
  knownHosts: string;
  insecureHostKey?: boolean;
};

const basic = (username: string, password: string): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;

/** The header for these credentials; a GitHub App's are made when needed (github-app.ts). */
export function authorizationOf(auth: Auth): string | undefined {
  if (auth.kind === "basic") return basic(auth.username, auth.password);
  if (auth.kind === "bearer") return `Bearer ${auth.token}`;
  return undefined;
}

export const anonymous: HttpCredentials = { auth: { kind: "none" } };

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
    throw new GitFailure("REPO_URL_DENIED", `${shown}: use https://…, http://…, ssh://… or user@host:path`);
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

export type GitAnswer = { body: Buffer; contentType: string; wireBytes: number };

export type GitRequest = { path: string; method: "GET" | "POST"; headers: Record<string, string>; body?: Buffer };

/** How a Git server is reached: smart HTTP's two requests, whatever carries them. */
export interface GitTransport {
  /** What isomorphic-git is given as the repository's URL; requests go below it. */
  readonly url: string;
  /** One request below the repository's URL (`/info/refs?…`, `/git-upload-pack`), answered or thrown. */
  send(wanted: GitRequest): Promise<GitAnswer>;
  close(): void;
}

export class GitHttp implements GitTransport {
  readonly #exchange: Exchange;
  readonly #auth: Auth;
  readonly #app: GithubAppTokens | undefined;
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
    this.#configured = checkRepositoryUrl(options.url);
    this.#base = this.#configured;
    this.#shown = displayUrl(options.url);
    const { auth, tls } = options.credentials ?? anonymous;
    this.#auth = auth;
    this.#exchange = new Exchange({ ...options, tls, shown: this.#shown, unreachable: "GIT_UNREACHABLE" });
    if (auth.kind === "githubApp")
      this.#app = new GithubAppTokens({ ...options, app: auth, repository: this.#configured });
  }

  get url(): string {
    return this.#configured.href;
  }

  /** One request below the repository's URL, answered with 200 or thrown. */
  async send(wanted: GitRequest): Promise<GitAnswer> {
    let target = new URL(this.#base.href + wanted.path);
    for (let redirects = 0; ; redirects += 1) {
      const headers: Record<string, string> = {};
      for (const [name, value] of Object.entries(wanted.headers))
        if (name.toLowerCase() !== "authorization") headers[name] = value;
      const authorization = await this.#authorization();
      if (authorization !== undefined) headers["authorization"] = authorization;
      const answer = await this.#exchange.send(target, { ...wanted, headers });
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
        if (wanted.method !== "GET" || redirects >= this.#exchange.limits.redirectsMax)
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
    this.#exchange.close();
    this.#app?.close();
  }

  async #authorization(): Promise<string | undefined> {
    if (this.#app) return basic("x-access-token", await this.#app.token());
    return authorizationOf(this.#auth);
  }

  #refuse(status: number): never {
    // A token that was taken back: the next asking gets a new one.
    if (status === 401) this.#app?.forget();
    if (status === 401 || status === 403 || status === 407)
      throw new GitFailure(
        "GIT_AUTH_FAILED",
        this.#auth.kind === "none"
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
}
