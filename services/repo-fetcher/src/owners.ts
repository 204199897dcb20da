// The repositories this replica owns, each with one Repository; made when first asked for.
//
// O0  What is followed has an id: the Application's uid, for one of several sources `uid#key`, and for what a source
//     refers to `…$name`. A referred repository may belong to another replica's partition: it is asked here all the same.
// O1  One owner per URL and credentials: Applications of projects with credentials of their own do not share a store.
// O2  A push is told to every owner of the canonical repository: the same place may be named by several URLs. One to a
//     registry names a chart, and owners are of the folders that charts lie in: who follows that chart is told too.
// O3  While a server fails, the last good state holds for GRACE_MS; then the sources look, so that people see why.
import { createHash } from "node:crypto";
import type { Failure } from "@driftless/contracts/failure";
import { appText, type AppRef, type Cause } from "@driftless/contracts/identity";
import { canonicalRepository, repositoryHash } from "@driftless/contracts/repository";
import type { Clock } from "@driftless/process/clock";
import type { ChartOrigin } from "./chart-origin.ts";
import { ChartRepository } from "./charts.ts";
import { HelmRepository } from "./helm-repository.ts";
import type { HttpCredentials } from "./http.ts";
import { OciRegistry } from "./oci-registry.ts";
import { failed as failedOutcome, type Outcome, outcome } from "./git-failure.ts";
import { RemoteObjects } from "./objects.ts";
import { Repository, type Followed, type RepositoryEvents } from "./repository.ts";
import type { MatchConstraint } from "./revision.ts";
import type { RepositorySecrets } from "./secrets.ts";

/** As Argo CD's `controller.repo.error.grace.period.seconds`. */
const GRACE_MS = 180_000;

/** Chart owners that nobody follows, kept for the dependencies of the next minutes. */
const IDLE_CHART_OWNERS = 32;

interface Owner {
  url: string;
  project: string;
  hash: string;
  /** Its canonical name. */
  place: string;
  credentials: string;
  repository: Repository | ChartRepository;
  failingSince: number | undefined;
  toldOfFailure: boolean;
}

export interface OwnersOptions {
  clock: Clock;
  secrets: RepositorySecrets;
  matchConstraint: MatchConstraint;
  events(hash: string): RepositoryEvents;
}

export class Owners {
  readonly #options: OwnersOptions;
  readonly #owners = new Map<string, Owner>();
  /** By uid of the Application, the ids that are followed (O0). */
  readonly #idsOf = new Map<string, Set<string>>();
  readonly #names = new Map<string, string>();

  constructor(options: OwnersOptions) {
    this.#options = options;
  }

  /** The Git repository at a URL as a project may read it; fails with what is wrong with the URL or its credentials. */
  async of(url: string, project: string): Promise<Outcome<Repository>> {
    const opened = await this.#open("git", url, project, (credentials, events) => {
      const remote = new RemoteObjects({ url, credentials, clock: this.#options.clock });
      return new Repository({ ...this.#options, remote, events });
    });
    return opened as Outcome<Repository>;
  }

  /** The Helm repository or registry at `https://…`, `oci://…`, `host/path`, or of the name in `@name` / `alias:name`. */
  async chartsOf(named: string, project: string): Promise<Outcome<ChartRepository>> {
    const name = /^(?:@|alias:)(.+)$/.exec(named)?.[1];
    const url = name === undefined ? named : this.#options.secrets.urlOfName(name, project);
    if (url === undefined)
      return failedOutcome("CHART_NOT_FOUND", `no repository Secret has the name ${JSON.stringify(name)}`);
    const opened = await this.#open("charts", url, project, (credentials, events) => {
      const { clock } = this.#options;
      const Origin = isOci(url) ? OciRegistry : HelmRepository;
      const origin: ChartOrigin = new Origin({ url, credentials, clock });
      return new ChartRepository({ ...this.#options, origin, events });
    });
    this.#closeIdleCharts();
    return opened as Outcome<ChartRepository>;
  }

  async #open(
    kind: "git" | "charts",
    url: string,
    project: string,
    make: (credentials: HttpCredentials, events: RepositoryEvents) => Repository | ChartRepository,
  ): Promise<Outcome<Repository | ChartRepository>> {
    const found = this.#options.secrets.credentialsFor(url, project);
    if (found.kind === "failed") return found;
    const credentials = digestOf(found.credentials);
    const key = `${kind} ${url} ${credentials}`;
    const known = this.#owners.get(key);
    if (known) return { kind: "ok", value: known.repository };
    return await outcome("opening the repository", async () => {
      const hash = repositoryHash(url);
      const repository = make(found.credentials, this.#eventsOf(key, hash));
      this.#owners.set(key, {
        url,
        project,
        hash,
        place: canonicalRepository(url),
        credentials,
        repository,
        failingSince: undefined,
        toldOfFailure: false,
      });
      return repository;
    });
  }

  /** A source follows one repository only, whichever it was before. */
  forgetElsewhere(id: string, keep: Repository | ChartRepository | undefined): void {
    const ids = this.#idsOf.get(appOf(id)) ?? new Set<string>();
    if (keep) this.#idsOf.set(appOf(id), ids.add(id));
    else {
      ids.delete(id);
      if (ids.size === 0) {
        this.#idsOf.delete(appOf(id));
        this.#names.delete(appOf(id));
      }
    }
    for (const [key, { repository }] of this.#owners) {
      if (repository === keep) continue;
      const followed = repository.watchedCount();
      repository.forget(id);
      // Nobody follows it any more, so nobody needs its polls; one that nobody follows yet is just being fetched.
      if (followed > 0 && repository.watchedCount() === 0) {
        repository.close();
        this.#owners.delete(key);
      }
    }
  }

  /** The refs that a source no longer has are forgotten with their repositories. */
  keepRefs(sourceId: string, names: readonly string[]): void {
    for (const id of this.#idsOf.get(appOf(sourceId)) ?? [])
      if (id.startsWith(`${sourceId}$`) && !names.includes(id.slice(sourceId.length + 1)))
        this.forgetElsewhere(id, undefined);
  }

  /** All that an Application follows, or one of its sources with what that refers to. */
  forgetSource(uid: string, key: string | undefined): void {
    const id = sourceId(uid, key);
    this.forgetElsewhere(id, undefined);
    for (const one of this.#idsOf.get(uid) ?? [])
      if (key === undefined || one.startsWith(`${id}$`)) this.forgetElsewhere(one, undefined);
  }

  /** All who are meant by a push look now (O2); what they then follow says what came of it. */
  nudge(repoURL: string, cause: Cause): Promise<Outcome<Followed[]>>[] {
    const place = canonicalRepository(repoURL);
    const looks: Promise<Outcome<Followed[]>>[] = [];
    for (const owner of this.#owners.values()) {
      const { repository } = owner;
      if (repository instanceof Repository) {
        if (owner.place !== place) continue;
        looks.push(then(repository.nudge(cause), ({ number }) => repository.followed(number)));
      } else {
        const chart = place.startsWith(`${owner.place}/`) ? place.slice(owner.place.length + 1) : undefined;
        if (owner.place !== place && (chart === undefined || !repository.followsChart(chart))) continue;
        looks.push(then(repository.nudge(cause), (number) => repository.followed(number, chart)));
      }
    }
    return looks;
  }

  /** URLs that somebody follows. */
  urls(): string[] {
    return [...new Set([...this.#owners.values()].map(({ url }) => url))];
  }

  /** So that people are told names, not uids. */
  meet({ uid, namespace, name }: AppRef): void {
    this.#names.set(uid, appText({ namespace, name }));
  }

  nameOf(uid: string): string {
    return this.#names.get(uid) ?? uid;
  }

  /** Secrets changed: owners whose credentials are others now give way, and their sources ask again. */
  credentialsChanged(): void {
    for (const [key, owner] of this.#owners) {
      const found = this.#options.secrets.credentialsFor(owner.url, owner.project);
      if (found.kind === "found" && digestOf(found.credentials) === owner.credentials) continue;
      const ids = owner.repository.watched();
      owner.repository.close();
      this.#owners.delete(key);
      if (ids.length > 0) {
        const cause = this.#cause("repository credentials changed");
        this.#options
          .events(owner.hash)
          .onSourcesChanged({ ids, observation: this.#number(), revision: undefined, cause });
      }
    }
  }

  /** Gives up the repositories that now belong to another replica. */
  keepOnly(owned: (hash: string) => boolean): void {
    const others = [...this.#owners].filter(([, owner]) => !owned(owner.hash));
    for (const [, { repository }] of others)
      for (const id of repository.watched())
        if (!id.includes("$")) {
          repository.forget(id);
          this.keepRefs(id, []);
        }
    // What is left is referred to by a source that stays ours.
    for (const [key, { repository }] of others) {
      if (repository.watchedCount() > 0) continue;
      repository.close();
      this.#owners.delete(key);
    }
  }

  close(): void {
    for (const { repository } of this.#owners.values()) repository.close();
    this.#owners.clear();
  }

  #closeIdleCharts(): void {
    const idle = [...this.#owners].filter(
      ([, { repository }]) => repository instanceof ChartRepository && repository.watchedCount() === 0,
    );
    // The oldest go first; the newest is about to be used.
    for (const [key, { repository }] of idle.slice(0, Math.max(0, idle.length - IDLE_CHART_OWNERS))) {
      repository.close();
      this.#owners.delete(key);
    }
  }

  #eventsOf(key: string, hash: string): RepositoryEvents {
    const events = this.#options.events(hash);
    return {
      ...events,
      onPolled: (look) => {
        const owner = this.#owners.get(key);
        if (owner?.toldOfFailure) this.#tellAll(owner, "the repository answers again");
        if (owner) Object.assign(owner, { failingSince: undefined, toldOfFailure: false });
        events.onPolled(look);
      },
      onFailed: (failed) => {
        this.#failing(this.#owners.get(key), failed);
        events.onFailed(failed);
      },
    };
  }

  #failing(owner: Owner | undefined, failed: Failure): void {
    if (!owner) return;
    const now = this.#options.clock.monotonic();
    owner.failingSince ??= now;
    if (owner.toldOfFailure || now - owner.failingSince < GRACE_MS) return;
    owner.toldOfFailure = true;
    this.#tellAll(owner, `the repository fails: ${failed.code}`);
  }

  #tellAll(owner: Owner, detail: string): void {
    const ids = owner.repository.watched();
    if (ids.length === 0) return;
    const change = { ids, observation: this.#number(), revision: undefined, cause: this.#cause(detail) };
    this.#options.events(owner.hash).onSourcesChanged(change);
  }

  /** Of something noticed now, which is newer than every look so far: looks are numbered by the clock. */
  #number(): number {
    return Math.floor(this.#options.clock.now());
  }

  #cause(detail: string): Cause {
    return { kind: "poll", at: new Date(this.#options.clock.now()).toISOString(), detail };
  }
}

async function then<T>(look: Promise<Outcome<T>>, next: (value: T) => Followed[]): Promise<Outcome<Followed[]>> {
  const looked = await look;
  return looked.kind === "failed" ? looked : { kind: "ok", value: next(looked.value) };
}

const digestOf = (credentials: HttpCredentials): string =>
  createHash("sha256").update(JSON.stringify(credentials)).digest("hex");

export const sourceId = (uid: string, key: string | undefined): string => (key === undefined ? uid : `${uid}#${key}`);
export const refId = (source: string, name: string): string => `${source}$${name}`;
/** The Application's uid in an id (O0). */
export const appOf = (id: string): string => id.split(/[#$]/, 1)[0]!;

/** Registries are named oci://host/path, by Argo CD also without a scheme. */
export const isOci = (url: string): boolean => /^oci:\/\//i.test(url) || !url.includes("://");
