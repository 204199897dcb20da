// What a render read (pure): the form that renderer and repo-fetcher share, so that equal inputs have equal digests.
//
//   file:<path>  → oid of the file (with its kind unless it is a plain one), `directory`, or `absent`
//   list:<path>  → digest of the directory's names and kinds, or `absent`. Not the tree's oid: a change in a file that
//                  was never read must not count.
import { createHash } from "node:crypto";

export type Inputs = ReadonlyMap<string, string>;
export type InputEntry = { kind: "directory" | "file" | "executable" | "symlink" | "submodule"; oid: string };

export const absent = "absent";

/** `apps//a/./b/` → `apps/a/b`; the root is "". undefined when it leaves the repository. */
export function normalizePath(path: string): string | undefined {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  return parts.includes("..") || path.includes("\0") ? undefined : parts.join("/");
}

export const fileInput = (path: string): string => `file:${normalizePath(path) ?? path}`;
export const listInput = (path: string): string => `list:${normalizePath(path) ?? path}`;
export const inputPath = (key: string): string => key.slice("file:".length);

export function fileValue(entry: InputEntry | undefined): string {
  if (!entry) return absent;
  if (entry.kind === "directory") return "directory";
  return entry.kind === "file" ? entry.oid : `${entry.oid} ${entry.kind}`;
}

export function listValue(children: Iterable<{ name: string; kind: InputEntry["kind"] }> | undefined): string {
  if (!children) return absent;
  const lines = [...children].map((child) => `${child.kind} ${child.name}\n`).sort();
  return createHash("sha256").update(lines.join("")).digest("hex").slice(0, 40);
}

/** The inputs' blob; the digest of these bytes is the inputs' digest. */
export function encodeInputs(inputs: Inputs): Buffer {
  return Buffer.from(JSON.stringify([...inputs].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))));
}

/** Throws on bytes that `encodeInputs` did not make. */
export function decodeInputs(bytes: Uint8Array): Map<string, string> {
  const pairs: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"));
  if (!Array.isArray(pairs)) throw new Error("inputs blob: not a list");
  return new Map(
    pairs.map((pair: unknown) => {
      const [key, value] = Array.isArray(pair) ? (pair as unknown[]) : [];
      if (typeof key !== "string" || typeof value !== "string" || !/^(file|list):/.test(key))
        throw new Error("inputs blob: not an input");
      return [key, value];
    }),
  );
}

export const digestInputs = (inputs: Inputs): string => createHash("sha256").update(encodeInputs(inputs)).digest("hex");
