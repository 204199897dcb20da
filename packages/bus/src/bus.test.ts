// The bus on a real nats-server.
import { spawn } from "node:child_process";
import { connect, type NatsConnection } from "nats";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { RefreshRequested } from "@driftless/contracts/pipeline/1-refresh";
import { ManifestsRendered, RenderFailed, RenderManifests } from "@driftless/contracts/pipeline/3-render";
import { ApplicationForgotten } from "@driftless/contracts/pipeline/4-diff";
import { ApplicationChanged } from "@driftless/contracts/pipeline/6-application";
import type { MessageOf } from "@driftless/contracts/message";
import {
  BUCKETS,
  STREAMS,
  triggerAllDurable,
  triggerDurable,
  workDurable,
  DURABLES,
} from "@driftless/contracts/streams";
import { SHARD_COUNT, shardOf, subject } from "@driftless/contracts/subject";
import { requirePrograms } from "@driftless/local/programs";
import { systemClock, waitUntil } from "@driftless/process/clock";
import { createLogger } from "@driftless/process/telemetry";
import { type Bus, connectBus } from "./connect.ts";
import { type Consumption, consumeWork, follow, on, replay } from "./consume.ts";
import { encode } from "./frame.ts";
import { InvalidMessageError } from "./publish.ts";
import { joinReplicas, ownerOf } from "./replicas.ts";
import { startTestNats, type TestNats } from "./testing-nats.ts";

const clock = systemClock;
const logger = createLogger({ service: "test", level: "silent" });

let nats: TestNats;
let open: Bus[] = [];
let plain: NatsConnection;

const until = (what: string, check: () => boolean | Promise<boolean>, deadlineMs = 10_000) =>
  waitUntil(clock, what, check, { deadlineMs, intervalMs: 10 });

async function newBus(name = "test"): Promise<Bus> {
  const bus = await connectBus({ servers: nats.url, name, clock, logger });
  open.push(bus);
  return bus;
}

let count = 0;
const render = (extra: Partial<MessageOf<typeof RenderManifests>> = {}): MessageOf<typeof RenderManifests> => ({
  app: { uid: `uid-${++count}`, namespace: "argocd", name: `app-${count}`, project: "default" },
  requestId: `request-${count}`,
  shard: count % SHARD_COUNT,
  lane: "now",
  deadlineAt: clock.now() + 30_000,
  bundleDigest: "0".repeat(64),
  path: "apps/web",
  appName: "web",
  options: {},
  environment: {},
  ...extra,
});
const rendered = (n: number): MessageOf<typeof ManifestsRendered> => ({
  app: { uid: `u${n}`, namespace: "argocd", name: `a${n}`, project: "default" },
  requestId: `r${n}-${++count}`,
  shard: 3,
  tookMs: 1,
  renderKey: "k",
  manifestsDigest: "d",
  inputsDigest: "i",
  count: 4,
  sourceType: "Directory",
  variables: [],
  warnings: [],
});
const lanes = [workDurable("render", "now"), workDurable("render", "bulk")];

async function streamState(name: string): Promise<{ messages: number }> {
  const answer = await plain.request(`$JS.API.STREAM.INFO.${name}`);
  return (answer.json() as { state: { messages: number } }).state;
}
async function purge(name: string): Promise<void> {
  // The plain connection may still be on its way back from a restart.
  await until("purged", async () => {
    try {
      await plain.request(`$JS.API.STREAM.PURGE.${name}`, "", { timeout: 300 });
      return true;
    } catch {
      return false;
    }
  });
}

// The first start on a machine builds nats-server and what is built with it.
const BUILD_MS = 900_000;

beforeAll(async () => {
  nats = await startTestNats((await requirePrograms()).natsServer);
  plain = await connect({ servers: nats.url, maxReconnectAttempts: -1, reconnectTimeWait: 100 });
}, BUILD_MS);

afterEach(async () => {
  await Promise.all(open.map((bus) => bus.close()));
  open = [];
  await Promise.all(Object.values(STREAMS).map((stream) => purge(stream.name)));
});

afterAll(async () => {
  await plain.close();
  await nats[Symbol.asyncDispose]();
});

describe("provisioning", () => {
  const config = async (name: string) =>
    ((await plain.request(`$JS.API.STREAM.INFO.${name}`)).json() as { config: Record<string, unknown> }).config;

  test("limits that changed are brought to what the contract says, whoever connects", async () => {
    await newBus();
    const right = await config("RESULTS");
    const wrong = { ...right, max_bytes: 1_000_000, max_age: 1e9, duplicate_window: 1e9 };
    await plain.request("$JS.API.STREAM.UPDATE.RESULTS", JSON.stringify(wrong));
    expect(await config("RESULTS")).not.toEqual(right);
    await newBus();
    expect(await config("RESULTS")).toEqual(right);
  });

  test("connecting to what is provisioned already changes nothing", async () => {
    await newBus();
    const changes: string[] = [];
    const watching = plain.subscribe("$JS.API.STREAM.*.>", {
      callback: (_error, message) => {
        if (!message.subject.startsWith("$JS.API.STREAM.INFO.")) changes.push(message.subject);
      },
    });
    await plain.flush();
    await Promise.all([newBus(), newBus()]);
    await plain.flush();
    watching.unsubscribe();
    expect(changes).toEqual([]);
  });
});

describe("commands", () => {
  test("a command published is handled once, with unknown members kept, and leaves the queue", async () => {
    const bus = await newBus();
    const got: MessageOf<typeof RenderManifests>[] = [];
    await consumeWork(bus, {
      durables: lanes,
      concurrency: 4,
      handlers: [on(RenderManifests, async (message) => void got.push(message))],
    });
    const sent = render({ novelty: "kept" });
    await bus.publish(RenderManifests, sent);
    await until("handled", () => got.length === 1);
    expect(got[0]).toEqual(sent);
    await until("queue is empty", async () => (await streamState("COMMANDS")).messages === 0);
  });

  test("commands of one turn travel in batches of fifty, and each is handled once", async () => {
    const bus = await newBus();
    const all = Array.from({ length: 120 }, () => render({ lane: "bulk" }));
    await Promise.all(all.map((message) => bus.publish(RenderManifests, message)));
    expect((await streamState("COMMANDS")).messages).toBe(3);
    const got: string[] = [];
    await consumeWork(bus, {
      durables: lanes,
      concurrency: 8,
      handlers: [on(RenderManifests, async (message) => void got.push(message.requestId))],
    });
    await until("handled", () => got.length === 120);
    expect(new Set(got)).toEqual(new Set(all.map((message) => message.requestId)));
  });

  test("the same request is stored once, another attempt again", async () => {
    const bus = await newBus();
    const first = render({ requestId: "uid.render.7.1" });
    await bus.publish(RenderManifests, first);
    await bus.publish(RenderManifests, first);
    await Promise.all([bus.publish(RenderManifests, first), bus.publish(RenderManifests, first)]);
    expect((await streamState("COMMANDS")).messages).toBe(1);
    await bus.publish(RenderManifests, { ...first, requestId: "uid.render.7.2" });
    expect((await streamState("COMMANDS")).messages).toBe(2);
  });

  test("a body over half a MiB arrives whole, and the stream holds only its digest", async () => {
    const bus = await newBus();
    const other = await newBus("other");
    const got: string[] = [];
    await consumeWork(other, {
      durables: lanes,
      concurrency: 4,
      handlers: [on(RenderManifests, async (message) => void got.push(message.path))],
    });
    const path = "x".repeat(1_500_000);
    await bus.publish(RenderManifests, render({ path }));
    await until("handled", () => got.length === 1);
    expect(got[0]).toBe(path);
  });

  test("a message that does not match its contract is refused before it is sent", async () => {
    const bus = await newBus();
    const wrong = { ...render(), lane: "fast" } as unknown as MessageOf<typeof RenderManifests>;
    await expect(bus.publish(RenderManifests, wrong)).rejects.toThrow(InvalidMessageError);
    expect((await streamState("COMMANDS")).messages).toBe(0);
  });

  test("C3: only the message that keeps failing is set aside after five deliveries, and its app is told", async () => {
    const bus = await newBus();
    const handled: string[] = [];
    const poisoned: [string, unknown][] = [];
    let tries = 0;
    await consumeWork(bus, {
      durables: lanes,
      concurrency: 4,
      handlers: [
        on(RenderManifests, async (message) => {
          if (message.path === "poison") {
            tries++;
            throw new Error("boom");
          }
          handled.push(message.requestId);
        }),
      ],
      onPoison: async (name, message) => void poisoned.push([name, message]),
    });
    const good = [render(), render()];
    const bad = render({ path: "poison" });
    await Promise.all([good[0]!, bad, good[1]!].map((message) => bus.publish(RenderManifests, message)));
    await until("set aside", () => poisoned.length > 0);
    expect(tries).toBe(5);
    expect(poisoned).toEqual([["RenderManifests", bad]]);
    expect(handled.toSorted()).toEqual(good.map((message) => message.requestId).toSorted());
    expect((await streamState("QUARANTINE")).messages).toBe(1);
    await until("queue is empty", async () => (await streamState("COMMANDS")).messages === 0);
  });

  test.each([
    ["bytes that are no frame", () => Buffer.from([1, 2, 3])],
    ["a message of an unknown name", () => encode({ ...RenderManifests, name: "Unheard" } as never, [render()])],
    ["an item that breaks its contract", () => encode(RenderManifests as never, [{ ...render(), lane: 7 }])],
    ["a message that belongs to another subject", () => encode(RenderManifests as never, [render({ lane: "bulk" })])],
  ])("%s is set aside at once and not handled", async (_what, body) => {
    const bus = await newBus();
    const handled: unknown[] = [];
    await consumeWork(bus, {
      durables: lanes,
      concurrency: 4,
      handlers: [on(RenderManifests, async (message) => void handled.push(message))],
    });
    await plain.request(subject("cmd", "render", "now"), body());
    await until("set aside", async () => (await streamState("QUARANTINE")).messages === 1);
    await until("queue is empty", async () => (await streamState("COMMANDS")).messages === 0);
    expect(handled).toEqual([]);
  });

  test("lanes are served three to one while both have work", async () => {
    const bus = await newBus();
    const order: string[] = [];
    for (let n = 0; n < 40; n++) {
      await bus.publish(RenderManifests, render({ lane: "bulk" }));
      await bus.publish(RenderManifests, render({ lane: "now" }));
    }
    await consumeWork(bus, {
      durables: lanes,
      concurrency: 8,
      handlers: [
        on(RenderManifests, async (message) => {
          order.push(message.lane);
          // Long against a refill of either lane, also on a busy machine: only then do both have work all the time.
          await clock.sleep(40);
        }),
      ],
    });
    await until("handled", () => order.length === 80);
    // The first sixteen depend on which lane was there first.
    const now = order.slice(16, 48).filter((lane) => lane === "now").length;
    expect(now).toBeGreaterThanOrEqual(20);
    expect(now).toBeLessThan(29);
  });

  test("C2: a worker that joins gets its share of what waits", async () => {
    const first = await newBus("first");
    const second = await newBus("second");
    const by = { first: 0, second: 0 };
    const work = (bus: Bus, who: keyof typeof by) =>
      consumeWork(bus, {
        durables: lanes,
        concurrency: 4,
        handlers: [
          on(RenderManifests, async () => {
            by[who]++;
            await clock.sleep(5);
          }),
        ],
      });
    for (let n = 0; n < 100; n++) await first.publish(RenderManifests, render());
    await work(first, "first");
    await work(second, "second");
    await until("handled", () => by.first + by.second === 100);
    expect(by.second).toBeGreaterThan(30);
  });

  test("stop waits for what runs and gives the rest back to others at once", async () => {
    const bus = await newBus("leaving");
    const started: string[] = [];
    let finish: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (finish = resolve));
    const leaving = await consumeWork(bus, {
      durables: lanes,
      concurrency: 1,
      handlers: [
        on(RenderManifests, async (message) => {
          started.push(message.requestId);
          await gate;
        }),
      ],
    });
    const sent = [render(), render(), render()];
    for (const message of sent) await bus.publish(RenderManifests, message);
    await until("begun", () => started.length === 1);
    const stopped = leaving.stop();
    let isStopped = false;
    void stopped.then(() => (isStopped = true));
    const got: string[] = [];
    const other = await newBus("other");
    await consumeWork(other, {
      durables: lanes,
      concurrency: 1,
      handlers: [on(RenderManifests, async (message) => void got.push(message.requestId))],
    });
    await until("the rest is handled elsewhere", () => got.length === 2);
    expect(isStopped).toBe(false);
    finish();
    await stopped;
    expect(started).toHaveLength(1);
    expect([...started, ...got].toSorted()).toEqual(sent.map((message) => message.requestId).toSorted());
  });
});

describe("refresh requests", () => {
  test("the server puts each on the shard that shardOf computes, dots in names included", async () => {
    await newBus();
    for (let n = 0; n < 200; n++) {
      const namespace = n % 3 === 0 ? `team.${n}` : `team-${n}`;
      const name = n % 2 === 0 ? `app.${n}.x` : `app-${n}`;
      await plain.request(RefreshRequested.subject({ namespace, name, mode: "normal" }), "");
      const stored = subject(
        "trigger",
        shardOf(namespace, name),
        namespace.replaceAll(".", "_"),
        name.replaceAll(".", "_"),
      );
      const found = await plain.request(`$JS.API.DIRECT.GET.TRIGGERS.${stored}`);
      expect(found.headers?.get("Nats-Subject")).toBe(stored);
    }
  });

  test("a plain request with an empty body is stored, and names the Application by its subject", async () => {
    const bus = await newBus();
    const got: unknown[] = [];
    await consumeWork(bus, {
      durables: [triggerAllDurable, ...Array.from({ length: SHARD_COUNT }, (_, shard) => triggerDurable(shard))],
      concurrency: 8,
      handlers: [on(RefreshRequested, async (message) => void got.push(message))],
    });
    const answer = await plain.request("driftless.v1.refresh.argocd.guestbook", "");
    expect(answer.json()).toMatchObject({ stream: "TRIGGERS" });
    await until("handled", () => got.length === 1);
    expect(got[0]).toEqual({ namespace: "argocd", name: "guestbook", mode: "normal" });
    await plain.request("driftless.v1.refresh.argocd.a_b", '{"mode":"hard","reason":"test"}');
    await until("handled", () => got.length === 2);
    expect(got[1]).toEqual({ namespace: "argocd", name: "a.b", mode: "hard", reason: "test" });
    await plain.request("driftless.v1.refresh._all", "");
    await until("handled", () => got.length === 3);
    expect(got[2]).toEqual({ namespace: "_all", name: "_all", mode: "normal" });
    await bus.publish(RefreshRequested, { namespace: "argocd", name: "_all", mode: "normal" });
    await until("handled", () => got.length === 4);
    expect(got[3]).toEqual({ namespace: "argocd", name: "_all", mode: "normal" });
  });

  test("a body that names another Application than its subject is set aside", async () => {
    const bus = await newBus();
    const got: unknown[] = [];
    await consumeWork(bus, {
      durables: Array.from({ length: SHARD_COUNT }, (_, shard) => triggerDurable(shard)),
      concurrency: 8,
      handlers: [on(RefreshRequested, async (message) => void got.push(message))],
    });
    await plain.request("driftless.v1.refresh.argocd.mine", '{"namespace":"argocd","name":"yours"}');
    await until("set aside", async () => (await streamState("QUARANTINE")).messages === 1);
    expect(got).toEqual([]);
  });
});

describe("streams that everybody reads", () => {
  test("every follower gets every message in order, from its beginning or only new ones", async () => {
    const bus = await newBus();
    const old = rendered(0);
    await bus.publish(ManifestsRendered, old);
    const got: Record<"all" | "new", number[]> = { all: [], new: [] };
    const started: Consumption[] = [];
    for (const from of ["all", "new"] as const) {
      started.push(
        await follow(bus, {
          stream: STREAMS.results,
          filters: [subject("res", 3, ">"), subject("res", 4, ">")],
          from,
          handlers: [
            on(ManifestsRendered, async (message) => {
              await clock.sleep(message.app.uid.endsWith("5") ? 3 : 0);
              got[from].push(Number(message.app.uid.slice(1)));
            }),
          ],
        }),
      );
    }
    for (let n = 1; n <= 20; n++) await bus.publish(ManifestsRendered, rendered(n));
    // Of another kind: nobody here wants it, which is no fault.
    await bus.publish(RenderFailed, {
      app: old.app,
      requestId: "x",
      shard: 3,
      tookMs: 1,
      failure: { code: "RENDER_FAILED", message: "no" },
    });
    await until("told", () => got.new.length === 20 && got.all.length === 21);
    const numbers = Array.from({ length: 20 }, (_, n) => n + 1);
    expect(got).toEqual({ new: numbers, all: [0, ...numbers] });
    expect((await streamState("QUARANTINE")).messages).toBe(0);
  });

  test("replay tells what is stored, here the last state of each Application, and ends", async () => {
    const bus = await newBus();
    for (const [name, to] of [
      ["a", "OutOfSync"],
      ["a", "Synced"],
      ["b", "OutOfSync"],
    ] as const) {
      await bus.publish(ApplicationChanged, {
        app: { uid: name, namespace: "argocd", name, project: "default" },
        from: "Unknown",
        to,
        at: new Date(clock.now()).toISOString(),
        causes: [],
        resources: [],
        resourcesTotal: 0,
        conditions: [],
        timings: { totalMs: 1 },
      });
    }
    const seen: string[] = [];
    const tell = on(ApplicationChanged, async (message) => void seen.push(`${message.app.name} ${message.to}`));
    await replay(bus, { stream: STREAMS.transitions, filters: [subject("app", ">")], handlers: [tell], which: "all" });
    expect(seen).toEqual(["a OutOfSync", "a Synced", "b OutOfSync"]);
    await replay(bus, {
      stream: STREAMS.transitions,
      filters: [subject("app", "*", "*", "none", ">")],
      handlers: [tell],
      which: "all",
    });
    expect(seen).toHaveLength(3);
  });
});

describe("blobs and buckets", () => {
  test.each([0, 10, 512 * 1024, 512 * 1024 + 1, 3_000_000])(
    "a blob of %i bytes comes back to another process",
    async (size) => {
      const bus = await newBus();
      const other = await newBus("other");
      const bytes = Buffer.alloc(size, `size ${size}`);
      const digest = await bus.blobs.put(bytes);
      expect(Buffer.from((await other.blobs.get(digest))!).equals(bytes)).toBe(true);
    },
  );

  test("a blob that is gone or does not match its digest is undefined", async () => {
    const bus = await newBus();
    expect(await bus.blobs.get("a".repeat(64))).toBeUndefined();
    expect(await bus.blobs.get("../etc")).toBeUndefined();
    await plain.request(`blob.${"b".repeat(64)}`, "something else");
    expect(await bus.blobs.get("b".repeat(64))).toBeUndefined();
  });

  test("a key is created once, updated only at its revision, and watched", async () => {
    const bus = await newBus();
    const bucket = await bus.kv(BUCKETS.records);
    const seen: [string, string | undefined][] = [];
    const key = `key-${++count}`;
    const revision = await bucket.create(key, Buffer.from("1"));
    expect(revision).toBeGreaterThan(1e12);
    const watching = await bucket.watch((entry) => {
      if (entry.key === key) seen.push([entry.key, entry.value && Buffer.from(entry.value).toString()]);
    });
    expect(seen).toEqual([[key, "1"]]);
    expect(await bucket.create(key, Buffer.from("x"))).toBeUndefined();
    expect(await bucket.update(key, Buffer.from("x"), revision! + 99)).toBeUndefined();
    expect(await bucket.update(key, Buffer.from("2"), revision!)).toBeGreaterThan(revision!);
    await bucket.delete(key);
    expect(await bucket.get(key)).toBeUndefined();
    expect(await bucket.create(key, Buffer.from("3"))).toBeDefined();
    expect(Buffer.from((await bucket.get(key))!.value!).toString()).toBe("3");
    await until("told", () => seen.length === 4);
    expect(seen.map(([, value]) => value)).toEqual(["1", "2", undefined, "3"]);
    await watching.stop();
  });
});

describe("replicas", () => {
  test("partitions spread over the living, and move only to and from who comes and goes", () => {
    const four = ["a", "b", "c", "d"];
    const before = Array.from({ length: SHARD_COUNT }, (_, n) => ownerOf(n, four));
    for (const id of four) expect(before.filter((owner) => owner === id).length).toBeGreaterThan(6);
    const after = Array.from({ length: SHARD_COUNT }, (_, n) => ownerOf(n, ["a", "b", "d"]));
    before.forEach((owner, n) => owner !== "c" && expect(after[n]).toBe(owner));
  });

  test("replicas see each other come, leave and die", async () => {
    const buses = await Promise.all(["r1", "r2", "r3"].map((name) => newBus(name)));
    const join = (n: number) => joinReplicas(buses[n]!, { role: "controller", id: `r${n + 1}`, clock, logger });
    const one = await join(0);
    expect(one.living()).toEqual(["r1"]);
    expect(one.owns(5)).toBe(true);
    let changes = 0;
    one.onChange(() => changes++);
    const two = await join(1);
    expect(two.living()).toEqual(["r1", "r2"]);
    await until("seen", () => one.living().length === 2);
    const owned = Array.from({ length: SHARD_COUNT }, (_, n) => [one.owns(n), two.owns(n)]);
    expect(owned.every(([a, b]) => a !== b)).toBe(true);
    expect(two.epoch()).toBeGreaterThan(one.epoch());
    await join(2);
    await until("seen", () => one.living().length === 3);
    // Dies without a word.
    await buses[2]!.close();
    await two.leave();
    await until("left", () => !one.living().includes("r2"), 1_000);
    await until("expired", () => one.living().length === 1, 8_000);
    expect(changes).toBe(4);
    // Its key is still there, but old.
    const four = await joinReplicas(buses[1]!, { role: "controller", id: "r4", clock, logger });
    expect(four.living()).toEqual(["r1", "r4"]);
    await Promise.all([one.leave(), four.leave()]);
  }, 20_000);
});

describe("when NATS fails", () => {
  test("kill -9 and a restart lose nothing: publishers, workers and followers go on", async () => {
    const bus = await newBus();
    const handled = new Set<string>();
    const followed = new Set<string>();
    let ready = 0;
    bus.onReady(() => ready++);
    await consumeWork(bus, {
      durables: lanes,
      concurrency: 4,
      handlers: [on(RenderManifests, async (message) => void handled.add(message.requestId))],
    });
    await follow(bus, {
      stream: STREAMS.results,
      filters: [subject("res", ">")],
      from: "new",
      handlers: [on(ManifestsRendered, async (message) => void followed.add(message.requestId))],
    });
    await bus.publish(RenderManifests, render());
    await until("handled", () => handled.size === 1);
    await nats.kill();
    await until("noticed", () => !bus.connected);
    const late = Promise.all([bus.publish(RenderManifests, render()), bus.publish(ManifestsRendered, rendered(1))]);
    await nats.start();
    await late;
    await until("handled after the restart", () => handled.size === 2 && followed.size === 1);
    expect(ready).toBe(2);
  }, 20_000);

  test("all of NATS lost: it is provisioned again, publishers get through, workers and followers go on", async () => {
    const bus = await newBus();
    const replicas = await joinReplicas(bus, { role: "repo-fetcher", id: "one", clock, logger });
    const epoch = replicas.epoch();
    const handled = new Set<string>();
    const followed: number[] = [];
    await consumeWork(bus, {
      durables: lanes,
      concurrency: 4,
      handlers: [on(RenderManifests, async (message) => void handled.add(message.requestId))],
    });
    await follow(bus, {
      stream: STREAMS.results,
      filters: [subject("res", ">")],
      from: "new",
      handlers: [on(ManifestsRendered, async (message) => void followed.push(Number(message.app.uid.slice(1))))],
    });
    for (let n = 0; n < 5; n++) await bus.publish(ManifestsRendered, rendered(n));
    await bus.publish(RenderManifests, render());
    const bytes = Buffer.from("a body");
    const digest = await bus.blobs.put(bytes);
    await until("handled", () => handled.size === 1 && followed.length === 5);
    await nats.kill();
    await nats.wipe();
    await until("noticed", () => !bus.connected);
    const late = [bus.publish(RenderManifests, render()), bus.publish(ManifestsRendered, rendered(7))];
    await nats.start();
    await Promise.all(late);
    await until("handled after the loss", () => handled.size === 2 && followed.length === 6);
    expect(followed.at(-1)).toBe(7);
    await bus.blobs.put(bytes);
    const other = await newBus("other");
    expect(Buffer.from((await other.blobs.get(digest))!).toString()).toBe("a body");
    await until("a new epoch", () => replicas.epoch() > epoch);
    await replicas.leave();
  }, 20_000);

  test("a stream deleted by hand comes back with the next message", async () => {
    const bus = await newBus();
    const handled: unknown[] = [];
    await consumeWork(bus, {
      durables: lanes,
      concurrency: 4,
      handlers: [on(RenderManifests, async (message) => void handled.push(message))],
    });
    await plain.request("$JS.API.STREAM.DELETE.COMMANDS");
    await bus.publish(RenderManifests, render());
    await until("handled", () => handled.length === 1);
  });

  test("without NATS a publish gives up at its deadline, and close does not hang", async () => {
    const bus = await newBus();
    await consumeWork(bus, { durables: DURABLES.slice(0, 5), concurrency: 1, handlers: [] });
    await follow(bus, { stream: STREAMS.facts, filters: [subject("fact", ">")], from: "new", handlers: [] });
    await nats.kill();
    try {
      const fact = { uid: "u", namespace: "n", name: "n" };
      await expect(bus.publish(ApplicationForgotten, fact, { deadlineMs: 300 })).rejects.toThrow("not reachable");
      const from = clock.monotonic();
      await bus.close();
      expect(clock.monotonic() - from).toBeLessThan(3_000);
    } finally {
      await nats.start();
    }
  }, 20_000);

  test("a process whose bus is closed ends by itself", async () => {
    const script = `
      import { connectBus } from "@driftless/bus/connect";
      import { consumeWork, follow } from "@driftless/bus/consume";
      import { joinReplicas } from "@driftless/bus/replicas";
      import { DURABLES, STREAMS } from "@driftless/contracts/streams";
      import { systemClock as clock } from "@driftless/process/clock";
      import { createLogger } from "@driftless/process/telemetry";
      const logger = createLogger({ service: "child", level: "silent" });
      const bus = await connectBus({ servers: "${nats.url}", name: "child", clock, logger });
      await consumeWork(bus, { durables: DURABLES.slice(0, 8), concurrency: 4, handlers: [] });
      await follow(bus, { stream: STREAMS.facts, filters: ["driftless.v1.fact.>"], from: "new", handlers: [] });
      const replicas = await joinReplicas(bus, { role: "controller", id: "child", clock, logger });
      await replicas.leave();
      await bus.close();
      console.log("closed");`;
    const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", script], {
      cwd: import.meta.dirname,
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.on("data", (bytes) => (output += String(bytes)));
    const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
    try {
      await until("closed", () => output.includes("closed"));
      expect(await Promise.race([ended, clock.sleep(2_000).then(() => "hangs")])).toBe(0);
    } finally {
      child.kill("SIGKILL");
    }
  });

  test("connecting waits for NATS, and gives up when told to", async () => {
    const abort = new AbortController();
    const connecting = connectBus({ servers: "nats://127.0.0.1:1", name: "x", clock, logger, signal: abort.signal });
    clock.setTimer(200, () => abort.abort(new Error("enough")));
    await expect(connecting).rejects.toThrow("enough");
  });
});
