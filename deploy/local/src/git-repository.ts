// What the local Git server does to its bare repositories: read refs, compare them, write commits.
import { spawn } from "node:child_process";
import { PartFailed } from "./part-failed.ts";

/** Text or bytes, a symbolic link, an executable file, or null for "no longer there". */
export type FileContent = string | Uint8Array | { symlink: string } | { executable: string } | null;

export interface RefChange {
  ref: string;
  before: string;
  after: string;
}

export const zeroSha = "0".repeat(40);

/** Neither the user's configuration nor the system's, so that the server is the same on every machine. */
export function gitEnvironment(): Record<string, string> {
  const config: Record<string, string> = {
    "http.receivepack": "true",
    "uploadpack.allowFilter": "true",
    "uploadpack.allowAnySHA1InWant": "true",
    // The folder may have been made by another user (a container's root).
    "safe.directory": "*",
    // They go on in the background, after the server has stopped.
    "gc.auto": "0",
    "maintenance.auto": "false",
    "receive.autogc": "false",
  };
  const entries = Object.entries(config).flatMap(([key, value], index) => [
    [`GIT_CONFIG_KEY_${index}`, key],
    [`GIT_CONFIG_VALUE_${index}`, value],
  ]);
  return {
    PATH: process.env["PATH"] ?? "",
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_CONFIG_COUNT: String(Object.keys(config).length),
    ...(Object.fromEntries(entries) as Record<string, string>),
  };
}

export function runGit(cwd: string, args: string[], input?: Iterable<Uint8Array>): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn("git", args, { cwd, env: gitEnvironment(), stdio: ["pipe", "pipe", "pipe"] });
    const [output, errors]: [string[], string[]] = [[], []];
    child.stdout.setEncoding("utf8").on("data", (text: string) => output.push(text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => errors.push(text));
    child.stdin.on("error", () => {});
    child.once("error", (cause) => reject(new PartFailed("git", `cannot run git: ${cause.message}`, { cause })));
    child.once("close", (code) => {
      if (code === 0) resolve(output.join(""));
      else reject(new PartFailed("git", `git ${args[0]} failed: ${errors.join("").trim()}`));
    });
    for (const chunk of input ?? []) child.stdin.write(chunk);
    child.stdin.end();
  });
}

export async function readRefs(folder: string): Promise<Map<string, string>> {
  const text = await runGit(folder, ["for-each-ref", "--format=%(objectname) %(refname)"]);
  const lines = text.split("\n").filter(Boolean);
  return new Map(lines.map((line) => [line.slice(line.indexOf(" ") + 1), line.slice(0, line.indexOf(" "))]));
}

export function refChanges(before: Map<string, string>, after: Map<string, string>): RefChange[] {
  const refs = new Set([...before.keys(), ...after.keys()]);
  return [...refs]
    .map((ref) => ({ ref, before: before.get(ref) ?? zeroSha, after: after.get(ref) ?? zeroSha }))
    .filter((change) => change.before !== change.after);
}

export async function fileChanges(folder: string, { before, after }: RefChange) {
  const changes = { added: [] as string[], removed: [] as string[], modified: [] as string[] };
  if (after === zeroSha) return changes;
  const options = ["-r", "-z", "--no-commit-id", "--name-status", "--no-renames"];
  const text =
    before === zeroSha
      ? await runGit(folder, ["diff-tree", ...options, "--root", after])
      : await runGit(folder, ["diff-tree", ...options, before, after]);
  const fields = text.split("\0").filter(Boolean);
  for (let index = 0; index + 1 < fields.length; index += 2) {
    const list = { A: changes.added, D: changes.removed }[fields[index]!] ?? changes.modified;
    list.push(fields[index + 1]!);
  }
  return changes;
}

/** A commit in the language of git fast-import: one process whatever the number of files. */
export function* commitStream(commit: {
  branch: string;
  author: { name: string; email: string };
  seconds: number;
  message: string;
  files: Record<string, FileContent>;
  parent?: string;
}): Generator<Uint8Array> {
  const data = (content: string | Uint8Array) => {
    const bytes = typeof content === "string" ? Buffer.from(content) : content;
    return [Buffer.from(`data ${bytes.length}\n`), bytes, Buffer.from("\n")];
  };
  const person = `${commit.author.name} <${commit.author.email}> ${commit.seconds} +0000`;
  yield Buffer.from(`commit refs/heads/${commit.branch}\nmark :1\nauthor ${person}\ncommitter ${person}\n`);
  yield* data(commit.message);
  if (commit.parent) yield Buffer.from(`from ${commit.parent}\n`);
  for (const [file, content] of Object.entries(commit.files)) {
    const name = quoted(file);
    if (content === null) {
      yield Buffer.from(`D ${name}\n`);
    } else if (typeof content === "string" || content instanceof Uint8Array) {
      yield Buffer.from(`M 100644 inline ${name}\n`);
      yield* data(content);
    } else if ("symlink" in content) {
      yield Buffer.from(`M 120000 inline ${name}\n`);
      yield* data(content.symlink);
    } else {
      yield Buffer.from(`M 100755 inline ${name}\n`);
      yield* data(content.executable);
    }
  }
  yield Buffer.from("\nget-mark :1\ndone\n");
}

function quoted(file: string): string {
  return `"${file.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`;
}
