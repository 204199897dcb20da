// Who is alive, and who owns which partition: one heartbeat key per replica, rendezvous hash over the living
// (DESIGN §6). A hint, never a lock: effects are fenced at Kubernetes.
import { BUCKETS } from "@driftless/contracts/streams";
import { fnv1a32 } from "@driftless/contracts/subject";
import type { Clock } from "@driftless/process/clock";
import type { Logger } from "@driftless/process/telemetry";
import type { Bus } from "./connect.ts";
import type { KvEntry } from "./kv.ts";

export interface Replicas {
  readonly id: string;
  /** Sorted, ourselves included. */
  living(): string[];
  owns(partition: number): boolean;
  /** Revision of our key when it was created; another one, always larger, after we were taken for dead. */
  epoch(): number;
  /** The living or our epoch changed. Answers how to unsubscribe. */
  onChange(listener: () => void): () => void;
  /** The others take over at once. */
  leave(): Promise<void>;
}

const HEARTBEAT_MS = 1_000;
const EXPIRY_MS = 4_000;

/** The partition's owner: the replica with the highest score, so that one who comes or goes moves only its own. */
export function ownerOf(partition: number, replicas: readonly string[]): string | undefined {
  let owner: string | undefined;
  let highest = -1;
  for (const replica of replicas) {
    const score = scatter(fnv1a32(`${partition} ${replica}`));
    if (score > highest || (score === highest && owner !== undefined && replica < owner)) {
      highest = score;
      owner = replica;
    }
  }
  return owner;
}

/** MurmurHash3's last step: FNV alone keeps neighbours near each other, and then one replica gets most. */
function scatter(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

export async function joinReplicas(
  bus: Bus,
  options: { role: "controller" | "repo-fetcher"; id: string; clock: Clock; logger: Logger },
): Promise<Replicas> {
  const { role, id, clock, logger } = options;
  const bucket = await bus.kv(BUCKETS.replicas);
  const key = `${role}.${id}`;
  const body = Buffer.from("{}");
  const listeners = new Set<() => void>();
  /** The others, by when a heartbeat was last seen, on our own clock. */
  const seen = new Map<string, number>();
  let owners = new Map<number, string | undefined>();
  let told = "";
  let left = false;

  // Over an old key of ours too: an epoch belongs to one life.
  let epoch = await bucket.put(key, body);
  let revision = epoch;
  let beatenAt = clock.monotonic();
  let cancelBeat: () => void = () => undefined;
  let cancelExpiry: () => void = () => undefined;

  const living = () => [id, ...seen.keys()].sort();

  const tell = () => {
    const now = `${epoch} ${living().join(" ")}`;
    if (now === told || left) return;
    if (told !== "") logger.info({ role, living: living(), epoch }, "replicas changed");
    told = now;
    owners = new Map();
    for (const listener of listeners) listener();
  };

  const expire = () => {
    // While NATS is away nobody's heartbeat can be seen, so nobody's absence can be judged.
    if (bus.connected) {
      const now = clock.monotonic();
      for (const [other, at] of seen) if (now - at > EXPIRY_MS) seen.delete(other);
      tell();
    }
    if (!left) cancelExpiry = clock.setTimer(HEARTBEAT_MS, expire);
  };

  const beat = async () => {
    try {
      const late = clock.monotonic() - beatenAt > EXPIRY_MS;
      const next = late ? undefined : await bucket.update(key, body, revision);
      if (left) return;
      if (next === undefined) {
        // The others took us for dead, or the bucket was lost: what we own from now on, we own anew.
        epoch = await bucket.put(key, body);
        revision = epoch;
        tell();
      } else revision = next;
      beatenAt = clock.monotonic();
    } catch (error) {
      logger.debug({ reason: (error as Error).message }, "heartbeat not sent");
    }
    if (!left) cancelBeat = clock.setTimer(HEARTBEAT_MS, () => void beat());
  };

  let initial: KvEntry[] | undefined = [];
  const take = (entry: KvEntry, ageMs: number) => {
    if (!entry.key.startsWith(`${role}.`) || entry.key === key) return;
    const other = entry.key.slice(role.length + 1);
    if (entry.value === undefined || ageMs > EXPIRY_MS) seen.delete(other);
    else seen.set(other, clock.monotonic() - ageMs);
  };
  const watching = await bucket.watch((entry) => {
    if (initial) initial.push(entry);
    else {
      take(entry, 0);
      tell();
    }
  });
  // Our own key was stored just now, so the newest entry tells the server's time: by that clock, which wrote them all,
  // keys of replicas that died before we came are old, and their partitions need not wait.
  const newest = Math.max(...initial.map((entry) => entry.storedAt));
  for (const entry of initial) take(entry, newest - entry.storedAt);
  initial = undefined;
  tell();

  const stopReady = bus.onReady(() => {
    const now = clock.monotonic();
    for (const other of seen.keys()) seen.set(other, now);
  });
  cancelBeat = clock.setTimer(HEARTBEAT_MS, () => void beat());
  cancelExpiry = clock.setTimer(HEARTBEAT_MS, expire);

  return {
    id,
    living,
    owns(partition) {
      if (!owners.has(partition)) owners.set(partition, ownerOf(partition, living()));
      return owners.get(partition) === id;
    },
    epoch: () => epoch,
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async leave() {
      if (left) return;
      left = true;
      cancelBeat();
      cancelExpiry();
      stopReady();
      await watching.stop();
      if (bus.connected) await bucket.delete(key).catch(() => undefined);
    },
  };
}
