// The watch against a peer that misbehaves by script; what a real API server does is tried in test/system/kube.test.ts.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { systemClock, waitUntil } from "@driftless/process/clock";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createClient, type KubeClient } from "./client.ts";
import type { ApiResource } from "./resource.ts";
import { watchResource, type Watch, type WatchOptions } from "./watch.ts";

const resource: ApiResource = {
  group: "",
  version: "v1",
  kind: "ConfigMap",
  plural: "configmaps",
  namespaced: true,
  verbs: [],
  versions: ["v1"],
};

type Answer = (response: ServerResponse, query: URLSearchParams) => void;

let server: Server;
let client: KubeClient;
let watch: Watch | undefined;
/** The next answers, by request; the last one is given again and again. */
let lists: Answer[];
let watches: Answer[];
let asked: string[];

beforeEach(async () => {
  lists = [];
  watches = [];
  asked = [];
  server = createServer((request: IncomingMessage, response) => {
    const query = new URL(request.url!, "http://x").searchParams;
    const isWatch = query.get("watch") === "true";
    asked.push(isWatch ? `watch ${query.get("resourceVersion")}` : `list ${query.get("continue") ?? ""}`.trim());
    const script = isWatch ? watches : lists;
    (script.length > 1 ? script.shift()! : script[0]!)(response, query);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  client = createClient({ server: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
});
afterEach(async () => {
  watch?.stop();
  await client.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const item = (name: string, resourceVersion = "1") => ({ metadata: { name, resourceVersion } });
const list =
  (names: string[], resourceVersion: string, token?: string): Answer =>
  (response) =>
    response.end(
      JSON.stringify({ metadata: { resourceVersion, continue: token }, items: names.map((name) => item(name)) }),
    );
const fail =
  (code: number, reason = ""): Answer =>
  (response) => {
    response.statusCode = code;
    response.end(JSON.stringify({ kind: "Status", reason, message: "no" }));
  };
const line = (type: string, object: unknown) => `${JSON.stringify({ type, object })}\n`;
/** Writes and stays open. */
const open =
  (...chunks: (string | Buffer)[]): Answer =>
  (response) => {
    response.writeHead(200);
    response.flushHeaders();
    for (const chunk of chunks) response.write(chunk);
  };
const thenEnd =
  (...chunks: string[]): Answer =>
  (response) => {
    open(...chunks)(response, new URLSearchParams());
    response.end();
  };

function start(more: Partial<WatchOptions<string>> = {}) {
  const told: string[] = [];
  watch = watchResource<string>({
    client,
    resource,
    retryMinMs: 5,
    retryMaxMs: 20,
    select: (object) => object.metadata.name,
    onState: ({ objects }) => told.push(`state ${objects.join(",")}`),
    onEvent: ({ type, object }) => told.push(`${type} ${object}`),
    ...more,
  });
  return told;
}
const until = (what: string, check: () => boolean) =>
  waitUntil(systemClock, what, check, { deadlineMs: 5_000, intervalMs: 5 });

test("W1: a list whose second page fails is begun again, and only the whole is told", async () => {
  lists = [
    list(["a"], "5", "t"),
    fail(500),
    list(["a"], "6", "t"),
    fail(410, "Expired"),
    list(["a"], "7", "t"),
    list(["b"], "7"),
  ];
  watches = [open()];
  const told = start();
  await watch!.synced;
  expect(told).toEqual(["state a,b"]);
  expect(asked.slice(0, 6)).toEqual(["list", "list t", "list", "list t", "list", "list t"]);
});

test("events come in order however their bytes are cut, with more than one byte a letter", async () => {
  lists = [list([], "1")];
  const bytes = Buffer.from(
    line("ADDED", item("ä", "2")) + line("MODIFIED", item("b", "3")) + line("DELETED", item("c", "4")),
  );
  watches = [open(...Array.from({ length: bytes.length }, (_, index) => bytes.subarray(index, index + 1)))];
  const told = start();
  await until("all events", () => told.length === 4);
  expect(told).toEqual(["state ", "ADDED ä", "MODIFIED b", "DELETED c"]);
});

test("W2: a watch that ends is resumed after the last event or bookmark, without another list", async () => {
  lists = [list([], "1")];
  watches = [
    thenEnd(line("ADDED", item("a", "2")), line("BOOKMARK", { metadata: { resourceVersion: "9" } })),
    (response) => response.destroy(),
    open(line("ADDED", item("b", "10"))),
  ];
  const told = start();
  await until("the second event", () => told.includes("ADDED b"));
  expect(asked).toEqual(["list", "watch 1", "watch 9", "watch 9"]);
  expect(told).toEqual(["state ", "ADDED a", "ADDED b"]);
});

test.each([
  ["as the answer", fail(410, "Expired")],
  ["as an event", open(line("ERROR", { kind: "Status", code: 410, reason: "Expired" }))],
])("a 410 %s brings a new list", async (_what, gone) => {
  lists = [list(["a"], "1"), list(["b"], "20")];
  watches = [gone, open()];
  const told = start();
  await until("the new watch", () => asked.includes("watch 20"));
  expect(told).toEqual(["state a", "state b"]);
});

test("W3: no run of errors ends it, and it says since when it fails and why", async () => {
  lists = [
    fail(500),
    fail(429),
    (response) => response.destroy(),
    fail(403, "Forbidden"),
    (r) => r.end("<html>"),
    list(["a"], "1"),
  ];
  watches = [fail(500), open(line("ADDED", item("b", "2")))];
  const codes: string[] = [];
  const told = start({
    onStatus: (status) => status.kind === "failing" && codes.push(`${status.attempts} ${status.error.code}`),
  });
  await until("the event", () => told.includes("ADDED b"));
  // The 429 and the broken connection are tried again below the watch.
  expect(codes[0]).toBe("1 SERVER_ERROR");
  expect(codes.some((code) => code.endsWith("FORBIDDEN"))).toBe(true);
  expect(watch!.status().kind).toBe("healthy");
});

test("a watch that opens and fails at once, again and again, brings a new list", async () => {
  lists = [list(["a"], "1"), list(["b"], "20")];
  const broken = open(line("ERROR", { kind: "Status", code: 500, message: "no" }));
  watches = [broken, broken, thenEnd(), broken, thenEnd(), open()];
  const told = start();
  await until("the new watch", () => asked.includes("watch 20"));
  expect(told).toEqual(["state a", "state b"]);
});

test("a connection that has fallen silent is given up and resumed", async () => {
  lists = [list([], "1")];
  watches = [open(line("ADDED", item("a", "2"))), open(line("ADDED", item("b", "3")))];
  const told = start({ stallMs: 60 });
  await until("the event after the stall", () => told.includes("ADDED b"));
  expect(asked.slice(0, 3)).toEqual(["list", "watch 1", "watch 2"]);
});

test("W4: an object that cannot be read harms itself only, garbage on the wire brings a resume", async () => {
  lists = [list(["bad", "good"], "1")];
  watches = [
    open(line("ADDED", item("bad", "2")), line("ADDED", {}), line("ADDED", item("fine", "3")), "{garbage\n"),
    open(line("ADDED", item("after", "4"))),
  ];
  const problems: unknown[] = [];
  const told = start({
    select: (object) => {
      if (object.metadata.name === "bad") throw new Error("cannot be read");
      return object.metadata.name;
    },
    onProblem: (cause) => problems.push(cause),
  });
  await until("the event after the garbage", () => told.includes("ADDED after"));
  expect(told).toEqual(["state good", "ADDED fine", "ADDED after"]);
  expect(asked).toContain("watch 3");
  expect(problems.length).toBe(4);
});

test("stop ends it at once, also before the first list, and then synced rejects", async () => {
  lists = [() => undefined];
  start();
  await until("the list", () => asked.length === 1);
  watch!.stop();
  await expect(watch!.synced).rejects.toThrow("stopped");
  expect(watch!.status()).toEqual({ kind: "stopped" });
});
