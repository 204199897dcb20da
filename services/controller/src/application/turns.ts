// Steps of a pass through its sources (pure): one after the other is fetched and rendered, what is known of a source is
// taken as it is, and all of them together are what is compared.
//
// T1  What has been resolved of a repository in this pass holds for all sources of it: one commit, one question.
// T2  A source that only lends its files is asked for last, and only when nobody that reads it has said where it stands.
import { isRetryable, type Failure } from "@driftless/contracts/failure";
import type { MessageOf } from "@driftless/contracts/message";
import type { RefSource, SourceFetched } from "@driftless/contracts/pipeline/2-fetch";
import { usesCluster } from "@driftless/contracts/pipeline/3-render";
import { bySource, sourceName } from "@driftless/manifests/of-sources";
import type { BrokenRender, Context, Pass, Turn } from "./context.ts";
import { NONDETERMINISTIC } from "./decision.ts";
import type { EventOf } from "./events.ts";
import { INFO, infoOf } from "./operation-record.ts";
import { renderOfAll, sameKeyOtherDigest, unrendered, type SourceRender } from "./render.ts";
import type { DesiredSource } from "./sources.ts";

/** The source whose turn it is. */
export const sourceOf = ({ pass }: Pick<Context, "pass">): DesiredSource =>
  pass!.wanted.desired.sources[pass!.turn.index]!;

export const turnOf = (index: number, freshness: Turn["freshness"]): Turn => ({ index, freshness, again: 0 });

/** What is rendered comes first (T2); undefined when all is there. */
export function nextIndex(sources: readonly DesiredSource[], done: Pass["sources"]): number | undefined {
  const missing = sources.map((_, n) => n).filter((n) => done[n] === undefined);
  return missing.find((n) => sources[n]!.renders) ?? missing[0];
}

export function nextSource(context: Context): Partial<Context> {
  const pass = context.pass!;
  const index = nextIndex(pass.wanted.desired.sources, pass.sources) ?? 0;
  return { pass: { ...pass, turn: turnOf(index, pass.freshness) } };
}

/** What the render of this source is known to need outside its path. */
export const extrasOf = ({ turn, extras }: Pass) => extras[turn.index] ?? { extraPaths: [], charts: [] };

const indexOfRef = (sources: readonly DesiredSource[], name: string): number =>
  sources.findIndex(({ field }) => field.ref === name);

/** The sources that this one reads, at the commits that are settled (T1). */
export function refsOf(context: Pick<Context, "pass">): RefSource[] {
  const pass = context.pass!;
  const { sources } = pass.wanted.desired;
  return sourceOf(context).refs.map((name) => {
    const index = indexOfRef(sources, name);
    const commit = settledCommit(pass, index);
    const source = { ...sources[index]!.source, targetRevision: pass.targetRevisions[index]! };
    return { name, source, ...(commit && { commit: commit.revision }) };
  });
}

/** Where the revision of a source has led to in this pass (T1). */
export function settledCommit(pass: Pass, index: number): Pick<SourceRender, "revision" | "observations"> | undefined {
  const { sources } = pass.wanted.desired;
  if (sources.length === 1) return undefined;
  const wanted = questionOf(pass, index);
  for (const [n, { source }] of sources.entries()) {
    const given = n === pass.turn.index ? (pass.turn.fetched ?? pass.sources[n]) : pass.sources[n];
    if (!given) continue;
    if (!isChart(source) && questionOf(pass, n) === wanted) return given;
    for (const [name, revision] of Object.entries(given.refRevisions)) {
      if (questionOf(pass, indexOfRef(sources, name)) === wanted) return { revision, observations: given.observations };
    }
  }
  return undefined;
}

const questionOf = ({ wanted, targetRevisions }: Pass, index: number): string => {
  const source = wanted.desired.sources[index]?.source;
  return [source?.repository, source?.tagPrefix ?? "", targetRevisions[index]].join(" ");
};

const isChart = ({ chart, repoURL }: DesiredSource["source"]): boolean => Boolean(chart) || /^oci:\/\//i.test(repoURL);

/** What is known of the source whose turn it is: of the last render, or of the one that the last operation wrote down. */
export function knownSource(context: Context): SourceRender | undefined {
  const pass = context.pass;
  if (!pass || pass.hard) return undefined;
  const { desired, sourceHash } = pass.wanted;
  const { index } = pass.turn;
  if (context.render?.sourceHash === sourceHash) return context.render.sources[index];
  const { operationState: state, view } = context;
  const info = (name: string): string[] => bySource(infoOf(state?.operation, name) ?? "");
  if (state?.phase !== "Succeeded" || infoOf(state.operation, INFO.sourceHash) !== sourceHash) return undefined;
  const manifestsDigest = info(INFO.manifestsDigest)[index];
  const inputsDigest = info(INFO.inputsDigest)[index];
  if (!inputsDigest || !manifestsDigest) return undefined;
  const variables = (info(INFO.variables)[index] ?? "").split(",").filter(Boolean);
  // What the cluster was then is written down nowhere.
  if (usesCluster(variables)) return undefined;
  const { sourceType, sourceTypes } = view.status;
  return {
    revision: "",
    observations: {},
    refRevisions: {},
    renderKey: info(INFO.renderKey)[index] ?? "",
    manifestsDigest,
    inputsDigest,
    sourceType: (desired.isMultiSource ? sourceTypes?.[index] : sourceType) ?? "Directory",
    variables,
    extraPaths: [],
    charts: [],
    warnings: [],
    targetRevision: pass.targetRevisions[index]!,
    field: desired.sources[index]!.field,
  };
}

/** What is known to fail again with the same inputs; a hard refresh tries all the same. */
export function brokenSource({ broken, pass }: Context): BrokenRender | undefined {
  if (!broken || !pass || pass.hard || pass.turn.fetched !== undefined) return undefined;
  return broken.sourceHash === pass.wanted.sourceHash && broken.index === pass.turn.index ? broken : undefined;
}

/** Remembered only when it says something about the inputs: not what passes, and no limit, which a busy machine meets too. */
export function noteBroken({ pass }: Context, event: EventOf<"RenderFailed">): Partial<Context> {
  const { failure, inputsDigest } = event.message;
  const { sourceHash } = pass!.wanted;
  if (inputsDigest === undefined || isRetryable(failure) || failure.code === "RENDER_LIMIT")
    return { broken: undefined };
  return { broken: { sourceHash, index: pass!.turn.index, inputsDigest, failure } };
}

/** By repository, the observations that an answer is of. */
export function observationsOf(context: Context, message: MessageOf<typeof SourceFetched>): Record<string, number> {
  const observations: Record<string, number> = { [sourceOf(context).source.repository]: message.observation };
  const { sources } = context.pass!.wanted.desired;
  for (const [name, number] of Object.entries(message.refObservations ?? {})) {
    const { repository } = sources[indexOfRef(sources, name)]!.source;
    observations[repository] = Math.min(number, observations[repository] ?? number);
  }
  return observations;
}

/** An answer from before something that has been heard of since. */
export const isOlderThanSeen = (context: Context, message: MessageOf<typeof SourceFetched>): boolean =>
  Object.entries(observationsOf(context, message)).some(
    ([repository, number]) => number < (context.observationSeen[repository] ?? 0),
  );

export function seenBy(context: Context, message: MessageOf<typeof SourceFetched>): Context["observationSeen"] {
  const seen = { ...context.observationSeen };
  for (const [repository, number] of Object.entries(observationsOf(context, message)))
    seen[repository] = Math.max(seen[repository] ?? 0, number);
  return seen;
}

export function acceptFetch(context: Context, event: EventOf<"SourceFetched">): Partial<Context> {
  const { message } = event;
  const { revision, chartDigest, bundleDigest } = message;
  const observations = observationsOf(context, message);
  const at = { revision, observations, refRevisions: message.refRevisions ?? {}, chartDigest };
  const before = context.pass!;
  const pass: Pass = {
    ...before,
    turn: { ...before.turn, fetched: { ...at, bundleDigest } },
    timings: timed(context, "fetchMs", event.at),
  };
  const source = sourceOf(context);
  const about = { targetRevision: targetOf(pass), field: source.field };
  const known = message.inputs === "same" && bundleDigest === undefined ? knownSource(context) : undefined;
  return {
    pass: !source.renders
      ? withSource(pass, unrendered(source, { revision, observations, targetRevision: about.targetRevision }))
      : known
        ? withSource(pass, { ...known, ...at, ...about })
        : pass,
    observationSeen: seenBy(context, message),
    // Whoever gives a bundle out waits to hear again what is read of it.
    ...(bundleDigest === undefined ? {} : { watched: unwatched(context) }),
  };
}

const unwatched = ({ pass, watched }: Context): Context["watched"] =>
  pass!.pinned ? [] : watched.map((key, n) => (n === pass!.turn.index ? undefined : key));

export function acceptRender(context: Context, event: EventOf<"ManifestsRendered">): Partial<Context> {
  const { message } = event;
  const pass = context.pass!;
  const { bundleDigest: _bundleDigest, ...fetched } = pass.turn.fetched!;
  const { renderKey, manifestsDigest, inputsDigest, sourceType, variables, warnings } = message;
  const rendered: SourceRender = {
    ...fetched,
    ...extrasOf(pass),
    renderKey,
    manifestsDigest,
    inputsDigest,
    sourceType,
    variables,
    ...(message.cluster && { cluster: message.cluster }),
    ...(message.apiVersions && { apiVersions: message.apiVersions }),
    warnings,
    targetRevision: targetOf(pass),
    field: sourceOf(context).field,
  };
  const kept = keptManifests(context, rendered);
  return {
    broken: context.broken?.index === pass.turn.index ? undefined : context.broken,
    pass: withSource(
      { ...pass, timings: timed(context, "renderMs", event.at) },
      kept === undefined ? rendered : { ...rendered, manifestsDigest: kept, warnings: [...warnings, NONDETERMINISTIC] },
    ),
  };
}

/**
 * The same inputs, parameters and tools gave other manifests than those of the last operation (`randAlphaNum`, `genCA`):
 * not a new desired state (DESIGN §3). What was applied then stays what is desired, as long as it is still stored.
 */
function keptManifests({ pass, operationState }: Context, rendered: SourceRender): string | undefined {
  const info = (name: string): string | undefined => infoOf(operationState?.operation, name);
  const { index } = pass!.turn;
  const [renderKey, manifestsDigest] = [INFO.renderKey, INFO.manifestsDigest].map(
    (n) => bySource(info(n) ?? "")[index],
  );
  if (pass!.bodyGone || !renderKey || !manifestsDigest || info(INFO.sourceHash) !== pass!.wanted.sourceHash)
    return undefined;
  return sameKeyOtherDigest({ renderKey, manifestsDigest }, rendered) ? manifestsDigest : undefined;
}

const targetOf = ({ targetRevisions, turn }: Pass): string => targetRevisions[turn.index]!;

/** One more source is there, and with it those that are only read; with the last one, the whole. */
function withSource(before: Pass, done: SourceRender): Pass {
  const { desired, sourceHash } = before.wanted;
  const pass = {
    ...before,
    sources: desired.sources.map((_, n) => (n === before.turn.index ? done : before.sources[n])),
  };
  const sources = desired.sources.map((source, n) => {
    const settled = source.renders || pass.sources[n] ? undefined : settledCommit(pass, n);
    const targetRevision = pass.targetRevisions[n]!;
    return settled ? unrendered(source, { ...settled, targetRevision }) : pass.sources[n];
  });
  const isWhole = (all: Pass["sources"]): all is readonly SourceRender[] => all.every((one) => one !== undefined);
  const about = { isMultiSource: desired.isMultiSource, sourceHash };
  return { ...pass, sources, ...(isWhole(sources) && { render: renderOfAll(sources, about) }) };
}

/** There is nothing to fetch: the operation brought its manifests along. */
export function takeManifests({ pass }: Context): Partial<Context> {
  const fetched = { revision: "", observations: {}, refRevisions: {}, bundleDigest: "" };
  return { pass: { ...pass!, turn: { ...pass!.turn, fetched } } };
}

/** What the render lacked, from the very commit that it saw unless another has come since. */
export function fetchMore(context: Context, event: EventOf<"RenderNeedsFiles">): Partial<Context> {
  const pass = context.pass!;
  const { turn } = pass;
  const { paths, charts } = event.message;
  const known = extrasOf(pass);
  const asked = new Map([...known.charts, ...charts].map((chart) => [JSON.stringify(chart), chart]));
  const more = { extraPaths: [...new Set([...known.extraPaths, ...paths])], charts: [...asked.values()] };
  return {
    pass: {
      ...pass,
      turn: { ...turn, freshness: "observed", again: turn.again + 1 },
      extras: pass.wanted.desired.sources.map((_, n) => (n === turn.index ? more : pass.extras[n])),
    },
  };
}

export const renderKnowing = ({ pass }: Context): Partial<Context> => ({
  pass: { ...pass!, turn: { ...pass!.turn, again: pass!.turn.again + 1 } },
});

/** Older than what has been heard of: the server itself is asked. */
export function fetchAgain({ pass }: Context): Partial<Context> {
  const { turn } = pass!;
  return { pass: { ...pass!, turn: { ...turn, freshness: "latest", again: turn.again + 1 } } };
}

/** A body is gone: fetch and render all of it as if nothing were known. */
export function hopBack({ pass }: Context): Partial<Context> {
  return {
    render: undefined,
    pass: {
      ...pass!,
      hard: true,
      bodyGone: true,
      render: undefined,
      sources: [],
      turn: turnOf(nextIndex(pass!.wanted.desired.sources, []) ?? 0, pass!.freshness),
      hopsBack: pass!.hopsBack + 1,
    },
  };
}

/** What failed of one source, with its place where there are several. */
export function ofSource({ pass }: Context, failed: Failure): Failure {
  if (!pass?.wanted.desired.isMultiSource) return failed;
  const name = sourceName(pass.turn.index);
  if (failed.file) return { ...failed, file: `${name}:${failed.file}` };
  if (failed.path?.startsWith("spec.source."))
    return { ...failed, path: failed.path.replace("spec.source", `spec.${name}`) };
  return { ...failed, message: `${name}: ${failed.message}` };
}

export const timed = (context: Context, hop: keyof Pass["timings"], at: number): Pass["timings"] => {
  const { timings, sentAt } = context.pass!;
  return { ...timings, [hop]: (Number(timings[hop]) || 0) + at - sentAt };
};
