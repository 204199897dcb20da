// A chart's archive, unpacked in memory (pure but for gunzip): nothing of it ever touches a disk.
//
// C1  Bytes, entries, depth and the ratio of packed to unpacked have limits; gunzip is stopped where they end.
// C2  Only files with names that stay below the one top directory; no links, devices or names twice.
import { createHash } from "node:crypto";
import { pipeline } from "node:stream/promises";
import { Readable, Transform } from "node:stream";
import { createGunzip } from "node:zlib";
import type { BundleEntry } from "@driftless/manifests/bundle";
import { extract } from "tar-stream";
import { GitFailure } from "./git-failure.ts";

export type ArchiveLimits = {
  archiveBytesMax: number;
  unpackedBytesMax: number;
  filesMax: number;
  depthMax: number;
  /** Text packs some 10 to 1; what unfolds to more than this is made to. */
  ratioMax: number;
};

export const defaultArchiveLimits: ArchiveLimits = {
  archiveBytesMax: 32 * 1024 * 1024,
  unpackedBytesMax: 64 * 1024 * 1024,
  filesMax: 10_000,
  depthMax: 64,
  ratioMax: 200,
};
/** Below this no ratio is a bomb. */
const ratioFreeBytes = 1024 * 1024;

/**
 * The files of a `.tgz`. A chart's stand in one directory, which is stripped; of another archive (`strip` false) they
 * stand as they are.
 */
export async function unpackArchive(
  name: string,
  archive: Buffer,
  options: { strip?: boolean; limits?: Partial<ArchiveLimits> } = {},
): Promise<Map<string, BundleEntry>> {
  const limits = { ...defaultArchiveLimits, ...options.limits };
  const invalid = (why: string) => new GitFailure("CHART_INVALID", `${name}: ${why}`);
  const over = (which: string, what: string) =>
    new GitFailure("FETCH_LIMIT", `${name} has more than ${what}`, { which });
  if (archive.byteLength > limits.archiveBytesMax) throw over("archiveBytes", `${limits.archiveBytesMax} bytes`);
  if (archive[0] !== 0x1f || archive[1] !== 0x8b) throw invalid("the archive is not gzipped");

  const entries = new Map<string, BundleEntry>();
  const unpackedMax = Math.min(limits.unpackedBytesMax, Math.max(ratioFreeBytes, archive.byteLength * limits.ratioMax));
  let unpacked = 0;
  const counter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      unpacked += chunk.byteLength;
      done(unpacked > unpackedMax ? over("unpackedBytes", `${unpackedMax} bytes unpacked`) : null, chunk);
    },
  });
  const tar = extract();
  let headers = 0;
  tar.on("entry", (header, stream, next) => {
    // The failure of the whole is also each entry's, and must not be nobody's.
    stream.on("error", () => {});
    const refuse = (error: GitFailure) => {
      stream.resume();
      next(error);
    };
    headers += 1;
    if (headers > 2 * limits.filesMax) return refuse(over("files", `${limits.filesMax} files`));
    const type: string = header.type ?? "file";
    if (type === "directory" || type === "pax-header" || type === "pax-global-header") {
      stream.on("end", () => next());
      return void stream.resume();
    }
    if (type !== "file" && type !== "contiguous-file")
      return refuse(invalid(`it holds ${JSON.stringify(header.name.slice(0, 200))}, which is a ${type}, not a file`));
    const path = pathOf(header.name, options.strip ?? true);
    if (path === undefined)
      return refuse(
        invalid(`it holds ${JSON.stringify(header.name.slice(0, 200))}, a file outside the chart's directory`),
      );
    if (path.split("/").length > limits.depthMax) return refuse(over("depth", `${limits.depthMax} directories`));
    if (entries.has(path)) return refuse(invalid(`it holds ${JSON.stringify(path.slice(0, 200))} twice`));
    if (entries.size >= limits.filesMax) return refuse(over("files", `${limits.filesMax} files`));
    const chunks: Buffer[] = [];
    stream.on("data", (chunk) => void chunks.push(chunk as Buffer));
    stream.on("end", () => {
      const bytes = Buffer.concat(chunks);
      entries.set(path, { kind: "file", oid: blobOid(bytes), bytes });
      next();
    });
  });
  try {
    await pipeline(Readable.from([archive]), createGunzip(), counter, tar as unknown as NodeJS.WritableStream);
  } catch (error) {
    if (error instanceof GitFailure) throw error;
    throw invalid("the archive is damaged");
  }
  // A file's name cannot also be a directory's.
  for (const path of entries.keys())
    for (let at = path.lastIndexOf("/"); at > 0; at = path.lastIndexOf("/", at - 1))
      if (entries.has(path.slice(0, at)))
        throw invalid(`${JSON.stringify(path.slice(0, at))} is a file and a directory`);
  if (entries.size === 0) throw invalid("the archive is empty");
  return entries;
}

/** undefined for a name that leads out, or that another system would read as something else. */
function pathOf(name: string, strip: boolean): string | undefined {
  // eslint-disable-next-line no-control-regex
  if (/[\x00-\x1f\x7f\\]/.test(name) || /^[a-z]:/i.test(name) || name.startsWith("/") || name.length > 1024)
    return undefined;
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (strip) parts.shift();
  if (parts.length === 0 || parts.some((part) => part === ".." || part.toLowerCase() === ".git")) return undefined;
  return parts.join("/");
}

/** The oid Git would give this content, so that a file has one oid wherever it comes from. */
export function blobOid(bytes: Uint8Array): string {
  return createHash("sha1").update(`blob ${bytes.byteLength}\0`).update(bytes).digest("hex");
}

export const sha256Of = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
