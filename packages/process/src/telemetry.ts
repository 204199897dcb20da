// What a process tells about itself: JSON log lines on stdout, and metrics.
import { pino, type Logger } from "pino";

export { Counter, Gauge, Histogram, Registry } from "prom-client";
export type { Logger } from "pino";

/** Keys whose values never reach a log line, at any of the first levels of what is logged. */
const SECRET_KEYS = [
  "password",
  "token",
  "bearerToken",
  "authorization",
  "Authorization",
  "secret",
  "sshPrivateKey",
  "tlsClientCertKey",
  "keyData",
  "stringData",
  "githubAppPrivateKey",
  "webhookSecret",
];

export function createLogger(options: { service: string; level?: string }): Logger {
  return pino({
    level: options.level ?? "info",
    base: { service: options.service },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths: SECRET_KEYS.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]), censor: "[redacted]" },
    serializers: { err: errorOf, error: errorOf },
  });
}

/** User information in a URL is a credential wherever it turns up: Git libraries put the URL into their errors. */
export function withoutCredentials(text: string): string {
  return text.replaceAll(/([a-z][a-z0-9+.-]*:\/\/)[^/\s@]*@/gi, "$1***@");
}

// Vendor errors carry requests and headers as members, so only these three are taken over.
function errorOf(error: unknown): unknown {
  if (!(error instanceof Error)) return typeof error === "string" ? withoutCredentials(error) : error;
  return {
    type: error.name,
    message: withoutCredentials(error.message),
    stack: withoutCredentials(error.stack ?? ""),
    ...(error.cause === undefined ? {} : { cause: errorOf(error.cause) }),
  };
}
