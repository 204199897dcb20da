// Git trees (pure): entries with names that can be trusted, and walking along a path.
import { GitFailure } from "./git-failure.ts";

export type EntryKind = "tree" | "file" | "executable" | "symlink" | "submodule";
export type TreeEntry = { name: string; kind: EntryKind; oid: string };

/** Gives the entries of a tree by its oid; throws GitFailure for a tree that is missing or damaged. */
export type ReadTree = (oid: string) => readonly TreeEntry[];

const kinds: Record<string, EntryKind> = {
  "40000": "tree",
  "040000": "tree",
  "100644": "file",
  "100664": "file",
  "100755": "executable",
  "120000": "symlink",
  "160000": "submodule",
};

export function parseTree(bytes: Buffer): TreeEntry[] {
  const entries: TreeEntry[] = [];
  const seen = new Set<string>();
  for (let at = 0; at < bytes.byteLength;) {
    const space = bytes.indexOf(32, at);
    const zero = bytes.indexOf(0, space);
    if (space < 0 || zero < 0 || zero + 21 > bytes.byteLength)
      throw new GitFailure("FETCH_CORRUPT", "a directory of the repository is damaged");
    const kind = kinds[bytes.toString("latin1", at, space)];
    const name = bytes.toString("utf8", space + 1, zero);
    if (!kind || seen.has(name) || nameRefused(name))
      throw new GitFailure("FETCH_CORRUPT", `the repository holds an entry ${JSON.stringify(name)}, which is refused`);
    seen.add(name);
    entries.push({ name, kind, oid: bytes.toString("hex", zero + 1, zero + 21) });
    at = zero + 21;
  }
  return entries;
}

// What git's own verify_path refuses, so that a bundle can be laid out anywhere (CVE-2026-63478, CVE-2026-77355).
function nameRefused(name: string): boolean {
  if (name === "" || name === "." || name === ".." || /[/\\]/.test(name)) return true;
  const plain = name.replace(/[\u200C-\u200F\u202A-\u202E\u206A-\u206F\uFEFF]/g, "").split(":")[0]!;
  return /^(\.git|\.?git~[1-9])[. ]*$/i.test(plain);
}

export const join = (directory: string, name: string): string => (directory === "" ? name : `${directory}/${name}`);

/** The entry at a normalized path below a root tree, or undefined. Symlinks are not followed. */
export function entryAt(readTree: ReadTree, root: string, path: string): TreeEntry | undefined {
  let entry: TreeEntry | undefined = { name: "", kind: "tree", oid: root };
  if (path === "") return entry;
  for (const part of path.split("/")) {
    if (entry?.kind !== "tree") return undefined;
    entry = readTree(entry.oid).find((candidate) => candidate.name === part);
  }
  return entry;
}
