// HTTP to one API server (edge): connections, deadlines, size caps. Uses undici's dispatch below its own request(),
// because Kubernetes answers are small and many, and the streams in between cost more than the parsing.
import { Pool } from "undici";
import type { Clock } from "@driftless/process/clock";
import type { ClusterConfig } from "./config.ts";
import { kubeError, type KubeError } from "./outcome.ts";

export interface HttpRequest {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  path: string;
  headers: Record<string, string>;
  body?: string;
  signal?: AbortSignal;
}

export interface HttpAnswer {
  status: number;
  body: string;
  retryAfter: string | undefined;
}

export type HttpOutcome = { kind: "answer"; answer: HttpAnswer } | { kind: "error"; error: KubeError };

export interface HttpPool {
  send(request: HttpRequest, limits: { deadlineMs: number; bytesMax: number }): Promise<HttpOutcome>;
  /** An answer that does not end: `onChunk` gets its bytes. Resolves when it is over, for whatever reason. */
  stream(
    request: HttpRequest,
    options: { openDeadlineMs: number; onOpen: () => void; onChunk: (chunk: Buffer) => void; signal: AbortSignal },
  ): Promise<{ kind: "closed" } | { kind: "refused"; answer: HttpAnswer } | { kind: "error"; error: KubeError }>;
  close(): Promise<void>;
}

const ERROR_BODY_BYTES_MAX = 64 * 1024;

export function createPool(config: ClusterConfig, clock: Clock, connections: number): HttpPool {
  const connect = {
    timeout: 10_000,
    ...(config.ca === undefined ? {} : { ca: config.ca }),
    ...(config.cert === undefined ? {} : { cert: config.cert }),
    ...(config.key === undefined ? {} : { key: config.key }),
    ...(config.serverName === undefined ? {} : { servername: config.serverName }),
    ...(config.insecureSkipVerify ? { rejectUnauthorized: false } : {}),
  };
  const origin = new URL(config.server);
  const prefix = origin.pathname.replace(/\/+$/, "");
  // Time limits are ours, by the clock; undici's own are off.
  const options = { connect, headersTimeout: 0, bodyTimeout: 0, keepAliveTimeout: 60_000, allowH2: false };
  const pool = new Pool(origin.origin, { ...options, connections });
  // A watch holds its connection for minutes and must not take one from the requests.
  const streams = new Pool(origin.origin, { ...options, connections: null });

  return {
    send(request, { deadlineMs, bytesMax }) {
      return new Promise((resolve) => {
        if (request.signal?.aborted) return resolve({ kind: "error", error: aborted(request) });
        let abort: ((reason: Error) => void) | undefined;
        let failure: KubeError | undefined;
        let status = 0;
        let retryAfter: string | undefined;
        let bytes = 0;
        const chunks: Buffer[] = [];
        const stop = (error: KubeError) => {
          if (failure) return;
          failure = error;
          abort?.(new Error(error.message));
          settle();
        };
        const cancelTimer = clock.setTimer(deadlineMs, () =>
          stop(kubeError("TIMEOUT", `no answer from ${config.server} within ${deadlineMs} ms to ${describe(request)}`)),
        );
        const onAbort = () => stop(aborted(request));
        request.signal?.addEventListener("abort", onAbort, { once: true });
        const settle = () => {
          cancelTimer();
          request.signal?.removeEventListener("abort", onAbort);
          if (failure) return resolve({ kind: "error", error: failure });
          const body = chunks.length === 1 ? chunks[0]!.toString("utf8") : Buffer.concat(chunks).toString("utf8");
          resolve({ kind: "answer", answer: { status, body, retryAfter } });
        };
        pool.dispatch(
          { method: request.method, path: prefix + request.path, headers: request.headers, body: request.body ?? null },
          {
            onRequestStart(controller) {
              abort = (reason) => controller.abort(reason);
              // Given up while it waited for a connection.
              if (failure) controller.abort(new Error(failure.message));
            },
            onResponseStart(_controller, statusCode, headers) {
              status = statusCode;
              retryAfter = first(headers["retry-after"]);
            },
            onResponseData(_controller, chunk) {
              bytes += chunk.length;
              if (bytes > bytesMax) {
                stop(
                  kubeError("TOO_LARGE", `the answer to ${describe(request)} is over ${bytesMax} bytes`, { status }),
                );
              } else chunks.push(chunk);
            },
            onResponseEnd: settle,
            onResponseError(_controller, cause) {
              if (failure) return;
              failure = unreachable(config, request, cause);
              settle();
            },
          },
        );
      });
    },

    stream(request, { openDeadlineMs, onOpen, onChunk, signal }) {
      return new Promise((resolve) => {
        let abort: ((reason: Error) => void) | undefined;
        let failure: KubeError | undefined;
        let status = 0;
        let retryAfter: string | undefined;
        let bytes = 0;
        const refused: Buffer[] = [];
        const stop = (error: KubeError) => {
          if (failure) return;
          failure = error;
          abort?.(new Error(error.message));
          settle();
        };
        const cancelTimer = clock.setTimer(openDeadlineMs, () =>
          stop(kubeError("TIMEOUT", `${config.server} did not open ${describe(request)} within ${openDeadlineMs} ms`)),
        );
        const onAbort = () => stop(aborted(request));
        signal.addEventListener("abort", onAbort, { once: true });
        const settle = () => {
          cancelTimer();
          signal.removeEventListener("abort", onAbort);
          if (failure) resolve({ kind: "error", error: failure });
          else if (status >= 400) {
            resolve({ kind: "refused", answer: { status, body: Buffer.concat(refused).toString("utf8"), retryAfter } });
          } else resolve({ kind: "closed" });
        };
        if (signal.aborted) return onAbort();
        streams.dispatch(
          { method: request.method, path: prefix + request.path, headers: request.headers, body: null },
          {
            onRequestStart(controller) {
              abort = (reason) => controller.abort(reason);
              if (failure) controller.abort(new Error(failure.message));
            },
            onResponseStart(_controller, statusCode, headers) {
              status = statusCode;
              retryAfter = first(headers["retry-after"]);
              if (status < 400) {
                cancelTimer();
                onOpen();
              }
            },
            onResponseData(_controller, chunk) {
              if (failure) return;
              if (status < 400) onChunk(chunk);
              else if ((bytes += chunk.length) <= ERROR_BODY_BYTES_MAX) refused.push(chunk);
            },
            onResponseEnd: settle,
            onResponseError(_controller, cause) {
              if (failure) return;
              failure = unreachable(config, request, cause);
              settle();
            },
          },
        );
      });
    },

    async close() {
      await Promise.all([pool.destroy(), streams.destroy()]);
    },
  };
}

function unreachable(config: ClusterConfig, request: HttpRequest, cause: unknown): KubeError {
  const error = cause as { code?: unknown; message?: unknown };
  const why = typeof error.code === "string" ? error.code : String(error.message ?? cause);
  return kubeError("UNREACHABLE", `${config.server} cannot be reached: ${why} (${describe(request)})`, { cause });
}

function aborted(request: HttpRequest): KubeError {
  return kubeError("TIMEOUT", `given up by the caller: ${describe(request)}`);
}

function describe(request: HttpRequest): string {
  return `${request.method} ${request.path.split("?")[0]}`;
}

function first(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header;
}
