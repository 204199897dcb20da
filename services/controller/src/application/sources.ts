// The sources of an Application (pure): what each asks of the fetcher and the renderer, whom it refers to, and what is
// wrong with them. `spec.source` alone is the case of one; `spec.sources`, even of one, makes status and operations speak
// of lists, as in Argo CD.
import type { Application, ApplicationSource, OperationField } from "@driftless/contracts/application";
import type { Problem } from "@driftless/contracts/application";
import { failure, type Failure } from "@driftless/contracts/failure";
import type { AppRef } from "@driftless/contracts/identity";
import type { SourceRef } from "@driftless/contracts/pipeline/2-fetch";
import type { BuildEnvironment, SourceOptions } from "@driftless/contracts/pipeline/3-render";
import { repositoryHash } from "@driftless/contracts/repository";

export interface DesiredSource {
  /** What is asked of the fetcher. */
  source: SourceRef;
  /** As written, for the status. */
  field: ApplicationSource;
  options: SourceOptions;
  /** All of it but the revision. */
  environment: BuildEnvironment;
  /** False for one that only lends its files to others. */
  renders: boolean;
  /** Names of the sources whose files it reads. */
  refs: readonly string[];
}

export const isMultiSource = (spec: Application["spec"]): boolean => (spec?.sources?.length ?? 0) > 0;

/** Each with the path of its field. */
export function sourceFields(spec: Application["spec"]): { path: string; field: ApplicationSource }[] {
  if (isMultiSource(spec)) return spec!.sources!.map((field, n) => ({ path: `spec.sources[${n}]`, field }));
  return [{ path: "spec.source", field: spec?.source ?? {} }];
}

const isOci = (source: ApplicationSource): boolean => /^oci:\/\//i.test(source.repoURL ?? "");
const renders = (source: ApplicationSource): boolean => Boolean(source.path || source.chart) || isOci(source);

export function wrongSources(spec: Application["spec"]): Problem[] {
  const sources = sourceFields(spec);
  const several = isMultiSource(spec);
  const names = sources.flatMap(({ field }) => (field.ref ? [field.ref] : []));
  const wrong = sources.flatMap(({ path, field }, n): Problem[] => {
    const problems: Problem[] = [];
    const say = (member: string, message: string) => problems.push({ path: `${path}.${member}`, message });
    if (!field.repoURL) say("repoURL", "a repository is needed");
    else if (!renders(field) && !(several && field.ref)) {
      say("path", `a path in the repository is needed (\`.\` for its root)${several ? ", or a ref" : ""}`);
    }
    if (field.chart && !field.targetRevision) say("targetRevision", "a chart needs a version");
    if (field.ref) {
      if (!several) say("ref", "only one of several sources (spec.sources) can be referred to");
      else if (!/^[A-Za-z0-9_-]+$/.test(field.ref)) say("ref", "a ref is of letters, digits, `-` and `_`");
      else if (names.indexOf(field.ref) !== names.lastIndexOf(field.ref))
        say("ref", `${field.ref} is not the only one`);
      if (field.chart || isOci(field)) say("ref", "a chart cannot be referred to");
    }
    for (const { at, name } of referred(field)) {
      if (names.includes(name)) continue;
      const there = names.length > 0 ? `; there are ${names.map((one) => `$${one}`).join(", ")}` : "";
      say(at, `no source has the ref ${name}${there}`);
    }
    return n < SOURCES_MAX ? problems : [];
  });
  if (sources.length > SOURCES_MAX)
    wrong.push({ path: "spec.sources", message: `these are more than ${SOURCES_MAX} sources` });
  // Of nothing at all, everything that there is would be to be pruned.
  else if (wrong.length === 0 && !sources.some(({ field }) => renders(field)))
    wrong.push({ path: "spec.sources", message: "none of them has a path or a chart" });
  return wrong;
}

/** Each is fetched and rendered one after the other, in the time of one look. */
const SOURCES_MAX = 100;

/** Where a source says `$name/…`, which may be a variable of the build environment just as well. */
function referred({ helm }: ApplicationSource): { at: string; name: string }[] {
  const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
  const written = [
    ...list(helm?.["valueFiles"]).map((text, n) => ({ at: `helm.valueFiles[${n}]`, text })),
    ...list(helm?.["fileParameters"]).map((one, n) => ({
      at: `helm.fileParameters[${n}].path`,
      text: (one as { path?: unknown } | null)?.path,
    })),
  ];
  return written.flatMap(({ at, text }) => {
    const name = typeof text === "string" ? /^\$([A-Za-z0-9_-]+)(?:\/|$)/.exec(text)?.[1] : undefined;
    return name === undefined || /^(ARGOCD|KUBE)_/.test(name) ? [] : [{ at, name }];
  });
}

export function desiredSources(app: Application, ref: AppRef): DesiredSource[] {
  const { namespace } = app.spec!.destination!;
  let rendering = 0;
  return sourceFields(app.spec).map(({ field }): DesiredSource => {
    const { repoURL = "", targetRevision = "", chart, helm, tagPrefix } = field;
    const isRendered = renders(field);
    // The first has none, so that an Application of one source is followed as it always was.
    const key = isRendered ? rendering++ : 0;
    return {
      source: {
        repoURL,
        repository: repositoryHash(repoURL),
        targetRevision,
        // A chart stands at the root of what is fetched.
        path: chart ? "." : field.path || ".",
        ...(chart ? { chart } : {}),
        ...(helm?.["passCredentials"] === true ? { passCredentials: true } : {}),
        ...(tagPrefix ? { tagPrefix } : {}),
        ...(key > 0 ? { key: String(key) } : {}),
      },
      field,
      options: optionsOf(app, field),
      environment: { ...(namespace ? { namespace } : {}), project: ref.project, repoURL, targetRevision },
      renders: isRendered,
      refs: [...new Set(referred(field).map(({ name }) => name))],
    };
  });
}

/** Manifests that an operation brings along, instead of what this source has: a directory of nothing else. */
export const broughtSource = ({ source, field, environment }: DesiredSource): DesiredSource => ({
  source: { ...source, path: "." },
  field,
  options: { directory: {} },
  environment,
  renders: true,
  refs: [],
});

function optionsOf(app: Application, { directory, helm, kustomize, plugin }: ApplicationSource): SourceOptions {
  const generatePaths = plugin ? generatePathsOf(app) : [];
  return {
    ...(directory ? { directory } : {}),
    ...(helm ? { helm } : {}),
    ...(kustomize ? { kustomize } : {}),
    ...(plugin ? { plugin } : {}),
    // Other types say themselves what they read.
    ...(generatePaths.length > 0 ? { generatePaths } : {}),
  };
}

/** Where a plugin reads beside the source's path: Argo CD's annotation, for plugins only. */
function generatePathsOf({ metadata }: Application): string[] {
  const text = metadata.annotations?.["argocd.argoproj.io/manifest-generate-paths"] ?? "";
  return text.split(";").filter((path) => path !== "");
}

/** What the fetcher is asked to make bundles of, and follows by itself. */
export const rendered = (sources: readonly DesiredSource[]): SourceRef[] =>
  sources.filter(({ renders: isRendered }) => isRendered).map((one) => one.source);

/** Repositories that the Application follows: of what it renders, and of what that refers to. */
export function followed(sources: readonly DesiredSource[]): SourceRef[] {
  const used = new Set(sources.flatMap(({ refs }) => refs));
  return sources
    .filter(({ renders: isRendered, field }) => isRendered || used.has(field.ref ?? ""))
    .map((one) => one.source);
}

/** What an operation names does not fit the sources that it is for. */
export function wrongRevisions(
  { sync }: OperationField,
  sources: readonly DesiredSource[],
  several: boolean,
): Failure[] {
  const wrong = (path: string, message: string): Failure[] => [failure("SPEC_INVALID", message, { path })];
  if (several && sync?.revision)
    return wrong(
      "operation.sync.revision",
      "for an Application of spec.sources, operation.sync.revisions names theirs",
    );
  if (!sync?.revisions?.length) return [];
  if (!several)
    return wrong(
      "operation.sync.revisions",
      "for an Application of one spec.source, operation.sync.revision names its",
    );
  if (sync.revisions.length === sources.length) return [];
  const count = `${sync.revisions.length} revisions are named for ${sources.length} sources`;
  return wrong("operation.sync.revisions", `${count}; each has its place, an empty one leaves a source as it is`);
}
