// A bundle: the files of one source at one revision, as bytes (pure). repo-fetcher writes it, renderer reads it.
//
// Deterministic: equal files give equal bytes, whatever the commit, so that the digest of a bundle is its content.
// Layout: "DFB1", length of the header (4 bytes, big endian), header as JSON, then the contents in the header's order.
import { absent, fileValue, inputPath, listValue, normalizePath } from "./inputs.ts";
import type { InputEntry } from "./inputs.ts";

export type BundleEntry = {
  kind: "file" | "executable" | "symlink" | "submodule";
  oid: string;
  /** Empty for a submodule: it is reported, not followed. A symlink's bytes are its target. */
  bytes: Uint8Array;
};

export type Bundle = {
  /** The source's path, normalized; "" is the root. */
  path: string;
  /** Directories whose whole subtree is here: what is missing below them is absent in the repository. */
  complete: readonly string[];
  /** Paths that were asked for and are not in the repository. */
  absent: readonly string[];
  /** By path from the repository's root. */
  entries: ReadonlyMap<string, BundleEntry>;
  /** Where the trees of `ref` sources stand, by name: "" is this very tree, others are below `.git/refs/`. */
  refs?: Readonly<Record<string, string>>;
  /** Charts the render engine asked for, and the entries that are their archives. */
  charts?: readonly BundleChart[];
};

export type BundleChart = {
  /** As they were asked for. */
  repository: string;
  name: string;
  version: string;
  path: string;
};

// No path of a repository can be below `.git`: Git itself refuses such a tree, and so does repo-fetcher.
export const refRoot = (name: string): string => `.git/refs/${name}`;
export const chartRoot = ".git/charts";

/** The other tree that a path of a bundle belongs to, or undefined for the source's own. */
export function mountOf(path: string): string | undefined {
  return /^\.git\/(?:refs\/[^/]+|charts)(?=\/|$)/.exec(path)?.[0];
}

/** A file of which Git LFS has the content: this is only its pointer. */
export function isLfsPointer(bytes: Uint8Array): boolean {
  if (bytes.byteLength > 1024) return false;
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
  return text.startsWith("version https://git-lfs.github.com/spec/") && /^oid sha256:[0-9a-f]{64}$/m.test(text);
}

const magic = "DFB1";

export function encodeBundle(bundle: Bundle): Buffer {
  const entries = [...bundle.entries].sort(([a], [b]) => (a < b ? -1 : 1));
  const header = Buffer.from(
    JSON.stringify({
      path: bundle.path,
      complete: [...bundle.complete].sort(),
      absent: [...bundle.absent].sort(),
      entries: entries.map(([path, entry]) => [path, entry.kind, entry.oid, entry.bytes.byteLength]),
      // Left out when empty, so that a bundle without them is what it always was.
      ...(bundle.refs && Object.keys(bundle.refs).length > 0
        ? { refs: Object.fromEntries(Object.entries(bundle.refs).sort(([a], [b]) => (a < b ? -1 : 1))) }
        : {}),
      ...(bundle.charts && bundle.charts.length > 0
        ? {
            charts: bundle.charts
              .map(({ repository, name, version, path }) => ({ repository, name, version, path }))
              .sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)),
          }
        : {}),
    }),
  );
  const start = Buffer.alloc(8);
  start.write(magic, 0, "latin1");
  start.writeUInt32BE(header.byteLength, 4);
  return Buffer.concat([start, header, ...entries.map(([, entry]) => entry.bytes)]);
}

/** Throws on bytes that `encodeBundle` did not make. The entries' bytes are views, not copies. */
export function decodeBundle(encoded: Uint8Array): Bundle {
  const bytes = Buffer.from(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  if (bytes.byteLength < 8 || bytes.toString("latin1", 0, 4) !== magic) throw new Error("bundle: not a bundle");
  let at = 8 + bytes.readUInt32BE(4);
  if (at > bytes.byteLength) throw new Error("bundle: header too long");
  const header = JSON.parse(bytes.toString("utf8", 8, at)) as {
    path: string;
    complete: string[];
    absent: string[];
    entries: [string, BundleEntry["kind"], string, number][];
    refs?: Record<string, string>;
    charts?: BundleChart[];
  };
  const entries = new Map<string, BundleEntry>();
  for (const [path, kind, oid, size] of header.entries) {
    if (normalizePath(path) !== path || !Number.isSafeInteger(size) || size < 0 || at + size > bytes.byteLength)
      throw new Error("bundle: damaged entry");
    entries.set(path, { kind, oid, bytes: bytes.subarray(at, at + size) });
    at += size;
  }
  if (at !== bytes.byteLength) throw new Error("bundle: wrong length");
  const { path, complete, absent, refs = {}, charts = [] } = header;
  return { path, complete, absent, entries, refs, charts };
}

export type BundleStat =
  | { kind: "entry"; entry: BundleEntry }
  | { kind: "directory"; children: ReadonlyMap<string, InputEntry["kind"]> }
  | { kind: "absent" }
  /** Not in the bundle, but perhaps in the repository: answer `need <path>`. */
  | { kind: "unknown" };

/** Looks paths up in a bundle as a render reads them, and gives the inputs' values for what was read. */
export class BundleFiles {
  readonly bundle: Bundle;
  readonly #directories = new Map<string, Map<string, InputEntry["kind"]>>();

  constructor(bundle: Bundle) {
    this.bundle = bundle;
    for (const directory of bundle.complete) this.#directory(directory);
    for (const [path, entry] of bundle.entries) this.#directory(parentOf(path)).set(nameOf(path), entry.kind);
    // Trees of others are no part of this one's root.
    this.#directories.get("")?.delete(".git");
  }

  stat(path: string): BundleStat {
    const normal = normalizePath(path);
    if (normal === undefined) return { kind: "absent" };
    const entry = this.bundle.entries.get(normal);
    if (entry) return { kind: "entry", entry };
    // That a tree is here completely says nothing about another that is mounted in it.
    const mount = mountOf(normal);
    const whole = this.bundle.complete.some((d) => mountOf(d) === mount && within(d, normal));
    const children = whole ? this.#directories.get(normal) : undefined;
    if (children) return { kind: "directory", children };
    if (whole || this.bundle.absent.some((missing) => within(missing, normal))) return { kind: "absent" };
    return { kind: "unknown" };
  }

  /** The value of an input key (inputs.ts), or undefined when the bundle cannot tell. */
  inputValue(key: string): string | undefined {
    const found = this.stat(inputPath(key));
    if (found.kind === "unknown") return undefined;
    if (key.startsWith("list:"))
      return found.kind === "directory"
        ? listValue([...found.children].map(([name, kind]) => ({ name, kind })))
        : absent;
    if (found.kind === "directory") return fileValue({ kind: "directory", oid: "" });
    return fileValue(found.kind === "entry" ? found.entry : undefined);
  }

  #directory(path: string): Map<string, InputEntry["kind"]> {
    let children = this.#directories.get(path);
    if (!children) {
      this.#directories.set(path, (children = new Map<string, InputEntry["kind"]>()));
      if (path !== "") this.#directory(parentOf(path)).set(nameOf(path), "directory");
    }
    return children;
  }
}

const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf("/")));
const nameOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1);
const within = (directory: string, path: string): boolean =>
  directory === "" || path === directory || path.startsWith(`${directory}/`);
