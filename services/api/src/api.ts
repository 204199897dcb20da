// Hop 1's way in over HTTP: webhooks become PushReceived; and the questions of probes and scrapers.
//
// A1  2xx for a webhook only once JetStream has stored it. What happens then (which Applications, which clusters) is
//     not waited for, so the answer takes milliseconds whatever their number.
// A2  No request, however malformed, ends the process or holds more memory than the limits below.
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Bus } from "@driftless/bus/connect";
import { failure, failureText } from "@driftless/contracts/failure";
import type { MessageOf } from "@driftless/contracts/message";
import { PushReceived } from "@driftless/contracts/pipeline/1-refresh";
import type { KubeClient } from "@driftless/kube/client";
import type { Clock } from "@driftless/process/clock";
import type { Config } from "@driftless/process/config";
import type { Service } from "@driftless/process/start";
import { Counter, Histogram, type Logger, type Registry } from "@driftless/process/telemetry";
import { BodyBudget, readBody } from "./body.ts";
import { SECRET_KEYS, type Provider } from "./providers.ts";
import { webhookSettings, type SettingsOutcome } from "./webhook-settings.ts";
import { readWebhook } from "./webhooks.ts";

const STORE_DEADLINE_MS = 2_000;
const BODIES_BYTES_MAX = 64 * 1024 * 1024;
const HEADERS_TIMEOUT_MS = 5_000;
const REQUEST_TIMEOUT_MS = 10_000;
const CONNECTIONS_MAX = 2_000;
/** How long what a refused client still sends is thrown away, so that it reads the answer instead of a reset. */
const LINGER_MS = 500;

export interface ApiContext {
  bus: Bus;
  kube: KubeClient;
  clock: Clock;
  logger: Logger;
  metrics: Registry;
  config: Pick<Config, "apiHost" | "apiPort" | "namespace" | "webhookBytesMax">;
  /** Services in the same process; /readyz speaks for them too. */
  others?: () => Record<string, string | undefined>;
}

export interface Api extends Service {
  /** Where it listens; the port is drawn when the configured one is 0. */
  readonly url: string;
}

export async function startApi(context: ApiContext): Promise<Api> {
  const { bus, clock, logger, metrics, config } = context;
  const settings = webhookSettings({ kube: context.kube, namespace: config.namespace, clock, logger });
  const budget = new BodyBudget(BODIES_BYTES_MAX);
  const warned = new Set<Provider>();
  const answered = new Counter({
    name: "driftless_webhooks_total",
    help: "Webhook requests by provider and HTTP status",
    labelNames: ["provider", "status"],
    registers: [metrics],
  });
  const took = new Histogram({
    name: "driftless_webhook_seconds",
    help: "From a webhook's last byte to its answer",
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2],
    registers: [metrics],
  });

  function notReady(): string | undefined {
    return bus.connected ? undefined : "NATS is not connected";
  }

  async function webhook(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // Before anything of the body is read: they say how much of it may be.
    const known = await settings.read();
    const bytesMax = (known.kind === "known" ? known.settings.bytesMax : undefined) ?? config.webhookBytesMax;
    const body = await readBody(request, bytesMax, budget);
    const startedAt = clock.monotonic();
    try {
      const { provider, reply } = await decide(request, body, known, bytesMax);
      if (body.kind === "gone") return;
      answered.inc({ provider, status: String(reply.status) });
      took.observe((clock.monotonic() - startedAt) / 1000);
      send(response, reply);
    } finally {
      body.giveBack();
    }
  }

  async function decide(
    request: IncomingMessage,
    body: Awaited<ReturnType<typeof readBody>>,
    known: SettingsOutcome,
    bytesMax: number,
  ): Promise<{ provider: Provider | "unknown"; reply: Reply }> {
    if (body.kind === "tooLarge") {
      const limit = failure(
        "WEBHOOK_INVALID",
        `the body is over ${bytesMax} bytes; webhook.maxPayloadSizeMB in argocd-cm allows more`,
      );
      return { provider: "unknown", reply: { ...refusal(413, limit), close: true } };
    }
    if (body.kind !== "body") return { provider: "unknown", reply: { ...later(429, "too many at once"), close: true } };
    if (known.kind === "unknown") return { provider: "unknown", reply: later(503, "webhook secrets cannot be read") };
    const { secrets } = known.settings;
    const outcome = readWebhook(request.headers, body.bytes, secrets);
    switch (outcome.kind) {
      case "refused":
        logger.info(
          { status: outcome.status, code: outcome.failure.code },
          `webhook refused: ${outcome.failure.message}`,
        );
        return { provider: "unknown", reply: refusal(outcome.status, outcome.failure) };
      case "nothing":
        return { provider: outcome.provider, reply: { status: 200, json: { status: "ok", event: outcome.event } } };
      case "push": {
        const { provider } = outcome;
        if (secrets[provider] === undefined && !warned.has(provider)) {
          warned.add(provider);
          const keys = SECRET_KEYS[provider].join(" and ");
          logger.warn(
            { provider },
            `webhooks are accepted unsigned: set ${keys} in Secret argocd-secret to refuse forged ones`,
          );
        }
        // One that no provider gave a name still has one to be found by.
        const delivery = outcome.delivery ?? randomUUID();
        const pushes = outcome.pushes.map((push) => ({ ...push, delivery }));
        if (!(await storedSoon(pushes))) return { provider, reply: later(503, "NATS does not answer") };
        for (const { repoURL, ref, after, tag } of pushes)
          logger.info({ provider, delivery, repoURL, ref, after, tag }, "push received");
        return { provider, reply: { status: 202, json: { status: "accepted", delivery } } };
      }
    }
  }

  async function storedSoon(pushes: MessageOf<typeof PushReceived>[]): Promise<boolean> {
    try {
      await Promise.all(pushes.map((push) => bus.publish(PushReceived, push, { deadlineMs: STORE_DEADLINE_MS })));
      return true;
    } catch (error) {
      logger.warn({ error }, "push not stored");
      return false;
    }
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? "/").split("?", 1)[0];
    const method = request.method === "HEAD" ? "GET" : request.method;
    switch (`${method} ${path}`) {
      case "POST /api/webhook":
        return webhook(request, response);
      case "GET /healthz":
        return send(response, { status: 200, json: { status: "ok" } });
      case "GET /readyz": {
        const services: Record<string, string> = {};
        for (const [name, why] of Object.entries({ api: notReady(), ...context.others?.() })) {
          services[name] = why ?? "ready";
        }
        const ready = Object.values(services).every((state) => state === "ready");
        return send(response, { status: ready ? 200 : 503, json: { ready, services } });
      }
      case "GET /metrics": {
        const text = await metrics.metrics();
        response.writeHead(200, { "content-type": metrics.contentType }).end(text);
        return;
      }
      default:
        return send(response, {
          status: path === "/api/webhook" ? 405 : 404,
          json: { error: path === "/api/webhook" ? "use POST" : "not found" },
          headers: path === "/api/webhook" ? { allow: "POST" } : {},
          close: true,
        });
    }
  }

  function send(response: ServerResponse, reply: Reply): void {
    if (response.headersSent || response.destroyed) return;
    const request = response.req;
    const text = `${JSON.stringify(reply.json)}\n`;
    response.writeHead(reply.status, {
      "content-type": "application/json; charset=utf-8",
      "content-length": Buffer.byteLength(text),
      ...reply.headers,
      ...(reply.close && { connection: "close" }),
    });
    if (request.complete) {
      response.end(text);
      return;
    }
    // The end of the answer closes the connection, and with bytes unread that is a reset, which takes the answer with it
    // where it is not read yet. So it ends when the body does, or a moment later; until then that is thrown away.
    response.write(text);
    request.resume();
    const cancel = clock.setTimer(LINGER_MS, () => request.destroy());
    request.once("end", () => response.end());
    request.once("close", cancel);
  }

  const server = createServer(
    {
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: 1_000,
      keepAliveTimeout: 5_000,
      maxHeaderSize: 16 * 1024,
    },
    (request, response) => {
      request.on("error", () => {});
      response.on("error", () => {});
      answer(request, response).catch((error: unknown) => {
        logger.error({ error }, "request failed");
        send(response, refusal(500, failure("INTERNAL", "an error in Driftless; its log tells more")));
      });
    },
  );
  server.maxConnections = CONNECTIONS_MAX;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(config.apiPort, config.apiHost, () => {
      server.off("error", reject);
      resolve();
    });
  });
  server.on("error", (error) => logger.error({ error }, "HTTP server"));
  const { port } = server.address() as AddressInfo;
  const host = config.apiHost.includes(":") ? `[${config.apiHost}]` : config.apiHost;
  const url = `http://${host}:${port}`;
  logger.info({ url }, "listening");

  return {
    url,
    notReady,
    async stop() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      const cancel = clock.setTimer(STORE_DEADLINE_MS, () => server.closeAllConnections());
      await closed;
      cancel();
    },
  };
}

interface Reply {
  status: number;
  json: unknown;
  headers?: Record<string, string>;
  /** The connection is of no more use: part of a body may still be on its way. */
  close?: boolean;
}

function refusal(status: number, f: ReturnType<typeof failure>): Reply {
  return { status, json: { error: failureText(f), code: f.code } };
}

function later(status: 429 | 503, why: string): Reply {
  return { status, json: { error: why }, headers: { "retry-after": status === 429 ? "1" : "5" } };
}
