// What an Application's sources were rendered to (pure): each by itself, and all of them as one desired state, whose key
// and digests are made of theirs (of-sources.ts of manifests). Of one source they are its own.
import type { ApplicationSource } from "@driftless/contracts/application";
import type { Failure } from "@driftless/contracts/failure";
import type { ChartWanted } from "@driftless/contracts/pipeline/2-fetch";
import type { ClusterVersions } from "@driftless/contracts/pipeline/3-render";
import { bySource, ofSources } from "@driftless/manifests/of-sources";
import type { DesiredSource } from "./sources.ts";

/** What the last good fetch and render gave of one source; later passes begin from it. */
export interface SourceRender {
  revision: string;
  /** By repository: the number of the observation that it is of, its own and those of what it refers to. */
  observations: Readonly<Record<string, number>>;
  /** Commits of the sources that it refers to, by their names. */
  refRevisions: Readonly<Record<string, string>>;
  renderKey: string;
  manifestsDigest: string;
  inputsDigest: string;
  sourceType: string;
  /** Variables of the build environment that it used; where the revision is among them, each commit is a change. */
  variables: readonly string[];
  /** What of the destination cluster had a part in it: versions, and the API versions that were asked for by name. */
  cluster?: ClusterVersions;
  apiVersions?: Readonly<Record<string, boolean>>;
  /** What the render engine asked for outside the source's path; the next pass brings it along at once. */
  extraPaths: readonly string[];
  charts: readonly ChartWanted[];
  /** Of a chart's archive. */
  chartDigest?: string;
  warnings: readonly Failure[];
  targetRevision: string;
  field: ApplicationSource;
}

/** The desired state: all sources, in their order. */
export interface Render {
  sources: readonly SourceRender[];
  isMultiSource: boolean;
  renderKey: string;
  manifestsDigest: string;
  inputsDigest: string;
  /** Of the parameters it was rendered with. */
  sourceHash: string;
}

export const renderOfAll = (
  sources: readonly SourceRender[],
  about: Pick<Render, "isMultiSource" | "sourceHash">,
): Render => ({
  ...about,
  sources,
  renderKey: ofSources(sources.map(({ renderKey }) => renderKey)),
  manifestsDigest: ofSources(sources.map(({ manifestsDigest }) => manifestsDigest)),
  inputsDigest: ofSources(sources.map(({ inputsDigest }) => inputsDigest)),
});

/** A source that only lends its files: nothing of it but where it stands. */
export const unrendered = (
  source: DesiredSource,
  at: Pick<SourceRender, "revision" | "observations" | "targetRevision">,
): SourceRender => ({
  ...at,
  refRevisions: {},
  renderKey: "",
  manifestsDigest: "",
  inputsDigest: "",
  sourceType: "",
  variables: [],
  extraPaths: [],
  charts: [],
  warnings: [],
  field: source.field,
});

export const revisionsOf = ({ sources }: Render): string[] => sources.map(({ revision }) => revision);

/** As Argo CD prints them. */
export function revisionText(render: Render): string {
  const revisions = revisionsOf(render);
  return render.isMultiSource ? `[${revisions.join(" ")}]` : revisions[0]!;
}

/** For what people read: the one member or the other, as Argo CD has them. */
export const toldRevisions = (render: Render): { revision: string } | { revisions: string[] } =>
  render.isMultiSource ? { revisions: revisionsOf(render) } : { revision: revisionsOf(render)[0]! };

export const toldSources = (render: Render): { source: ApplicationSource } | { sources: ApplicationSource[] } => {
  const fields = render.sources.map(({ field }) => field);
  return render.isMultiSource ? { sources: fields } : { source: fields[0]! };
};

/** Whether equal inputs give an equal render: not where the commit's own name is in it. */
const usesRevision = ({ variables }: SourceRender): boolean =>
  variables.some((name) => name.startsWith("ARGOCD_APP_REVISION"));

/** The inputs that a render stands for; without them any commit is a change. */
export const inputsDigestOf = (source: SourceRender | undefined): string | undefined =>
  source && !usesRevision(source) ? source.inputsDigest : undefined;

/** Whether it is of the revisions that are to be followed, and not of some that an operation named. */
export const follows = (render: Render, sources: readonly DesiredSource[]): boolean =>
  render.sources.length === sources.length &&
  sources.every(({ source }, n) => source.targetRevision === render.sources[n]!.targetRevision);

/** The oldest observation of a repository that it is made of; 0 when it knows none. */
export function observedOf(render: Render | undefined, repository: string): number {
  const numbers = (render?.sources ?? []).flatMap(({ observations }) => observations[repository] ?? []);
  return numbers.length > 0 ? Math.min(...numbers) : 0;
}

/** Commits that are in it of a repository or of what is referred to. */
export const holdsRevision = (render: Render, revision: string): boolean =>
  render.sources.some((one) => one.revision === revision || Object.values(one.refRevisions).includes(revision));

/** Of two texts made by `ofSources`: sources whose first is the same and whose second is not. */
export function sameKeyOtherDigest(
  before: { renderKey: string; manifestsDigest: string },
  now: { renderKey: string; manifestsDigest: string },
): boolean {
  const [keys, digests] = [bySource(before.renderKey), bySource(before.manifestsDigest)];
  const nowDigests = bySource(now.manifestsDigest);
  return bySource(now.renderKey).some(
    (key, n) => key !== "" && keys[n] === key && digests[n] !== undefined && digests[n] !== nowDigests[n],
  );
}
