// A Helm repository over HTTP: index.yaml, and archives wherever it says they are (edge).
//
// K1  The index has limits of bytes, versions, time and memory; an unchanged one is not sent again.
// K2  Credentials go to the repository's own scheme, host and port; elsewhere only if the source says passCredentials,
//     and then to the address in the index, never along a redirect.
// K3  An archive whose digest stands in the index must have it.
import type { Clock } from "@driftless/process/clock";
import { defaultArchiveLimits, sha256Of } from "./chart-archive.ts";
import { OriginHttp } from "./chart-origin.ts";
import type { ChartOrigin, FetchedArchive, FoundChart, OriginOptions } from "./chart-origin.ts";
import { GitFailure } from "./git-failure.ts";
import { defaultIndexLimits, readIndex } from "./helm-index.ts";
import type { ChartVersion, IndexLimits } from "./helm-index.ts";
import { anonymous, authorizationOf, checkRepositoryUrl } from "./http.ts";
import { OciRegistry } from "./oci-registry.ts";

export class HelmRepository implements ChartOrigin {
  readonly #options: OriginOptions;
  readonly #http: OriginHttp;
  readonly #clock: Clock;
  readonly #authorization: string | undefined;
  readonly #limits: IndexLimits;
  #charts: ReadonlyMap<string, readonly ChartVersion[]> | undefined;
  #validators: Record<string, string> = {};

  constructor(options: OriginOptions & { limits?: Partial<IndexLimits> }) {
    this.#options = options;
    this.#http = new OriginHttp(checkRepositoryUrl(options.url), options);
    this.#clock = options.clock;
    this.#authorization = options.credentials && authorizationOf(options.credentials.auth);
    this.#limits = { ...defaultIndexLimits, ...options.limits };
  }

  get shown(): string {
    return this.#http.shown;
  }

  async look(): Promise<void> {
    const answer = await this.#http.get(new URL(`${this.#http.base.href.replace(/\/+$/, "")}/index.yaml`), {
      headers: { ...(this.#charts ? this.#validators : {}) },
      authorization: this.#authorization,
      bytesMax: this.#limits.bytesMax,
    });
    if (answer.status === 304 && this.#charts) return;
    if (answer.status === 404)
      throw new GitFailure("CHART_REPO_INVALID", `${this.shown} is not a Helm repository: it has no index.yaml`);
    if (answer.status !== 200) this.#http.refuse(answer.status, this.#authorization !== undefined);
    this.#charts = await readIndex(this.shown, answer.body, this.#clock, this.#limits);
    const { etag, "last-modified": modified } = answer.headers;
    this.#validators = {
      ...(etag === undefined ? {} : { "if-none-match": etag }),
      ...(modified === undefined ? {} : { "if-modified-since": modified }),
    };
  }

  async versions(chart: string): Promise<readonly string[]> {
    return (await this.#versionsOf(chart)).map(({ version }) => version);
  }

  async find(chart: string, version: string): Promise<FoundChart | undefined> {
    const found = await this.#entry(chart, version);
    return found && { version: found.version, digest: found.digest && `sha256:${found.digest}` };
  }

  async archive(
    chart: string,
    { version }: FoundChart,
    { passCredentials }: { passCredentials: boolean },
  ): Promise<FetchedArchive> {
    const entry = await this.#entry(chart, version);
    if (!entry) throw new GitFailure("CHART_NOT_FOUND", `${this.shown} no longer has ${chart} ${version}`);
    if (entry.url.startsWith("oci://")) return await this.#fromRegistry(chart, entry);
    // As Helm does: relative to the repository, whatever its path ends with.
    const url = URL.parse(entry.url, `${this.#http.base.href.replace(/\/+$/, "")}/`);
    if (!url || !/^https?:$/.test(url.protocol) || url.username !== "" || url.password !== "")
      throw new GitFailure("REPO_URL_DENIED", `${this.shown} names an address for ${chart} ${version} that is refused`);
    url.hash = "";
    const withIt = this.#http.isOwn(url) || passCredentials;
    const answer = await this.#http.get(url, {
      headers: {},
      authorization: withIt ? this.#authorization : undefined,
      bytesMax: defaultArchiveLimits.archiveBytesMax,
      raw: true,
    });
    if (answer.status === 404 || answer.status === 410)
      throw new GitFailure("CHART_NOT_FOUND", `${this.shown} names ${chart} ${version}, but its archive is not there`);
    if (answer.status !== 200) this.#http.refuse(answer.status, withIt && this.#authorization !== undefined);
    const digest = sha256Of(answer.body);
    if (entry.digest !== undefined && entry.digest !== digest)
      throw new GitFailure("FETCH_CORRUPT", `${this.shown}: the archive of ${chart} ${version} has another digest`);
    return { archive: answer.body, digest: `sha256:${digest}`, strip: true };
  }

  /** Some indexes name a registry's `oci://host/path:tag`. That is another server: it is asked as anybody would. */
  async #fromRegistry(chart: string, { version, url, digest }: ChartVersion): Promise<FetchedArchive> {
    const [, place, tag] = /^(oci:\/\/.+?)(?::([^:/]+))?$/.exec(url) ?? [];
    const registry = new OciRegistry({ ...this.#options, url: place ?? "", credentials: anonymous });
    try {
      const found = await registry.find("", tag ?? version);
      if (!found) throw new GitFailure("CHART_NOT_FOUND", `${registry.shown} has no ${tag ?? version} of ${chart}`);
      const fetched = await registry.archive("", found);
      const known = digest === undefined ? [] : [`sha256:${digest}`];
      if (known.length > 0 && !known.includes(fetched.digest) && !known.includes(found.digest ?? ""))
        throw new GitFailure("FETCH_CORRUPT", `${this.shown}: the archive of ${chart} ${version} has another digest`);
      return fetched;
    } finally {
      registry.close();
    }
  }

  close(): void {
    this.#http.close();
    this.#charts = undefined;
  }

  async #versionsOf(chart: string): Promise<readonly ChartVersion[]> {
    if (!this.#charts) await this.look();
    return this.#charts?.get(chart) ?? [];
  }

  async #entry(chart: string, version: string): Promise<ChartVersion | undefined> {
    const versions = await this.#versionsOf(chart);
    const bare = (text: string) => text.replace(/^v/, "");
    return versions.find((v) => v.version === version) ?? versions.find((v) => bare(v.version) === bare(version));
  }
}
