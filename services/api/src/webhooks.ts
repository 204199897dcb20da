// What a webhook request means: provider, signature, what was pushed. Pure; it sees headers and raw bytes, in this order:
//
// 1. provider by header (providers.ts);
// 2. signature over the raw body with that provider's secret, before a byte of it is parsed;
// 3. event, then JSON, then the few members that are needed, and nothing else of it, go on.
//
// A secret that is not configured accepts, as Argo CD does (but for Harbor); api.ts says so in the log.
import { createHash } from "node:crypto";
import { failure, type Failure } from "@driftless/contracts/failure";
import type { MessageOf } from "@driftless/contracts/message";
import type { PushReceived } from "@driftless/contracts/pipeline/1-refresh";
import { canonicalRepository } from "@driftless/contracts/repository";
import { z } from "zod";
import { providerOf, RULES, SECRET_KEYS, type Provider, type Pushed, type WebhookSecrets } from "./providers.ts";
import { first, type Headers } from "./signatures.ts";

export type WebhookOutcome =
  | { kind: "push"; provider: Provider; delivery: string | undefined; pushes: MessageOf<typeof PushReceived>[] }
  /** Understood and of no consequence: a ping, an event that moves no ref. */
  | { kind: "nothing"; provider: Provider; event: string }
  | { kind: "refused"; status: 400 | 401; failure: Failure };

/** A delivery that names more refs than that is one of every ref. */
const REFS_MAX = 10;

export function readWebhook(headers: Headers, body: Uint8Array, secrets: WebhookSecrets): WebhookOutcome {
  const provider = providerOf(headers, secrets);
  const rules = RULES[provider];
  const secret = secrets[provider];
  const event = first(headers, rules.eventHeaders) ?? "push";
  if (secret !== undefined && !rules.isUnsignedPing?.(event) && !rules.authentic(headers, body, secret)) {
    return refused(401, `the request is not signed with ${SECRET_KEYS[provider].join(" and ")}`);
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    return refused(400, "the body is not JSON; set the webhook's content type to application/json");
  }
  const read = readSafely(provider, event, parsed);
  if (read === "unknown") return refused(400, `event ${JSON.stringify(event.slice(0, 64))} is not understood`);
  if (read === "nothing") return { kind: "nothing", provider, event };
  if ("problem" in read) return refused(400, read.problem);

  const [main, ...others] = read.repoURLs.map(withoutCredentials);
  if (main === undefined) return refused(400, "the repository's URL is not one");
  // Two spellings of one place are one push.
  const repoURLs = [main];
  for (const other of others) {
    const isNew = other && repoURLs.every((one) => canonicalRepository(one) !== canonicalRepository(other));
    if (isNew) repoURLs.push(other);
  }
  for (const { ref, before, after } of read.refs) {
    if (ref !== undefined && !isRefName(ref)) return refused(400, "the ref's name is not one");
    for (const commit of [before, after]) {
      if (commit !== undefined && !/^[0-9a-f]{40}([0-9a-f]{24})?$/.test(commit)) return refused(400, "not a commit id");
    }
  }
  const delivery = deliveryOf(headers, rules.deliveryHeaders, provider, body);
  const refs = read.refs.length > REFS_MAX ? [{}] : read.refs;
  const pushes = repoURLs.flatMap((repoURL) =>
    refs.map(({ ref, before, after }: Pushed["refs"][number]) => ({
      repoURL,
      // A short name could be a branch or a tag: without a ref every ref of the repository is looked at.
      ref: ref?.startsWith("refs/") ? ref : undefined,
      before,
      after,
      ...(read.tag !== undefined && { tag: read.tag }),
      by: provider,
      delivery,
    })),
  );
  return { kind: "push", provider, delivery, pushes };
}

function refused(status: 400 | 401, message: string): WebhookOutcome {
  return {
    kind: "refused",
    status,
    failure: failure(status === 401 ? "WEBHOOK_UNAUTHORIZED" : "WEBHOOK_INVALID", message),
  };
}

function readSafely(provider: Provider, event: string, body: unknown) {
  try {
    return RULES[provider].read(event, body);
  } catch (error) {
    if (!(error instanceof z.ZodError)) throw error;
    if (provider === "generic" && typeof body === "object" && body !== null && "event_data" in body)
      return { problem: `Harbor is heard only with ${SECRET_KEYS.harbor.join()} in argocd-secret` };
    const issue = error.issues[0];
    return { problem: `${issue?.path.join(".") || "body"}: ${issue?.message ?? "has another shape"}` };
  }
}

/**
 * The same for a delivery that is sent again, so that it is stored once; undefined where the sender gives no id.
 * The body is in it: the id itself is in no signature, and must not swallow another delivery.
 */
function deliveryOf(
  headers: Headers,
  names: readonly string[],
  provider: Provider,
  body: Uint8Array,
): string | undefined {
  const id = first(headers, names);
  if (!id) return undefined;
  return createHash("sha256").update(`${provider}\0${id}\0`).update(body).digest("hex").slice(0, 40);
}

/** User information and query may hold tokens, and say nothing about which repository it is. */
function withoutCredentials(text: string): string | undefined {
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\u0000-\u0020\u007f]/.test(text)) return undefined;
  if (!text.includes("://")) return /^[^/@:]+@[^/@:]+:.+$/.test(text) ? text : undefined;
  const parsed = URL.parse(text);
  if (!parsed || parsed.host === "") return undefined;
  parsed.username = "";
  parsed.password = "";
  parsed.search = "";
  parsed.hash = "";
  return parsed.href;
}

/** The rules of git-check-ref-format. */
function isRefName(name: string): boolean {
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\u0000-\u0020\u007f~^:?*[\\]|\.\.|@\{|\/\/|^\/|[/.]$/.test(name)) return false;
  return name.split("/").every((part) => !part.startsWith(".") && !part.endsWith(".lock"));
}
