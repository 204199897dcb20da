// The owner of one Helm repository or OCI registry path: one poll for all sources whose charts come from there.
//
// R1, R2 stand in looks.ts. What commits and refs are to Git, versions and digests are here:
// R3  A source is told when its version or constraint leads to another version, or the same version to other content.
// R4  A failed look changes nothing; a chart that cannot be asked about does not stop the others.
// R5  Archives are kept by digest and for this owner alone: who can name a digest need not be allowed to read it.
import type { Failure } from "@driftless/contracts/failure";
import type { Cause } from "@driftless/contracts/identity";
import { BundleFiles } from "@driftless/manifests/bundle";
import type { Bundle, BundleEntry } from "@driftless/manifests/bundle";
import { type Inputs, normalizePath } from "@driftless/manifests/inputs";
import type { Clock } from "@driftless/process/clock";
import { unpackArchive } from "./chart-archive.ts";
import type { ChartOrigin, FetchedArchive, FoundChart } from "./chart-origin.ts";
import { GitFailure, ok, outcome } from "./git-failure.ts";
import type { Outcome } from "./git-failure.ts";
import { Looks } from "./looks.ts";
import type { Looked } from "./looks.ts";
import type { Followed, MovedRef, RepositoryEvents } from "./repository.ts";
import { looksLikeConstraint } from "./revision.ts";
import type { MatchConstraint } from "./revision.ts";

export type ResolvedChart = FoundChart & { observation: number };

/** `revision` and `digest` are what the source has been given; without a digest the version alone counts. */
export type WatchedChart = {
  id: string;
  chart: string;
  targetRevision: string;
  revision?: string | undefined;
  digest?: string | undefined;
};

export type UnpackedChart = {
  /** `sha256:…` of what the version leads to: of the manifest in a registry, else of the archive. */
  digest: string;
  archive: Buffer;
  archiveDigest: string;
  entries: ReadonlyMap<string, BundleEntry>;
};

const cacheBytesMax = 32 * 1024 * 1024;
/** Chart versions are not replaced by the second: a dependency need not be asked for more often than this. */
const recentMs = 60_000;

type Followers = {
  chart: string;
  targetRevision: string;
  ids: Set<string>;
  at: FoundChart | undefined;
  /** The newest move, for whoever asks what came of a push. */
  moved?: { observation: number; from: string | undefined; told: readonly string[] };
  seen: boolean;
};

export class ChartRepository {
  readonly #origin: ChartOrigin;
  readonly #clock: Clock;
  readonly #events: RepositoryEvents;
  readonly #matchConstraint: MatchConstraint;
  readonly #looks: Looks<number>;
  readonly #followers = new Map<string, Followers>();
  readonly #sources = new Map<string, WatchedChart>();
  readonly #cache = new Map<string, UnpackedChart>();
  readonly #unpacking = new Map<string, Promise<UnpackedChart>>();
  #cacheBytes = 0;
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(options: {
    origin: ChartOrigin;
    clock: Clock;
    matchConstraint: MatchConstraint;
    events: RepositoryEvents;
    pollMs?: number;
    pollJitterMs?: number;
  }) {
    this.#origin = options.origin;
    this.#clock = options.clock;
    this.#events = options.events;
    this.#matchConstraint = options.matchConstraint;
    this.#looks = new Looks({ ...options, look: (cause) => this.#look(cause) });
  }

  nudge(cause: Cause): Promise<Outcome<number>> {
    return this.#looks.nudge(cause);
  }

  /** `recent`: not older than a minute, for dependencies, which nobody polls. */
  async resolve(
    chart: string,
    targetRevision: string,
    freshness: "latest" | "observed" | "recent",
    cause: Cause,
  ): Promise<Outcome<ResolvedChart>> {
    const age = this.#clock.monotonic() - this.#lookedAt;
    const limit = freshness === "latest" ? 0 : freshness === "recent" ? recentMs : Number.POSITIVE_INFINITY;
    if (age >= limit || this.#lookedAt === Number.NEGATIVE_INFINITY) {
      const looked = await this.nudge(cause);
      if (looked.kind === "failed") return looked;
    }
    const found = await this.#resolve(chart, targetRevision);
    return found.kind === "failed" ? found : ok({ ...found.value, observation: this.#looks.number() });
  }

  /** The chart's archive with its digest checked and its files unpacked. */
  chart(chart: string, found: FoundChart, passCredentials = false): Promise<Outcome<UnpackedChart>> {
    return outcome(`fetching ${chart}`, async () => {
      const key = `${chart} ${found.version} ${found.digest ?? `at ${this.#lookedAt}`}`;
      const cached = this.#cache.get(key);
      if (cached) {
        this.#cache.delete(key);
        this.#cache.set(key, cached);
        return cached;
      }
      // Whoever asks for the same chart meanwhile waits for the one download.
      let unpacking = this.#unpacking.get(key);
      if (!unpacking) {
        unpacking = this.#unpack(chart, found, passCredentials).then((unpacked) => this.#keep(key, unpacked));
        this.#unpacking.set(key, unpacking);
        void unpacking.catch(() => {}).finally(() => this.#unpacking.delete(key));
      }
      return await unpacking;
    });
  }

  /** The bundle of a chart as a source: its files stand at the root, as a chart's in Git would with `path: .`. */
  async bundle(
    chart: string,
    found: FoundChart,
    options: { path?: string; passCredentials?: boolean } = {},
  ): Promise<Outcome<{ bundle: Bundle; digest: string }>> {
    const unpacked = await this.chart(chart, found, options.passCredentials);
    if (unpacked.kind === "failed") return unpacked;
    const { entries, digest } = unpacked.value;
    return outcome("making a bundle", async () => {
      const path = normalizePath(options.path ?? "");
      const files = new BundleFiles({ path: "", complete: [""], absent: [], entries });
      if (path === undefined || files.stat(path).kind !== "directory")
        throw new GitFailure(
          "PATH_NOT_FOUND",
          `${this.#origin.shown} has no directory ${JSON.stringify(options.path)}`,
        );
      return { bundle: { path, complete: [""], absent: [], entries }, digest };
    });
  }

  /** Whether these inputs are the same in this version: then no bundle and no render are needed. */
  async sameInputs(
    inputs: Inputs,
    chart: string,
    found: FoundChart,
    passCredentials = false,
  ): Promise<Outcome<boolean>> {
    const made = await this.bundle(chart, found, { passCredentials });
    if (made.kind === "failed") return made;
    const files = new BundleFiles(made.value.bundle);
    return ok([...inputs].every(([key, value]) => files.inputValue(key) === value));
  }

  /**
   * Registers or replaces a source. If it is behind already, it is told at once; but not one that has got nothing and
   * says so again, or it would ask and say so without end.
   */
  watch(source: WatchedChart, cause: Cause): void {
    const key = keyOf(source);
    const before = this.#sources.get(source.id);
    if (before && keyOf(before) !== key) this.forget(source.id);
    else if (before && before.revision === undefined && source.revision === undefined) return;
    let followers = this.#followers.get(key);
    if (!followers) {
      const { chart, targetRevision } = source;
      followers = { chart, targetRevision, ids: new Set(), at: undefined, seen: false };
      this.#followers.set(key, followers);
    }
    followers.ids.add(source.id);
    this.#sources.set(source.id, source);
    if (!followers.seen) return void this.nudge(cause);
    if (followers.at && this.#isBehind(source, followers.at))
      this.#events.onSourcesChanged({
        ids: [source.id],
        observation: this.#looks.number(),
        revision: followers.at.version,
        cause,
      });
  }

  watched(): string[] {
    return [...this.#sources.keys()];
  }

  watchedCount(): number {
    return this.#sources.size;
  }

  /** By its name in the canonical form of the registry's path. */
  followsChart(name: string): boolean {
    return [...this.#followers.values()].some(({ chart }) => chart.toLowerCase() === name);
  }

  /** What is followed of a chart, or of all, as the look of this number left it. */
  followed(observation: number, name?: string): Followed[] {
    return [...this.#followers.values()]
      .filter(({ chart }) => name === undefined || chart.toLowerCase() === name)
      .map(({ chart, targetRevision, at, moved, ids }) => ({
        targetRevision: `${chart} ${targetRevision}`.trim(),
        at: at?.version,
        moved: moved && moved.observation >= observation ? moved : undefined,
        count: ids.size,
        ids,
      }));
  }

  pollEvery(pollMs: number, pollJitterMs: number): void {
    this.#looks.pollEvery(pollMs, pollJitterMs);
  }

  forget(id: string): void {
    const source = this.#sources.get(id);
    if (!source) return;
    this.#sources.delete(id);
    const followers = this.#followers.get(keyOf(source));
    followers?.ids.delete(id);
    if (followers?.ids.size === 0) this.#followers.delete(keyOf(source));
  }

  close(): void {
    this.#looks.close();
    this.#origin.close();
    this.#cache.clear();
  }

  async #look(cause: Cause): Promise<Looked<number>> {
    const looked = await outcome(`looking at ${this.#origin.shown}`, () => this.#origin.look());
    if (looked.kind === "failed") {
      if (!this.#looks.closed) this.#events.onFailed(looked.failure);
      return { outcome: looked, failing: true };
    }
    const observation = this.#looks.newNumber();
    this.#lookedAt = this.#clock.monotonic();
    if (this.#looks.closed) return { outcome: ok(observation), failing: false };
    const moved: MovedRef[] = [];
    let failed: Failure | undefined;
    for (const followers of this.#followers.values()) {
      const found = await this.#resolve(followers.chart, followers.targetRevision);
      const before = followers.at;
      if (found.kind === "failed" && !isGone(found.failure)) {
        failed = found.failure;
        continue;
      }
      const now = found.kind === "ok" ? found.value : undefined;
      const first = !followers.seen;
      Object.assign(followers, { at: now, seen: true });
      if (!first && before?.version === now?.version && before?.digest === now?.digest) continue;
      if (!first) {
        const ref = `${followers.chart} ${followers.targetRevision}`.trim();
        moved.push({ ref, ...(before ? { from: before.version } : {}), ...(now ? { to: now.version } : {}) });
      }
      const ids = [...followers.ids].filter((id) => this.#isBehind(this.#sources.get(id)!, now));
      followers.moved = { observation, from: before?.version, told: ids };
      if (ids.length > 0) this.#events.onSourcesChanged({ ids, observation, revision: now?.version, cause });
    }
    this.#events.onPolled({ observation, moved, cause });
    if (failed) this.#events.onFailed(failed);
    return { outcome: ok(observation), failing: failed !== undefined };
  }

  #isBehind({ revision, digest }: WatchedChart, at: FoundChart | undefined): boolean {
    if (!at) return revision !== undefined;
    if (revision !== at.version && revision !== at.digest) return true;
    return digest !== undefined && at.digest !== undefined && digest !== at.digest;
  }

  #resolve(chart: string, targetRevision: string): Promise<Outcome<FoundChart>> {
    return outcome("finding a chart's version", async () => {
      const origin = this.#origin;
      const named = chart === "" ? origin.shown : `${chart} in ${origin.shown}`;
      const exact = targetRevision !== "" && !looksLikeConstraint(targetRevision);
      const found = exact ? await origin.find(chart, targetRevision) : undefined;
      if (found) return found;
      const partial = /^v?\d+(\.\d+)?$/.test(targetRevision);
      if (!exact || partial) {
        const versions = await origin.versions(chart);
        if (versions.length === 0) throw new GitFailure("CHART_NOT_FOUND", `there is no chart ${named}`);
        const constraint = partial ? `${targetRevision}.x` : targetRevision || "*";
        const best = await this.#matchConstraint(constraint, versions);
        const version = best === undefined ? undefined : await origin.find(chart, best);
        if (version) return version;
      }
      throw new GitFailure("CHART_NOT_FOUND", `no version ${JSON.stringify(targetRevision)} of ${named}`);
    });
  }

  async #unpack(chart: string, found: FoundChart, passCredentials: boolean): Promise<UnpackedChart> {
    const fetched: FetchedArchive = await this.#origin.archive(chart, found, { passCredentials });
    const name = `${chart || this.#origin.shown} ${found.version}`;
    const entries = await unpackArchive(name, fetched.archive, { strip: fetched.strip });
    return {
      digest: found.digest ?? fetched.digest,
      archive: fetched.archive,
      archiveDigest: fetched.digest,
      entries,
    };
  }

  #keep(key: string, unpacked: UnpackedChart): UnpackedChart {
    this.#cache.set(key, unpacked);
    this.#cacheBytes += sizeOf(unpacked);
    for (const [oldest, old] of this.#cache) {
      if (this.#cacheBytes <= cacheBytesMax || oldest === key) break;
      this.#cache.delete(oldest);
      this.#cacheBytes -= sizeOf(old);
    }
    return unpacked;
  }
}

const keyOf = (source: { chart: string; targetRevision: string }): string =>
  `${source.chart}\0${source.targetRevision}`;

const isGone = (failed: Failure): boolean => failed.code === "CHART_NOT_FOUND";

function sizeOf({ archive, entries }: UnpackedChart): number {
  let bytes = archive.byteLength;
  for (const entry of entries.values()) bytes += entry.bytes.byteLength;
  return bytes;
}
