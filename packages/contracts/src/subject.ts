// The subject grammar of DESIGN §7: `driftless.v1.<family>.…`, general to specific, lower case.
// Kubernetes names may hold dots, which would split a NATS token, so a dot is written `_`: `_` cannot
// occur in a Kubernetes name, hence the encoding can be undone.

export const SUBJECT_ROOT = "driftless.v1";

/** How many shards the Applications are spread over; each is owned by one controller replica. */
export const SHARD_COUNT = 64;
/** How many partitions the repositories are spread over; each is owned by one repo-fetcher replica. */
export const FETCH_PARTITION_COUNT = 32;

export function encodeToken(name: string): string {
  return name.replaceAll(".", "_");
}

export function decodeToken(token: string): string {
  return token.replaceAll("_", ".");
}

/** FNV-1a, 32 bit, over UTF-8: what nats-server's `{{partition(n, …)}}` computes over the joined tokens. */
export function fnv1a32(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text, "utf8")) {
    hash = Math.imul(hash ^ byte, 0x01000193);
  }
  return hash >>> 0;
}

/** The shard of an Application; equal to the partition that the trigger stream's subject transform writes. */
export function shardOf(namespace: string, name: string): number {
  return fnv1a32(encodeToken(namespace) + encodeToken(name)) % SHARD_COUNT;
}

/** The partition of a repository, by the hash of its canonical name. */
export function fetchPartitionOf(repositoryHash: string): number {
  return fnv1a32(repositoryHash) % FETCH_PARTITION_COUNT;
}

export function subject(...tokens: (string | number)[]): string {
  return `${SUBJECT_ROOT}.${tokens.join(".")}`;
}
