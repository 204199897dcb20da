// What a webhook request means: provider, signature, pushed ref. Pure; it sees headers and raw bytes, in this order:
//
// 1. provider by header, in Argo CD's order (Gitea sends GitHub's headers too, so Gogs comes before GitHub);
// 2. signature over the raw body with that provider's secret, before a byte of it is parsed;
// 3. event, then JSON, then the few members that are needed, and nothing else of it, go on.
//
// A secret that is not configured accepts, as Argo CD does; api.ts says so in the log.
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { failure, type Failure } from "@driftless/contracts/failure";
import type { MessageOf } from "@driftless/contracts/message";
import type { PushReceived } from "@driftless/contracts/pipeline/1-refresh";
import { z } from "zod";

export const PROVIDERS = ["gogs", "github", "gitlab", "generic"] as const;
export type Provider = (typeof PROVIDERS)[number];

/** Keys in Secret `argocd-secret`; the first three are Argo CD's. */
export const SECRET_KEYS: Record<Provider, string> = {
  gogs: "webhook.gogs.secret",
  github: "webhook.github.secret",
  gitlab: "webhook.gitlab.secret",
  generic: "webhook.generic.secret",
};

export type WebhookSecrets = Partial<Record<Provider, string>>;

/** Header names in lower case, as node:http has them. */
export type Headers = Record<string, string | string[] | undefined>;

export type WebhookOutcome =
  | { kind: "push"; provider: Provider; push: MessageOf<typeof PushReceived> }
  /** Understood and of no consequence: a ping, an event that moves no ref. */
  | { kind: "nothing"; provider: Provider; event: string }
  | { kind: "refused"; status: 400 | 401; failure: Failure };

interface ProviderRules {
  /** Present on this provider's requests only; its value is the event. */
  eventHeaders: string[];
  deliveryHeaders: string[];
  authentic(headers: Headers, body: Uint8Array, secret: string): boolean;
  read(event: string, body: unknown): PushedRef | "nothing" | "unknown";
}

interface PushedRef {
  repoURL: string;
  ref?: string;
  before?: string;
  after?: string;
}

/** Which provider's rules hold; undefined when it is one that is not understood (Bitbucket, Azure DevOps, Harbor). */
export function providerOf(headers: Headers): Provider | undefined {
  const known = PROVIDERS.find((name) => RULES[name].eventHeaders.some((header) => headers[header] !== undefined));
  if (known) return known;
  const foreign = ["x-vss-activityid", "x-hook-uuid", "x-event-key"].some((header) => headers[header] !== undefined);
  return foreign ? undefined : "generic";
}

export function readWebhook(headers: Headers, body: Uint8Array, secrets: WebhookSecrets): WebhookOutcome {
  const provider = providerOf(headers);
  if (!provider) return refused(400, "this provider's webhooks are not understood yet; use a plain {repoURL, ref}");
  const rules = RULES[provider];
  const secret = secrets[provider];
  if (secret !== undefined && !rules.authentic(headers, body, secret)) {
    return refused(401, `the request is not signed with ${SECRET_KEYS[provider]}`);
  }
  const event = first(headers, rules.eventHeaders) ?? "push";
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    return refused(400, "the body is not JSON; set the webhook's content type to application/json");
  }
  const read = readSafely(rules, event, parsed);
  if (read === "unknown") return refused(400, `event ${JSON.stringify(event.slice(0, 64))} is not understood`);
  if (read === "nothing") return { kind: "nothing", provider, event };
  if ("problem" in read) return refused(400, read.problem);

  const repoURL = withoutCredentials(read.repoURL);
  if (repoURL === undefined) return refused(400, "the repository's URL is not one");
  // A short name could be a branch or a tag: without a ref every ref of the repository is looked at.
  const ref = read.ref?.startsWith("refs/") ? read.ref : undefined;
  if (read.ref !== undefined && !isRefName(read.ref)) return refused(400, "the ref's name is not one");
  for (const commit of [read.before, read.after]) {
    if (commit !== undefined && !/^[0-9a-f]{40}([0-9a-f]{24})?$/.test(commit)) return refused(400, "not a commit id");
  }
  const push = { repoURL, ref, before: read.before, after: read.after, by: provider, delivery: undefined };
  return { kind: "push", provider, push: { ...push, delivery: deliveryOf(headers, rules, provider, body) } };
}

function refused(status: 400 | 401, message: string): WebhookOutcome {
  return {
    kind: "refused",
    status,
    failure: failure(status === 401 ? "WEBHOOK_UNAUTHORIZED" : "WEBHOOK_INVALID", message),
  };
}

function readSafely(rules: ProviderRules, event: string, body: unknown) {
  try {
    return rules.read(event, body);
  } catch (error) {
    if (!(error instanceof z.ZodError)) throw error;
    const issue = error.issues[0];
    return { problem: `${issue?.path.join(".") || "body"}: ${issue?.message ?? "has another shape"}` };
  }
}

const url = z.string().min(1).max(2048);
const ref = z.string().min(1).max(1024);
const commit = z.string().max(64).optional();

// z.object drops what is not named, `__proto__` among it, so nothing else of a foreign body gets any further.
const GithubPush = z.object({
  ref,
  before: commit,
  after: commit,
  repository: z.object({ clone_url: url.optional(), html_url: url }),
});
// `create` and `delete` of Gogs are the only word of a tag; their ref is the short name.
const GogsRef = z.object({
  ref,
  ref_type: z.enum(["branch", "tag"]),
  repository: z.object({ clone_url: url.optional(), html_url: url }),
});
const GitlabPush = z.object({
  ref,
  before: commit,
  after: commit,
  project: z.object({ git_http_url: url.optional(), web_url: url }),
});
const GitlabSystem = z.object({ event_name: z.string() });
const GenericPush = z.object({ repoURL: url, ref: ref.optional(), before: commit, after: commit });

function pushOf(body: unknown): PushedRef {
  const { repository, ...push } = GithubPush.parse(body);
  return { ...push, repoURL: repository.clone_url ?? repository.html_url };
}

function gitlabPush(body: unknown): PushedRef {
  const { project, ...push } = GitlabPush.parse(body);
  return { ...push, repoURL: project.git_http_url ?? project.web_url };
}

const RULES: Record<Provider, ProviderRules> = {
  gogs: {
    eventHeaders: ["x-gogs-event", "x-gitea-event", "x-forgejo-event"],
    deliveryHeaders: ["x-gogs-delivery", "x-gitea-delivery", "x-forgejo-delivery"],
    authentic: (headers, body, secret) =>
      hmacEquals(first(headers, ["x-gogs-signature", "x-gitea-signature", "x-forgejo-signature"]), body, secret),
    read(event, body) {
      if (event === "ping") return "nothing";
      if (event === "push") return pushOf(body);
      if (event !== "create" && event !== "delete") return "unknown";
      const { ref: name, ref_type, repository } = GogsRef.parse(body);
      const folder = ref_type === "tag" ? "refs/tags/" : "refs/heads/";
      return { repoURL: repository.clone_url ?? repository.html_url, ref: folder + name };
    },
  },
  github: {
    eventHeaders: ["x-github-event"],
    deliveryHeaders: ["x-github-delivery"],
    authentic: (headers, body, secret) =>
      hmacEquals(afterPrefix("sha256=", first(headers, ["x-hub-signature-256"])), body, secret),
    read: (event, body) => (event === "ping" ? "nothing" : event === "push" ? pushOf(body) : "unknown"),
  },
  gitlab: {
    eventHeaders: ["x-gitlab-event"],
    deliveryHeaders: ["idempotency-key", "x-gitlab-event-uuid"],
    authentic: (headers, _body, secret) => textEquals(first(headers, ["x-gitlab-token"]), secret),
    read(event, body) {
      if (event === "Push Hook" || event === "Tag Push Hook") return gitlabPush(body);
      if (event !== "System Hook") return "unknown";
      const { event_name: name } = GitlabSystem.parse(body);
      // A system hook tells of everything that happens at the server, and GitLab switches off one that is refused.
      return name === "push" || name === "tag_push" ? gitlabPush(body) : "nothing";
    },
  },
  generic: {
    eventHeaders: [],
    deliveryHeaders: ["x-driftless-delivery"],
    authentic: (headers, body, secret) =>
      hmacEquals(afterPrefix("sha256=", first(headers, ["x-driftless-signature-256"])), body, secret),
    read: (_event, body) => GenericPush.parse(body),
  },
};

function first(headers: Headers, names: string[]): string | undefined {
  for (const name of names) {
    const value = headers[name];
    if (value !== undefined) return Array.isArray(value) ? value[0] : value;
  }
  return undefined;
}

function afterPrefix(prefix: string, text: string | undefined): string | undefined {
  return text?.startsWith(prefix) ? text.slice(prefix.length) : undefined;
}

function hmacEquals(hex: string | undefined, body: Uint8Array, secret: string): boolean {
  if (hex === undefined || !/^[0-9a-fA-F]{64}$/.test(hex)) return false;
  return timingSafeEqual(Buffer.from(hex, "hex"), createHmac("sha256", secret).update(body).digest());
}

/** By digests, because timingSafeEqual wants equal lengths and the length is nobody's business. */
function textEquals(given: string | undefined, secret: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return given !== undefined && timingSafeEqual(digest(given), digest(secret));
}

/**
 * The same for a delivery that is sent again, so that it is stored once; undefined where the sender gives no id.
 * The body is in it: the id itself is in no signature, and must not swallow another delivery.
 */
function deliveryOf(headers: Headers, rules: ProviderRules, provider: Provider, body: Uint8Array): string | undefined {
  const id = first(headers, rules.deliveryHeaders);
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
