// From targetRevision to a commit (pure), in Argo CD's order (util/git/client.go, LsRemote):
//
//   1. 40 hex digits are a commit, even if a branch is called so.
//   2. "" is HEAD.
//   3. An exact version ("v1.2.0", "1.2") is a pin: a ref of that very name. It is no constraint.
//   4. A version constraint ("1.*", ">=1 <2") is the highest matching tag; never a branch.
//   5. A full or short ref name. Argo CD takes the first hit among the server's refs, whose order is not defined for a
//      branch and a tag of one name; where the two mean different commits we say REVISION_AMBIGUOUS instead.
//   6. Seven or more hex digits are the beginning of a commit: looked for among the refs, then by the caller.
//
// What matches a constraint is decided by the render engine (Masterminds/semver); here stands only which text is one.

export type Refs = {
  /** The branch that HEAD names; absent for a detached HEAD. */
  head: string | undefined;
  /** Full ref name (and "HEAD") to commit; annotated tags are already followed to their commit. */
  refs: ReadonlyMap<string, string>;
};

/** The highest of `versions` that the constraint allows, or undefined: also when it is no constraint at all. */
export type MatchConstraint = (
  constraint: string,
  versions: readonly string[],
) => string | undefined | Promise<string | undefined>;

export type Resolution =
  | { kind: "resolved"; commit: string; ref: string | undefined }
  /** A short SHA that no ref points at: the caller may look into the history. */
  | { kind: "short"; short: string }
  | { kind: "unresolved"; code: "REVISION_NOT_FOUND" | "REVISION_AMBIGUOUS"; message: string };

const fullSha = /^[0-9a-f]{40}$/i;
const shortSha = /^[0-9a-f]{7,40}$/i;
const exactVersion = /^v?\d+(\.\d+){0,2}(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$/;
const constraintMarks = /[<>=~^*,|\s]|(^v?|\.)[xX](\.|$)/;

export const isFullSha = (revision: string): boolean => fullSha.test(revision);

export const looksLikeConstraint = (revision: string): boolean =>
  !exactVersion.test(revision) && constraintMarks.test(revision);

export async function resolveRevision(
  targetRevision: string,
  refs: Refs,
  matchConstraint: MatchConstraint,
  tagPrefix = "",
): Promise<Resolution> {
  if (fullSha.test(targetRevision)) return { kind: "resolved", commit: targetRevision.toLowerCase(), ref: undefined };
  if (refs.refs.size === 0) return unresolved("REVISION_NOT_FOUND", "the repository is empty");
  let revision = targetRevision === "" ? "HEAD" : targetRevision;

  if (looksLikeConstraint(revision)) {
    const best = await matchConstraint(revision, tagVersions(refs, tagPrefix));
    // Argo CD goes on with the text as a ref name when nothing matches.
    if (best !== undefined) revision = `refs/tags/${tagPrefix}${best}`;
  }

  if (revision === "HEAD") {
    const commit = refs.refs.get("HEAD") ?? (refs.head === undefined ? undefined : refs.refs.get(refs.head));
    if (commit !== undefined) return { kind: "resolved", commit, ref: refs.head ?? "HEAD" };
    return unresolved(
      "REVISION_NOT_FOUND",
      "the repository's HEAD names a branch that does not exist; set targetRevision to a branch",
    );
  }

  const hits = refNames(revision).filter((name) => refs.refs.has(name));
  const commits = new Set(hits.map((name) => refs.refs.get(name)!));
  if (commits.size > 1)
    return unresolved("REVISION_AMBIGUOUS", `${quote(revision)} is ${hits.join(" and ")}; write the full name`);
  if (hits.length > 0) return { kind: "resolved", commit: [...commits][0]!, ref: hits[0] };

  if (shortSha.test(revision)) {
    const short = revision.toLowerCase();
    const found = new Set([...refs.refs.values()].filter((oid) => oid.startsWith(short)));
    if (found.size === 1) return { kind: "resolved", commit: [...found][0]!, ref: undefined };
    if (found.size > 1) return unresolved("REVISION_AMBIGUOUS", `${short} is the beginning of ${found.size} commits`);
    return { kind: "short", short };
  }
  return looksLikeConstraint(targetRevision)
    ? unresolved("REVISION_NOT_FOUND", `no tag matches the version constraint ${quote(targetRevision)}`)
    : unresolved("REVISION_NOT_FOUND", `there is no branch, tag or commit ${quote(targetRevision)}`);
}

/** Prefixes to ask the server for so that `targetRevision` can be found, besides HEAD, branches and tags. */
export function refPrefixes(targetRevision: string): string[] {
  if (targetRevision === "" || targetRevision === "HEAD" || fullSha.test(targetRevision)) return [];
  if (!isRefName(targetRevision)) return [];
  if (targetRevision.startsWith("refs/")) return /^refs\/(heads|tags)\//.test(targetRevision) ? [] : [targetRevision];
  return targetRevision.includes("/") ? [`refs/${targetRevision}`] : [];
}

// The names for which go-git's ReferenceName.Short() or the name itself equals `revision`.
function refNames(revision: string): string[] {
  return [revision, `refs/heads/${revision}`, `refs/tags/${revision}`, `refs/${revision}`, `refs/remotes/${revision}`];
}

function tagVersions(refs: Refs, tagPrefix: string): string[] {
  const start = `refs/tags/${tagPrefix}`;
  return [...refs.refs.keys()].filter((name) => name.startsWith(start)).map((name) => name.slice(start.length));
}

/** What git-check-ref-format allows, roughly: anything else is never sent to a server. */
function isRefName(name: string): boolean {
  // eslint-disable-next-line no-control-regex
  return name.length <= 400 && !/[\x00-\x20\x7f~^:?*[\\]|\.\.|@\{|^-|\/\/|\/$|\.lock$/.test(name);
}

const quote = (text: string): string => JSON.stringify(text.slice(0, 100));

const unresolved = (code: "REVISION_NOT_FOUND" | "REVISION_AMBIGUOUS", message: string): Resolution => ({
  kind: "unresolved",
  code,
  message,
});
