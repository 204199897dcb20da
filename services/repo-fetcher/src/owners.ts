// The repositories this replica owns, each with one Repository; made when first asked for.
//
// O1  One owner per URL and credentials: Applications of projects with credentials of their own do not share a store.
// O2  A push is told to every owner of the canonical repository: the same place may be named by several URLs.
// O3  While a server fails, the last good state holds for GRACE_MS; then the sources look, so that people see why.
import { createHash } from "node:crypto";
import type { Failure } from "@driftless/contracts/failure";
import type { Cause } from "@driftless/contracts/identity";
import { repositoryHash } from "@driftless/contracts/repository";
import type { Clock } from "@driftless/process/clock";
import type { HttpCredentials } from "./http.ts";
import { type Outcome, outcome } from "./git-failure.ts";
import { RemoteObjects } from "./objects.ts";
import { Repository, type RepositoryEvents } from "./repository.ts";
import type { MatchConstraint } from "./revision.ts";
import type { RepositorySecrets } from "./secrets.ts";

/** As Argo CD's `controller.repo.error.grace.period.seconds`. */
const GRACE_MS = 180_000;

interface Owner {
  url: string;
  project: string;
  hash: string;
  credentials: string;
  repository: Repository;
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

  constructor(options: OwnersOptions) {
    this.#options = options;
  }

  /** The owner for a URL as a project may read it; fails with what is wrong with the URL or its credentials. */
  async of(url: string, project: string): Promise<Outcome<Repository>> {
    const found = this.#options.secrets.credentialsFor(url, project);
    if (found.kind === "failed") return found;
    const credentials = digestOf(found.credentials);
    const key = `${url} ${credentials}`;
    const known = this.#owners.get(key);
    if (known) return { kind: "ok", value: known.repository };
    return await outcome("opening the repository", async () => {
      const owner: Owner = {
        url,
        project,
        hash: repositoryHash(url),
        credentials,
        repository: new Repository({
          remote: this.#remote(url, found.credentials),
          clock: this.#options.clock,
          matchConstraint: this.#options.matchConstraint,
          events: this.#eventsOf(key),
        }),
        failingSince: undefined,
        toldOfFailure: false,
      };
      this.#owners.set(key, owner);
      return owner.repository;
    });
  }

  /** A source follows one repository only, whichever it was before. */
  forgetElsewhere(id: string, keep: Repository | undefined): void {
    for (const [key, { repository }] of this.#owners) {
      if (repository === keep) continue;
      repository.forget(id);
      if (repository.watchedCount() === 0 && keep === undefined) {
        repository.close();
        this.#owners.delete(key);
      }
    }
  }

  nudge(hash: string, cause: Cause): number {
    const meant = [...this.#owners.values()].filter((owner) => owner.hash === hash);
    for (const { repository } of meant) void repository.nudge(cause);
    return meant.length;
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
        this.#options.events(owner.hash).onSourcesChanged({ ids, observation: 0, revision: undefined, cause });
      }
    }
  }

  /** Gives up the repositories that now belong to another replica. */
  keepOnly(owned: (hash: string) => boolean): void {
    for (const [key, owner] of this.#owners) {
      if (owned(owner.hash)) continue;
      owner.repository.close();
      this.#owners.delete(key);
    }
  }

  close(): void {
    for (const { repository } of this.#owners.values()) repository.close();
    this.#owners.clear();
  }

  #remote(url: string, credentials: HttpCredentials): RemoteObjects {
    return new RemoteObjects({ url, credentials, clock: this.#options.clock });
  }

  #eventsOf(key: string): RepositoryEvents {
    const hash = repositoryHash(key.slice(0, key.lastIndexOf(" ")));
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
    const change = { ids, observation: 0, revision: undefined, cause: this.#cause(detail) };
    this.#options.events(owner.hash).onSourcesChanged(change);
  }

  #cause(detail: string): Cause {
    return { kind: "poll", at: new Date(this.#options.clock.now()).toISOString(), detail };
  }
}

const digestOf = (credentials: HttpCredentials): string =>
  createHash("sha256").update(JSON.stringify(credentials)).digest("hex");
