// Who sends webhooks, and what of their bodies is read: one entry each, in the order in which headers decide, which is
// Argo CD's (Gitea sends GitHub's headers too, so Gogs comes before GitHub). Pure.
import { z } from "zod";
import { afterPrefix, basicEquals, first, hmacEquals, textEquals, type Headers } from "./signatures.ts";

export const PROVIDERS = [
  "azuredevops",
  "gogs",
  "github",
  "gitlab",
  "bitbucket",
  "bitbucketserver",
  "harbor",
  "generic",
] as const;
export type Provider = (typeof PROVIDERS)[number];

/** Keys in Secret `argocd-secret`; all but the last are Argo CD's. Two of them are user and password. */
export const SECRET_KEYS: Record<Provider, readonly string[]> = {
  azuredevops: ["webhook.azuredevops.username", "webhook.azuredevops.password"],
  gogs: ["webhook.gogs.secret"],
  github: ["webhook.github.secret"],
  gitlab: ["webhook.gitlab.secret"],
  bitbucket: ["webhook.bitbucket.uuid"],
  bitbucketserver: ["webhook.bitbucketserver.secret"],
  harbor: ["webhook.harbor.secret"],
  generic: ["webhook.generic.secret"],
};

/** Of a provider with two keys `user:password`. */
export type WebhookSecrets = Partial<Record<Provider, string>>;

export interface PushedRef {
  ref?: string | undefined;
  before?: string | undefined;
  after?: string | undefined;
}

/** What was pushed: every URL names the same repository. */
export interface Pushed {
  repoURLs: string[];
  refs: PushedRef[];
  /** Of an artifact in a registry, which has no refs. */
  tag?: string;
}

interface ProviderRules {
  /** Present on this provider's requests only. */
  marks: readonly string[];
  /** Its value is the event; absent where the body says it. */
  eventHeaders: readonly string[];
  deliveryHeaders: readonly string[];
  authentic(headers: Headers, body: Uint8Array, secret: string): boolean;
  /** Has no effect, and comes without a signature. */
  isUnsignedPing?(event: string): boolean;
  read(event: string, body: unknown): Pushed | "nothing" | "unknown";
}

const url = z.string().min(1).max(2048);
const ref = z.string().min(1).max(1024);
const commit = z.string().max(64).optional();
/** Few push as many refs at once; who does has every ref looked at. */
const changes = <Change extends z.ZodType>(change: Change) => z.array(change).min(1).max(1000);

/** Over SSH a server may have another host, or lack the folder that it has over http. */
const sshUrl = url.optional().catch(undefined);
const GitRepository = z.object({ clone_url: url.optional(), html_url: url, ssh_url: sshUrl });

// z.object drops what is not named, `__proto__` among it, so nothing else of a foreign body gets any further.
const GithubPush = z.object({
  ref,
  before: commit,
  after: commit,
  repository: GitRepository,
});
const GithubPackage = z.object({
  action: z.string(),
  package: z.object({
    name: z.string().min(1).max(512),
    package_type: z.string(),
    owner: z.object({ login: z.string().min(1).max(256) }),
    package_version: z
      .object({ container_metadata: z.object({ tag: z.object({ name: z.string().max(256) }).nullish() }).nullish() })
      .nullish(),
  }),
});
// `create` and `delete` of Gogs are the only word of a tag; their ref is the short name.
const GogsRef = z.object({
  ref,
  ref_type: z.enum(["branch", "tag"]),
  repository: GitRepository,
});
const GitlabPush = z.object({
  ref,
  before: commit,
  after: commit,
  project: z.object({ git_http_url: url.optional(), web_url: url, git_ssh_url: sshUrl }),
});
const GitlabSystem = z.object({ event_name: z.string() });
const AzureEvent = z.object({ eventType: z.string().max(256) });
const AzurePush = z.object({
  resource: z.object({
    refUpdates: changes(z.object({ name: ref, oldObjectId: commit, newObjectId: commit })),
    repository: z.object({ remoteUrl: url }),
  }),
});
const BitbucketRef = z.object({
  type: z.string().max(64),
  name: ref,
  target: z.object({ hash: z.string().max(64) }).nullish(),
});
const BitbucketPush = z.object({
  // A created ref has no old one, a deleted ref no new one.
  push: z.object({ changes: changes(z.object({ new: BitbucketRef.nullish(), old: BitbucketRef.nullish() })) }),
  repository: z.object({ links: z.object({ html: z.object({ href: url }) }) }),
});
const BitbucketServerPush = z.object({
  changes: changes(z.object({ ref: z.object({ id: ref }), fromHash: commit, toHash: commit })),
  repository: z.object({
    links: z.object({
      clone: z
        .array(z.object({ name: z.string(), href: url }))
        .min(1)
        .max(10),
    }),
  }),
});
const HarborEvent = z.object({ type: z.string().max(256), event_data: z.unknown() });
const HarborPush = z.object({
  event_data: z.object({
    resources: z
      .array(z.object({ tag: z.string().max(256).optional(), resource_url: url }))
      .min(1)
      .max(1000),
  }),
});
const GenericPush = z.object({ repoURL: url, ref: ref.optional(), before: commit, after: commit });

const urlsOf = ({ clone_url, html_url, ssh_url }: z.output<typeof GitRepository>): string[] => [
  clone_url ?? html_url,
  ...(ssh_url ? [ssh_url] : []),
];

function pushOf(body: unknown): Pushed {
  const { repository, ...push } = GithubPush.parse(body);
  return { repoURLs: urlsOf(repository), refs: [push] };
}

function packageOf(body: unknown): Pushed | "nothing" {
  const { action, package: published } = GithubPackage.parse(body);
  const tag = published.package_version?.container_metadata?.tag?.name;
  const isImage = published.package_type.toLowerCase() === "container";
  if (!["published", "updated"].includes(action) || !isImage || !tag) return "nothing";
  return { repoURLs: [`oci://ghcr.io/${published.owner.login}/${published.name}`], refs: [{}], tag };
}

function gitlabPush(body: unknown): Pushed {
  const { project, ...push } = GitlabPush.parse(body);
  const { git_http_url = project.web_url, git_ssh_url } = project;
  return { repoURLs: [git_http_url, ...(git_ssh_url ? [git_ssh_url] : [])], refs: [push] };
}

function bitbucketPush(body: unknown): Pushed {
  const { push, repository } = BitbucketPush.parse(body);
  const refs = push.changes.map(({ new: now, old }): PushedRef => {
    const { type, name } = now ?? old ?? { type: "", name: undefined };
    const folder = /tag/.test(type) ? "refs/tags/" : "refs/heads/";
    return { ref: name && folder + name, before: old?.target?.hash, after: now?.target?.hash };
  });
  return { repoURLs: [repository.links.html.href], refs };
}

function harborPush(body: unknown): Pushed | "nothing" {
  const { type, event_data } = HarborEvent.parse(body);
  if (type !== "PUSH_ARTIFACT") return "nothing";
  const tagged = HarborPush.parse({ event_data }).event_data.resources.find((resource) => resource.tag);
  if (!tagged) return "nothing";
  // "host/project/name:tag" or "…@sha256:…": which repository it is, and nothing of the artifact.
  const place = tagged.resource_url.replace(/^[a-z]+:\/\//i, "").replace(/@.*$|:[^/:]*$/, "");
  return { repoURLs: [`oci://${place}`], refs: [{}], tag: tagged.tag! };
}

export const RULES: Record<Provider, ProviderRules> = {
  azuredevops: {
    marks: ["x-vss-activityid"],
    eventHeaders: [],
    deliveryHeaders: ["x-vss-activityid"],
    authentic: (headers, _body, secret) => basicEquals(first(headers, ["authorization"]), secret),
    read(_event, body) {
      if (AzureEvent.parse(body).eventType !== "git.push") return "unknown";
      const { refUpdates, repository } = AzurePush.parse(body).resource;
      const refs = refUpdates.map(({ name, oldObjectId, newObjectId }) => ({
        ref: name,
        before: oldObjectId,
        after: newObjectId,
      }));
      return { repoURLs: [repository.remoteUrl], refs };
    },
  },
  gogs: {
    marks: ["x-gogs-event", "x-gitea-event", "x-forgejo-event"],
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
      return { repoURLs: urlsOf(repository), refs: [{ ref: folder + name }] };
    },
  },
  github: {
    marks: ["x-github-event"],
    eventHeaders: ["x-github-event"],
    deliveryHeaders: ["x-github-delivery"],
    authentic: (headers, body, secret) =>
      hmacEquals(afterPrefix("sha256=", first(headers, ["x-hub-signature-256"])), body, secret),
    read(event, body) {
      if (event === "ping") return "nothing";
      if (event === "push") return pushOf(body);
      return event === "package" ? packageOf(body) : "unknown";
    },
  },
  gitlab: {
    marks: ["x-gitlab-event"],
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
  bitbucket: {
    marks: ["x-hook-uuid"],
    eventHeaders: ["x-event-key"],
    deliveryHeaders: ["x-request-uuid"],
    // Bitbucket shows it in braces and sends it without, or the other way round.
    authentic: (headers, _body, secret) => textEquals(bare(first(headers, ["x-hook-uuid"])), bare(secret)!),
    read: (event, body) => (event === "repo:push" ? bitbucketPush(body) : "unknown"),
  },
  bitbucketserver: {
    marks: ["x-event-key"],
    eventHeaders: ["x-event-key"],
    deliveryHeaders: ["x-request-id"],
    authentic: (headers, body, secret) =>
      hmacEquals(afterPrefix("sha256=", first(headers, ["x-hub-signature"])), body, secret),
    isUnsignedPing: (event) => event === "diagnostics:ping",
    read(event, body) {
      if (event === "diagnostics:ping") return "nothing";
      if (event !== "repo:refs_changed") return "unknown";
      const { changes: refs, repository } = BitbucketServerPush.parse(body);
      return {
        // Over http it lies below /scm, over SSH it does not: two names of one repository.
        repoURLs: repository.links.clone.filter(({ name }) => /^(https?|ssh)$/.test(name)).map(({ href }) => href),
        refs: refs.map(({ ref: { id }, fromHash, toHash }) => ({ ref: id, before: fromHash, after: toHash })),
      };
    },
  },
  harbor: {
    // By its secret alone: providerOf.
    marks: [],
    eventHeaders: [],
    deliveryHeaders: ["x-harbor-event-id"],
    authentic: (headers, _body, secret) => textEquals(first(headers, ["authorization"]), secret),
    read: (_event, body) => harborPush(body),
  },
  generic: {
    marks: [],
    eventHeaders: [],
    deliveryHeaders: ["x-driftless-delivery"],
    authentic: (headers, body, secret) =>
      hmacEquals(afterPrefix("sha256=", first(headers, ["x-driftless-signature-256"])), body, secret),
    read(_event, body) {
      const { repoURL, ...push } = GenericPush.parse(body);
      return { repoURLs: [repoURL], refs: [push] };
    },
  },
};

const bare = (uuid: string | undefined): string | undefined => uuid?.replace(/^\{(.*)\}$/, "$1").toLowerCase();

/**
 * Whose rules hold. Harbor marks its requests by nothing but the Authorization header that was configured there: where a
 * secret for it is set, such a request is Harbor's, to be refused when it is another; where none is, Harbor is not heard.
 */
export function providerOf(headers: Headers, secrets: WebhookSecrets): Provider {
  const marked = PROVIDERS.find((name) => RULES[name].marks.some((header) => headers[header] !== undefined));
  if (marked) return marked;
  const signed = headers["x-driftless-signature-256"] !== undefined;
  return secrets.harbor !== undefined && headers["authorization"] !== undefined && !signed ? "harbor" : "generic";
}
