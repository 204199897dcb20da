// From a source to its revision and its bundle: Git or chart, what it refers to, and the charts it depends on.
//
// S1  A bundle of several trees holds the source's own at the root and the others below `.git/` (bundle.ts of
//     manifests), where no path of a repository can be.
// S2  Of a repository that is referred to only the files that were asked for are brought, and only they are inputs.
// S3  What a chart depends on is found anew whenever a bundle is made, and is no reason to make one.
import { type Failure, failure } from "@driftless/contracts/failure";
import type { Cause } from "@driftless/contracts/identity";
import type { ChartWanted, RefSource, SourceRef } from "@driftless/contracts/pipeline/2-fetch";
import type { Bundle, BundleChart, BundleEntry } from "@driftless/manifests/bundle";
import { chartRoot, isLfsPointer, mountOf, refRoot } from "@driftless/manifests/bundle";
import { inputPath, type Inputs } from "@driftless/manifests/inputs";
import { defaultBundleLimits } from "./bundle.ts";
import { blobOid } from "./chart-archive.ts";
import type { ResolvedChart } from "./charts.ts";
import { failed, ok, type Outcome } from "./git-failure.ts";
import type { CommitInfo } from "./objects.ts";
import { isOci, type Owners, refId, sourceId } from "./owners.ts";
import type { Repository, Resolved } from "./repository.ts";

export type SourceQuestion = {
  app: { uid: string; project: string };
  source: SourceRef;
  freshness: "latest" | "observed";
  commit?: string | undefined;
  revisionOnly?: boolean | undefined;
  inputs: Inputs | undefined;
  extraPaths: readonly string[];
  refs?: readonly RefSource[] | undefined;
  charts?: readonly ChartWanted[] | undefined;
};

export type FetchedSource = {
  revision: string;
  chartDigest: string | undefined;
  refRevisions: Record<string, string>;
  observation: number;
  refObservations: Record<string, number>;
  /** undefined: the inputs given are the same. */
  bundle: Bundle | undefined;
  info: CommitInfo | undefined;
};

/** Where the source's own files come from, asked the same way for Git and charts. */
type Own = {
  revision: string;
  observation: number;
  repository: Repository | undefined;
  same(inputs: Inputs): Promise<Outcome<boolean>>;
  bundle(extraPaths: readonly string[]): Promise<Outcome<{ revision: string; bundle: Bundle; digest?: string }>>;
  info(revision: string): CommitInfo | undefined;
  /** Registers that this was given, or that nothing could be. */
  expect(given: { revision: string; digest?: string | undefined } | undefined): void;
};
type Ref = { name: string; source: SourceRef; repository: Repository; resolved: Resolved; root: string };

export async function fetchSource(
  owners: Owners,
  question: SourceQuestion,
  cause: Cause,
): Promise<Outcome<FetchedSource>> {
  const { app, source, refs: wanted = [], charts = [] } = question;
  const own = isChart(source) ? await openChart(owners, question, cause) : await openGit(owners, question, cause);
  if (own.kind === "failed") return own;
  const me = own.value;
  const stop = <T>(outcome: Outcome<T> & { kind: "failed" }) => {
    me.expect(undefined);
    return outcome;
  };

  const refs: Ref[] = [];
  owners.keepRefs(
    sourceId(app.uid, source.key),
    wanted.map(({ name }) => name),
  );
  for (const ref of wanted) {
    const opened = await openRef(owners, question, ref, me, cause);
    if (opened.kind === "failed") return stop(opened);
    const { repository, resolved } = opened.value;
    const other = refs.find((one) => one.repository === repository && one.resolved.commit !== resolved.commit);
    if (other) {
      const why = `the sources with ref ${other.name} and ref ${ref.name} are one repository at two revisions`;
      return stop({ kind: "failed", failure: failure("SPEC_INVALID", why) });
    }
    refs.push(opened.value);
  }
  const answer = (revision: string, chartDigest: string | undefined, bundle: Bundle | undefined): FetchedSource => ({
    revision,
    chartDigest,
    refRevisions: Object.fromEntries(refs.map(({ name, resolved }) => [name, resolved.commit])),
    observation: me.observation,
    refObservations: Object.fromEntries(refs.map(({ name, resolved }) => [name, resolved.observation])),
    bundle,
    info: me.info(revision),
  });

  if (question.revisionOnly) return ok(answer(me.revision, undefined, undefined));
  if (question.inputs && (await allSame(me, refs, question.inputs))) {
    const digest = "digest" in me ? (me.digest as string | undefined) : undefined;
    return ok(answer(me.revision, digest, undefined));
  }

  const extra = byTree(question.extraPaths);
  const made = await me.bundle(extra.get("") ?? []);
  if (made.kind === "failed") return stop(made);
  const { revision, digest, bundle } = made.value;
  const parts = new Combined(bundle);
  for (const ref of refs) {
    if (ref.root === "") {
      parts.refs[ref.name] = "";
      continue;
    }
    const tree = await ref.repository.bundle(ref.resolved.commit, undefined, extra.get(ref.root) ?? []);
    if (tree.kind === "failed") return stop(named(tree, `$${ref.name}`));
    parts.addTree(ref.name, ref.root, tree.value.bundle);
  }
  for (const chart of await Promise.all(charts.map((one) => fetchDependency(owners, app.project, one, cause)))) {
    if (chart.kind === "failed") return stop(chart);
    parts.addChart(chart.value.wanted, chart.value.path, chart.value.entry);
  }
  const whole = parts.bundle();
  if (whole.kind === "failed") return stop(whole);

  me.expect({ revision, digest });
  for (const ref of refs) {
    if (ref.root === "" && ref.source.targetRevision === source.targetRevision) continue;
    const id = refId(sourceId(app.uid, source.key), ref.name);
    owners.forgetElsewhere(id, ref.repository);
    ref.repository.expect(id, ref.source.targetRevision, ref.resolved.commit, cause, ref.source.tagPrefix);
  }
  return ok(answer(revision, digest, whole.value));
}

export type SourceWatch = {
  app: { uid: string; project: string };
  source: SourceRef;
  inputs: Inputs | undefined;
  revision: string | undefined;
  chartDigest?: string | undefined;
  refs?: readonly RefSource[] | undefined;
  refRevisions?: Readonly<Record<string, string>> | undefined;
  poll: { everyMs: number; jitterMs: number };
};

/** Follows a source and what it refers to. What is wrong with one of them, the Application is told when it fetches. */
export async function watchSource(owners: Owners, watch: SourceWatch, cause: Cause): Promise<void> {
  const { app, source, inputs, revision, refs = [], poll } = watch;
  const id = sourceId(app.uid, source.key);
  const inputsOf = inputs && inputsByTree(inputs);
  owners.keepRefs(
    id,
    refs.map(({ name }) => name),
  );

  let own: Repository | undefined;
  if (isChart(source)) {
    const opened = await owners.chartsOf(source.repoURL, app.project);
    if (opened.kind === "failed") return;
    owners.forgetElsewhere(id, opened.value);
    opened.value.pollEvery(poll.everyMs, poll.jitterMs);
    opened.value.watch({ ...chartOf(source), id, revision, digest: watch.chartDigest }, cause);
  } else {
    const opened = await owners.of(source.repoURL, app.project);
    if (opened.kind === "failed") return;
    own = opened.value;
    owners.forgetElsewhere(id, own);
    own.pollEvery(poll.everyMs, poll.jitterMs);
    const { targetRevision, tagPrefix } = source;
    own.watch({ id, targetRevision, tagPrefix, inputs: inputsOf && (inputsOf.get("") ?? new Map()), revision }, cause);
  }
  for (const { name, source: referred } of refs) {
    const opened = await owners.of(referred.repoURL, app.project);
    if (opened.kind === "failed") continue;
    // What is read of the own repository stands among the own inputs; only another name for its commit may move alone.
    const isOwn = opened.value === own;
    if (isOwn && referred.targetRevision === source.targetRevision) continue;
    const followed = refId(id, name);
    owners.forgetElsewhere(followed, opened.value);
    opened.value.pollEvery(poll.everyMs, poll.jitterMs);
    opened.value.watch(
      {
        id: followed,
        targetRevision: referred.targetRevision,
        tagPrefix: referred.tagPrefix,
        inputs: isOwn ? undefined : inputsOf && (inputsOf.get(refRoot(name)) ?? new Map()),
        revision: watch.refRevisions?.[name],
      },
      cause,
    );
  }
}

/** Files without their content, by name: pointers of Git LFS, and submodules. Some of them, for people to read. */
export function contentless(bundle: Bundle, max = 20): { lfsPointers: string[]; submodules: string[] } {
  const lfsPointers: string[] = [];
  const submodules: string[] = [];
  for (const [path, entry] of bundle.entries) {
    if (entry.kind === "submodule" && submodules.length < max) submodules.push(path);
    else if (entry.kind !== "symlink" && lfsPointers.length < max && isLfsPointer(entry.bytes)) lfsPointers.push(path);
  }
  return { lfsPointers, submodules };
}

const isChart = (source: SourceRef): boolean =>
  (source.chart !== undefined && source.chart !== "") || /^oci:\/\//i.test(source.repoURL);

const chartOf = ({ chart = "", targetRevision }: SourceRef) => ({ chart, targetRevision });

async function openGit(owners: Owners, question: SourceQuestion, cause: Cause): Promise<Outcome<Own>> {
  const { app, source, freshness, commit: known } = question;
  const opened = await owners.of(source.repoURL, app.project);
  if (opened.kind === "failed") return opened;
  const repository = opened.value;
  const id = sourceId(app.uid, source.key);
  const expect: Own["expect"] = (given) => {
    if (question.revisionOnly) return;
    owners.forgetElsewhere(id, repository);
    repository.expect(id, source.targetRevision, given?.revision, cause, source.tagPrefix);
  };
  const resolved = await repository.resolve(known ?? source.targetRevision, freshness, cause, source.tagPrefix);
  if (resolved.kind === "failed") {
    expect(undefined);
    return resolved;
  }
  const { commit, observation } = resolved.value;
  return ok({
    revision: commit,
    observation,
    repository,
    same: (inputs) => repository.sameInputs(inputs, commit),
    async bundle(extraPaths) {
      const made = await repository.bundle(commit, source.path, extraPaths);
      return made.kind === "failed" ? made : ok({ revision: made.value.commit, bundle: made.value.bundle });
    },
    info: (revision) => repository.commitInfo(revision),
    expect,
  });
}

async function openChart(
  owners: Owners,
  question: SourceQuestion,
  cause: Cause,
): Promise<Outcome<Own & { digest: string | undefined }>> {
  const { app, source, freshness } = question;
  const { chart, targetRevision } = chartOf(source);
  const opened = await owners.chartsOf(source.repoURL, app.project);
  if (opened.kind === "failed") return opened;
  const repository = opened.value;
  const id = sourceId(app.uid, source.key);
  const expect: Own["expect"] = (given) => {
    owners.forgetElsewhere(id, repository);
    repository.watch({ id, chart, targetRevision, ...given }, cause);
  };
  const resolved = await repository.resolve(chart, targetRevision, freshness, cause);
  if (resolved.kind === "failed") {
    expect(undefined);
    return resolved;
  }
  const found: ResolvedChart = resolved.value;
  // An artifact without a chart's name has tags that move: its digest is its revision, as in Argo CD.
  const revision = chart === "" && isOci(source.repoURL) && found.digest ? found.digest : found.version;
  const { passCredentials = false, path } = source;
  return ok({
    revision,
    digest: found.digest,
    observation: found.observation,
    repository: undefined,
    same: (inputs) => repository.sameInputs(inputs, chart, found, passCredentials),
    async bundle() {
      const made = await repository.bundle(chart, found, { path: chart === "" ? path : "", passCredentials });
      return made.kind === "failed" ? made : ok({ revision, ...made.value });
    },
    info: () => undefined,
    expect,
  });
}

async function openRef(
  owners: Owners,
  { app, freshness }: SourceQuestion,
  { name, source, commit }: RefSource,
  own: Own,
  cause: Cause,
): Promise<Outcome<Ref>> {
  if (!/^[A-Za-z0-9_-]+$/.test(name)) return failed("SPEC_INVALID", `${JSON.stringify(name)} cannot be a ref's name`);
  if (isChart(source)) return failed("SPEC_INVALID", `the source with ref ${name} is a chart, to which none can refer`);
  const opened = await owners.of(source.repoURL, app.project);
  if (opened.kind === "failed") return named(opened, `$${name}`);
  const repository = opened.value;
  const resolved = await repository.resolve(commit ?? source.targetRevision, freshness, cause, source.tagPrefix);
  if (resolved.kind === "failed") return named(resolved, `$${name}`);
  const isOwn = repository === own.repository;
  if (isOwn && resolved.value.commit !== own.revision)
    return failed("SPEC_INVALID", `the source with ref ${name} is the same repository at another revision`);
  return ok({ name, source, repository, resolved: resolved.value, root: isOwn ? "" : refRoot(name) });
}

async function allSame(own: Own, refs: readonly Ref[], inputs: Inputs): Promise<boolean> {
  const trees = inputsByTree(inputs);
  for (const [root, mine] of trees) {
    if (root === chartRoot) continue; // S3
    const ref = refs.find((one) => one.root === root);
    if (root !== "" && !ref) return false;
    const same = ref && root !== "" ? await ref.repository.sameInputs(mine, ref.resolved.commit) : await own.same(mine);
    if (same.kind === "failed" || !same.value) return false;
  }
  return true;
}

async function fetchDependency(
  owners: Owners,
  project: string,
  wanted: ChartWanted,
  cause: Cause,
): Promise<Outcome<{ wanted: ChartWanted; path: string; entry: BundleEntry }>> {
  const { repository: place, name, version } = wanted;
  const opened = await owners.chartsOf(place, project);
  if (opened.kind === "failed") return named(opened, name);
  const found = await opened.value.resolve(name, version, "recent", cause);
  if (found.kind === "failed") return named(found, name);
  const chart = await opened.value.chart(name, found.value);
  if (chart.kind === "failed") return named(chart, name);
  const { archive, archiveDigest } = chart.value;
  const entry: BundleEntry = { kind: "file", oid: blobOid(archive), bytes: archive };
  return ok({ wanted, path: `${chartRoot}/${archiveDigest.replace("sha256:", "")}.tgz`, entry });
}

/** The trees of one bundle, put together (S1). */
class Combined {
  readonly #own: Bundle;
  readonly #entries: Map<string, BundleEntry>;
  readonly #complete: string[];
  readonly #absent: string[];
  readonly #charts: BundleChart[] = [];
  readonly refs: Record<string, string> = {};

  constructor(own: Bundle) {
    this.#own = own;
    this.#entries = new Map(own.entries);
    this.#complete = [...own.complete];
    this.#absent = [...own.absent];
  }

  addTree(name: string, root: string, tree: Bundle): void {
    const below = (path: string) => (path === "" ? root : `${root}/${path}`);
    this.refs[name] = root;
    for (const [path, entry] of tree.entries) this.#entries.set(below(path), entry);
    this.#complete.push(...tree.complete.map(below));
    this.#absent.push(...tree.absent.map(below));
  }

  addChart({ repository, name, version }: ChartWanted, path: string, entry: BundleEntry): void {
    this.#entries.set(path, entry);
    this.#charts.push({ repository, name, version, path });
  }

  bundle(): Outcome<Bundle> {
    let bytes = 0;
    for (const entry of this.#entries.values()) bytes += entry.bytes.byteLength;
    if (bytes > defaultBundleLimits.bytesMax || this.#entries.size > defaultBundleLimits.filesMax)
      return failed("FETCH_LIMIT", "the source and what it refers to are too large together", "bundleBytes");
    const { path } = this.#own;
    return ok({
      path,
      complete: this.#complete,
      absent: this.#absent,
      entries: this.#entries,
      refs: this.refs,
      charts: this.#charts,
    });
  }
}

/** By the root of their tree ("" is the source's own), paths as they are there. */
function byTree(paths: readonly string[]): Map<string, string[]> {
  const trees = new Map<string, string[]>();
  for (const path of paths) {
    const root = mountOf(path) ?? "";
    const own = root === "" ? path : path.slice(root.length + 1);
    trees.set(root, [...(trees.get(root) ?? []), own]);
  }
  return trees;
}

function inputsByTree(inputs: Inputs): Map<string, Map<string, string>> {
  const trees = new Map<string, Map<string, string>>();
  for (const [key, value] of inputs) {
    const path = inputPath(key);
    const root = mountOf(path) ?? "";
    let tree = trees.get(root);
    if (!tree) trees.set(root, (tree = new Map()));
    tree.set(`${key.slice(0, "file:".length)}${root === "" ? path : path.slice(root.length + 1)}`, value);
  }
  return trees;
}

function named(outcome: Outcome<unknown> & { kind: "failed" }, what: string): Outcome<never> & { kind: "failed" } {
  const { code, message, ...where }: Failure = outcome.failure;
  return { kind: "failed", failure: failure(code, `${what}: ${message}`, where) };
}
