// From a tree to the bundle of a source (pure but for the files' contents, which the caller brings).
import type { Bundle, BundleEntry } from "@driftless/manifests/bundle";
import { normalizePath } from "@driftless/manifests/inputs";
import { GitFailure } from "./git-failure.ts";
import { entryAt, join } from "./tree.ts";
import type { ReadTree, TreeEntry } from "./tree.ts";

export type BundleLimits = { filesMax: number; bytesMax: number; depthMax: number };

export const defaultBundleLimits: BundleLimits = { filesMax: 20_000, bytesMax: 64 * 1024 * 1024, depthMax: 64 };

export type BundlePlan = {
  path: string;
  complete: string[];
  absent: string[];
  entries: Map<string, { kind: BundleEntry["kind"]; oid: string }>;
};

/**
 * Which files a bundle consists of: the path's whole subtree, and what the render engine looked for elsewhere. Without a
 * path only the latter: of a repository that is referred to, only what is read.
 */
export function planBundle(
  readTree: ReadTree,
  root: string,
  sourcePath: string | undefined,
  extraPaths: readonly string[],
  limits: BundleLimits = defaultBundleLimits,
): BundlePlan {
  const path = normalizePath(sourcePath ?? "");
  if (path === undefined || sourcePath?.startsWith("/"))
    throw new GitFailure("PATH_NOT_FOUND", `the path ${JSON.stringify(sourcePath)} is outside the repository`);
  const plan: BundlePlan = { path, complete: [], absent: [], entries: new Map() };

  const add = (at: string, entry: TreeEntry, depth: number) => {
    if (entry.kind !== "tree") {
      plan.entries.set(at, { kind: entry.kind, oid: entry.oid });
      if (plan.entries.size > limits.filesMax) over("files", `${limits.filesMax} files`);
      return;
    }
    if (depth > limits.depthMax) over("depth", `${limits.depthMax} directories below each other`);
    for (const child of readTree(entry.oid)) add(join(at, child.name), child, depth + 1);
  };

  if (sourcePath !== undefined) {
    const source = entryAt(readTree, root, path);
    const module = source?.kind === "tree" ? undefined : submoduleOn(readTree, root, path);
    if (module)
      throw new GitFailure("RENDER_SUBMODULE", `${JSON.stringify(sourcePath)} is in the submodule ${module.path}`);
    if (!source)
      throw new GitFailure("PATH_NOT_FOUND", `there is no directory ${JSON.stringify(sourcePath)} at this revision`);
    if (source.kind !== "tree")
      throw new GitFailure(
        "PATH_NOT_FOUND",
        `${JSON.stringify(sourcePath)} is a ${source.kind}, not a directory, at this revision`,
      );
    plan.complete.push(path);
    add(path, source, 0);
  }

  for (const extra of new Set(extraPaths)) {
    const wanted = normalizePath(extra);
    if (wanted === undefined) continue;
    const entry = entryAt(readTree, root, wanted);
    if (!entry) {
      plan.absent.push(wanted);
      // So that whoever looked for it can say why it is not there.
      const module = submoduleOn(readTree, root, wanted);
      if (module) add(module.path, module.entry, 0);
    } else {
      if (entry.kind === "tree") plan.complete.push(wanted);
      add(wanted, entry, 0);
    }
  }
  return plan;

  function over(which: string, what: string): never {
    throw new GitFailure("FETCH_LIMIT", `the source ${JSON.stringify(path)} has more than ${what}`, { which });
  }
}

/** The submodule that a path leads to or into. */
function submoduleOn(readTree: ReadTree, root: string, path: string): { path: string; entry: TreeEntry } | undefined {
  const parts = path.split("/");
  for (let n = 1; n <= parts.length; n++) {
    const entry = entryAt(readTree, root, parts.slice(0, n).join("/"));
    if (entry?.kind === "submodule") return { path: parts.slice(0, n).join("/"), entry };
    if (entry?.kind !== "tree") return undefined;
  }
  return undefined;
}

/** The blobs a plan needs; a submodule has none. */
export function* blobsOf(plan: BundlePlan): Generator<string> {
  for (const entry of plan.entries.values()) if (entry.kind !== "submodule") yield entry.oid;
}

export function fillBundle(
  plan: BundlePlan,
  blobs: ReadonlyMap<string, Uint8Array>,
  limits: BundleLimits = defaultBundleLimits,
): Bundle {
  const entries = new Map<string, BundleEntry>();
  let bytesTotal = 0;
  for (const [path, { kind, oid }] of plan.entries) {
    const bytes = kind === "submodule" ? new Uint8Array() : blobs.get(oid);
    if (!bytes) throw new GitFailure("FETCH_CORRUPT", `the contents of ${path} are missing`);
    bytesTotal += bytes.byteLength;
    if (bytesTotal > limits.bytesMax)
      throw new GitFailure(
        "FETCH_LIMIT",
        `the source ${JSON.stringify(plan.path)} is larger than ${limits.bytesMax} bytes`,
        {
          which: "bundleBytes",
        },
      );
    entries.set(path, { kind, oid, bytes });
  }
  return { path: plan.path, complete: plan.complete, absent: plan.absent, entries };
}
