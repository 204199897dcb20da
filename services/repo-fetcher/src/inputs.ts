// Which renders a new tree touches (pure). What inputs are stands in @driftless/manifests/inputs.
//
// I1  Two trees with equal inputs give equal renders.
// I2  A push costs the directories that differ and are read by somebody; what nobody reads is not even looked at.
import { absent, fileValue, inputPath, listValue, normalizePath } from "@driftless/manifests/inputs";
import type { InputEntry, Inputs } from "@driftless/manifests/inputs";
import { entryAt, join } from "./tree.ts";
import type { ReadTree, TreeEntry } from "./tree.ts";

/** The inputs named by `keys` as they are below `root`. */
export function readInputs(keys: Iterable<string>, readTree: ReadTree, root: string): Map<string, string> {
  return new Map([...keys].map((key) => [key, readInput(key, readTree, root)]));
}

/** Whether any of these inputs is another below this root. */
export function inputsDiffer(inputs: Inputs, readTree: ReadTree, root: string): boolean {
  for (const [key, value] of inputs) if (readInput(key, readTree, root) !== value) return true;
  return false;
}

function readInput(key: string, readTree: ReadTree, root: string): string {
  const path = inputPath(key);
  const entry = normalizePath(path) === path ? entryAt(readTree, root, path) : undefined;
  if (key.startsWith("file:")) return fileValue(entry && asInput(entry));
  if (entry?.kind !== "tree") return absent;
  return listValue(readTree(entry.oid).map((child) => ({ name: child.name, kind: asInput(child).kind })));
}

const asInput = (entry: TreeEntry): InputEntry => ({
  kind: entry.kind === "tree" ? "directory" : entry.kind,
  oid: entry.oid,
});

/** The inputs of all sources that follow one revision, indexed by what was read. */
export class InputIndex {
  readonly #sources = new Map<string, Inputs>();
  readonly #readers = new Map<string, Set<string>>();
  /** How many keys lie at or below a directory: where this is nothing, a push is not followed. */
  readonly #below = new Map<string, number>();

  get size(): number {
    return this.#sources.size;
  }

  ids(): IterableIterator<string> {
    return this.#sources.keys();
  }

  inputsOf(id: string): Inputs | undefined {
    return this.#sources.get(id);
  }

  set(id: string, inputs: Inputs): void {
    this.delete(id);
    this.#sources.set(id, inputs);
    for (const key of inputs.keys()) {
      const readers = this.#readers.get(key);
      if (readers) {
        readers.add(id);
        continue;
      }
      this.#readers.set(key, new Set([id]));
      this.#count(key, 1);
    }
  }

  delete(id: string): void {
    const inputs = this.#sources.get(id);
    if (!inputs) return;
    this.#sources.delete(id);
    for (const key of inputs.keys()) {
      const readers = this.#readers.get(key)!;
      readers.delete(id);
      if (readers.size > 0) continue;
      this.#readers.delete(key);
      this.#count(key, -1);
    }
  }

  /** The sources with an input that is another at `newRoot` than at their render, going by what differs from `oldRoot`. */
  touched(readTree: ReadTree, oldRoot: string, newRoot: string): Set<string> {
    const touched = new Set<string>();
    for (const key of this.#changedKeys(readTree, oldRoot, newRoot)) {
      const value = readInput(key, readTree, newRoot);
      for (const id of this.#readers.get(key)!) if (this.#sources.get(id)!.get(key) !== value) touched.add(id);
    }
    return touched;
  }

  /** The registered keys that may be others: descends only where oids differ and somebody reads below. */
  #changedKeys(readTree: ReadTree, oldRoot: string, newRoot: string): Set<string> {
    const changed = new Set<string>();
    const note = (key: string) => {
      if (this.#readers.has(key)) changed.add(key);
    };
    const compare = (path: string, before: TreeEntry | undefined, after: TreeEntry | undefined) => {
      if (before?.oid === after?.oid && before?.kind === after?.kind) return;
      const trees = [before, after].filter((entry) => entry?.kind === "tree") as TreeEntry[];
      // A directory that differs inside is the same to who only asked whether it is there.
      if (trees.length < 2) note(`file:${path}`);
      if (trees.length === 0 || !this.#below.has(path)) return;
      note(`list:${path}`);
      const old = new Map((before?.kind === "tree" ? readTree(before.oid) : []).map((entry) => [entry.name, entry]));
      for (const entry of after?.kind === "tree" ? readTree(after.oid) : []) {
        const was = old.get(entry.name);
        old.delete(entry.name);
        compare(join(path, entry.name), was, entry);
      }
      for (const [name, was] of old) compare(join(path, name), was, undefined);
    };
    const root = (oid: string): TreeEntry => ({ name: "", kind: "tree", oid });
    compare("", root(oldRoot), root(newRoot));
    return changed;
  }

  #count(key: string, change: 1 | -1): void {
    for (let path = inputPath(key); ; path = path.slice(0, Math.max(0, path.lastIndexOf("/")))) {
      const count = (this.#below.get(path) ?? 0) + change;
      if (count === 0) this.#below.delete(path);
      else this.#below.set(path, count);
      if (path === "") return;
    }
  }
}
