// The host: mailboxes, timers with visit numbers, cancels; with a clock that the test turns.
import { expect, test } from "vitest";
import type { Clock } from "@driftless/process/clock";
import { createLogger } from "@driftless/process/telemetry";
import type { Effect } from "./application/effects.ts";
import { wish } from "./application/look.ts";
import { viewOf } from "./application/view.ts";
import { createHost, type Host } from "./host.ts";

/** Timers fire in order when time is moved; a cancelled one may be fired all the same, as a late timer would be. */
class TurnedClock implements Clock {
  time = 1_000_000;
  pending: { at: number; fire: () => void; cancelled: boolean }[] = [];
  now = () => this.time;
  monotonic = () => this.time;
  random = () => 0.5;
  setTimer(delayMs: number, fire: () => void): () => void {
    const timer = { at: this.time + delayMs, fire, cancelled: false };
    this.pending.push(timer);
    return () => {
      timer.cancelled = true;
    };
  }
  sleep = () => Promise.resolve();
  advance(ms: number, lateToo = false): void {
    this.time += ms;
    const due = this.pending.filter((timer) => timer.at <= this.time);
    this.pending = this.pending.filter((timer) => timer.at > this.time);
    for (const timer of due.toSorted((a, b) => a.at - b.at)) if (lateToo || !timer.cancelled) timer.fire();
  }
}

const PROJECT = {
  metadata: { name: "default", namespace: "argocd", uid: "p", resourceVersion: "1" },
  spec: { sourceRepos: ["*"], destinations: [{ server: "*", namespace: "*" }] },
};

const view = (name: string) =>
  viewOf(
    {
      metadata: { name, namespace: "argocd", uid: name, resourceVersion: "1" },
      spec: {
        source: { repoURL: "https://h/r", path: "." },
        destination: { server: "https://kubernetes.default.svc", namespace: "x" },
      },
    },
    () => PROJECT,
    { controlPlaneNamespace: "argocd", tracking: { trackingMethod: "annotation" }, pollIntervalMs: 0, ignoreRules: [] },
  )!;

function world(onEffect: (host: Host, uid: string, effect: Effect) => void = () => undefined) {
  const clock = new TurnedClock();
  const effects: { uid: string; name: string; message: Record<string, unknown> }[] = [];
  const busy: string[] = [];
  const settled: string[] = [];
  const host: Host = createHost({
    clock,
    logger: createLogger({ service: "test", level: "silent" }),
    perform: (uid, effect) => {
      if (effect.kind === "publish") {
        effects.push({ uid, name: effect.definition.name, message: effect.message as Record<string, unknown> });
      }
      onEffect(host, uid, effect);
    },
    onBusy: (uid, isBusy) => busy.push(`${uid} ${isBusy ? "busy" : "idle"}`),
    onSettled: (uid) => settled.push(`${uid} ${host.isBusy(uid) ? "busy" : "idle"}`),
  });
  const start = (name: string) => {
    host.start({ view: view(name), nonce: "n", epoch: 1, emptyManifestsDigest: "e" });
    host.send(name, { type: "Look", wish: wish("start", clock.now()) });
  };
  return {
    clock,
    host,
    effects,
    busy,
    settled,
    start,
    asked: (name: string) => effects.filter((effect) => effect.name === name),
  };
}

const failed = (message: Record<string, unknown>) =>
  ({
    type: "SourceFetchFailed",
    message: { ...message, tookMs: 1, failure: { code: "GIT_UNREACHABLE", message: "no answer" } },
  }) as never;

test("a deadline fires after its time and not before", () => {
  const { clock, host, start } = world();
  start("a");
  clock.advance(59_999);
  expect(host.contextOf("a")?.failed).toBeUndefined();
  clock.advance(1);
  expect(host.contextOf("a")?.failed?.failures[0]?.code).toBe("DEADLINE_EXCEEDED");
});

test("A2: a deadline that was cancelled by the answer is not heard, even when its timer fires all the same", () => {
  const { clock, host, start, asked } = world();
  start("a");
  host.send("a", failed(asked("FetchSource")[0]!.message));
  const attempts = host.contextOf("a")!.failed!.attempts;
  clock.advance(4_000);
  // The repeated look sets a deadline of the same name; the old timer must not end it.
  clock.advance(5_000);
  expect(asked("FetchSource")).toHaveLength(2);
  clock.advance(51_500, true);
  expect(host.contextOf("a")!.failed!.attempts).toBe(attempts);
});

test("A1: an event that comes out of an effect waits until the transition is over", () => {
  let depth = 0;
  let deepest = 0;
  const { host, asked, start } = world((self, uid, effect) => {
    depth++;
    deepest = Math.max(deepest, depth);
    if (effect.kind === "publish" && effect.definition.name === "FetchSource" && asked("FetchSource").length === 1) {
      self.send(uid, failed(effect.message as Record<string, unknown>));
      expect(self.contextOf(uid)?.failed).toBeUndefined();
    }
    depth--;
  });
  start("a");
  expect(deepest).toBe(1);
  expect(host.contextOf("a")?.failed?.failures[0]?.code).toBe("GIT_UNREACHABLE");
});

test("what an actor has become is told after each event, when it is known whether it is at work", () => {
  const { host, start, asked, settled } = world();
  start("a");
  host.send("a", failed(asked("FetchSource")[0]!.message));
  expect(settled).toEqual(["a busy", "a idle"]);
});

test("A3: an event that cannot be handled costs the other actors nothing, nor its own", () => {
  const { host, start, asked } = world();
  start("a");
  start("b");
  host.send("a", { type: "LiveChanged", message: undefined } as never);
  host.send("a", failed(asked("FetchSource")[0]!.message));
  expect(host.contextOf("a")?.failed).toBeDefined();
  expect(host.contextOf("b")?.failed).toBeUndefined();
});

test("A3: an effect that cannot be performed leaves the timers in place that look again", () => {
  const { clock, host, start } = world((_, __, effect) => {
    if (effect.kind === "publish") throw new Error("cannot be told");
  });
  start("a");
  clock.advance(60_000);
  expect(host.contextOf("a")?.failed?.failures[0]?.code).toBe("DEADLINE_EXCEEDED");
});

test("says when an actor has work under way, also when it is stopped in the middle", () => {
  const { host, start, busy, asked } = world();
  start("a");
  host.send("a", failed(asked("FetchSource")[0]!.message));
  start("b");
  host.stop("b");
  expect(busy).toEqual(["a busy", "a idle", "b busy", "b idle"]);
});

test("names an actor that stays at the very same work past every deadline, and no other", () => {
  const { clock, host, start, asked } = world();
  start("a");
  start("b");
  start("c");
  expect(host.stuck(180_000)).toEqual([]);
  // Their deadlines are lost, as a fault of ours would lose them.
  clock.pending = [];
  host.send("b", failed(asked("FetchSource").find(({ uid }) => uid === "b")!.message));
  clock.advance(100_000);
  expect(host.stuck(180_000)).toEqual([]);
  host.send("a", { type: "Look", wish: wish("refresh", clock.now()) });
  host.send("c", {
    type: "SourceFetched",
    message: { ...asked("FetchSource").find(({ uid }) => uid === "c")!.message, bundleDigest: "b", observation: 1 },
  } as never);
  clock.pending = [];
  expect(host.stuck(180_000)).toEqual([]);
  clock.advance(100_000);
  expect(host.stuck(180_000)).toEqual(["a"]);
});

test("a stopped actor hears nothing more, neither events nor timers", () => {
  const { clock, host, start, effects } = world();
  start("a");
  const before = effects.length;
  host.stop("a");
  expect(host.send("a", { type: "FetcherStarted" })).toBe(false);
  clock.advance(100_000, true);
  expect(effects).toHaveLength(before);
});
