// Writer (edge): the only one that writes Applications. Level, not edge: whenever asked, it brings the Application to
// what its actor's context says now, with one patch, or none when it says so already.
//
// W1 Every write carries the resourceVersion of what it was computed from; on 409 it reads, tells the actor, computes anew.
// W2 One write at a time for each Application; what is asked for meanwhile is one further write.
// W3 What nobody waits for (health) makes way while many operations are being written, for a bounded time: it is then
//    often part of a write that comes anyway.
import { Application, readLeniently } from "@driftless/contracts/application";
import { mergePatch } from "@driftless/kube/apply";
import type { KubeClient } from "@driftless/kube/client";
import { APPLICATIONS, type KubeObject } from "@driftless/kube/resource";
import { isNewer } from "@driftless/kube/resource-version";
import type { Clock } from "@driftless/process/clock";
import type { Logger } from "@driftless/process/telemetry";
import type { Context } from "./application/context.ts";
import { INFO, infoOf } from "./application/operation-record.ts";
import { applicationPatch } from "./application/status.ts";
import type { Sent } from "./host.ts";

const SOON_MS = 1_000;
const SOON_INTERVAL_MS = 2_000;
const SOON_LATEST_MS = 15_000;
/** So many writes within about a second that somebody waits for are a crowd. */
const CROWD = 10;
const CROWD_WINDOW_MS = 1_000;
const CONFLICTS_MAX = 5;
const RETRY_BASE_MS = 500;
const RETRY_CAP_MS = 30_000;

interface Entry {
  namespace: string;
  name: string;
  live: Application;
  dirty: boolean;
  writing: boolean;
  attempts: number;
  conflicts: number;
  writtenAt: number;
  cancelTimer?: () => void;
  gone: boolean;
}

export interface WriterOptions {
  client: KubeClient;
  clock: Clock;
  logger: Logger;
  contextOf(uid: string): Context | undefined;
  send(uid: string, event: Sent): void;
  /** What a read after a conflict found. */
  onRead(object: KubeObject): void;
  onWrite(outcome: "written" | "conflict" | "failed"): void;
}

export interface Writer {
  /** What a watch told; false when it is not newer than what is known here, as after our own writes. */
  observe(uid: string, object: KubeObject): boolean;
  request(uid: string, urgency: "now" | "soon"): void;
  forget(uid: string): void;
  /** Resolves when nothing is being written. */
  settled(): Promise<void>;
}

export function createWriter(options: WriterOptions): Writer {
  const { client, clock, logger } = options;
  const entries = new Map<string, Entry>();
  const writes = new Set<Promise<void>>();

  const schedule = (uid: string, entry: Entry, delayMs: number): void => {
    entry.cancelTimer?.();
    entry.cancelTimer = clock.setTimer(delayMs, () => {
      entry.cancelTimer = undefined;
      flush(uid, entry);
    });
  };

  let crowd = 0;
  let crowdAt = 0;
  const crowdNow = (): number => crowd * Math.exp((crowdAt - clock.monotonic()) / CROWD_WINDOW_MS);
  const countNow = (): void => {
    crowd = crowdNow() + 1;
    crowdAt = clock.monotonic();
  };

  const flushSoon = (uid: string, entry: Entry, delayMs: number, since = clock.monotonic()): void => {
    entry.cancelTimer?.();
    entry.cancelTimer = clock.setTimer(delayMs, () => {
      entry.cancelTimer = undefined;
      const late = clock.monotonic() - since >= SOON_LATEST_MS;
      if (!late && crowdNow() > CROWD) flushSoon(uid, entry, SOON_MS, since);
      else flush(uid, entry);
    });
  };

  const flush = (uid: string, entry: Entry): void => {
    if (entry.gone || entry.writing) return;
    entry.writing = true;
    entry.dirty = false;
    entry.cancelTimer?.();
    entry.cancelTimer = undefined;
    const write = writeOnce(uid, entry)
      .catch((error: unknown) => logger.error({ err: error, uid }, "an Application could not be written"))
      .finally(() => {
        entry.writing = false;
        writes.delete(write);
        if (entry.dirty) queueMicrotask(() => flush(uid, entry));
      });
    writes.add(write);
  };

  const again = (uid: string, entry: Entry): void => {
    entry.attempts++;
    schedule(uid, entry, Math.min(RETRY_CAP_MS, RETRY_BASE_MS * 2 ** entry.attempts) * (0.5 + clock.random()));
  };

  async function writeOnce(uid: string, entry: Entry): Promise<void> {
    const context = options.contextOf(uid);
    if (!context) return;
    const planned = applicationPatch(context, entry.live, clock.now());
    if (!planned) return told(uid, context);
    const outcome = await mergePatch({
      client,
      resource: APPLICATIONS,
      key: { namespace: entry.namespace, name: entry.name },
      patch: planned.patch,
      resourceVersion: entry.live.metadata.resourceVersion,
    });
    if (outcome.kind === "ok") {
      options.onWrite("written");
      entry.attempts = 0;
      entry.conflicts = 0;
      entry.writtenAt = clock.monotonic();
      keep(entry, outcome.object);
      if (planned.refresh !== undefined) {
        options.send(uid, { type: "RefreshAnswered", value: planned.refresh });
      }
      return told(uid, context);
    }
    const { error } = outcome;
    if (error.code === "NOT_FOUND") return;
    if (error.code === "CONFLICT") {
      options.onWrite("conflict");
      return conflict(uid, entry, context);
    }
    options.onWrite("failed");
    logger.warn(
      { app: `${entry.namespace}/${entry.name}`, code: error.code, why: error.message },
      "status not written",
    );
    if (error.retryable || error.code === "FORBIDDEN" || error.code === "UNAUTHORIZED") again(uid, entry);
  }

  async function conflict(uid: string, entry: Entry, context: Context): Promise<void> {
    entry.conflicts++;
    const read = await client.get(APPLICATIONS, entry.namespace, entry.name);
    if (read.kind === "error") {
      if (read.error.code !== "NOT_FOUND") again(uid, entry);
      return;
    }
    if (read.object.metadata.uid !== context.view.ref.uid) return;
    if (ownedByLater(slim(read.object), context)) {
      keep(entry, read.object);
      logger.warn({ app: `${entry.namespace}/${entry.name}` }, "another replica runs an operation of this Application");
      return;
    }
    // The actor hears what somebody wrote before the patch is computed anew. Told before it is kept: `observe` would
    // take it for known already, and a refresh or an operation asked for in it would never be taken up.
    options.onRead(read.object);
    keep(entry, read.object);
    if (entry.conflicts > CONFLICTS_MAX) return again(uid, entry);
    entry.dirty = true;
  }

  /** The record stands in Kubernetes: the operation may go on to its first apply, a deletion to its next stage. */
  const told = (uid: string, context: Context): void => {
    const { operation, deletion } = context;
    if (operation && !operation.recorded) {
      options.send(uid, { type: "OperationRecorded", operationId: operation.id });
    }
    if (deletion && deletion.done.length > 0) {
      options.send(uid, { type: "StageRecorded", stages: deletion.done.length });
    }
  };

  return {
    observe(uid, object) {
      const entry = entries.get(uid);
      if (entry && !isNewer(object.metadata.resourceVersion, entry.live.metadata.resourceVersion)) return false;
      if (entry) keep(entry, object);
      else {
        const { namespace = "", name } = object.metadata;
        const fresh: Entry = {
          namespace,
          name,
          live: slim(object),
          dirty: false,
          writing: false,
          attempts: 0,
          conflicts: 0,
          writtenAt: -Infinity,
          gone: false,
        };
        entries.set(uid, fresh);
      }
      return true;
    },
    request(uid, urgency) {
      const entry = entries.get(uid);
      if (!entry) return;
      if (urgency === "soon") {
        if (entry.dirty || entry.cancelTimer) return;
        flushSoon(uid, entry, Math.max(SOON_MS, entry.writtenAt + SOON_INTERVAL_MS - clock.monotonic()));
        return;
      }
      if (entry.dirty) return;
      entry.dirty = true;
      countNow();
      // After all of the transition's actions, so that one patch tells of all of them.
      if (!entry.writing) queueMicrotask(() => entry.dirty && flush(uid, entry));
    },
    forget(uid) {
      const entry = entries.get(uid);
      if (!entry) return;
      entry.gone = true;
      entry.cancelTimer?.();
      entries.delete(uid);
    },
    async settled() {
      while (writes.size > 0) await Promise.all(writes);
    },
  };
}

function keep(entry: Entry, object: KubeObject): void {
  if (isNewer(object.metadata.resourceVersion, entry.live.metadata.resourceVersion)) entry.live = slim(object);
}

/** Without spec and managedFields, which are most of it and never written here. */
function slim(object: KubeObject): Application {
  const { namespace = "", name, uid, resourceVersion, annotations, finalizers } = object.metadata;
  const raw = {
    metadata: { namespace, name, uid, resourceVersion, annotations, finalizers },
    status: object["status"],
    operation: object["operation"],
  };
  const reading = readLeniently(Application, raw);
  return reading.kind === "ok" ? reading.value : { metadata: { namespace, name, uid, resourceVersion } };
}

/** A later owner has begun an operation: ours is over, whatever we believe. */
function ownedByLater(live: Application, context: Context): boolean {
  const state = live.status?.operationState;
  if (state?.phase !== "Running") return false;
  const epoch = Number(infoOf(state.operation, INFO.epoch) ?? 0);
  const ours = infoOf(state.operation, INFO.operationId) === context.operation?.id;
  return !ours && epoch > context.epoch;
}
