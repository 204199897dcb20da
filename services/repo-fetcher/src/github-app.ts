// A GitHub App's credentials: a signed claim, for which GitHub gives a token of one hour (edge: asks GitHub's API).
//
// The token goes to the repository's own server and nowhere else; the private key never leaves this process.
import { createPrivateKey, sign } from "node:crypto";
import type { KeyObject } from "node:crypto";
import type { Clock } from "@driftless/process/clock";
import type { ResolveName } from "./addresses.ts";
import { Exchange } from "./exchange.ts";
import type { HttpLimits } from "./exchange.ts";
import { GitFailure } from "./git-failure.ts";

export type GithubApp = {
  appId: string;
  /** Looked up by the repository's owner when absent. */
  installationId?: string;
  /** PEM. */
  privateKey: string;
  /** GitHub's API; https://api.github.com or <enterprise>/api/v3. */
  apiUrl: string;
};

/** A token is renewed this long before its end, so that a long fetch does not outlive it. */
const marginMs = 5 * 60_000;
const answerBytesMax = 1024 * 1024;

export class GithubAppTokens {
  readonly #app: GithubApp;
  readonly #repository: URL;
  readonly #clock: Clock;
  readonly #exchange: Exchange;
  readonly #api: URL;
  #installation: string | undefined;
  #token: { text: string; until: number } | undefined;
  #asking: Promise<string> | undefined;

  constructor(options: {
    app: GithubApp;
    repository: URL;
    clock: Clock;
    limits?: Partial<HttpLimits>;
    resolveName?: ResolveName;
  }) {
    this.#app = options.app;
    this.#repository = options.repository;
    this.#clock = options.clock;
    this.#installation = options.app.installationId;
    const api = URL.parse(options.app.apiUrl);
    if (!api || !/^https?:$/.test(api.protocol) || api.username !== "" || api.password !== "")
      throw new GitFailure("REPO_URL_DENIED", "githubAppEnterpriseBaseUrl is not an https URL");
    this.#api = api;
    this.#exchange = new Exchange({ ...options, shown: api.origin, unreachable: "GIT_UNREACHABLE" });
  }

  token(): Promise<string> {
    if (this.#token && this.#token.until > this.#clock.now()) return Promise.resolve(this.#token.text);
    return (this.#asking ??= this.#ask().finally(() => (this.#asking = undefined)));
  }

  forget(): void {
    this.#token = undefined;
  }

  close(): void {
    this.#exchange.close();
  }

  async #ask(): Promise<string> {
    this.#installation ??= await this.#findInstallation();
    const id = encodeURIComponent(this.#installation);
    const { token, expires_at: expires } = await this.#call("POST", `/app/installations/${id}/access_tokens`);
    if (typeof token !== "string" || token === "" || /[^\x21-\x7e]/.test(token))
      throw new GitFailure("GIT_AUTH_FAILED", `${this.#api.origin} gave no token for the GitHub App`);
    const until = typeof expires === "string" ? Date.parse(expires) : Number.NaN;
    // An unreadable end means a short life rather than a wrong one.
    this.#token = { text: token, until: Number.isNaN(until) ? this.#clock.now() + 60_000 : until - marginMs };
    return token;
  }

  async #findInstallation(): Promise<string> {
    const [owner, name] = this.#repository.pathname
      .replace(/\.git$/, "")
      .split("/")
      .slice(-2);
    const found = await this.#call("GET", `/repos/${owner}/${name}/installation`);
    if (typeof found["id"] === "number") return String(found["id"]);
    throw new GitFailure("GIT_AUTH_FAILED", "the GitHub App is not installed for this repository");
  }

  async #call(method: "GET" | "POST", path: string): Promise<Record<string, unknown>> {
    const answer = await this.#exchange.send(new URL(this.#api.href.replace(/\/+$/, "") + path), {
      method,
      headers: { accept: "application/vnd.github+json", authorization: `Bearer ${this.#claim()}` },
      bytesMax: answerBytesMax,
    });
    if (answer.status === 401 || answer.status === 403 || answer.status === 404)
      throw new GitFailure(
        "GIT_AUTH_FAILED",
        `${this.#api.origin} refused the GitHub App's credentials (HTTP ${answer.status}); check id, installation and key`,
      );
    if (answer.status >= 300)
      throw new GitFailure("GIT_UNREACHABLE", `${this.#api.origin} answered with HTTP ${answer.status}`);
    try {
      return JSON.parse(answer.body.toString("utf8")) as Record<string, unknown>;
    } catch {
      throw new GitFailure("GIT_AUTH_FAILED", `${this.#api.origin} did not answer as GitHub's API does`);
    }
  }

  /** A JSON Web Token as GitHub wants it: issued a minute ago, for clocks that differ; valid for less than ten. */
  #claim(): string {
    let key: KeyObject;
    try {
      key = createPrivateKey(this.#app.privateKey);
    } catch {
      throw new GitFailure("GIT_AUTH_FAILED", "githubAppPrivateKey is not a private key in PEM form");
    }
    if (key.asymmetricKeyType !== "rsa")
      throw new GitFailure("GIT_AUTH_FAILED", "githubAppPrivateKey is not an RSA key");
    const now = Math.floor(this.#clock.now() / 1000);
    const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const text = `${part({ alg: "RS256", typ: "JWT" })}.${part({ iat: now - 60, exp: now + 540, iss: this.#app.appId })}`;
    return `${text}.${sign("sha256", Buffer.from(text), key).toString("base64url")}`;
  }
}
