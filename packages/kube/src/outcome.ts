// Outcomes of Kubernetes requests: what is expected to go wrong is a value, wrapped once, here.

export type KubeErrorCode =
  | "NOT_FOUND"
  | "CONFLICT" // resourceVersion or uid precondition failed
  | "ALREADY_EXISTS"
  | "UNAUTHORIZED"
  | "FORBIDDEN"
  | "INVALID" // 400, 422: the object is wrong
  | "APPLY_SCHEMA" // apply refused by the schema: terminal, whatever one retries
  | "GONE" // 410: list again
  | "UNREACHABLE" // no connection, or it broke before an answer: the outcome of a write is unknown
  | "TIMEOUT" // as UNREACHABLE
  | "RATE_LIMITED"
  | "TOO_LARGE"
  | "UNKNOWN_KIND"
  | "DISCOVERY_STALE" // the group did not answer discovery: unknown, not absent
  | "UNSUPPORTED_FIELD"
  | "CONFIG_INVALID"
  | "SERVER_ERROR";

export interface KubeError {
  code: KubeErrorCode;
  /** HTTP status; 0 without an answer. */
  status: number;
  /** Kubernetes' `reason`, e.g. `AlreadyExists`. */
  reason: string;
  /** For people. Of Secrets it holds the status and field paths only, never the API server's text. */
  message: string;
  /** Whether the same request may succeed later unchanged. */
  retryable: boolean;
  /** From Retry-After. */
  retryAfterMs?: number;
  cause?: unknown;
}

export type KubeOutcome<T> = { kind: "ok"; object: T; created: boolean } | { kind: "error"; error: KubeError };

const RETRYABLE: ReadonlySet<KubeErrorCode> = new Set([
  "CONFLICT",
  "GONE",
  "UNREACHABLE",
  "TIMEOUT",
  "RATE_LIMITED",
  "DISCOVERY_STALE",
  "SERVER_ERROR",
]);

export function kubeError(code: KubeErrorCode, message: string, more: Partial<KubeError> = {}): KubeError {
  return { status: 0, reason: "", retryable: RETRYABLE.has(code), ...more, code, message };
}

interface Status {
  kind?: unknown;
  message?: unknown;
  reason?: unknown;
  details?: { kind?: unknown; retryAfterSeconds?: unknown; causes?: { field?: unknown; message?: unknown }[] };
}

/** The error that an answer of 400 or more is. `kind` is that of the object asked about. */
export function errorOfAnswer(status: number, body: string, kind: string | undefined, retryAfter?: string): KubeError {
  const answer = parseStatus(body);
  const text = typeof answer.message === "string" ? answer.message : body.slice(0, 500);
  const reason = typeof answer.reason === "string" ? answer.reason : "";
  // Another object of the name by now: our uid is "immutable" there. A fence that held, not a wrong object.
  const otherUid = status === 422 && causesOf(answer).some((cause) => cause.field === "metadata.uid");
  const code = otherUid ? "CONFLICT" : codeOf(status, reason, text);
  const retryAfterMs = retryAfterOf(retryAfter, answer);
  // API server texts quote what they refuse (CVE-2025-23216), and so do admission webhooks.
  const secret = isSecretKind(kind) || isSecretKind(answer.details?.kind);
  const message = secret ? secretMessage(status, reason, answer) : shortened(text);
  return kubeError(code, message, { status, reason, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) });
}

/** A whole pod template may stand between the field and what is wrong with it. */
const shortened = (text: string): string =>
  text.length <= MESSAGE_MAX ? text : `${text.slice(0, MESSAGE_MAX / 2)} … ${text.slice(-MESSAGE_MAX / 4)}`;
const MESSAGE_MAX = 1600;

function codeOf(status: number, reason: string, text: string): KubeErrorCode {
  // The schema's refusals come as 500, "Internal error": no retry will change them.
  if (status >= 500 && /failed to (create|convert) .*typed|failed to create typed patch object/.test(text)) {
    return "APPLY_SCHEMA";
  }
  switch (status) {
    case 401:
      return "UNAUTHORIZED";
    case 403:
      return "FORBIDDEN";
    case 404:
      return "NOT_FOUND";
    case 409:
      return reason === "AlreadyExists" ? "ALREADY_EXISTS" : "CONFLICT";
    case 410:
      return "GONE";
    case 413:
      return "TOO_LARGE";
    case 429:
      return "RATE_LIMITED";
    case 504:
      return "TIMEOUT";
    default:
      return status >= 500 ? "SERVER_ERROR" : "INVALID";
  }
}

/** `Secret` as we name it, `secrets` as the API server does. */
function isSecretKind(kind: unknown): boolean {
  return typeof kind === "string" && /^secrets?$/i.test(kind);
}

function secretMessage(status: number, reason: string, answer: Status): string {
  // A path, or nothing: what else stands there could be a value.
  const fields = causesOf(answer)
    .map((cause) => cause.field)
    .filter((field) => typeof field === "string" && /^[\w.[\]/-]{1,200}$/.test(field));
  const where = fields.length > 0 ? ` at ${[...new Set(fields)].join(", ")}` : "";
  return `the API server refused a Secret: ${status}${reason ? ` ${reason}` : ""}${where}`;
}

function causesOf(answer: Status): { field?: unknown; message?: unknown }[] {
  return Array.isArray(answer.details?.causes) ? answer.details.causes : [];
}

function parseStatus(body: string): Status {
  try {
    const parsed = JSON.parse(body) as unknown;
    return typeof parsed === "object" && parsed !== null ? (parsed as Status) : {};
  } catch {
    return {};
  }
}

function retryAfterOf(header: string | undefined, answer: Status): number | undefined {
  const seconds = Number(header ?? answer.details?.retryAfterSeconds ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined;
}
