// Bodies by digest: a stream with one message per digest, chunks in another one for those over 512 KiB, and the
// most recently used bytes in memory. Nothing here is truth: whoever misses a body makes it again (DESIGN §3).
import { hash } from "node:crypto";
import { BLOB_STREAM_BYTES_MAX, LARGE_BLOBS_BUCKET, STREAMS } from "@driftless/contracts/streams";
import { lastMessage } from "./direct-get.ts";
import { LARGE_BLOB_SUBJECT } from "./provision.ts";
import type { Wire } from "./wire.ts";

export interface Blobs {
  /** Answers the SHA-256 in hex, once the bytes are stored. */
  put(bytes: Uint8Array): Promise<string>;
  /** Undefined: gone, or not what the digest says (`BLOB_GONE`). Throws only when NATS cannot be asked. Do not write into the bytes. */
  get(digest: string): Promise<Uint8Array | undefined>;
}

const MEMORY_BYTES_MAX = 64 * 1024 * 1024;
const STORE_DEADLINE_MS = 30_000;
const CHUNKS_HEADER = "Driftless-Chunks";
/**
 * How long "stored already" is believed. The stream drops its oldest when full and another process cannot tell
 * us that a body is gone, so a second put must reach the stream after a while.
 */
const KNOWN_MS = 60_000;
const KNOWN_MAX = 50_000;

export const digestOf = (bytes: Uint8Array): string => hash("sha256", bytes, "hex");

const isDigest = (text: string): boolean => /^[0-9a-f]{64}$/.test(text);
const blobSubject = (digest: string): string => STREAMS.blobs.subjects[0].replace("*", digest);

export function createBlobs(wire: Wire, memoryBytesMax = MEMORY_BYTES_MAX): Blobs {
  // A Map keeps the order of insertion: the first is the one used longest ago.
  const memory = new Map<string, Uint8Array>();
  const known = new Map<string, number>();
  const underWay = new Map<string, Promise<unknown>>();
  let memoryBytes = 0;
  let born: string | undefined;

  wire.onReady(() => {
    // The stream was lost with everything that we knew to be in it.
    const now = `${wire.born(STREAMS.blobs.name)} ${wire.born(LARGE_BLOBS_BUCKET.name)}`;
    if (born !== undefined && born !== now) known.clear();
    born = now;
  });

  const remember = (digest: string, bytes: Uint8Array) => {
    const there = memory.get(digest);
    if (there) memory.delete(digest);
    else memoryBytes += bytes.length;
    memory.set(digest, there ?? bytes);
    for (const [oldest, { length }] of memory) {
      if (memoryBytes <= memoryBytesMax) break;
      memory.delete(oldest);
      memoryBytes -= length;
    }
  };

  const markStored = (digest: string) => {
    known.delete(digest);
    known.set(digest, wire.clock.monotonic());
    if (known.size > KNOWN_MAX) known.delete(known.keys().next().value!);
  };

  const once = async <T>(key: string, work: () => Promise<T>): Promise<T> => {
    const running = underWay.get(key) as Promise<T> | undefined;
    if (running) return running;
    const promise = work().finally(() => underWay.delete(key));
    underWay.set(key, promise);
    return promise;
  };

  const store = async (digest: string, bytes: Uint8Array) => {
    if (bytes.length <= BLOB_STREAM_BYTES_MAX) {
      await wire.store(blobSubject(digest), bytes, undefined, STORE_DEADLINE_MS);
    } else {
      const count = Math.ceil(bytes.length / BLOB_STREAM_BYTES_MAX);
      const chunk = (n: number) => bytes.subarray(n * BLOB_STREAM_BYTES_MAX, (n + 1) * BLOB_STREAM_BYTES_MAX);
      for (let n = 1; n < count; n++) {
        await wire.store(`${LARGE_BLOB_SUBJECT}.${digest}.${n}`, chunk(n), undefined, STORE_DEADLINE_MS);
      }
      // Chunk 0 last: who finds it finds the others.
      const headers = { [CHUNKS_HEADER]: String(count) };
      await wire.store(`${LARGE_BLOB_SUBJECT}.${digest}.0`, chunk(0), headers, STORE_DEADLINE_MS);
    }
    markStored(digest);
  };

  const fetchLarge = async (digest: string): Promise<Uint8Array | undefined> => {
    const chunk = (n: number) => lastMessage(wire, LARGE_BLOBS_BUCKET.name, `${LARGE_BLOB_SUBJECT}.${digest}.${n}`);
    const first = await chunk(0);
    if (!first) return undefined;
    const parts = [first.data];
    const count = Number(first.header(CHUNKS_HEADER) ?? 1);
    for (let n = 1; n < count; n++) {
      const next = await chunk(n);
      if (!next) return undefined;
      parts.push(next.data);
    }
    return Buffer.concat(parts);
  };

  const fetch = async (digest: string): Promise<Uint8Array | undefined> => {
    const small = await lastMessage(wire, STREAMS.blobs.name, blobSubject(digest));
    const bytes = small?.data ?? (await fetchLarge(digest));
    if (!bytes || digestOf(bytes) !== digest) {
      known.delete(digest);
      if (bytes) wire.logger.warn({ digest }, "a stored body does not match its digest");
      return undefined;
    }
    // A copy of its own: what the client hands out may be a window on a larger read buffer, which would stay with it.
    const own = bytes.buffer.byteLength > bytes.length ? new Uint8Array(bytes) : bytes;
    remember(digest, own);
    return own;
  };

  return {
    async put(bytes) {
      const digest = digestOf(bytes);
      remember(digest, bytes);
      const storedAt = known.get(digest);
      if (storedAt !== undefined && wire.clock.monotonic() - storedAt < KNOWN_MS) return digest;
      await once(`put ${digest}`, () => store(digest, bytes));
      return digest;
    },
    async get(digest) {
      const bytes = memory.get(digest);
      if (bytes) {
        remember(digest, bytes);
        return bytes;
      }
      return isDigest(digest) ? once(`get ${digest}`, () => fetch(digest)) : undefined;
    },
  };
}
