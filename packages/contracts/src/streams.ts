// Streams, durable consumers and buckets with their limits, as data: every service provisions all of it,
// idempotently, on each connect. All on file, because memory streams do not outlive a nats-server restart
// (DESIGN §7); nothing here is a ledger, so limits are small and the oldest goes first.
import { FETCH_PARTITION_COUNT, SHARD_COUNT, subject } from "./subject.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const MIB = 1024 * 1024;

export interface StreamDefinition {
  readonly name: string;
  readonly description: string;
  readonly subjects: readonly string[];
  readonly retention: "limits" | "workqueue";
  readonly maxAgeMs: number;
  readonly bytesMax: number;
  readonly messagesPerSubjectMax?: number;
  readonly duplicateWindowMs?: number;
  readonly allowDirect?: boolean;
  readonly subjectTransform?: { readonly src: string; readonly dest: string };
}

export const STREAMS = {
  /** Refresh requests; each is put on its shard by the server, the newest of an app replaces the one before. */
  triggers: {
    name: "TRIGGERS",
    description: "Refresh requests, one per Application, on their shard",
    subjects: [subject("refresh", ">")],
    retention: "workqueue",
    maxAgeMs: 60 * MINUTE,
    bytesMax: 64 * MIB,
    messagesPerSubjectMax: 1,
    subjectTransform: {
      src: subject("refresh", "*", "*"),
      dest: subject("trigger", `{{partition(${SHARD_COUNT},1,2)}}`, "{{wildcard(1)}}", "{{wildcard(2)}}"),
    },
  },
  pushes: {
    name: "PUSHES",
    description: "Pushes told by verified webhooks and CI jobs",
    subjects: [subject("push")],
    retention: "limits",
    maxAgeMs: 10 * MINUTE,
    bytesMax: 64 * MIB,
  },
  commands: {
    name: "COMMANDS",
    description: "What the controller asks of the workers",
    subjects: [subject("cmd", ">")],
    retention: "workqueue",
    maxAgeMs: 10 * MINUTE,
    bytesMax: 512 * MIB,
    duplicateWindowMs: 2 * MINUTE,
  },
  results: {
    name: "RESULTS",
    description: "What the workers answered",
    subjects: [subject("res", ">")],
    retention: "limits",
    maxAgeMs: 10 * MINUTE,
    bytesMax: 512 * MIB,
    duplicateWindowMs: 2 * MINUTE,
  },
  facts: {
    name: "FACTS",
    description: "What was observed in repositories and clusters",
    subjects: [subject("fact", ">")],
    retention: "limits",
    maxAgeMs: 10 * MINUTE,
    bytesMax: 256 * MIB,
  },
  transitions: {
    name: "APP_TRANSITIONS",
    description: "Every change of state of every Application, for people and tools",
    subjects: [subject("app", ">")],
    retention: "limits",
    maxAgeMs: 7 * 24 * 60 * MINUTE,
    bytesMax: 1024 * MIB,
  },
  deliveries: {
    name: "DELIVERIES",
    description: "What came of each push: who follows it, who was woken, and why not",
    subjects: [subject("delivery", ">")],
    retention: "limits",
    maxAgeMs: 7 * 24 * 60 * MINUTE,
    bytesMax: 64 * MIB,
  },
  /** The newest of each Application. */
  observations: {
    name: "OBSERVATIONS",
    description: "With --observe: where Driftless would judge or act differently from what stands in the Application",
    subjects: [subject("observed", ">")],
    retention: "limits",
    maxAgeMs: 7 * 24 * 60 * MINUTE,
    bytesMax: 256 * MIB,
    messagesPerSubjectMax: 1,
  },
  actions: {
    name: "ACTIONS",
    description: "Actions on objects that somebody asked for, and what came of them",
    subjects: [subject("action", ">")],
    retention: "limits",
    maxAgeMs: 7 * 24 * 60 * MINUTE,
    bytesMax: 64 * MIB,
    duplicateWindowMs: 2 * MINUTE,
  },
  quarantine: {
    name: "QUARANTINE",
    description: "Messages set aside: broken ones, and those that failed five times",
    subjects: [subject("quarantine", ">")],
    retention: "limits",
    maxAgeMs: 7 * 24 * 60 * MINUTE,
    bytesMax: 64 * MIB,
  },
  /** A plain stream, not a KV bucket: that one refuses puts when full (DESIGN §3). */
  blobs: {
    name: "BLOBS",
    description: "Bodies by digest, up to 512 KiB; larger ones are in the object store",
    subjects: ["blob.*"],
    retention: "limits",
    maxAgeMs: 0,
    bytesMax: 1024 * MIB,
    messagesPerSubjectMax: 1,
    allowDirect: true,
  },
} as const satisfies Record<string, StreamDefinition>;

export interface DurableDefinition {
  readonly stream: string;
  readonly name: string;
  readonly filters: readonly string[];
  readonly ackWaitMs: number;
  readonly description: string;
}

/** After so many deliveries a message is set aside (threats §3.2). */
export const DELIVERIES_MAX = 5;

const numbers = (count: number) => Array.from({ length: count }, (_, n) => n);

/** One durable per shard for triggers, pulled by the shard's owner: a work queue refuses overlapping ones. */
export const triggerDurable = (shard: number): DurableDefinition => ({
  stream: STREAMS.triggers.name,
  name: `refresh-${shard}`,
  filters: [subject("trigger", shard, ">")],
  ackWaitMs: 30 * SECOND,
  description: `Refresh requests of shard ${shard}`,
});

/** `driftless.v1.refresh._all` has one token too few for the transform, hence its own consumer. */
export const triggerAllDurable: DurableDefinition = {
  stream: STREAMS.triggers.name,
  name: "refresh-all",
  filters: [subject("refresh", "*")],
  ackWaitMs: 30 * SECOND,
  description: "Refresh requests for every Application",
};

export const fetchDurable = (partition: number): DurableDefinition => ({
  stream: STREAMS.commands.name,
  name: `fetch-${partition}`,
  filters: [subject("cmd", "fetch", partition, ">")],
  ackWaitMs: 60 * SECOND,
  description: `Hop 2, repositories of partition ${partition}`,
});

export type WorkHop = "render" | "diff" | "sync";

export const workDurable = (hop: WorkHop, lane: "now" | "bulk"): DurableDefinition => ({
  stream: STREAMS.commands.name,
  name: `${hop}-${lane}`,
  filters: [subject("cmd", hop, lane)],
  ackWaitMs: 30 * SECOND,
  description: `Hop ${{ render: 3, diff: 4, sync: 5 }[hop]}, ${lane} lane`,
});

export const DURABLES: readonly DurableDefinition[] = [
  ...numbers(SHARD_COUNT).map(triggerDurable),
  triggerAllDurable,
  ...numbers(FETCH_PARTITION_COUNT).map(fetchDurable),
  ...(["render", "diff", "sync"] as const).flatMap((hop) => [workDurable(hop, "now"), workDurable(hop, "bulk")]),
];

export interface BucketDefinition {
  readonly name: string;
  readonly description: string;
  readonly ttlMs: number;
  readonly bytesMax: number;
}

export const BUCKETS = {
  /** Heartbeats of controller and repo-fetcher replicas; expiry is judged by the observer's clock. */
  replicas: { name: "REPLICAS", description: "Heartbeats of living replicas", ttlMs: 60 * SECOND, bytesMax: 8 * MIB },
  /** What plugins say of the sources that are theirs (plugin.ts). */
  plugins: { name: "PLUGINS", description: "Plugins that are found by a source's files", ttlMs: 0, bytesMax: 8 * MIB },
  /** What the differ remembers of applied objects, one key per Application; lost = one dry run per object. */
  records: { name: "RECORDS", description: "Records of applied objects (cache)", ttlMs: 0, bytesMax: 512 * MIB },
} as const satisfies Record<string, BucketDefinition>;

/** Bodies over this go to the object store. */
export const BLOB_STREAM_BYTES_MAX = 512 * 1024;
export const LARGE_BLOBS_BUCKET = { name: "LARGE_BLOBS", bytesMax: 4 * 1024 * MIB, ttlMs: 24 * 60 * MINUTE } as const;
