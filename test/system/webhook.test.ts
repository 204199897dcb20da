// The api's way in, on a real nats-server and a real API server: what becomes a PushReceived in JetStream, what is
// refused with which status, and that nothing a stranger sends ends the process.
import { createHmac } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startApi, type Api } from "@driftless/api/api";
import { connectBus, type Bus } from "@driftless/bus/connect";
import { on, replay } from "@driftless/bus/consume";
import type { MessageOf } from "@driftless/contracts/message";
import { PushReceived } from "@driftless/contracts/pipeline/1-refresh";
import { STREAMS } from "@driftless/contracts/streams";
import { subject } from "@driftless/contracts/subject";
import type { KubeClient } from "@driftless/kube/client";
import { startLocal, type Local } from "@driftless/local/local";
import { startNats } from "@driftless/local/nats";
import { systemClock, waitUntil } from "@driftless/process/clock";
import { createLogger, Registry } from "@driftless/process/telemetry";
import { kubeClient } from "../harness/world.ts";

const BYTES_MAX = 1024 * 1024;
const NAMESPACE = "webhooks";
const SECRET = "s3cret";

let home: string;
let local: Local;
let kube: KubeClient;
let bus: Bus;
let api: Api;
let others: Record<string, string | undefined>;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "driftless-webhook-"));
  local = await startLocal({ home, git: false, unsafeNoFsync: true });
  kube = await kubeClient(local.kubeconfigPath!);
  const logger = createLogger({ service: "test", level: "silent" });
  bus = await connectBus({ servers: local.natsUrl!, name: "webhook-test", clock: systemClock, logger });
  await post("/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name: NAMESPACE } });
});
afterAll(async () => {
  await bus?.close();
  await kube?.close();
  await local?.stop();
  await rm(home, { recursive: true, force: true, maxRetries: 3 });
});

beforeEach(async () => {
  others = {};
  const logger = createLogger({ service: "test", level: "silent" });
  const config = { apiHost: "127.0.0.1", apiPort: 0, namespace: NAMESPACE, webhookBytesMax: BYTES_MAX };
  api = await startApi({
    bus,
    kube,
    clock: systemClock,
    logger,
    metrics: new Registry(),
    config,
    others: () => others,
  });
});
afterEach(() => api.stop());

async function post(path: string, object: unknown): Promise<void> {
  const outcome = await kube.request({
    method: "POST",
    path,
    body: JSON.stringify(object),
    contentType: "application/json",
  });
  if (outcome.kind === "error") throw new Error(outcome.error.message);
}

const SECRET_PATH = `/api/v1/namespaces/${NAMESPACE}/secrets`;

async function withSecret<T>(stringData: Record<string, string>, work: () => Promise<T>): Promise<T> {
  await post(SECRET_PATH, { apiVersion: "v1", kind: "Secret", metadata: { name: "argocd-secret" }, stringData });
  try {
    return await work();
  } finally {
    await kube.request({ method: "DELETE", path: `${SECRET_PATH}/argocd-secret` });
  }
}

async function pushesOf(repoURL: string): Promise<MessageOf<typeof PushReceived>[]> {
  return (await stored()).filter((push) => push.repoURL === repoURL);
}

async function stored(): Promise<MessageOf<typeof PushReceived>[]> {
  const pushes: MessageOf<typeof PushReceived>[] = [];
  await replay(bus, {
    stream: STREAMS.pushes,
    filters: [subject("push")],
    which: "all",
    handlers: [on(PushReceived, async (push) => void pushes.push(push))],
  });
  return pushes;
}

let serial = 0;
/** A repository of this test's own, so that tests need not empty the stream. */
const repository = () => `https://git.example/acme/repo-${++serial}`;
const githubPush = (repoURL: string) => ({
  ref: "refs/heads/main",
  before: "0".repeat(40),
  after: "b".repeat(40),
  repository: { clone_url: repoURL, html_url: repoURL },
});

const send = (body: string | Uint8Array, headers: Record<string, string> = {}) =>
  fetch(`${api.url}/api/webhook`, {
    method: "POST",
    body,
    headers: { "content-type": "application/json", ...headers },
  });

describe("a push", () => {
  test("is in JetStream when 202 comes", async () => {
    const repoURL = repository();
    const response = await send(JSON.stringify(githubPush(repoURL)), { "x-github-event": "push" });
    expect(response.status).toBe(202);
    const pushes = await pushesOf(repoURL);
    expect(pushes).toMatchObject([{ ref: "refs/heads/main", after: "b".repeat(40), by: "github" }]);
  });

  test("delivered 1,000 times is stored once", async () => {
    const repoURL = repository();
    const headers = { "x-github-event": "push", "x-github-delivery": `delivery-${repoURL}` };
    const body = JSON.stringify(githubPush(repoURL));
    for (let n = 0; n < 20; n++) {
      const answers = await Promise.all(Array.from({ length: 50 }, () => send(body, headers)));
      expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([202]));
    }
    expect(await pushesOf(repoURL)).toHaveLength(1);
  });

  test("with a secret in argocd-secret is stored only when signed with it, over the raw bytes", async () => {
    await withSecret({ "webhook.github.secret": SECRET }, async () => {
      const repoURL = repository();
      const body = JSON.stringify(githubPush(repoURL));
      const signature = `sha256=${createHmac("sha256", SECRET).update(body).digest("hex")}`;
      const headers = { "x-github-event": "push" };
      expect((await send(body, headers)).status).toBe(401);
      expect((await send(`${body} `, { ...headers, "x-hub-signature-256": signature })).status).toBe(401);
      const wrong = signature.replace(/.$/, (c) => (c === "0" ? "1" : "0"));
      expect((await send(body, { ...headers, "x-hub-signature-256": wrong })).status).toBe(401);
      expect(await pushesOf(repoURL)).toHaveLength(0);
      expect((await send(body, { ...headers, "x-hub-signature-256": signature })).status).toBe(202);
      expect(await pushesOf(repoURL)).toHaveLength(1);
    });
  });

  test("of Harbor is believed by its Authorization header, and is one of an artifact in a registry", async () => {
    await withSecret({ "webhook.harbor.secret": SECRET }, async () => {
      const place = repository().replace("https://", "");
      const resource = { tag: "1.2.0", resource_url: `${place}:1.2.0` };
      const body = JSON.stringify({ type: "PUSH_ARTIFACT", event_data: { resources: [resource] } });
      expect((await send(body, { authorization: "other" })).status).toBe(401);
      expect((await send(body, { authorization: SECRET })).status).toBe(202);
      expect(await pushesOf(`oci://${place}`)).toMatchObject([{ tag: "1.2.0", by: "harbor" }]);
    });
  });

  test("over webhook.maxPayloadSizeMB of argocd-cm is answered 413", async () => {
    const path = `/api/v1/namespaces/${NAMESPACE}/configmaps`;
    const data = { "webhook.maxPayloadSizeMB": "0.01" };
    await post(path, { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "argocd-cm" }, data });
    try {
      const body = JSON.stringify({ repoURL: repository(), padding: "x".repeat(20_000) });
      const response = await send(body);
      expect(response.status).toBe(413);
      expect(await response.text()).toContain("webhook.maxPayloadSizeMB");
    } finally {
      await kube.request({ method: "DELETE", path: `${path}/argocd-cm` });
    }
  });

  test("is answered 503 with Retry-After while NATS is away, within seconds, and 202 once it is back", async () => {
    const repoURL = repository();
    const { port } = local.nats!;
    await local.nats!.kill();
    await waitUntil(systemClock, "the loss is noticed", () => !bus.connected, { deadlineMs: 10_000 });
    const startedAt = systemClock.monotonic();
    const response = await send(JSON.stringify({ repoURL }));
    expect(response.status).toBe(503);
    expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(systemClock.monotonic() - startedAt).toBeLessThan(5_000);
    expect((await fetch(`${api.url}/readyz`)).status).toBe(503);
    expect((await fetch(`${api.url}/healthz`)).status).toBe(200);

    local.replaceNats(await startNats(local.state, local.programs, { port }));
    await waitUntil(systemClock, "stored", async () => (await send(JSON.stringify({ repoURL }))).status === 202, {
      deadlineMs: 30_000,
    });
    expect((await stored()).some((push) => push.repoURL === repoURL)).toBe(true);
  });
});

describe("malicious input", () => {
  // After each of them the next honest push must be taken: same process, still listening.
  afterEach(async () => {
    expect((await send(JSON.stringify({ repoURL: repository() }))).status).toBe(202);
  });

  const cases: [string, number, Record<string, string>, string][] = [
    // CVE-2025-59531, CVE-2025-59537, CVE-2025-59538, CVE-2024-40634.
    [
      "Bitbucket's clone links as no list",
      400,
      { "x-event-key": "repo:refs_changed" },
      '{"changes":[{"ref":{"id":"refs/heads/m"}}],"repository":{"links":{"clone":{}}}}',
    ],
    ["Gogs' null repository", 400, { "x-gogs-event": "push" }, '{"commits":[{"repo":null}]}'],
    [
      "Azure's empty refUpdates",
      400,
      { "x-vss-activityid": "1" },
      '{"eventType":"git.push","resource":{"refUpdates":[],"repository":{"remoteUrl":"https://git.example/x"}}}',
    ],
    ["Bitbucket Cloud's null changes", 400, { "x-hook-uuid": "1", "x-event-key": "repo:push" }, '{"push":null}'],
    ["a package of nobody", 400, { "x-github-event": "package" }, '{"action":"published","package":{}}'],
    ["a prototype", 400, {}, '{"__proto__":{"repoURL":"https://git.example/x"}}'],
    ["100,000 open brackets", 400, {}, "[".repeat(100_000)],
    ["an object 100,000 deep", 400, {}, '{"a":'.repeat(100_000) + "1" + "}".repeat(100_000)],
    ["an unknown event", 400, { "x-github-event": "star" }, "{}"],
    ["one byte more than is allowed", 413, {}, "x".repeat(BYTES_MAX + 1)],
  ];
  test.each(cases)("%s is answered %i", async (_name, status, headers, body) => {
    expect((await send(body, headers)).status).toBe(status);
  });

  test("an endless chunked body is answered 413 and cut off", async () => {
    const socket = raw();
    let answer = "";
    socket.on("data", (bytes) => (answer += bytes.toString()));
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    socket.write("POST /api/webhook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    const chunk = Buffer.alloc(64 * 1024, "a");
    let sent = 0;
    const more = (): void => {
      if (socket.destroyed) return;
      sent += chunk.length;
      if (socket.write(`10000\r\n${chunk.toString()}\r\n`)) setImmediate(more);
      else socket.once("drain", more);
    };
    more();
    await closed;
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
    expect(sent).toBeGreaterThan(BYTES_MAX);
  });

  test("a declared length over the limit is refused before any of the body is read", async () => {
    const socket = raw();
    socket.write(`POST /api/webhook HTTP/1.1\r\nHost: x\r\nContent-Length: ${10 * 1024 ** 3}\r\n\r\n`);
    expect(await firstLine(socket)).toMatch(/ 413 /);
  });

  test("who sends headers one by one for ever is cut off at the header timeout", { timeout: 20_000 }, async () => {
    const socket = raw();
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    socket.resume();
    socket.write("POST /api/webhook HTTP/1.1\r\nHost: x\r\n");
    let lines = 0;
    const drip = (): (() => void) =>
      systemClock.setTimer(300, () => {
        socket.write(`X-${lines++}: x\r\n`);
        if (!socket.destroyed) drip();
      });
    drip();
    await closed;
    expect(lines).toBeLessThan(40);
  });

  test("random bytes in place of HTTP or of JSON do no harm", async () => {
    const socket = raw();
    socket.write(Buffer.from(Array.from({ length: 4096 }, (_, n) => (n * 7919) % 256)));
    expect(await firstLine(socket)).toMatch(/^HTTP\/1\.1 400 /);
    const answer = await send(Buffer.from(Array.from({ length: 4096 }, (_, n) => (n * 104_729) % 256)));
    expect(answer.status).toBe(400);
  });

  function raw(): Socket {
    const socket = connect({ port: Number(new URL(api.url).port), host: "127.0.0.1" });
    socket.on("error", () => {});
    return socket;
  }

  function firstLine(socket: Socket): Promise<string> {
    return new Promise((resolve, reject) => {
      let text = "";
      socket.on("data", (bytes) => {
        text += bytes.toString();
        if (text.includes("\r\n")) {
          resolve(text.slice(0, text.indexOf("\r\n")));
          socket.destroy();
        }
      });
      socket.once("close", () => reject(new Error(`closed after ${JSON.stringify(text)}`)));
    });
  }
});

describe("probes", () => {
  test("/readyz speaks for the services of the same process and says which is not ready", async () => {
    expect((await fetch(`${api.url}/readyz`)).status).toBe(200);
    others = { controller: "reads Applications", renderer: undefined };
    const response = await fetch(`${api.url}/readyz`);
    expect(response.status).toBe(503);
    expect(await response.json()).toEqual({
      ready: false,
      services: { api: "ready", controller: "reads Applications", renderer: "ready" },
    });
  });

  test("/metrics counts webhooks by provider and status", async () => {
    await send(JSON.stringify({ repoURL: repository() }));
    await send("{", { "x-github-event": "push" });
    const text = await (await fetch(`${api.url}/metrics`)).text();
    expect(text).toContain('driftless_webhooks_total{provider="generic",status="202"} 1');
    expect(text).toMatch(/driftless_webhooks_total\{provider="unknown",status="400"\} 1/);
  });

  test("other paths and methods are 404 and 405", async () => {
    expect((await fetch(`${api.url}/api/webhook`)).status).toBe(405);
    expect((await fetch(`${api.url}/`)).status).toBe(404);
  });
});
