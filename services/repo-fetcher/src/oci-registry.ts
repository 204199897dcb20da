// Charts in an OCI registry (edge): tags, manifests and blobs, as much of the distribution API as that needs.
//
// D1  Everything asked for by digest must have it; a manifest that is named by a tag has the digest it is then known by.
// D2  Credentials go to the registry and to a token server that belongs to it, never along a redirect; the scope is ours,
//     whatever the challenge says.
// D3  A token is the registry's alone, and for one repository.
import type { Clock } from "@driftless/process/clock";
import { defaultArchiveLimits, sha256Of } from "./chart-archive.ts";
import { OriginHttp } from "./chart-origin.ts";
import type { ChartOrigin, FetchedArchive, FoundChart, OriginOptions } from "./chart-origin.ts";
import type { ExchangeAnswer, ExchangeRequest } from "./exchange.ts";
import { GitFailure } from "./git-failure.ts";
import { authorizationOf, checkRepositoryUrl } from "./http.ts";
import type { Auth } from "./http.ts";

const manifestBytesMax = 4 * 1024 * 1024;
const tokenBytesMax = 256 * 1024;
const tagBytesMax = 8 * 1024 * 1024;
const tagPagesMax = 100;
const tagsMax = 100_000;
const tokenMarginMs = 10_000;

const manifestTypes = [
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
];
const helmLayer = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
const layerTypes = [helmLayer, "application/tar+gzip", "application/vnd.oci.image.layer.v1.tar+gzip"];

const namePattern = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const digestPattern = /^sha256:[0-9a-f]{64}$/;

/** `oci://host/path` or `host/path`, as http sees it. */
export function registryUrl(url: string, plainHttp = false): URL {
  // Docker Hub's registry does not have the name that everybody writes.
  const rest = url.replace(/^oci:\/\//i, "").replace(/^(index\.)?docker\.io(?=\/|$)/i, "registry-1.docker.io");
  if (rest.includes("://")) throw new GitFailure("REPO_URL_DENIED", "an OCI registry is named oci://host/path");
  return checkRepositoryUrl(`${plainHttp ? "http" : "https"}://${rest}`);
}

/** As Helm writes a version into a tag, where + cannot stand. */
const tagOf = (version: string): string => version.replaceAll("+", "_");
const versionOf = (tag: string): string => tag.replaceAll("_", "+");

export class OciRegistry implements ChartOrigin {
  readonly #http: OriginHttp;
  readonly #clock: Clock;
  readonly #auth: Auth;
  readonly #path: string;
  readonly #tokens = new Map<string, { authorization: string; until: number }>();
  #tags = new Map<string, readonly string[]>();
  #found = new Map<string, FoundChart | undefined>();

  constructor(options: OriginOptions) {
    const base = registryUrl(options.url, options.credentials?.plainHttp);
    this.#http = new OriginHttp(base, options);
    this.#clock = options.clock;
    this.#auth = options.credentials?.auth ?? { kind: "none" };
    this.#path = base.pathname.replace(/^\/+|\/+$/g, "");
  }

  get shown(): string {
    return `oci://${this.#http.base.host}${this.#http.base.pathname}`;
  }

  /** What a registry says is asked for chart by chart, so there is nothing to get beforehand. */
  look(): Promise<void> {
    this.#tags = new Map();
    this.#found = new Map();
    return Promise.resolve();
  }

  async versions(chart: string): Promise<readonly string[]> {
    const known = this.#tags.get(chart);
    if (known) return known;
    const name = this.#name(chart);
    const tags: string[] = [];
    let url: URL | undefined = this.#url(`${name}/tags/list?n=1000`);
    for (let page = 0; url; page += 1) {
      if (page >= tagPagesMax || tags.length > tagsMax)
        throw new GitFailure("FETCH_LIMIT", `${this.shown}: ${chart} has more than ${tagsMax} tags`, { which: "tags" });
      const answer = await this.#get(name, url, { headers: {}, bytesMax: tagBytesMax });
      if (answer.status === 404) break;
      if (answer.status !== 200) this.#http.refuse(answer.status, this.#auth.kind !== "none");
      const listed = this.#json(answer.body)["tags"] ?? [];
      if (!Array.isArray(listed)) throw this.#invalid("its list of tags is none");
      for (const tag of listed as unknown[]) if (typeof tag === "string" && tagPattern.test(tag)) tags.push(tag);
      url = this.#nextPage(url, answer);
    }
    const versions = tags.map(versionOf);
    this.#tags.set(chart, versions);
    return versions;
  }

  async find(chart: string, version: string): Promise<FoundChart | undefined> {
    const key = `${chart} ${version}`;
    if (this.#found.has(key)) return this.#found.get(key);
    const found = await this.#find(chart, version);
    this.#found.set(key, found);
    return found;
  }

  async archive(chart: string, found: FoundChart): Promise<FetchedArchive> {
    const name = this.#name(chart);
    const reference = found.digest ?? tagOf(found.version);
    const { manifest } = await this.#manifest(name, reference);
    const layers = Array.isArray(manifest["layers"]) ? (manifest["layers"] as Record<string, unknown>[]) : [];
    const usable = layers.filter((layer) => layerTypes.includes(String(layer?.["mediaType"])));
    const layer = usable.find((one) => one["mediaType"] === helmLayer) ?? usable[0];
    if (!layer || (usable.length > 1 && layer["mediaType"] !== helmLayer))
      throw new GitFailure("CHART_INVALID", `${this.#named(chart)} ${found.version} is not a chart`);
    const digest = String(layer["digest"]);
    if (!digestPattern.test(digest)) throw this.#invalid(`${name} names a layer without a sha256 digest`);
    if (Number(layer["size"]) > defaultArchiveLimits.archiveBytesMax)
      throw new GitFailure(
        "FETCH_LIMIT",
        `${this.#named(chart)} is larger than ${defaultArchiveLimits.archiveBytesMax} bytes`,
        {
          which: "archiveBytes",
        },
      );
    const answer = await this.#get(name, this.#url(`${name}/blobs/${digest}`), {
      headers: {},
      bytesMax: defaultArchiveLimits.archiveBytesMax,
      raw: true,
    });
    if (answer.status !== 200) this.#http.refuse(answer.status, this.#auth.kind !== "none");
    if (`sha256:${sha256Of(answer.body)}` !== digest)
      throw new GitFailure("FETCH_CORRUPT", `${this.#named(chart)} ${found.version}: the archive has another digest`);
    const helm = (manifest["config"] as Record<string, unknown> | undefined)?.["mediaType"];
    return {
      archive: answer.body,
      digest,
      strip: layer["mediaType"] === helmLayer || helm === "application/vnd.cncf.helm.config.v1+json",
    };
  }

  close(): void {
    this.#http.close();
    this.#tokens.clear();
  }

  async #find(chart: string, version: string): Promise<FoundChart | undefined> {
    const name = this.#name(chart);
    if (digestPattern.test(version)) return { version, digest: version };
    const tag = tagOf(version);
    if (!tagPattern.test(tag)) return undefined;
    // HEAD does not count against the limits of registries that count manifests.
    const answer = await this.#get(name, this.#url(`${name}/manifests/${tag}`), {
      method: "HEAD",
      raw: true,
      headers: { accept: manifestTypes.join(", ") },
      bytesMax: manifestBytesMax,
    });
    if (answer.status === 404) return undefined;
    const said = answer.headers["docker-content-digest"];
    if (answer.status === 200 && typeof said === "string" && digestPattern.test(said)) return { version, digest: said };
    if (answer.status === 401 || answer.status === 403 || answer.status >= 500 || answer.status === 429)
      this.#http.refuse(answer.status, this.#auth.kind !== "none");
    const { digest } = await this.#manifest(name, tag);
    return { version, digest };
  }

  async #manifest(name: string, reference: string): Promise<{ manifest: Record<string, unknown>; digest: string }> {
    const answer = await this.#get(name, this.#url(`${name}/manifests/${reference}`), {
      headers: { accept: manifestTypes.join(", ") },
      bytesMax: manifestBytesMax,
    });
    if (answer.status === 404)
      throw new GitFailure("CHART_NOT_FOUND", `oci://${this.#http.base.host}/${name} has no ${reference}`);
    if (answer.status !== 200) this.#http.refuse(answer.status, this.#auth.kind !== "none");
    const digest = `sha256:${sha256Of(answer.body)}`;
    const wanted = digestPattern.test(reference) ? reference : answer.headers["docker-content-digest"];
    if (typeof wanted === "string" && wanted !== digest)
      throw new GitFailure("FETCH_CORRUPT", `oci://${this.#http.base.host}/${name}: the manifest has another digest`);
    return { manifest: this.#json(answer.body), digest };
  }

  #name(chart: string): string {
    const name = [this.#path, chart].filter((part) => part !== "").join("/");
    if (!namePattern.test(name) || name.length > 255)
      throw new GitFailure("CHART_NOT_FOUND", `${JSON.stringify(name.slice(0, 100))} cannot be a repository's name`);
    return name;
  }

  #named(chart: string): string {
    return chart === "" ? this.shown : `${this.shown}/${chart}`;
  }

  #url(rest: string): URL {
    return new URL(`/v2/${rest}`, this.#http.base.origin);
  }

  #nextPage(from: URL, answer: ExchangeAnswer): URL | undefined {
    const link = /<([^>]+)>\s*;\s*rel="?next"?/.exec(String(answer.headers["link"] ?? ""))?.[1];
    if (link === undefined) return undefined;
    const next = URL.parse(link, from.href);
    // The next page of a list is where the list is: no other host, no other repository.
    if (!next || next.origin !== from.origin || next.pathname !== from.pathname || next.href === from.href)
      throw this.#invalid("its list of tags goes on elsewhere");
    return next;
  }

  async #get(
    name: string,
    url: URL,
    wanted: Omit<ExchangeRequest, "method"> & { method?: "GET" | "HEAD" },
  ): Promise<ExchangeAnswer> {
    const known = this.#tokens.get(name);
    const authorization = known && known.until > this.#clock.now() ? known.authorization : undefined;
    const answer = await this.#http.get(url, { ...wanted, authorization });
    if (answer.status !== 401) return answer;
    this.#tokens.delete(name);
    const again = await this.#answerChallenge(name, String(answer.headers["www-authenticate"] ?? ""));
    return again === undefined ? answer : await this.#http.get(url, { ...wanted, authorization: again });
  }

  /** What to say to a registry that asked who we are; undefined when we have nothing to say. */
  async #answerChallenge(name: string, challenge: string): Promise<string | undefined> {
    const own = authorizationOf(this.#auth);
    if (/^basic\b/i.test(challenge)) {
      if (own === undefined) return undefined;
      this.#tokens.set(name, { authorization: own, until: Number.POSITIVE_INFINITY });
      return own;
    }
    if (!/^bearer\b/i.test(challenge)) return undefined;
    // A token the user gave for this registry needs no server to make another.
    if (this.#auth.kind === "bearer") return own;
    const parameter = (key: string) => new RegExp(`[\\s,]${key}="([^"]{0,2048})"`, "i").exec(challenge)?.[1];
    const realm = URL.parse(parameter("realm") ?? "");
    if (!realm || !/^https?:$/.test(realm.protocol) || realm.username !== "" || realm.password !== "")
      throw this.#invalid("it names no server that gives tokens");
    if (own !== undefined && !realmBelongs(this.#http.base, realm))
      throw new GitFailure(
        "REPO_URL_DENIED",
        `${this.shown} wants its credentials sent to ${realm.protocol}//${realm.host}, which is not its own`,
      );
    const service = parameter("service");
    if (service !== undefined) realm.searchParams.set("service", service);
    realm.searchParams.set("scope", `repository:${name}:pull`);
    // Redirects of a token server are not followed: credentials would have to go along.
    const answer = await this.#http.send(realm, {
      method: "GET",
      headers: own === undefined ? {} : { authorization: own },
      bytesMax: tokenBytesMax,
    });
    if (answer.status >= 300 && answer.status < 400)
      throw new GitFailure("REPO_URL_DENIED", `${realm.protocol}//${realm.host} redirects instead of giving a token`);
    if (answer.status !== 200) this.#http.refuse(answer.status, own !== undefined);
    const given = this.#json(answer.body);
    const token = given["token"] ?? given["access_token"];
    if (typeof token !== "string" || token === "" || /[^\x21-\x7e]/.test(token))
      throw this.#invalid("its token server gave no token");
    const seconds = typeof given["expires_in"] === "number" ? given["expires_in"] : 60;
    const authorization = `Bearer ${token}`;
    this.#tokens.set(name, { authorization, until: this.#clock.now() + seconds * 1000 - tokenMarginMs });
    return authorization;
  }

  #json(body: Buffer): Record<string, unknown> {
    try {
      const parsed: unknown = JSON.parse(body.toString("utf8"));
      if (typeof parsed === "object" && parsed !== null) return parsed as Record<string, unknown>;
    } catch {
      // Said below.
    }
    throw this.#invalid("it does not answer as an OCI registry does");
  }

  #invalid(why: string): GitFailure {
    return new GitFailure("CHART_REPO_INVALID", `${this.shown}: ${why}`);
  }
}

/**
 * Whether credentials for a registry may be sent to this token server: the same host, or one below the same domain as
 * with registry.gitlab.example and gitlab.example; never from https to http.
 */
export function realmBelongs(registry: URL, realm: URL): boolean {
  if (registry.protocol === "https:" && realm.protocol !== "https:") return false;
  if (realm.host === registry.host) return true;
  if (/^[\d.]+$|:/.test(registry.hostname) || /^[\d.]+$|:/.test(realm.hostname))
    return registry.hostname === realm.hostname;
  if (realm.hostname === registry.hostname) return true;
  const shared: string[] = [];
  const [a, b] = [registry.hostname.split(".").reverse(), realm.hostname.split(".").reverse()];
  for (let n = 0; n < Math.min(a.length, b.length) && a[n] === b[n]; n += 1) shared.push(a[n]!);
  // "co.uk" and its like belong to nobody: two labels with a short one before a country need a third.
  const needed = shared[0]?.length === 2 && (shared[1]?.length ?? 0) <= 3 ? 3 : 2;
  return shared.length >= needed && Math.max(a.length, b.length) - shared.length <= 1;
}
