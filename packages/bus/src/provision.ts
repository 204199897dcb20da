// Brings streams and buckets to what `streams.ts` says; harmless to repeat, done on every connect by everybody.
// Durables are brought about by whoever pulls from them.
import {
  BUCKETS,
  type BucketDefinition,
  LARGE_BLOBS_BUCKET,
  STREAMS,
  type StreamDefinition,
} from "@driftless/contracts/streams";
import { BusError, type Wire } from "./wire.ts";

const nanoseconds = (ms: number) => ms * 1_000_000;

const ERROR = {
  streamNotFound: 10_059,
  nameInUse: 10_058,
  storageInsufficient: 10_047,
  /** An account's or the server's limit, under other circumstances. */
  resourcesExceeded: 10_023,
} as const;

/** Below this a stream is of no use; the server's disk is as good as full. */
const BYTES_MIN = 4 * 1024 * 1024;

const DUPLICATE_WINDOW_MS = 120_000;

type StreamConfig = Record<string, unknown> & { name: string; max_bytes: number };

/** `large-blob.<digest>.<n>`: chunk n; the first one says in a header how many there are. */
export const LARGE_BLOB_SUBJECT = "large-blob";

export const bucketStream = (bucket: string): string => `KV_${bucket}`;

export async function provision(wire: Wire): Promise<void> {
  await Promise.all([
    ...Object.values(STREAMS).map((stream) => ensureStream(wire, streamConfig(stream))),
    ...Object.values(BUCKETS).map((bucket) => ensureBucket(wire, bucket)),
    ensureStream(wire, largeBlobsConfig()),
  ]);
}

export async function ensureBucket(wire: Wire, bucket: BucketDefinition): Promise<void> {
  await ensureStream(wire, bucketConfig(bucket), {
    // Revisions never come again, not even after all was lost, so that they can serve as epochs: they go up by
    // less than one a millisecond, and begin with the milliseconds of the clock.
    first_seq: Math.floor(wire.clock.now()),
  });
}

async function ensureStream(wire: Wire, config: StreamConfig, whenNew: Record<string, unknown> = {}): Promise<void> {
  for (let found = await streamInfo(wire, config.name); ; found = await streamInfo(wire, config.name)) {
    try {
      const info = found
        ? differs(found.config, config)
          ? await wire.api<StreamInfo>(`STREAM.UPDATE.${config.name}`, { ...found.config, ...config })
          : found
        : await wire.api<StreamInfo>(`STREAM.CREATE.${config.name}`, { ...config, ...whenNew });
      wire.setBorn(config.name, info.created);
      return;
    } catch (error) {
      if (!(error instanceof BusError)) throw error;
      // Somebody else created it between question and order.
      if (error.number === ERROR.nameInUse && !found) continue;
      const full = error.number === ERROR.storageInsufficient || error.number === ERROR.resourcesExceeded;
      if (!full) throw error;
      if (found) {
        // What is there works; the disk is too small for more.
        wire.setBorn(config.name, found.created);
        return;
      }
      if (config.max_bytes / 2 < BYTES_MIN) throw error;
      // Limits are reserved in full by the server: on a small disk rather smaller streams than none.
      config = { ...config, max_bytes: Math.floor(config.max_bytes / 2) };
      wire.logger.warn({ stream: config.name, bytesMax: config.max_bytes }, "NATS has too little disk; smaller stream");
    }
  }
}

export interface StreamInfo {
  readonly config: Record<string, unknown>;
  readonly created: string;
  readonly state: { readonly last_seq: number; readonly first_seq: number; readonly messages: number };
}

export async function streamInfo(wire: Wire, name: string): Promise<StreamInfo | undefined> {
  try {
    return await wire.api<StreamInfo>(`STREAM.INFO.${name}`);
  } catch (error) {
    if (error instanceof BusError && error.number === ERROR.streamNotFound) return undefined;
    throw error;
  }
}

function differs(found: Record<string, unknown>, wanted: StreamConfig): boolean {
  return Object.entries(wanted).some(([key, value]) => JSON.stringify(found[key]) !== JSON.stringify(value));
}

function streamConfig(stream: StreamDefinition): StreamConfig {
  return {
    name: stream.name,
    description: stream.description,
    subjects: [...stream.subjects],
    retention: stream.retention,
    storage: "file",
    num_replicas: 1,
    discard: "old",
    max_age: nanoseconds(stream.maxAgeMs),
    max_bytes: stream.bytesMax,
    max_msgs_per_subject: stream.messagesPerSubjectMax ?? -1,
    duplicate_window: nanoseconds(stream.duplicateWindowMs ?? window(stream.maxAgeMs)),
    // Always on: what people ask with `nats stream get`, and our own reads, then need no consumer.
    allow_direct: true,
    ...(stream.subjectTransform && { subject_transform: { ...stream.subjectTransform } }),
  };
}

/** As ADR-8 has it, except that a full bucket lets go of its oldest values instead of refusing new ones. */
function bucketConfig(bucket: BucketDefinition): StreamConfig {
  return {
    name: bucketStream(bucket.name),
    description: bucket.description,
    subjects: [`$KV.${bucket.name}.>`],
    retention: "limits",
    storage: "file",
    num_replicas: 1,
    discard: "old",
    max_age: nanoseconds(bucket.ttlMs),
    max_bytes: bucket.bytesMax,
    max_msgs_per_subject: 1,
    duplicate_window: nanoseconds(window(bucket.ttlMs)),
    allow_direct: true,
    allow_rollup_hdrs: true,
  };
}

/** Chunks by digest and number; not the client's object store, whose puts take five times as long. */
function largeBlobsConfig(): StreamConfig {
  const { name, ttlMs, bytesMax } = LARGE_BLOBS_BUCKET;
  return {
    name,
    description: "Bodies over 512 KiB, in chunks",
    subjects: [`${LARGE_BLOB_SUBJECT}.*.*`],
    retention: "limits",
    storage: "file",
    num_replicas: 1,
    discard: "old",
    max_age: nanoseconds(ttlMs),
    max_bytes: bytesMax,
    max_msgs_per_subject: 1,
    duplicate_window: nanoseconds(window(ttlMs)),
    allow_direct: true,
  };
}

/** The server refuses a window that is longer than messages live. */
function window(maxAgeMs: number): number {
  return maxAgeMs === 0 ? DUPLICATE_WINDOW_MS : Math.min(maxAgeMs, DUPLICATE_WINDOW_MS);
}
