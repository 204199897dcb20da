// The client against a peer that misbehaves by script; real answers are tried in test/system/kube.test.ts.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createClient, type KubeClient } from "./client.ts";

let server: Server;
let client: KubeClient;
let answers: ((response: ServerResponse, request: IncomingMessage) => void)[];
let asked = 0;

beforeEach(async () => {
  asked = 0;
  server = createServer((request, response) => {
    const answer = answers[Math.min(asked++, answers.length - 1)]!;
    answer(response, request);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address() as AddressInfo;
  client = createClient({ server: `http://127.0.0.1:${address.port}/base/`, token: () => Promise.resolve("t0k") });
});
afterEach(async () => {
  await client.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const get = (more: object = {}) => client.request({ method: "GET", path: "/x", ...more });

test("path, query, credentials and body arrive as they were meant", async () => {
  answers = [
    (response, request) => {
      let body = "";
      request.on("data", (chunk) => (body += String(chunk)));
      request.on("end", () =>
        response.end(JSON.stringify({ url: request.url, auth: request.headers.authorization, body })),
      );
    },
  ];
  const outcome = await client.request({
    method: "PATCH",
    path: "/x",
    query: { a: "b c", no: undefined, y: true },
    body: '{"ü":1}',
  });
  expect(outcome).toEqual({
    kind: "ok",
    created: false,
    object: { url: "/base/x?a=b%20c&y=true", auth: "Bearer t0k", body: '{"ü":1}' },
  });
});

test("a server that never answers costs the deadline and no more", async () => {
  answers = [() => undefined];
  const began = performance.now();
  expect(await get({ deadlineMs: 50 })).toMatchObject({ kind: "error", error: { code: "TIMEOUT", retryable: true } });
  expect(performance.now() - began).toBeLessThan(2_000);
});

test("a body that never ends is cut off at the limit", async () => {
  answers = [
    (response) => {
      const more = () => response.destroyed || response.write("x".repeat(65_536), more);
      more();
    },
  ];
  expect(await get({ responseBytesMax: 1_000_000 })).toMatchObject({ kind: "error", error: { code: "TOO_LARGE" } });
});

test("429 is waited out as told, within the deadline", async () => {
  const busy = (response: ServerResponse) => response.writeHead(429, { "retry-after": "0" }).end();
  answers = [busy, busy, (response) => response.end("{}")];
  expect((await get()).kind).toBe("ok");
  expect(asked).toBe(3);
  answers = [(response) => response.writeHead(429, { "retry-after": "3600" }).end()];
  expect(await get({ deadlineMs: 500 })).toMatchObject({ error: { code: "RATE_LIMITED", retryAfterMs: 3_600_000 } });
});

test("a read over a connection that the server had just closed is sent again, a write is not", async () => {
  answers = [(response) => response.destroy(), (response) => response.end("{}")];
  expect((await get()).kind).toBe("ok");
  answers = [(response) => response.destroy()];
  const before = asked;
  const write = await client.request({ method: "PATCH", path: "/x", body: "{}" });
  expect(write).toMatchObject({ kind: "error", error: { code: "UNREACHABLE" } });
  expect(asked).toBe(before + 1);
});

test("a proxy's page instead of JSON is an error, and 201 tells a creation", async () => {
  answers = [(response) => response.end("<html>"), (response) => response.writeHead(201).end("{}")];
  expect(await get()).toMatchObject({ kind: "error", error: { code: "SERVER_ERROR" } });
  expect(await get()).toMatchObject({ kind: "ok", created: true });
});

test("who waits may give up, also before a connection is free", async () => {
  answers = [() => undefined];
  const giving = new AbortController();
  const waiting = Promise.all(Array.from({ length: 40 }, () => get({ signal: giving.signal })));
  giving.abort();
  for (const outcome of await waiting) expect(outcome).toMatchObject({ kind: "error", error: { code: "TIMEOUT" } });
  expect((await get({ signal: giving.signal })).kind).toBe("error");
});

test("credentials that cannot be obtained are an outcome without their text", async () => {
  const broken = createClient({ server: "http://127.0.0.1:9", token: () => Promise.reject(new Error("CANARY")) });
  const outcome = await broken.request({ method: "GET", path: "/" });
  expect(outcome).toMatchObject({ kind: "error", error: { code: "UNAUTHORIZED" } });
  expect(outcome.kind === "error" && outcome.error.message).not.toContain("CANARY");
  await broken.close();
});

test("a read-only client sends reads and dry runs, and refuses everything else before it leaves", async () => {
  answers = [(response) => response.end("{}")];
  const readOnly = createClient({ ...client.config }, { readOnly: true });
  try {
    for (const method of ["POST", "PUT", "PATCH", "DELETE"] as const) {
      const written = await readOnly.request({ method, path: "/x", body: "{}" });
      expect(written).toMatchObject({ kind: "error", error: { code: "FORBIDDEN", retryable: false } });
    }
    expect(asked).toBe(0);
    const dryRun = await readOnly.request({ method: "PATCH", path: "/x", query: { dryRun: "All" }, body: "{}" });
    expect([dryRun.kind, (await readOnly.request({ method: "GET", path: "/x" })).kind, asked]).toEqual(["ok", "ok", 2]);
  } finally {
    await readOnly.close();
  }
});
