// Watch (edge): the state of one kind, kept for ever: list, then watch, and again after any error. The client library's
// informer stops for good on any error but 410, hence this one.
//
// W1  A partial list is never delivered: a failed page fails the list.
// W2  After `onState` every event up to the next `onState` is told once, in order; it replaces what was known before.
// W3  No error ends it, only `stop()`; pauses between attempts grow and are spread.
// W4  One malformed object, or a throw in `select`, harms that object only.
import { jittered } from "@driftless/process/clock";
import { queryText, type KubeClient } from "./client.ts";
import { errorOfAnswer, kubeError, type KubeError } from "./outcome.ts";
import { pathOf, type ApiResource, type KubeObject } from "./resource.ts";

export type WatchEventType = "ADDED" | "MODIFIED" | "DELETED";

export interface WatchOptions<T> {
  client: KubeClient;
  resource: ApiResource;
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
  /** What to keep of an object; undefined = not of interest. The object itself is not kept. */
  select: (object: KubeObject) => T | undefined;
  /** The whole state, after each list; replaces what was known before. */
  onState: (state: { objects: T[]; resourceVersion: string }) => void;
  onEvent: (event: { type: WatchEventType; object: T; resourceVersion: string }) => void;
  onStatus?: (status: WatchStatus) => void;
  /** Something thrown by a callback, or an event that cannot be read. The watch goes on. */
  onProblem?: (cause: unknown) => void;
  pageSize?: number;
  /** No event and no bookmark for so long: the connection is taken for dead. */
  stallMs?: number;
  retryMinMs?: number;
  retryMaxMs?: number;
}

export type WatchStatus =
  | { kind: "listing" }
  | { kind: "healthy"; resourceVersion: string }
  | { kind: "failing"; sinceMs: number; error: KubeError; attempts: number }
  | { kind: "stopped" };

export interface Watch {
  /** After the first whole list. Rejects only when stopped before. */
  readonly synced: Promise<void>;
  status(): WatchStatus;
  stop(): void;
}

/** The server ends a watch after so long; it sends bookmarks about once a minute meanwhile. */
const WATCH_SECONDS = 300;
const STALL_MS = 150_000;
const OPEN_DEADLINE_MS = 30_000;
const LIST_DEADLINE_MS = 60_000;
/** Failed attempts to resume before the state is listed anew. */
const RESUMES_MAX = 4;

/** A watch that lasted so long was a good one, even if nothing happened. */
const LASTING_MS = 10_000;

type Ended =
  | { kind: "closed" }
  | { kind: "stalled" }
  /** The history is gone: list again. */
  | { kind: "gone"; error: KubeError }
  | { kind: "failed"; error: KubeError };

export function watchResource<T = KubeObject>(options: WatchOptions<T>): Watch {
  const { client, resource } = options;
  const { clock } = client;
  const stopping = new AbortController();
  const { signal } = stopping;
  const synced = Promise.withResolvers<void>();
  // Whoever does not wait for it must not be ended by its rejection.
  synced.promise.catch(() => undefined);
  let status: WatchStatus = { kind: "listing" };
  let failures = 0;

  function setStatus(next: WatchStatus): void {
    status = next;
    guarded(() => options.onStatus?.(next));
  }

  function guarded<R>(run: () => R): R | undefined {
    try {
      return run();
    } catch (cause) {
      // A reporter that throws has nobody left to tell.
      try {
        options.onProblem?.(cause);
      } catch {}
      return undefined;
    }
  }

  async function pauseAfter(error: KubeError): Promise<void> {
    failures++;
    const sinceMs = status.kind === "failing" ? status.sinceMs : clock.now();
    setStatus({ kind: "failing", sinceMs, error, attempts: failures });
    const baseMs = Math.min(
      options.retryMaxMs ?? 30_000,
      (options.retryMinMs ?? 500) * 2 ** Math.min(failures - 1, 10),
    );
    await clock.sleep(Math.max(jittered(clock, baseMs / 2, baseMs), error.retryAfterMs ?? 0), signal);
  }

  /** W1: all pages or an error. Projects page by page, so that the objects of one page are held at a time. */
  async function list(): Promise<
    { kind: "ok"; objects: T[]; resourceVersion: string } | { kind: "error"; error: KubeError }
  > {
    const objects: T[] = [];
    let token = "";
    for (;;) {
      const page = await client.listPage(resource, {
        ...selectors(options),
        limit: options.pageSize ?? 500,
        deadlineMs: LIST_DEADLINE_MS,
        signal,
        ...(token === "" ? {} : { continue: token }),
      });
      if (page.kind === "error") return page;
      for (const item of page.object.items) {
        const selected = guarded(() => options.select(item));
        if (selected !== undefined) objects.push(selected);
      }
      token = page.object.continue;
      if (token === "") return { kind: "ok", objects, resourceVersion: page.object.resourceVersion };
    }
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      const listed = await list();
      if (listed.kind === "error") {
        await pauseAfter(listed.error);
        continue;
      }
      failures = 0;
      guarded(() => options.onState({ objects: listed.objects, resourceVersion: listed.resourceVersion }));
      setStatus({ kind: "healthy", resourceVersion: listed.resourceVersion });
      synced.resolve();
      await follow(listed.resourceVersion);
      setStatus(status.kind === "failing" ? status : { kind: "listing" });
    }
  }

  /** Watches from a resourceVersion on, resuming as long as that works; returns when a list is needed. */
  async function follow(from: string): Promise<void> {
    const position = { resourceVersion: from };
    while (!signal.aborted) {
      const openedAtMs = clock.monotonic();
      const ended = await watchOnce(position);
      const lastedMs = clock.monotonic() - openedAtMs;
      if (lastedMs >= LASTING_MS) failures = 0;
      switch (ended.kind) {
        case "closed":
          // A server that closes at once (starting, or a proxy) must not be asked in a tight loop.
          if (lastedMs < 1_000) await pauseAfter(kubeError("UNREACHABLE", "the watch was closed at once"));
          break;
        case "stalled":
          break;
        case "gone":
          await pauseAfter(ended.error);
          return;
        case "failed":
          await pauseAfter(ended.error);
          break;
      }
      if (failures > RESUMES_MAX) return;
    }
  }

  async function watchOnce(position: { resourceVersion: string }): Promise<Ended> {
    const ending = new AbortController();
    let ended: Ended | undefined;
    let heardAtMs = clock.monotonic();
    const stallMs = options.stallMs ?? STALL_MS;
    let cancelStall = () => {};
    const checkStall = () => {
      const quietMs = clock.monotonic() - heardAtMs;
      if (quietMs >= stallMs) {
        ended ??= { kind: "stalled" };
        ending.abort();
      } else cancelStall = clock.setTimer(stallMs - quietMs, checkStall);
    };
    const lines = lineSplitter((line) => {
      if (ended) return;
      const event = guarded(() => JSON.parse(line) as { type: string; object: KubeObject });
      if (!event) {
        ended = { kind: "failed", error: kubeError("SERVER_ERROR", "an event that is not JSON") };
        ending.abort();
        return;
      }
      if (event.type === "ERROR") {
        ended = errorEvent(event.object, resource.kind);
        ending.abort();
        return;
      }
      // Not when it opens: one that opens and fails at once, again and again, must count up to a new list.
      failures = 0;
      const version = event.object?.metadata?.resourceVersion;
      if (event.type !== "BOOKMARK") {
        const object = guarded(() => options.select(event.object));
        if (object !== undefined) {
          guarded(() => options.onEvent({ type: event.type as WatchEventType, object, resourceVersion: version }));
        }
      }
      // Only after it was told: a resume must not skip it.
      if (version) position.resourceVersion = version;
    });
    const onStop = () => ending.abort();
    signal.addEventListener("abort", onStop, { once: true });
    const path =
      pathOf(resource, options.namespace) +
      queryText({
        ...selectors(options, true),
        watch: true,
        allowWatchBookmarks: true,
        resourceVersion: position.resourceVersion,
        // Spread, so that not all watches of a process are opened anew at the same moment.
        timeoutSeconds: Math.round(jittered(clock, WATCH_SECONDS, WATCH_SECONDS / 2)),
      });
    try {
      const outcome = await client.stream(path, {
        openDeadlineMs: OPEN_DEADLINE_MS,
        signal: ending.signal,
        onOpen: () => {
          heardAtMs = clock.monotonic();
          cancelStall = clock.setTimer(stallMs, checkStall);
          setStatus({ kind: "healthy", resourceVersion: position.resourceVersion });
        },
        onChunk: (chunk) => {
          heardAtMs = clock.monotonic();
          lines(chunk);
        },
      });
      if (ended) return ended;
      if (outcome.kind === "closed") return { kind: "closed" };
      if (outcome.kind === "error") return { kind: "failed", error: outcome.error };
      const { status: code, body, retryAfter } = outcome.answer;
      const error = errorOfAnswer(code, body, resource.kind, retryAfter);
      return { kind: error.code === "GONE" ? "gone" : "failed", error };
    } finally {
      cancelStall();
      signal.removeEventListener("abort", onStop);
    }
  }

  // The only way out of `run` is the stop signal, which a pause throws.
  run()
    .catch((cause: unknown) => {
      if (!signal.aborted) guarded(() => options.onProblem?.(cause));
    })
    .finally(() => {
      setStatus({ kind: "stopped" });
      synced.reject(new Error(`the watch of ${resource.plural} was stopped`));
    });

  return {
    synced: synced.promise,
    status: () => status,
    stop: () => stopping.abort(new Error("stopped")),
  };
}

function selectors(options: WatchOptions<never> | WatchOptions<any>, forWatch = false) {
  return {
    ...(options.namespace === undefined || forWatch ? {} : { namespace: options.namespace }),
    ...(options.labelSelector === undefined ? {} : { labelSelector: options.labelSelector }),
    ...(options.fieldSelector === undefined ? {} : { fieldSelector: options.fieldSelector }),
  };
}

function errorEvent(object: unknown, kind: string): Ended {
  const code = Number((object as { code?: unknown } | undefined)?.code ?? 500);
  const error = errorOfAnswer(code, JSON.stringify(object), kind);
  return { kind: error.code === "GONE" ? "gone" : "failed", error };
}

const NEWLINE = 0x0a;

/** Splits bytes into lines; a line within one chunk is decoded without copying it. */
function lineSplitter(onLine: (line: string) => void): (chunk: Buffer) => void {
  let pending: Buffer[] = [];
  return (chunk) => {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE, 0); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      if (pending.length === 0) {
        if (end > start) onLine(chunk.toString("utf8", start, end));
      } else {
        pending.push(chunk.subarray(start, end));
        const line = Buffer.concat(pending);
        pending = [];
        onLine(line.toString("utf8"));
      }
      start = end + 1;
    }
    if (start < chunk.length) pending.push(chunk.subarray(start));
  };
}
