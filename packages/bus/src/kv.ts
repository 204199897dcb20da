// Key-value buckets as of ADR-8, over our own requests: what `nats kv` shows is what is meant here.
import type { BucketDefinition } from "@driftless/contracts/streams";
import type { Consumption } from "./consume.ts";
import { lastMessage } from "./direct-get.ts";
import { readOrdered } from "./ordered.ts";
import { bucketStream, ensureBucket } from "./provision.ts";
import { BusError, type Headers, type Wire } from "./wire.ts";

export interface KvEntry {
  readonly key: string;
  /** Undefined: the key was deleted (in `watch` only). */
  readonly value: Uint8Array | undefined;
  readonly revision: number;
  /** When it was stored, by the server's clock; milliseconds since the epoch. */
  readonly storedAt: number;
}

export interface KvBucket {
  get(key: string): Promise<KvEntry | undefined>;
  /** Answers the revision. */
  put(key: string, value: Uint8Array): Promise<number>;
  /** Undefined: it exists already. */
  create(key: string, value: Uint8Array): Promise<number | undefined>;
  /** Undefined: its revision is another one. */
  update(key: string, value: Uint8Array, revision: number): Promise<number | undefined>;
  delete(key: string): Promise<void>;
  /** Every key there is, then every change, in order; resolves when the present keys have been told. */
  watch(listener: (entry: KvEntry) => void): Promise<Consumption>;
}

const EXPECTED_REVISION = "Nats-Expected-Last-Subject-Sequence";
const OPERATION = "KV-Operation";
const WRONG_REVISION = 10_071;
const DEADLINE_MS = 10_000;

export async function openKv(wire: Wire, bucket: BucketDefinition): Promise<KvBucket> {
  await ensureBucket(wire, bucket);
  const stream = bucketStream(bucket.name);
  const prefix = `$KV.${bucket.name}.`;

  const store = async (key: string, value: Uint8Array | undefined, headers?: Headers): Promise<number> =>
    (await wire.store(prefix + key, value, headers, DEADLINE_MS)).seq;

  const update = async (key: string, value: Uint8Array, revision: number): Promise<number | undefined> => {
    try {
      return await store(key, value, { [EXPECTED_REVISION]: String(revision) });
    } catch (error) {
      if (error instanceof BusError && error.number === WRONG_REVISION) return undefined;
      throw error;
    }
  };

  return {
    async get(key) {
      const found = await lastMessage(wire, stream, prefix + key, DEADLINE_MS);
      if (!found || found.header(OPERATION)) return undefined;
      return { key, value: found.data, revision: found.seq, storedAt: found.storedAt };
    },
    put: (key, value) => store(key, value),
    async create(key, value) {
      const revision = await update(key, value, 0);
      if (revision !== undefined) return revision;
      // A deleted key leaves a marker, over which it may be created again.
      const marker = await lastMessage(wire, stream, prefix + key, DEADLINE_MS);
      return marker?.header(OPERATION) ? update(key, value, marker.seq) : undefined;
    },
    update,
    async delete(key) {
      await store(key, undefined, { [OPERATION]: "DEL" });
    },
    async watch(listener) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const consumption = await readOrdered(wire, {
        stream,
        filters: [`${prefix}>`],
        start: "last-per-subject",
        message: (delivered) => {
          const deleted = delivered.message.headers?.has(OPERATION) ?? false;
          listener({
            key: delivered.subject.slice(prefix.length),
            value: deleted ? undefined : delivered.data,
            revision: delivered.streamSeq,
            storedAt: delivered.storedAt,
          });
        },
        caughtUp: resolve,
      });
      await promise;
      return consumption;
    },
  };
}
