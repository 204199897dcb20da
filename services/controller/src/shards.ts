// Shards (pure): which Applications are this replica's, and what it listens to for them.
import { triggerAllDurable, triggerDurable, type DurableDefinition } from "@driftless/contracts/streams";
import { SHARD_COUNT, subject } from "@driftless/contracts/subject";

export function ownedShards(replicas: { owns(partition: number): boolean }): number[] {
  return Array.from({ length: SHARD_COUNT }, (_, shard) => shard).filter((shard) => replicas.owns(shard));
}

/** One filter when all are ours, which is the usual case and spares the server 63 comparisons a message. */
export const resultFilters = (shards: readonly number[]): string[] =>
  shards.length === SHARD_COUNT ? [subject("res", ">")] : shards.map((shard) => subject("res", shard, ">"));

export const liveChangedFilters = (shards: readonly number[]): string[] =>
  shards.length === SHARD_COUNT
    ? [subject("fact", "live-changed", ">")]
    : shards.map((shard) => subject("fact", "live-changed", shard));

export const FACT_FILTERS: readonly string[] = [
  subject("fact", "revision-observed", ">"),
  subject("fact", "source-changed", ">"),
  subject("fact", "fetcher-started"),
  subject("fact", "live-state-reset"),
  subject("fact", "cluster-changed"),
  subject("fact", "refresh-all-requested"),
];

export const triggerDurables = (shards: readonly number[]): DurableDefinition[] => [
  ...shards.map(triggerDurable),
  triggerAllDurable,
];
