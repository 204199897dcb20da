// LiveState (edge): one watch per kind in use of a cluster, whatever the number of Applications; what is kept of each
// object; and what is told when one of an Application's objects changes by itself.
//
// Each event goes: observe (what to keep) → judge (what it means) → tell, or hold until the record of our own apply
// comes. A watch that had to list again is compared with what was known, so nothing is missed and nothing repeated.
import { failure, type Failure } from "@driftless/contracts/failure";
import type { Health, LiveIdentity, ObjectKey } from "@driftless/contracts/identity";
import { clusterFailure } from "@driftless/kube/cluster-failure";
import type { Cluster } from "@driftless/kube/clusters";
import { imprintOf } from "@driftless/kube/footprint";
import type { ApiResource, KubeObject } from "@driftless/kube/resource";
import { isNewer } from "@driftless/kube/resource-version";
import { watchResource, type Watch, type WatchEventType, type WatchStatus } from "@driftless/kube/watch";
import type { Customizations } from "@driftless/customizations/customizations";
import { healthOf } from "@driftless/manifests/health/health";
import type { ResourceKey } from "@driftless/manifests/resource-key";
import { TRACKING_LABEL } from "@driftless/manifests/tracking";
import type { Clock } from "@driftless/process/clock";
import type { Logger } from "@driftless/process/telemetry";
import type { KindView } from "./compare.ts";
import { expectedImprint, judge, type Remembered } from "./judge.ts";
import { createJudging } from "./judging.ts";
import type { RecordBook } from "./record-book.ts";
import { contentsOf, objectId, observe, withoutBookkeeping, type Observation, type Seen } from "./seen.ts";

/** A LiveChanged but for whom it is about. */
export interface LiveChange {
  object: ObjectKey;
  change: "suspect" | "deleted" | "health";
  live?: LiveIdentity;
  health?: Health;
  deleting?: boolean;
  by?: string;
}

/** What an Application has in one kind: desired objects, and those only in its inventory. */
export interface KindUse {
  cluster: Cluster;
  resource: ApiResource;
  desired: Set<string>;
  inventory: Set<string>;
  /** Hooks under way and objects being deleted: every change of their health is told, nothing is judged. */
  awaited?: Set<string>;
}

export interface LiveState {
  /** Replaces what is watched for the Application; answers when every kind was listed, failed, or time is up. */
  use(app: string, uses: readonly KindUse[], deadlineMs: number): Promise<void>;
  view(cluster: Cluster, resource: ApiResource): KindView;
  /** Applications are tracked by this label: what it says is read from now on. */
  readLabel(key: string): void;
  forgetApplication(app: string): void;
  /** A record came: judge what was waiting for it. `told`: the health that the syncer's result has. */
  recorded(server: string, key: ObjectKey, told?: { health?: Health }): void;
  /** The object was pruned by us: its end is no news. */
  pruned(app: string, server: string, key: ObjectKey): void;
  stop(): void;
}

export interface LiveStateOptions {
  clock: Clock;
  logger: Logger;
  records: RecordBook;
  customizations: Customizations;
  tell: (app: string, change: LiveChange) => void;
}

interface Kind {
  cluster: Cluster;
  readonly resource: ApiResource;
  readonly objects: Map<string, Seen>;
  /** Whose object it is, for what is told. */
  readonly owners: Map<string, { app: string; desired: boolean; awaited?: boolean }>;
  readonly users: Map<string, KindUse>;
  readonly held: Map<string, Held>;
  /** Applications that were told Unknown; they look again when the kind can be read. */
  readonly waitingApps: Set<string>;
  watch: Watch;
  /** Counts its watches; only the newest is listened to. */
  turn: number;
  listed: boolean;
  status: WatchStatus;
  failingSince: number | undefined;
  wake: Set<() => void>;
  cancelStop: (() => void) | undefined;
}

interface Held {
  object: KubeObject;
  observation: Observation;
  expected: string | undefined;
  cancel: () => void;
}

/** Our own apply's record comes within milliseconds; after this long it was somebody else, or its result is lost. */
const HOLD_MS = 4_000;
const FRESH_MS = 1_500;
/** A prune's own DELETED event may come before its result. */
const DELETED_DELAY_MS = 1_500;
const UNUSED_MS = 5 * 60_000;
/** What was listed stays good for so long while the watch is being made again; all writes are fenced anyway. */
const STALE_MS = 15_000;

export function createLiveState(options: LiveStateOptions): LiveState {
  const { clock, logger, records, customizations, tell } = options;
  const kinds = new Map<string, Kind>();
  const usesOf = new Map<string, Map<string, KindUse>>();
  const labelKeys = new Set<string>();
  let stopped = false;

  // ── watching ────────────────────────────────────────────────────────────────────────────────────────────────────

  function open(cluster: Cluster, resource: ApiResource): Kind {
    const id = kindId(cluster.server, resource);
    const known = kinds.get(id);
    if (known?.cluster === cluster) return known;
    if (known) {
      // Its Secret changed, and with it the client. What is known stays, and is compared with the first new list.
      known.watch.stop();
      known.cluster = cluster;
      known.watch = watchKind(known);
      return known;
    }
    const kind: Kind = {
      cluster,
      resource,
      objects: new Map(),
      owners: new Map(),
      users: new Map(),
      held: new Map(),
      waitingApps: new Set(),
      watch: undefined as unknown as Watch,
      turn: 0,
      listed: false,
      status: { kind: "listing" },
      failingSince: undefined,
      wake: new Set(),
      cancelStop: undefined,
    };
    kinds.set(id, kind);
    kind.watch = watchKind(kind);
    return kind;
  }

  function watchKind(kind: Kind): Watch {
    const { cluster, resource } = kind;
    // A watch that was replaced or stopped may still have something to say.
    const turn = ++kind.turn;
    const current = () => kind.turn === turn;
    const onProblem = (cause: unknown) =>
      logger.error({ err: cause, kind: resource.kind }, "the health of objects could not be asked");
    const judging = customizations.decidesHealth(resource)
      ? createJudging({ kind: resource, customizations, onProblem })
      : undefined;
    const judged = (observations: readonly Observation[], goOn: () => void): void => {
      if (judging) judging.push(observations, () => current() && goOn());
      else if (current()) goOn();
    };
    const watch = watchResource<Observation>({
      client: cluster.client,
      resource,
      select: (object) => {
        const observation = select(kind, object);
        if (!judging) setHealth(observation.seen, healthOf(object));
        return observation;
      },
      onState: ({ objects }) => judged(objects, () => onState(kind, objects)),
      onEvent: ({ type, object }) => judged(type === "DELETED" ? [] : [object], () => onEvent(kind, type, object)),
      onStatus: (status) => current() && onStatus(kind, status),
      onProblem: (cause) => logger.error({ err: cause, kind: resource.kind }, "an event could not be read"),
    });
    // Stopped before the first list: nobody waits for it any more.
    watch.synced.catch(() => undefined);
    return watch;
  }

  function select(kind: Kind, object: KubeObject): Observation {
    const key = keyOf(kind, object.metadata.namespace ?? "", object.metadata.name);
    const record = recordFor(kind, key);
    const observation = observe(
      object,
      key,
      record?.uid === object.metadata.uid ? record.footprint : undefined,
      labelKeys,
    );
    if (!record && kind.owners.has(observation.id)) observation.seen.contents = contentsOf(object);
    return observation;
  }

  function onState(kind: Kind, observations: readonly Observation[]): void {
    const first = !kind.listed;
    kind.listed = true;
    const gone = new Map(kind.objects);
    for (const observation of observations) {
      gone.delete(observation.id);
      if (first) kind.objects.set(observation.id, observation.seen);
      else onEvent(kind, "MODIFIED", observation);
    }
    for (const id of gone.keys()) onDeleted(kind, id);
    for (const wake of kind.wake) wake();
  }

  function onStatus(kind: Kind, status: WatchStatus): void {
    kind.status = status;
    if (status.kind === "failing") {
      kind.failingSince ??= clock.monotonic();
      if (isFinal(status)) for (const wake of kind.wake) wake();
    }
    if (status.kind !== "healthy") return;
    kind.failingSince = undefined;
    for (const app of kind.waitingApps) lookAgain(kind, app);
    kind.waitingApps.clear();
  }

  function lookAgain(kind: Kind, app: string): void {
    const use = kind.users.get(app);
    const id = use && (first(use.desired) ?? first(use.inventory));
    if (id !== undefined) tell(app, { object: keyOfId(kind, id), change: "suspect" });
  }

  // ── events ──────────────────────────────────────────────────────────────────────────────────────────────────────

  function onEvent(kind: Kind, type: WatchEventType, observation: Observation): void {
    const { id, seen } = observation;
    if (kind.resource.kind === "CustomResourceDefinition") kind.cluster.discovery.invalidate();
    if (type === "DELETED") return onDeleted(kind, id);
    const before = kind.objects.get(id);
    if (before?.uid === seen.uid && !isNewer(seen.resourceVersion, before.resourceVersion))
      return judgedAnew(kind, id, before, seen);
    kind.objects.set(id, seen);
    const owner = kind.owners.get(id);
    if (!owner) return;
    if (owner.awaited) return tellChange(kind, id, owner.app, "health", seen, undefined);

    const record = recordFor(kind, keyOfId(kind, id));
    const held = kind.held.get(id);
    const judgement = judge({
      before,
      now: seen,
      by: observation.by,
      record,
      waiting: held,
      recordIsFresh: clock.monotonic() - (record?.receivedAt ?? -Infinity) < FRESH_MS,
    });
    if (judgement === "wait") return hold(kind, id, observation, held, record && expectedImprint(before, seen, record));
    release(kind, id);
    if (judgement === "suspect") return tellChange(kind, id, owner.app, "suspect", seen, observation.by);
    if (before && !sameHealth(before, seen)) tellChange(kind, id, owner.app, "health", seen, observation.by);
  }

  /** The same state, listed once more: only by another rule it has another health. */
  function judgedAnew(kind: Kind, id: string, before: Seen, seen: Seen): void {
    if (before.resourceVersion !== seen.resourceVersion || sameHealth(before, seen)) return;
    setHealth(before, seen.health);
    const owner = kind.owners.get(id);
    if (owner) tellChange(kind, id, owner.app, "health", before, undefined);
  }

  /** Kinds of which another script decides now, or none any more, are listed anew. */
  customizations.onChange((before) => {
    for (const kind of kinds.values()) {
      if (JSON.stringify(before.health(kind.resource)) === JSON.stringify(customizations.rules.health(kind.resource)))
        continue;
      kind.watch.stop();
      kind.watch = watchKind(kind);
    }
  });

  function onDeleted(kind: Kind, id: string): void {
    const before = kind.objects.get(id);
    kind.objects.delete(id);
    release(kind, id);
    const owner = kind.owners.get(id);
    if (!before || !owner) return;
    const announce = () => {
      const now = kind.owners.get(id);
      if (stopped || now?.app !== owner.app || kind.objects.has(id)) return;
      const { uid, resourceVersion } = before;
      tell(owner.app, { object: keyOfId(kind, id), change: "deleted", live: { uid, resourceVersion } });
    };
    if (owner.desired || owner.awaited) announce();
    else clock.setTimer(DELETED_DELAY_MS, announce);
  }

  function tellChange(
    kind: Kind,
    id: string,
    app: string,
    change: "suspect" | "health",
    seen: Seen,
    by: string | undefined,
  ): void {
    tell(app, {
      object: keyOfId(kind, id),
      change,
      live: { uid: seen.uid, resourceVersion: seen.resourceVersion },
      ...(seen.health && { health: seen.health }),
      ...(seen.deleting && { deleting: true }),
      ...(by !== undefined && { by }),
    });
  }

  // ── holding what may be our own ─────────────────────────────────────────────────────────────────────────────────

  function hold(
    kind: Kind,
    id: string,
    observation: Observation,
    held: Held | undefined,
    expected: string | undefined,
  ): void {
    const object = withoutBookkeeping(observation.object);
    const kept = { ...observation, object };
    if (held) Object.assign(held, { object, observation: kept });
    else {
      const cancel = clock.setTimer(HOLD_MS, () => expire(kind, id));
      kind.held.set(id, { object, observation: kept, expected, cancel });
    }
  }

  function release(kind: Kind, id: string): void {
    kind.held.get(id)?.cancel();
    kind.held.delete(id);
  }

  /** No record came: judge by what was expected before. */
  function expire(kind: Kind, id: string): void {
    const held = kind.held.get(id);
    const owner = kind.owners.get(id);
    kind.held.delete(id);
    if (!held || !owner || stopped) return;
    const { seen, by } = held.observation;
    if (held.expected !== undefined && held.expected === seen.imprint) return;
    tellChange(kind, id, owner.app, "suspect", seen, by);
  }

  function settle(kind: Kind, id: string, record: Remembered, told?: { health?: Health }): void {
    const seen = kind.objects.get(id);
    const held = kind.held.get(id);
    if (!seen || seen.uid !== record.uid) return;
    if (!isNewer(seen.resourceVersion, record.resourceVersion)) {
      // The object's state is the record's, or older: it will come by itself.
      release(kind, id);
      Object.assign(seen, { footprint: record.footprint, imprint: record.imprint, contents: undefined });
      return;
    }
    if (held) {
      seen.imprint = imprintOf(held.object, record.footprint);
      seen.footprint = record.footprint;
    }
    const owner = kind.owners.get(id);
    // Seen before, not kept, and its shape was another one: the next comparison finds it "not judged yet".
    if (!owner || seen.footprint !== record.footprint) return;
    const differs = seen.imprint !== record.imprint;
    // A second apply of ours, whose record is still to come.
    if (held && differs && seen.appliedAt !== record.appliedAt) return;
    release(kind, id);
    if (differs) tellChange(kind, id, owner.app, "suspect", seen, held?.observation.by);
    else if (told && !sameHealth(told, seen)) tellChange(kind, id, owner.app, "health", seen, held?.observation.by);
  }

  // ── who uses what ───────────────────────────────────────────────────────────────────────────────────────────────

  function assign(app: string, uses: ReadonlyMap<string, KindUse>): Kind[] {
    const before = usesOf.get(app);
    usesOf.set(app, new Map(uses));
    const opened = [...uses].map(([id, use]) => {
      const kind = open(use.cluster, use.resource);
      kind.cancelStop?.();
      kind.cancelStop = undefined;
      const earlier = before?.get(id);
      for (const object of earlier ? ids(earlier) : []) {
        if (!use.desired.has(object) && !use.inventory.has(object)) disown(kind, app, object);
      }
      for (const object of use.inventory) kind.owners.set(object, { app, desired: false });
      for (const object of use.awaited ?? []) kind.owners.set(object, { app, desired: false, awaited: true });
      for (const object of use.desired) kind.owners.set(object, { app, desired: true });
      kind.users.set(app, use);
      return kind;
    });
    for (const [id, use] of before ?? []) if (!uses.has(id)) leave(kinds.get(id), app, use);
    return opened;
  }

  function disown(kind: Kind, app: string, id: string): void {
    if (kind.owners.get(id)?.app !== app) return;
    kind.owners.delete(id);
    release(kind, id);
  }

  function leave(kind: Kind | undefined, app: string, use: KindUse): void {
    if (!kind) return;
    for (const id of ids(use)) disown(kind, app, id);
    kind.users.delete(app);
    kind.waitingApps.delete(app);
    if (kind.users.size > 0) return;
    kind.cancelStop ??= clock.setTimer(UNUSED_MS, () => {
      if (kind.users.size > 0) return;
      kinds.delete(kindId(kind.cluster.server, kind.resource));
      kind.watch.stop();
    });
  }

  async function listed(kind: Kind, deadlineMs: number): Promise<void> {
    if (kind.listed || isFinal(kind.status)) return;
    await new Promise<void>((resolve) => {
      const cancel = clock.setTimer(deadlineMs, done);
      function done(): void {
        cancel();
        kind.wake.delete(done);
        resolve();
      }
      kind.wake.add(done);
    });
  }

  function view(cluster: Cluster, resource: ApiResource): KindView {
    const kind = kinds.get(kindId(cluster.server, resource));
    const why = kind ? unreadable(kind) : failure("INTERNAL", `${resource.kind} is not watched.`);
    if (why || !kind) return { kind: "unreadable", failure: why! };
    return { kind: "listed", get: (namespace, name) => kind.objects.get(objectId(namespace, name)) };
  }

  function unreadable(kind: Kind): Failure | undefined {
    const what = `${kind.resource.kind} (${kind.resource.group || "core"}/${kind.resource.version})`;
    const { status, failingSince } = kind;
    const tooOld = failingSince !== undefined && clock.monotonic() - failingSince > STALE_MS;
    if (kind.listed && !tooOld) return undefined;
    if (status.kind === "failing") return clusterFailure(status.error, what);
    return kind.listed ? undefined : failure("KIND_UNAVAILABLE", `${what} has not been listed in time.`);
  }

  function recordFor(kind: Kind, key: ResourceKey): Remembered | undefined {
    const record = records.of(kind.cluster.server, key);
    return record?.version === kind.resource.version ? record : undefined;
  }

  return {
    async use(app, uses, deadlineMs) {
      const opened = assign(app, new Map(uses.map((use) => [kindId(use.cluster.server, use.resource), use])));
      await Promise.all(opened.map((kind) => listed(kind, deadlineMs)));
      for (const kind of opened) if (unreadable(kind)) kind.waitingApps.add(app);
    },
    view,
    readLabel(key) {
      if (key === TRACKING_LABEL || labelKeys.has(key)) return;
      labelKeys.add(key);
      // What was listed before lacks it, so nothing counts until it is listed again.
      for (const kind of kinds.values()) {
        kind.watch.stop();
        kind.listed = false;
        kind.watch = watchKind(kind);
      }
    },
    forgetApplication(app) {
      for (const [id, use] of usesOf.get(app) ?? []) leave(kinds.get(id), app, use);
      usesOf.delete(app);
    },
    recorded(server, key, told) {
      const kind = kinds.get(kindId(server, key));
      const record = kind && recordFor(kind, key);
      if (!kind || !record) return;
      settle(kind, objectId(key.namespace, key.name), record, told);
    },
    pruned(app, server, key) {
      const kind = kinds.get(kindId(server, key));
      if (kind) disown(kind, app, objectId(key.namespace, key.name));
    },
    stop() {
      stopped = true;
      for (const kind of kinds.values()) {
        kind.watch.stop();
        kind.cancelStop?.();
        for (const id of kind.held.keys()) release(kind, id);
      }
      kinds.clear();
      logger.debug("watches stopped");
    },
  };
}

const ids = (use: KindUse): string[] => [...use.desired, ...use.inventory, ...(use.awaited ?? [])];

const kindId = (server: string, { group, version, kind }: Pick<ApiResource, "group" | "version" | "kind">): string =>
  `${server} ${group}/${version}/${kind}`;

function keyOf(kind: Kind, namespace: string, name: string): ObjectKey {
  const { group, version, kind: name_ } = kind.resource;
  return { group, version, kind: name_, namespace, name };
}

function keyOfId(kind: Kind, id: string): ObjectKey {
  const slash = id.indexOf("/");
  return keyOf(kind, id.slice(0, slash), id.slice(slash + 1));
}

const first = (ids: ReadonlySet<string>): string | undefined => ids.values().next().value;

const sameHealth = (a: { health?: Health }, b: { health?: Health }): boolean =>
  a.health?.status === b.health?.status &&
  a.health?.message === b.health?.message &&
  a.health?.stale === b.health?.stale;

function setHealth(seen: Seen, health: Health | undefined): void {
  if (health) seen.health = health;
  else delete seen.health;
}

/** Not worth waiting for: asking again will not help soon. */
function isFinal(status: WatchStatus): boolean {
  if (status.kind !== "failing") return false;
  return status.attempts >= 3 || !["UNREACHABLE", "TIMEOUT", "RATE_LIMITED"].includes(status.error.code);
}
