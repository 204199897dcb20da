// The owner of one repository: one poll for all its Applications, one question for all who ask at once.
//
// R1, R2 stand in looks.ts: one look at a time, shared; observations are numbered.
// R3  When refs moved, only sources whose inputs differ at the new commit are told (DESIGN §3).
// R4  A failed look changes nothing: the last good observation stays, and is looked for again with growing pauses.
import type { Cause } from "@driftless/contracts/identity";
import { failure } from "@driftless/contracts/failure";
import type { Failure } from "@driftless/contracts/failure";
import type { Bundle } from "@driftless/manifests/bundle";
import type { Inputs } from "@driftless/manifests/inputs";
import type { Clock } from "@driftless/process/clock";
import { blobsOf, fillBundle, planBundle } from "./bundle.ts";
import { GitFailure, ok, outcome } from "./git-failure.ts";
import type { Outcome } from "./git-failure.ts";
import { InputIndex, inputsDiffer } from "./inputs.ts";
import { Looks } from "./looks.ts";
import type { Looked } from "./looks.ts";
import type { CommitInfo, RemoteObjects } from "./objects.ts";
import { isFullSha, refPrefixes, resolveRevision } from "./revision.ts";
import type { MatchConstraint, Refs } from "./revision.ts";

export type MovedRef = { ref: string; from?: string; to?: string };
export type Resolved = { commit: string; ref: string | undefined; observation: number };

/** A source that wants to be told; without `inputs` any move of its revision counts. */
export type WatchedSource = {
  id: string;
  targetRevision: string;
  tagPrefix?: string | undefined;
  inputs?: Inputs | undefined;
  revision?: string | undefined;
};

/** The sources of one revision, as a look left them. */
export type Followed = {
  targetRevision: string;
  ref?: string | undefined;
  /** Where it leads: a commit, a version. */
  at?: string | undefined;
  /** Where that look found it moved: from where, and which sources were told. */
  moved?: { from: string | undefined; told: readonly string[] } | undefined;
  count: number;
  ids: Iterable<string>;
};

export type RepositoryEvents = {
  onPolled(look: { observation: number; moved: MovedRef[]; cause: Cause }): void;
  onSourcesChanged(change: { ids: string[]; observation: number; revision: string | undefined; cause: Cause }): void;
  onSourcesUnchanged(rest: { count: number; observation: number; ref: string; revision: string }): void;
  onFailed(failed: Failure): void;
};

export type RepositoryOptions = {
  remote: RemoteObjects;
  clock: Clock;
  matchConstraint: MatchConstraint;
  events: RepositoryEvents;
  /** 0 = never by itself. */
  pollMs?: number;
  pollJitterMs?: number;
};

type Observation = { refs: Refs; number: number };
/** The sources of one targetRevision, and the commit they were last compared at. */
type Followers = {
  targetRevision: string;
  tagPrefix: string;
  index: InputIndex;
  /** By id, the commit that a source without known inputs has been given, if any. */
  anyMove: Map<string, string | undefined>;
  commit: string | undefined;
  ref?: string | undefined;
  /** The newest move, for whoever asks what came of a push. */
  moved?: { observation: number; from: string | undefined; told: readonly string[] };
  seen: boolean;
};

/** Enough to see which apps they are; the rest is counted. */
const FOLLOWERS_NAMED = 100;

export class Repository {
  readonly #looks: Looks<Observation>;
  readonly #events: RepositoryEvents;
  readonly #matchConstraint: MatchConstraint;
  #remote: RemoteObjects;
  #observed: Observation | undefined;
  readonly #prefixes = new Set<string>();
  readonly #shortShas = new Map<string, string>();
  /** Short SHAs that no commit begins with, and the tips whose history was searched for them. */
  readonly #shortMisses = new Map<string, string>();
  readonly #followers = new Map<string, Followers>();
  readonly #followKeyOf = new Map<string, string>();

  constructor(options: RepositoryOptions) {
    this.#remote = options.remote;
    this.#looks = new Looks({ ...options, look: (cause) => this.#look(cause) });
    this.#events = options.events;
    this.#matchConstraint = options.matchConstraint;
  }

  /** Something happened there (a push, perhaps): look now, or once more after the look that is running (R1). */
  nudge(cause: Cause): Promise<Outcome<Observation>> {
    return this.#looks.nudge(cause);
  }

  /** `latest`: as the server has it now or later; `observed`: the newest we know, if any. */
  async resolve(
    targetRevision: string,
    freshness: "latest" | "observed",
    cause: Cause,
    tagPrefix = "",
  ): Promise<Outcome<Resolved>> {
    if (isFullSha(targetRevision))
      return ok({ commit: targetRevision.toLowerCase(), ref: undefined, observation: this.#looks.number() });
    const news = refPrefixes(targetRevision).filter((prefix) => !this.#prefixes.has(prefix));
    for (const prefix of news) this.#prefixes.add(prefix);
    let observed = freshness === "latest" || news.length > 0 ? undefined : this.#observed;
    if (!observed) {
      const looked = await this.nudge(cause);
      if (looked.kind === "failed") return looked;
      observed = looked.value;
    }
    return this.#resolveAt(targetRevision, tagPrefix, observed);
  }

  /**
   * The bundle of a source at a commit; an annotated tag's own id stands for its commit. Without a path it holds only
   * the extra paths.
   */
  bundle(
    revision: string,
    path: string | undefined,
    extraPaths: readonly string[] = [],
  ): Promise<Outcome<{ commit: string; bundle: Bundle }>> {
    return outcome("making a bundle", async () => {
      const remote = this.#remote;
      const commit = unwrap(await remote.fetchCommits([revision]))[0]!;
      try {
        const plan = planBundle(remote.readTree, remote.rootTree(commit)!, path, extraPaths);
        return { commit, bundle: fillBundle(plan, unwrap(await remote.blobs(blobsOf(plan)))) };
      } catch (error) {
        // Something that should be there and is not: the next time begins with a fresh store.
        if (error instanceof GitFailure && error.code === "FETCH_CORRUPT") remote.forget();
        throw error;
      }
    });
  }

  /** Whether these inputs are the same at a commit: then no bundle and no render are needed. */
  sameInputs(inputs: Inputs, commit: string): Promise<Outcome<boolean>> {
    return outcome("comparing inputs", async () => {
      const [own] = unwrap(await this.#remote.fetchCommits([commit]));
      return !inputsDiffer(inputs, this.#remote.readTree, this.#remote.rootTree(own!)!);
    });
  }

  commitInfo(commit: string): CommitInfo | undefined {
    return this.#remote.commitInfo(commit);
  }

  /**
   * Registers or replaces a source. If it is behind already, it is told at once; but one that has got nothing and says
   * so again is not: told, it would ask, get nothing, say so, and that without end.
   */
  watch(source: WatchedSource, cause: Cause): void {
    const gotNothing = source.inputs === undefined && source.revision === undefined;
    const key = followKey(source.targetRevision, source.tagPrefix);
    if (gotNothing && this.#followsAnyMove(source.id, key)) return;
    let followers = this.#followers.get(key);
    if (!followers) {
      const { targetRevision, tagPrefix = "" } = source;
      followers = {
        targetRevision,
        tagPrefix,
        index: new InputIndex(),
        anyMove: new Map(),
        commit: undefined,
        seen: false,
      };
      this.#followers.set(key, followers);
      for (const prefix of refPrefixes(source.targetRevision)) this.#prefixes.add(prefix);
    }
    // What was seen of a revision stays, also when its only source registers anew: it costs no look.
    if (this.#followKeyOf.get(source.id) !== key) this.forget(source.id);
    followers.index.delete(source.id);
    followers.anyMove.delete(source.id);
    this.#followKeyOf.set(source.id, key);
    if (source.inputs) followers.index.set(source.id, source.inputs);
    else followers.anyMove.set(source.id, source.revision);

    if (!followers.seen) {
      // Its first look compares it; a promise nobody waits for, whose failure is told by onFailed.
      if (!isFullSha(source.targetRevision)) void this.nudge(cause);
      return;
    }
    if (followers.commit === undefined || followers.commit === source.revision) return;
    const root = this.#remote.rootTree(followers.commit);
    if (source.inputs && root !== undefined && !this.#differs(source.inputs, root)) return;
    this.#events.onSourcesChanged({
      ids: [source.id],
      observation: this.#looks.number(),
      revision: followers.commit,
      cause,
    });
  }

  /**
   * A source has been given `commit` (or nothing, when that failed) and what it reads is not known yet: until `watch`
   * says so, any other commit counts as a change.
   */
  expect(id: string, targetRevision: string, commit: string | undefined, cause: Cause, tagPrefix?: string): void {
    this.watch({ id, targetRevision, tagPrefix, revision: commit }, cause);
  }

  #followsAnyMove(id: string, key: string): boolean {
    return this.#followKeyOf.get(id) === key && !!this.#followers.get(key)?.anyMove.has(id);
  }

  /** What is followed here, as the look of this number left it. */
  followed(observation: number): Followed[] {
    return [...this.#followers.values()].map(({ targetRevision, tagPrefix, ref, commit, moved, index, anyMove }) => ({
      targetRevision: tagPrefix + targetRevision,
      ref,
      at: commit,
      moved: moved && moved.observation >= observation ? moved : undefined,
      count: index.size + anyMove.size,
      ids: someOf([index.ids(), anyMove.keys()]),
    }));
  }

  /** Sources that are registered. */
  watched(): string[] {
    return [...this.#followKeyOf.keys()];
  }

  /** 0 = never by itself. */
  pollEvery(pollMs: number, pollJitterMs: number): void {
    this.#looks.pollEvery(pollMs, pollJitterMs);
  }

  forget(id: string): void {
    const key = this.#followKeyOf.get(id);
    const followers = key === undefined ? undefined : this.#followers.get(key);
    if (!followers) return;
    this.#followKeyOf.delete(id);
    followers.index.delete(id);
    followers.anyMove.delete(id);
    if (followers.index.size + followers.anyMove.size === 0) this.#followers.delete(key!);
  }

  watchedCount(): number {
    return this.#followKeyOf.size;
  }

  /** Other credentials or limits: what is held is fetched again with them. */
  replaceRemote(remote: RemoteObjects, cause: Cause): void {
    this.#remote.close();
    this.#remote = remote;
    this.#looks.forgetFailures();
    if (this.#followKeyOf.size > 0) void this.nudge(cause);
  }

  close(): void {
    this.#looks.close();
    this.#remote.close();
  }

  /**
   * A webhook says where its ref went. Nothing is concluded from that: the refs are listed as ever. But when it is true,
   * the commit has come by then, and a push costs one round trip less; when it is not, it is swept with the next look.
   */
  #fetchAhead(cause: Cause): void {
    const said = cause.kind === "webhook" ? cause.revision : undefined;
    if (said === undefined || !isFullSha(said) || /^0+$/.test(said)) return;
    if (!this.#observed || this.#followKeyOf.size === 0 || this.#remote.rootTree(said) !== undefined) return;
    void this.#remote.fetchCommits([said]);
  }

  async #look(cause: Cause): Promise<Looked<Observation>> {
    try {
      this.#fetchAhead(cause);
      const listed = await this.#remote.listRefs([...this.#prefixes]);
      if (listed.kind === "failed") {
        if (!this.#looks.closed) this.#events.onFailed(listed.failure);
        return { outcome: listed, failing: true };
      }
      const before = this.#observed?.refs;
      const observed = { refs: listed.value, number: this.#looks.newNumber() };
      if (this.#looks.closed) return { outcome: ok(observed), failing: false };
      this.#observed = observed;
      const moved = movedRefs(before, observed.refs);
      this.#events.onPolled({ observation: observed.number, moved, cause });
      const failed = await this.#compare(observed, cause);
      if (failed) this.#events.onFailed(failed);
      return { outcome: ok(observed), failing: failed !== undefined };
    } catch (error) {
      // Nobody may wait for this look, so it must not reject.
      const failed = failure(
        "INTERNAL",
        `comparing revisions: ${error instanceof Error ? error.message : "unknown error"}`,
      );
      this.#events.onFailed(failed);
      return { outcome: { kind: "failed", failure: failed }, failing: true };
    }
  }

  /** Tells the sources whose inputs differ now (R3). */
  async #compare(observed: Observation, cause: Cause): Promise<Failure | undefined> {
    const behind: { followers: Followers; commit: string; ref: string }[] = [];
    for (const followers of this.#followers.values()) {
      const { targetRevision, tagPrefix } = followers;
      if (isFullSha(targetRevision)) continue;
      const resolved = await this.#resolveAt(targetRevision, tagPrefix, observed);
      if (resolved.kind === "failed") {
        // Gone (a deleted branch): who followed it should look, and will be told why.
        if (followers.commit !== undefined || !followers.seen) this.#tell(followers, undefined, observed, cause);
        followers.commit = undefined;
        followers.ref = undefined;
        followers.seen = true;
      } else if (resolved.value.commit !== followers.commit) {
        behind.push({ followers, commit: resolved.value.commit, ref: resolved.value.ref ?? targetRevision });
      }
    }
    if (behind.length > 0) {
      const fetched = await this.#remote.fetchCommits(behind.map((b) => b.commit));
      if (fetched.kind === "failed") return fetched.failure;
      behind.forEach(({ followers, ref }, i) => {
        const commit = fetched.value[i]!;
        const told = this.#tell(followers, commit, observed, cause);
        followers.commit = commit;
        followers.ref = ref;
        followers.seen = true;
        const count = followers.index.size + followers.anyMove.size - told;
        if (count > 0) this.#events.onSourcesUnchanged({ count, observation: observed.number, ref, revision: commit });
      });
    }
    this.#remote.keep([...this.#followers.values()].flatMap((f) => (f.commit === undefined ? [] : [f.commit])));
    return undefined;
  }

  /** Answers how many were told. */
  #tell(followers: Followers, commit: string | undefined, observed: Observation, cause: Cause): number {
    const ids = new Set(
      [...followers.anyMove].filter(([, given]) => commit === undefined || given !== commit).map(([id]) => id),
    );
    for (const id of this.#touched(followers, commit)) ids.add(id);
    const told = [...ids];
    followers.moved = { observation: observed.number, from: followers.commit, told };
    if (told.length > 0)
      this.#events.onSourcesChanged({ ids: told, observation: observed.number, revision: commit, cause });
    return told.length;
  }

  #touched(followers: Followers, commit: string | undefined): Iterable<string> {
    const { index } = followers;
    const newRoot = commit === undefined ? undefined : this.#remote.rootTree(commit);
    if (newRoot === undefined) return index.ids();
    const oldRoot = followers.commit === undefined ? undefined : this.#remote.rootTree(followers.commit);
    try {
      if (oldRoot !== undefined) return index.touched(this.#remote.readTree, oldRoot, newRoot);
    } catch (error) {
      if (!(error instanceof GitFailure)) throw error;
      // The old tree cannot be walked any more: each source is compared by itself.
    }
    return [...index.ids()].filter((id) => this.#differs(index.inputsOf(id)!, newRoot));
  }

  #differs(inputs: Inputs, root: string): boolean {
    try {
      return inputsDiffer(inputs, this.#remote.readTree, root);
    } catch (error) {
      // When in doubt the source looks again, and gets the failure as its answer.
      if (error instanceof GitFailure) return true;
      throw error;
    }
  }

  async #resolveAt(targetRevision: string, tagPrefix: string, observed: Observation): Promise<Outcome<Resolved>> {
    const resolved = await outcome("checking a version constraint", () =>
      resolveRevision(targetRevision, observed.refs, this.#matchConstraint, tagPrefix),
    );
    if (resolved.kind === "failed") return resolved;
    const resolution = resolved.value;
    const observation = observed.number;
    if (resolution.kind === "resolved") return ok({ commit: resolution.commit, ref: resolution.ref, observation });
    if (resolution.kind === "unresolved")
      return { kind: "failed", failure: failure(resolution.code, resolution.message) };

    const known = this.#shortShas.get(resolution.short);
    if (known !== undefined) return ok({ commit: known, ref: undefined, observation });
    const missing = failure("REVISION_NOT_FOUND", `no commit begins with ${resolution.short}; write all 40 digits`);
    // A wrong short SHA must not fetch the whole history with every poll.
    const tips = [...new Set(observed.refs.refs.values())].sort().join();
    if (this.#shortMisses.get(resolution.short) === tips) return { kind: "failed", failure: missing };
    const expanded = await this.#remote.expandShort(resolution.short, observed.refs.refs.values());
    if (expanded.kind === "failed") return expanded;
    const [commit, ...others] = expanded.value;
    if (commit !== undefined && others.length === 0) {
      this.#shortShas.set(resolution.short, commit);
      return ok({ commit, ref: undefined, observation });
    }
    if (commit === undefined) {
      this.#shortMisses.set(resolution.short, tips);
      return { kind: "failed", failure: missing };
    }
    return {
      kind: "failed",
      failure: failure("REVISION_AMBIGUOUS", `${resolution.short} is the beginning of several commits`),
    };
  }
}

function someOf(all: readonly Iterable<string>[]): string[] {
  const some: string[] = [];
  for (const ids of all)
    for (const id of ids) {
      if (some.length >= FOLLOWERS_NAMED) return some;
      some.push(id);
    }
  return some;
}

const followKey = (targetRevision: string, tagPrefix = ""): string => `${tagPrefix}\0${targetRevision}`;

function movedRefs(before: Refs | undefined, after: Refs): MovedRef[] {
  if (!before) return [];
  const moved: MovedRef[] = [];
  for (const [ref, to] of after.refs) {
    const from = before.refs.get(ref);
    if (from !== to) moved.push(from === undefined ? { ref, to } : { ref, from, to });
  }
  for (const [ref, from] of before.refs) if (!after.refs.has(ref)) moved.push({ ref, from });
  return moved;
}

function unwrap<T>(result: Outcome<T>): T {
  if (result.kind === "ok") return result.value;
  throw new GitFailure(result.failure.code, result.failure.message);
}
