// Client of one API server (edge): plain requests over kept connections, each with a deadline, each with an outcome.
import { systemClock, type Clock } from "@driftless/process/clock";
import type { ClusterConfig } from "./config.ts";
import { FIELD_MANAGER } from "./footprint.ts";
import { createPool, type HttpPool, type HttpRequest } from "./http.ts";
import { errorOfAnswer, kubeError, type KubeOutcome } from "./outcome.ts";
import { pathOf, type ApiResource, type KubeObject } from "./resource.ts";

export interface KubeRequest {
  method: HttpRequest["method"];
  path: string;
  query?: Record<string, string | number | boolean | undefined>;
  /** JSON text. */
  body?: string;
  contentType?: string;
  accept?: string;
  deadlineMs?: number;
  signal?: AbortSignal;
  /** Kind of the object, so that messages about Secrets are masked. */
  kind?: string;
  responseBytesMax?: number;
}

export interface ClientOptions {
  clock?: Clock;
  /** Connections to the server; further requests wait. */
  connections?: number;
  /** Default deadline of a request, waiting for Retry-After included. */
  deadlineMs?: number;
  responseBytesMax?: number;
  userAgent?: string;
  /** Nothing but reads and dry runs leaves this client, whoever asks for what. */
  readOnly?: boolean;
}

export interface ListOptions {
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
  /** Objects a page. */
  limit?: number;
  deadlineMs?: number;
  signal?: AbortSignal;
}

export interface ListPage {
  items: KubeObject[];
  resourceVersion: string;
  /** Empty on the last page. */
  continue: string;
}

export interface KubeClient {
  readonly server: string;
  readonly config: ClusterConfig;
  readonly clock: Clock;
  request<T = unknown>(request: KubeRequest): Promise<KubeOutcome<T>>;
  get(resource: ApiResource, namespace: string, name: string): Promise<KubeOutcome<KubeObject>>;
  /** Creates; `ALREADY_EXISTS` when it is there. `text` is JSON. */
  create(resource: ApiResource, namespace: string, text: string): Promise<KubeOutcome<KubeObject>>;
  /** One page, with apiVersion and kind put into each item as single reads have them. */
  listPage(resource: ApiResource, options?: ListOptions & { continue?: string }): Promise<KubeOutcome<ListPage>>;
  /** All pages; an error on any page is an error of the whole: a partial list is never delivered. */
  list(resource: ApiResource, options?: ListOptions): Promise<KubeOutcome<Omit<ListPage, "continue">>>;
  /** A streamed GET; what watches are made of. */
  stream(path: string, options: Parameters<HttpPool["stream"]>[1]): Promise<Awaited<ReturnType<HttpPool["stream"]>>>;
  close(): Promise<void>;
}

const DEADLINE_MS = 30_000;
const RESPONSE_BYTES_MAX = 64 * 1024 * 1024;
const RETRY_AFTER_DEFAULT_MS = 1_000;
const PAGE_SIZE = 500;

export function createClient(config: ClusterConfig, options: ClientOptions = {}): KubeClient {
  const clock = options.clock ?? systemClock;
  const pool = createPool(config, clock, options.connections ?? 16);
  const userAgent = options.userAgent ?? "driftless";

  async function headersOf(
    request: Pick<KubeRequest, "accept" | "body" | "contentType">,
  ): Promise<Record<string, string>> {
    const headers: Record<string, string> = { accept: request.accept ?? "application/json", "user-agent": userAgent };
    if (request.body !== undefined) headers["content-type"] = request.contentType ?? "application/json";
    if (config.token) headers["authorization"] = `Bearer ${await config.token()}`;
    else if (config.username !== undefined) {
      const credentials = Buffer.from(`${config.username}:${config.password ?? ""}`).toString("base64");
      headers["authorization"] = `Basic ${credentials}`;
    }
    return headers;
  }

  async function request<T>(asked: KubeRequest): Promise<KubeOutcome<T>> {
    if (options.readOnly && asked.method !== "GET" && asked.query?.["dryRun"] !== "All") {
      const what = `${asked.method} ${asked.path}`;
      return { kind: "error", error: kubeError("FORBIDDEN", `Driftless only observes here; not sent: ${what}`) };
    }
    const end = clock.monotonic() + (asked.deadlineMs ?? options.deadlineMs ?? DEADLINE_MS);
    for (let attempt = 1; ; attempt++) {
      const headers = await headersOf(asked).catch((cause: unknown) => cause as Error);
      if (headers instanceof Error) {
        return {
          kind: "error",
          error: kubeError("UNAUTHORIZED", "no credentials could be obtained", { cause: headers }),
        };
      }
      const outcome = await pool.send(
        {
          method: asked.method,
          path: asked.path + queryText(asked.query),
          headers,
          ...(asked.body === undefined ? {} : { body: asked.body }),
          ...(asked.signal ? { signal: asked.signal } : {}),
        },
        {
          deadlineMs: Math.max(1, end - clock.monotonic()),
          bytesMax: asked.responseBytesMax ?? options.responseBytesMax ?? RESPONSE_BYTES_MAX,
        },
      );
      if (outcome.kind === "error") {
        // A kept connection that the server had just closed; a read can simply be sent again.
        const stale = outcome.error.code === "UNREACHABLE" && asked.method === "GET" && attempt === 1;
        if (stale && isReset(outcome.error.cause)) continue;
        return outcome;
      }
      const { status, body, retryAfter } = outcome.answer;
      if (status < 400) return parsed<T>(body, status, asked);
      const error = errorOfAnswer(status, body, asked.kind, retryAfter);
      if (error.code === "RATE_LIMITED") {
        const waitMs = error.retryAfterMs ?? RETRY_AFTER_DEFAULT_MS * attempt;
        if (clock.monotonic() + waitMs < end && !asked.signal?.aborted) {
          // Spread, so that all who were told the same second do not come back in it together.
          const gaveUp = await clock.sleep(waitMs * (1 + clock.random() * 0.2), asked.signal).then(
            () => false,
            () => true,
          );
          if (!gaveUp) continue;
        }
      }
      return { kind: "error", error };
    }
  }

  async function listPage(
    resource: ApiResource,
    asked: ListOptions & { continue?: string } = {},
  ): Promise<KubeOutcome<ListPage>> {
    const outcome = await request<{ items?: KubeObject[]; metadata?: { resourceVersion?: string; continue?: string } }>(
      {
        method: "GET",
        path: pathOf(resource, asked.namespace),
        query: {
          limit: asked.limit ?? PAGE_SIZE,
          continue: asked.continue,
          labelSelector: asked.labelSelector,
          fieldSelector: asked.fieldSelector,
        },
        kind: resource.kind,
        ...(asked.deadlineMs === undefined ? {} : { deadlineMs: asked.deadlineMs }),
        ...(asked.signal ? { signal: asked.signal } : {}),
      },
    );
    if (outcome.kind === "error") return outcome;
    const { items, metadata } = outcome.object;
    const apiVersion = resource.group === "" ? resource.version : `${resource.group}/${resource.version}`;
    return {
      kind: "ok",
      created: false,
      object: {
        items: (items ?? []).map((item) => ({ ...item, apiVersion, kind: resource.kind })),
        resourceVersion: metadata?.resourceVersion ?? "",
        continue: metadata?.continue ?? "",
      },
    };
  }

  return {
    server: config.server,
    config,
    clock,
    request,
    listPage,
    get: (resource, namespace, name) =>
      request({ method: "GET", path: pathOf(resource, namespace, name), kind: resource.kind }),
    create: (resource, namespace, text) =>
      request({
        method: "POST",
        path: pathOf(resource, namespace),
        query: { fieldManager: FIELD_MANAGER },
        body: text,
        kind: resource.kind,
      }),
    async list(resource, asked = {}) {
      const items: KubeObject[] = [];
      let token = "";
      for (;;) {
        const page = await listPage(resource, token === "" ? asked : { ...asked, continue: token });
        if (page.kind === "error") return page;
        for (const item of page.object.items) items.push(item);
        token = page.object.continue;
        if (token === "") {
          return { kind: "ok", created: false, object: { items, resourceVersion: page.object.resourceVersion } };
        }
      }
    },
    async stream(path, streamOptions) {
      const headers = await headersOf({}).catch((cause: unknown) => cause as Error);
      if (headers instanceof Error) {
        return {
          kind: "error",
          error: kubeError("UNAUTHORIZED", "no credentials could be obtained", { cause: headers }),
        };
      }
      return pool.stream({ method: "GET", path, headers }, streamOptions);
    },
    close: () => pool.close(),
  };
}

function parsed<T>(body: string, status: number, asked: KubeRequest): KubeOutcome<T> {
  try {
    return { kind: "ok", object: JSON.parse(body) as T, created: status === 201 };
  } catch (cause) {
    // A proxy's page, or health's plain "ok".
    if (asked.accept === "text/plain") return { kind: "ok", object: body as T, created: false };
    return {
      kind: "error",
      error: kubeError("SERVER_ERROR", `not JSON: the answer to ${asked.method} ${asked.path}`, { status, cause }),
    };
  }
}

export function queryText(query: KubeRequest["query"]): string {
  if (!query) return "";
  const parts: string[] = [];
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "") parts.push(`${name}=${encodeURIComponent(String(value))}`);
  }
  return parts.length === 0 ? "" : `?${parts.join("&")}`;
}

function isReset(cause: unknown): boolean {
  const code = (cause as { code?: unknown } | undefined)?.code;
  return code === "ECONNRESET" || code === "UND_ERR_SOCKET" || code === "EPIPE";
}
