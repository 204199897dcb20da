// Unpacks what a Git server sent (pure): a pack's bytes to objects by oid, nothing trusted, everything bounded.
//
// isomorphic-git's reader is not used for this: it inflates the rest of the pack for each object it reads, passes over
// objects that it cannot read, and has no limit on what a delta unfolds to (CVE-2026-63476 and its relatives).
import { createHash } from "node:crypto";
import { inflateSync } from "node:zlib";
import { GitFailure } from "./git-failure.ts";

export type ObjectType = "commit" | "tree" | "blob" | "tag";
export type GitObject = { type: ObjectType; bytes: Buffer };

export type PackLimits = { objectsMax: number; objectBytesMax: number; unpackedBytesMax: number };

export const defaultPackLimits: PackLimits = {
  objectsMax: 2_000_000,
  objectBytesMax: 64 * 1024 * 1024,
  unpackedBytesMax: 512 * 1024 * 1024,
};

const types: Record<number, ObjectType> = { 1: "commit", 2: "tree", 3: "blob", 4: "tag" };
const offsetDelta = 6;
const refDelta = 7;

type Waiting = { offset: number; delta: Buffer };

/**
 * The objects of a pack. `base` looks up objects that a thin pack builds on. A delta whose base is nowhere is left
 * out and counted: with a partial store that happens to blobs, which are then asked for by oid.
 */
export async function unpack(
  pack: Buffer,
  base: (oid: string) => GitObject | undefined,
  limits: PackLimits = defaultPackLimits,
): Promise<{ objects: Map<string, GitObject>; withoutBase: number }> {
  if (pack.byteLength < 32 || pack.toString("latin1", 0, 4) !== "PACK") corrupt("it does not begin as a pack");
  if (pack.readUInt32BE(4) !== 2) corrupt(`pack version ${pack.readUInt32BE(4)}`);
  const end = pack.byteLength - 20;
  if (!createHash("sha1").update(pack.subarray(0, end)).digest().equals(pack.subarray(end))) corrupt("wrong checksum");
  const count = pack.readUInt32BE(8);
  if (count > limits.objectsMax) tooMuch("objects", `${count} objects`);

  const objects = new Map<string, GitObject>();
  const byOffset = new Map<number, GitObject>();
  const waiting = new Map<string | number, Waiting[]>();
  let waitingCount = 0;
  let unpackedBytes = 0;
  const spend = (bytes: number) => {
    if (bytes > limits.objectBytesMax) tooMuch("objectBytes", `an object of ${bytes} bytes`);
    unpackedBytes += bytes;
    if (unpackedBytes > limits.unpackedBytesMax) tooMuch("unpackedBytes", `more than ${limits.unpackedBytesMax} bytes`);
  };

  // Iterative on purpose: a chain of deltas may be as long as the pack.
  const settle = (offset: number, object: GitObject) => {
    const ready = [{ offset, object }];
    for (let next = ready.pop(); next; next = ready.pop()) {
      const oid = oidOf(next.object);
      objects.set(oid, next.object);
      byOffset.set(next.offset, next.object);
      for (const key of [next.offset, oid]) {
        const waiters = waiting.get(key);
        if (!waiters) continue;
        waiting.delete(key);
        waitingCount -= waiters.length;
        for (const waiter of waiters)
          ready.push({ offset: waiter.offset, object: applyDelta(next.object, waiter.delta, spend) });
      }
    }
  };

  let at = 12;
  for (let i = 0; i < count; i += 1) {
    // A large pack must not hold up the other repositories of this process.
    if (i % 400 === 399) await new Promise((resolve) => setImmediate(resolve));
    const offset = at;
    if (at >= end) corrupt("it ends too early");
    let byte = pack[at++]!;
    const type = (byte >> 4) & 7;
    let size = byte & 15;
    for (let shift = 4; byte & 0x80; shift += 7) {
      byte = pack[at++]!;
      size += (byte & 0x7f) * 2 ** shift;
      if (shift > 46) corrupt("a size without end");
    }
    let baseKey: string | number | undefined;
    if (type === refDelta) {
      baseKey = pack.toString("hex", at, at + 20);
      at += 20;
    } else if (type === offsetDelta) {
      byte = pack[at++]!;
      let distance = byte & 0x7f;
      while (byte & 0x80) {
        byte = pack[at++]!;
        distance = (distance + 1) * 128 + (byte & 0x7f);
        if (distance > pack.byteLength) corrupt("a delta before the pack's beginning");
      }
      baseKey = offset - distance;
    } else if (!types[type]) corrupt(`object type ${type}`);
    spend(size);
    const { bytes, consumed } = inflate(pack.subarray(at, end), size);
    at += consumed;

    if (baseKey === undefined) {
      settle(offset, { type: types[type]!, bytes });
      continue;
    }
    const found = typeof baseKey === "number" ? byOffset.get(baseKey) : (objects.get(baseKey) ?? base(baseKey));
    if (found) settle(offset, applyDelta(found, bytes, spend));
    else {
      const list = waiting.get(baseKey);
      if (list) list.push({ offset, delta: bytes });
      else waiting.set(baseKey, [{ offset, delta: bytes }]);
      waitingCount += 1;
    }
  }
  if (at !== end) corrupt("bytes after its last object");
  return { objects, withoutBase: waitingCount };
}

export function oidOf(object: GitObject): string {
  return createHash("sha1").update(`${object.type} ${object.bytes.byteLength}\0`).update(object.bytes).digest("hex");
}

function inflate(input: Buffer, size: number): { bytes: Buffer; consumed: number } {
  try {
    // `info` gives the engine, which knows how many bytes the object took in the pack.
    const result = inflateSync(input, {
      info: true,
      chunkSize: Math.max(64, size + 1),
      maxOutputLength: size + 1,
    }) as unknown as { buffer: Buffer; engine: { bytesWritten: number } };
    if (result.buffer.byteLength !== size) corrupt("an object of another size than announced");
    return { bytes: result.buffer, consumed: result.engine.bytesWritten };
  } catch (error) {
    if (error instanceof GitFailure) throw error;
    return corrupt("an object that does not inflate");
  }
}

function applyDelta(base: GitObject, delta: Buffer, spend: (bytes: number) => void): GitObject {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = delta[at++];
      if (byte === undefined || shift > 49) corrupt("a broken delta");
      value += (byte & 0x7f) * 2 ** shift;
      if (!(byte & 0x80)) return value;
    }
  };
  if (varint() !== base.bytes.byteLength) corrupt("a delta for another object");
  const size = varint();
  // Counted before the memory is taken: what a delta claims to unfold to is the server's word only.
  spend(size);
  const target = Buffer.allocUnsafe(size);
  let filled = 0;
  while (at < delta.byteLength) {
    const op = delta[at++]!;
    if (op & 0x80) {
      let from = 0;
      let length = 0;
      for (let i = 0; i < 4; i += 1) if (op & (1 << i)) from += (delta[at++] ?? 0) * 2 ** (8 * i);
      for (let i = 0; i < 3; i += 1) if (op & (0x10 << i)) length += (delta[at++] ?? 0) * 2 ** (8 * i);
      if (length === 0) length = 0x10000;
      if (from + length > base.bytes.byteLength || filled + length > size) corrupt("a delta that reaches too far");
      base.bytes.copy(target, filled, from, from + length);
      filled += length;
    } else {
      if (op === 0 || at + op > delta.byteLength || filled + op > size) corrupt("a broken delta");
      delta.copy(target, filled, at, at + op);
      at += op;
      filled += op;
    }
  }
  if (filled !== size) corrupt("a delta that stops too early");
  return { type: base.type, bytes: target };
}

function corrupt(why: string): never {
  throw new GitFailure("FETCH_CORRUPT", `the Git server sent a damaged pack: ${why}`);
}

function tooMuch(which: string, what: string): never {
  throw new GitFailure("FETCH_LIMIT", `the Git server sent ${what}, which is over the limit`, { which });
}
