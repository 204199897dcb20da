import { createHmac } from "node:crypto";
import { describe, expect, test } from "vitest";
import { PushReceived } from "@driftless/contracts/pipeline/1-refresh";
import type { WebhookSecrets } from "./providers.ts";
import type { Headers } from "./signatures.ts";
import { readWebhook } from "./webhooks.ts";

const bytes = (body: unknown) => Buffer.from(typeof body === "string" ? body : JSON.stringify(body));
const hmac = (secret: string, body: unknown) => createHmac("sha256", secret).update(bytes(body)).digest("hex");
const read = (headers: Headers, body: unknown, secrets: WebhookSecrets = {}) =>
  readWebhook(headers, bytes(body), secrets);

const sha = "a".repeat(40);
const githubPush = {
  ref: "refs/heads/main",
  before: "0".repeat(40),
  after: sha,
  repository: { clone_url: "https://github.com/acme/shop.git", html_url: "https://github.com/acme/shop" },
};
const gitlabPush = {
  object_kind: "tag_push",
  ref: "refs/tags/v1.2.0",
  before: "0".repeat(40),
  after: sha,
  project: { git_http_url: "https://gitlab.com/acme/shop.git", web_url: "https://gitlab.com/acme/shop" },
};

const bitbucketServerPush = {
  eventKey: "repo:refs_changed",
  changes: [{ ref: { id: "refs/heads/main", type: "BRANCH" }, fromHash: "0".repeat(40), toHash: sha }],
  repository: {
    links: {
      clone: [
        { name: "http", href: "https://bitbucket.example/scm/acme/shop.git" },
        { name: "ssh", href: "ssh://git@bitbucket.example:7999/acme/shop.git" },
      ],
    },
  },
};
const azurePush = {
  eventType: "git.push",
  resource: {
    refUpdates: [{ name: "refs/heads/main", oldObjectId: "0".repeat(40), newObjectId: sha }],
    repository: { remoteUrl: "https://acme@dev.azure.com/acme/p/_git/shop" },
  },
};
const ghcrPackage = {
  action: "published",
  package: {
    name: "charts/shop",
    package_type: "CONTAINER",
    owner: { login: "acme" },
    package_version: { container_metadata: { tag: { name: "1.2.0", digest: "sha256:0" } } },
  },
};
const harborPush = {
  type: "PUSH_ARTIFACT",
  event_data: {
    resources: [{ digest: "sha256:0", tag: "1.2.0", resource_url: "harbor.example:8443/charts/shop:1.2.0" }],
    repository: { name: "shop", namespace: "charts", repo_full_name: "charts/shop" },
  },
};

describe("what a webhook says", () => {
  test("GitHub: a push names repository, ref and commits", () => {
    expect(read({ "x-github-event": "push" }, githubPush)).toMatchObject({
      kind: "push",
      provider: "github",
      pushes: [
        {
          repoURL: "https://github.com/acme/shop.git",
          ref: "refs/heads/main",
          before: "0".repeat(40),
          after: sha,
          by: "github",
        },
      ],
    });
  });

  test("GitLab: a tag push, also as a system hook; other system events are of no consequence", () => {
    const push = { repoURL: "https://gitlab.com/acme/shop.git", ref: "refs/tags/v1.2.0", after: sha, by: "gitlab" };
    expect(read({ "x-gitlab-event": "Tag Push Hook" }, gitlabPush)).toMatchObject({ kind: "push", pushes: [push] });
    const system = { ...gitlabPush, event_name: "tag_push" };
    expect(read({ "x-gitlab-event": "System Hook" }, system)).toMatchObject({ kind: "push", pushes: [push] });
    expect(read({ "x-gitlab-event": "System Hook" }, { event_name: "user_create" })).toMatchObject({ kind: "nothing" });
  });

  test("Gitea, which sends GitHub's headers too, is taken for Gogs, as Argo CD does", () => {
    const headers = { "x-gitea-event": "push", "x-gogs-event": "push", "x-github-event": "push" };
    expect(read(headers, githubPush)).toMatchObject({ kind: "push", provider: "gogs" });
  });

  test("Gogs: a created tag, told only by `create`, becomes a full ref", () => {
    const body = { ref: "v2", ref_type: "tag", repository: githubPush.repository };
    expect(read({ "x-gogs-event": "create" }, body)).toMatchObject({ pushes: [{ ref: "refs/tags/v2" }] });
  });

  test("a server that is elsewhere over SSH is told by both names, one that is not by one", () => {
    const named = (repository: object) => {
      const outcome = read({ "x-gitea-event": "push" }, { ...githubPush, repository });
      return outcome.kind === "push" ? outcome.pushes.map(({ repoURL }) => repoURL) : outcome;
    };
    const clone_url = "https://example.com/git/acme/shop.git";
    const html_url = "https://example.com/git/acme/shop";
    const ssh_url = "git@git.example.com:acme/shop.git";
    expect(named({ clone_url, html_url, ssh_url })).toEqual([clone_url, ssh_url]);
    const both = { ...githubPush.repository, ssh_url: "git@github.com:acme/shop.git" };
    expect(named(both)).toEqual([githubPush.repository.clone_url]);
    // What is beside the point does not stop what is not.
    for (const odd of [null, 7, "nonsense", "x".repeat(5_000)])
      expect(named({ clone_url, html_url, ssh_url: odd })).toEqual([clone_url]);
  });

  test("Bitbucket Cloud: each branch and tag of the push, created or deleted", () => {
    const target = { hash: sha };
    const change = (type: string, name: string) => ({ type, name, target });
    const body = {
      push: {
        changes: [
          { new: change("branch", "main"), old: change("branch", "main") },
          { new: change("tag", "v1"), old: null },
          { new: null, old: change("branch", "gone") },
        ],
      },
      repository: { links: { html: { href: "https://bitbucket.org/acme/shop" } } },
    };
    const repoURL = "https://bitbucket.org/acme/shop";
    expect(read({ "x-hook-uuid": "{u}", "x-event-key": "repo:push" }, body)).toMatchObject({
      provider: "bitbucket",
      pushes: [
        { repoURL, ref: "refs/heads/main", before: sha, after: sha },
        { repoURL, ref: "refs/tags/v1", before: undefined, after: sha },
        { repoURL, ref: "refs/heads/gone", before: sha, after: undefined },
      ],
    });
  });

  test("Bitbucket Server: its http and SSH URLs differ, so each is told; a ping needs no signature", () => {
    expect(read({ "x-event-key": "repo:refs_changed" }, bitbucketServerPush)).toMatchObject({
      provider: "bitbucketserver",
      pushes: [
        { repoURL: "https://bitbucket.example/scm/acme/shop.git", ref: "refs/heads/main", after: sha },
        { repoURL: "ssh://bitbucket.example:7999/acme/shop.git", ref: "refs/heads/main", after: sha },
      ],
    });
    const ping = read({ "x-event-key": "diagnostics:ping" }, { test: true }, { bitbucketserver: "s" });
    expect(ping).toMatchObject({ kind: "nothing" });
  });

  test("Azure DevOps: every ref of the push", () => {
    expect(read({ "x-vss-activityid": "1" }, azurePush)).toMatchObject({
      provider: "azuredevops",
      pushes: [{ repoURL: "https://dev.azure.com/acme/p/_git/shop", ref: "refs/heads/main", after: sha }],
    });
    const other = { ...azurePush, eventType: "build.complete" };
    expect(read({ "x-vss-activityid": "1" }, other)).toMatchObject({ status: 400 });
  });

  test("GHCR: a published image or chart names its repository in the registry; other packages nothing", () => {
    const outcome = read({ "x-github-event": "package" }, ghcrPackage);
    expect(outcome).toMatchObject({ pushes: [{ repoURL: "oci://ghcr.io/acme/charts/shop", tag: "1.2.0" }] });
    for (const body of [
      { ...ghcrPackage, action: "deleted" },
      { ...ghcrPackage, package: { ...ghcrPackage.package, package_type: "npm" } },
      { ...ghcrPackage, package: { ...ghcrPackage.package, package_version: null } },
    ])
      expect(read({ "x-github-event": "package" }, body)).toMatchObject({ kind: "nothing" });
  });

  test("Harbor: a pushed artifact names its repository with port; without a secret Harbor is not heard, as in Argo CD", () => {
    const headers = { authorization: "s7" };
    const repoURL = "oci://harbor.example:8443/charts/shop";
    expect(read(headers, harborPush, { harbor: "s7" })).toMatchObject({ pushes: [{ repoURL, tag: "1.2.0" }] });
    const scanned = { ...harborPush, type: "SCANNING_COMPLETED" };
    expect(read(headers, scanned, { harbor: "s7" })).toMatchObject({ kind: "nothing" });
    expect(read(headers, harborPush)).toMatchObject({
      status: 400,
      failure: { message: expect.stringContaining("webhook.harbor.secret") },
    });
  });

  test("a delivery of more than ten refs is one of all refs", () => {
    const refUpdates = Array.from({ length: 11 }, (_, n) => ({ name: `refs/heads/b${n}`, newObjectId: sha }));
    const body = { ...azurePush, resource: { ...azurePush.resource, refUpdates } };
    const outcome = read({ "x-vss-activityid": "1" }, body) as { pushes: { ref?: string }[] };
    expect(outcome.pushes.map(({ ref }) => ref)).toEqual([undefined]);
  });

  test("plain: without a full ref every ref of the repository is meant", () => {
    const repoURL = "https://git.example/acme/shop";
    const short = read({}, { repoURL, ref: "main" });
    expect(short).toMatchObject({ pushes: [{ repoURL, ref: undefined, by: "generic" }] });
    expect(read({}, { repoURL, ref: "refs/tags/v1" })).toMatchObject({ pushes: [{ ref: "refs/tags/v1" }] });
    expect(read({}, { repoURL })).toMatchObject({ kind: "push", pushes: [{ ref: undefined }] });
  });

  test("a ping is answered and nothing else", () => {
    expect(read({ "x-github-event": "ping" }, { zen: "Keep it logically awesome." })).toMatchObject({
      kind: "nothing",
    });
    expect(read({ "x-gogs-event": "ping" }, {})).toMatchObject({ kind: "nothing" });
  });

  test("credentials in a URL go no further", () => {
    const outcome = read({}, { repoURL: "https://user:CANARY@git.example/a/b.git?private_token=CANARY" });
    expect(JSON.stringify(outcome)).not.toContain("CANARY");
    expect(outcome).toMatchObject({ pushes: [{ repoURL: "https://git.example/a/b.git" }] });
  });

  test("a delivery sent again has the same message id, and no other delivery has it", () => {
    const id = (headers: Headers, body: unknown) => {
      const outcome = read(headers, body);
      if (outcome.kind !== "push") throw new Error(outcome.kind);
      return PushReceived.messageId!(outcome.pushes[0]!);
    };
    const headers = { "x-github-event": "push", "x-github-delivery": "72d3162e" };
    expect(id(headers, githubPush)).toBeDefined();
    expect(id(headers, githubPush)).toBe(id({ ...headers }, githubPush));
    expect(id({ ...headers, "x-github-delivery": "72d3162f" }, githubPush)).not.toBe(id(headers, githubPush));
    // The id is in no signature: under somebody else's id another body still counts.
    expect(id(headers, { ...githubPush, ref: "refs/heads/other" })).not.toBe(id(headers, githubPush));
    expect(id({ "x-github-event": "push" }, githubPush)).toBeUndefined();
  });

  test("the pushes of one delivery are stored side by side", () => {
    const outcome = read({ "x-event-key": "repo:refs_changed", "x-request-id": "1" }, bitbucketServerPush);
    if (outcome.kind !== "push") throw new Error(outcome.kind);
    expect(new Set(outcome.pushes.map((push) => PushReceived.messageId!(push))).size).toBe(2);
  });
});

describe("signatures", () => {
  const secrets = {
    github: "s1",
    gogs: "s2",
    gitlab: "s3",
    generic: "s4",
    bitbucket: "0f4-uuid",
    bitbucketserver: "s5",
    azuredevops: "argo:s6",
    harbor: "s7",
  };
  const bitbucketPush = {
    push: { changes: [{ new: { type: "branch", name: "main", target: { hash: sha } } }] },
    repository: { links: { html: { href: "https://bitbucket.org/acme/shop" } } },
  };
  const plain = { repoURL: "https://git.example/a/b" };
  const signed: [string, Headers, unknown][] = [
    ["github", { "x-github-event": "push", "x-hub-signature-256": `sha256=${hmac("s1", githubPush)}` }, githubPush],
    ["gogs", { "x-gogs-event": "push", "x-gogs-signature": hmac("s2", githubPush) }, githubPush],
    ["gitea", { "x-gitea-event": "push", "x-gitea-signature": hmac("s2", githubPush) }, githubPush],
    ["gitlab", { "x-gitlab-event": "Tag Push Hook", "x-gitlab-token": "s3" }, gitlabPush],
    ["GHCR", { "x-github-event": "package", "x-hub-signature-256": `sha256=${hmac("s1", ghcrPackage)}` }, ghcrPackage],
    ["Bitbucket Cloud", { "x-event-key": "repo:push", "x-hook-uuid": "{0F4-uuid}" }, bitbucketPush],
    [
      "Bitbucket Server",
      { "x-event-key": "repo:refs_changed", "x-hub-signature": `sha256=${hmac("s5", bitbucketServerPush)}` },
      bitbucketServerPush,
    ],
    [
      "Azure DevOps",
      { "x-vss-activityid": "1", authorization: `Basic ${Buffer.from("argo:s6").toString("base64")}` },
      azurePush,
    ],
    ["plain", { "x-driftless-signature-256": `sha256=${hmac("s4", plain)}` }, plain],
  ];

  test.each(signed)("%s: the right one is accepted", (_name, headers, body) => {
    expect(read(headers, body, secrets).kind).toBe("push");
  });

  test.each(signed)("%s: a wrong, short or missing one, or another secret's, is 401", (_name, headers, body) => {
    const key = Object.keys(headers).find((name) => /signature|token|uuid|authorization/.test(name))!;
    const right = headers[key] as string;
    const others = ["", "sha256=", "sha256=zz", right.slice(0, -3), `${right.slice(0, 5)}x${right.slice(6)}`];
    // Bitbucket Cloud's own header is also what tells it apart: without it there is another signature to be wrong.
    for (const value of [undefined, ...others, `sha256=${hmac("other", body)}`]) {
      expect(read({ ...headers, [key]: value }, body, secrets)).toMatchObject({ kind: "refused", status: 401 });
    }
  });

  test("Harbor: another Authorization than the secret is 401", () => {
    for (const authorization of ["", "s", "s77", "Basic czc="])
      expect(read({ authorization }, harborPush, secrets)).toMatchObject({ status: 401 });
    expect(read({ authorization: "s7" }, harborPush, secrets)).toMatchObject({ kind: "push" });
  });

  test("the signature is judged before the body is parsed, and over its raw bytes", () => {
    const headers = { "x-github-event": "push", "x-hub-signature-256": `sha256=${"0".repeat(64)}` };
    expect(read(headers, "{not json", secrets)).toMatchObject({ status: 401 });
    const same = JSON.stringify(githubPush, null, 2);
    const outcome = read({ ...headers, "x-hub-signature-256": `sha256=${hmac("s1", githubPush)}` }, same, secrets);
    expect(outcome).toMatchObject({ status: 401 });
  });

  test("SHA-1, which anybody may forge one day, is not accepted", () => {
    const sha1 = createHmac("sha1", "s1").update(bytes(githubPush)).digest("hex");
    const headers = { "x-github-event": "push", "x-hub-signature": `sha1=${sha1}` };
    expect(read(headers, githubPush, secrets)).toMatchObject({ status: 401 });
  });
});

describe("bad input", () => {
  const github = { "x-github-event": "push" };
  const withRef = (ref: unknown) => ({ ...githubPush, ref });
  const cases: [string, Headers, unknown][] = [
    ["an unknown event", { "x-github-event": "workflow_run" }, githubPush],
    [
      "Bitbucket Server's clone links as no list",
      { "x-event-key": "repo:refs_changed" },
      { ...bitbucketServerPush, repository: { links: { clone: {} } } },
    ],
    ["no clone link at all", { "x-event-key": "repo:refs_changed" }, { ...bitbucketServerPush, repository: {} }],
    [
      "Azure DevOps with empty refUpdates",
      { "x-vss-activityid": "1" },
      { ...azurePush, resource: { ...azurePush.resource, refUpdates: [] } },
    ],
    ["Bitbucket Cloud's changes as null", { "x-hook-uuid": "1", "x-event-key": "repo:push" }, { push: null }],
    ["a package without an owner", { "x-github-event": "package" }, { action: "published", package: { name: "x" } }],
    ["a Gogs body with null commits' repository", { "x-gogs-event": "push" }, { ref: "refs/heads/m", repo: null }],
    ["a form", github, `payload=${encodeURIComponent(JSON.stringify(githubPush))}`],
    ["an empty body", github, ""],
    ["null", github, "null"],
    ["a number", github, "1e999"],
    ["invalid UTF-8", github, "\ud800"],
    ["100,000 open brackets", github, "[".repeat(100_000)],
    ["100,000 nested arrays", github, "[".repeat(100_000) + "]".repeat(100_000)],
    ["a prototype", {}, '{"__proto__":{"repoURL":"https://git.example/a/b"}}'],
    ["no repository", github, { ref: "refs/heads/main" }],
    ["a repository that is a list", github, { ...githubPush, repository: [] }],
    ["a ref out of its folder", github, withRef("refs/heads/../../x")],
    ["a ref with NUL", github, withRef("refs/heads/a\0b")],
    ["a ref of 10 kB", github, withRef(`refs/heads/${"x".repeat(10_000)}`)],
    ["a ref with a glob", github, withRef("refs/heads/*")],
    ["a ref that is an object", github, withRef({})],
    ["a commit that is none", github, { ...githubPush, after: "HEAD" }],
    ["a URL that is none", {}, { repoURL: "https://" }],
    ["a URL with a line break", {}, { repoURL: "https://git.example/a\nb" }],
    ["a path of the disk", {}, { repoURL: "/etc/passwd" }],
  ];

  test.each(cases)("%s is 400 with a code", (_name, headers, body) => {
    expect(read(headers, body)).toMatchObject({ kind: "refused", status: 400, failure: { code: "WEBHOOK_INVALID" } });
  });

  test("members that nobody asked for do not get into the message", () => {
    const body = JSON.stringify(githubPush).replace("{", '{"__proto__":{"polluted":1},"constructor":{"prototype":{}},');
    const outcome = read(github, body);
    expect(outcome).toMatchObject({ kind: "push" });
    expect(JSON.stringify(outcome)).not.toMatch(/polluted|constructor/);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  test("20,000 mutations of honest bodies are each a push, nothing, or refused; none throws, none changes Object", () => {
    // A small generator of its own, so that a failure comes back: the seed is the same each time.
    let seed = 7;
    const draw = (below: number) => (seed = (seed * 48_271) % 2_147_483_647) % below;
    const junk = [
      "null",
      "[]",
      "{}",
      '""',
      "1e999",
      "-0",
      '"\\u0000"',
      '"refs/heads/x"',
      "[[[[",
      "\u{1F4A5}",
      '{"__proto__":1}',
    ];
    const honest: [Headers, unknown][] = [
      [github, githubPush],
      [{ "x-github-event": "package" }, ghcrPackage],
      [{ "x-event-key": "repo:refs_changed" }, bitbucketServerPush],
      [{ "x-vss-activityid": "1" }, azurePush],
      [{ "x-gogs-event": "create" }, { ref: "v2", ref_type: "tag", repository: githubPush.repository }],
      [{ "x-gitlab-event": "System Hook" }, { ...gitlabPush, event_name: "push" }],
      [{}, { repoURL: "https://git.example/a/b", ref: "refs/tags/v1", after: sha }],
    ];
    const seen = new Set<string>();
    for (let n = 0; n < 20_000; n++) {
      const [headers, body] = honest[draw(honest.length)]!;
      let text = JSON.stringify(body);
      for (let cuts = draw(3); cuts >= 0; cuts--) {
        const at = draw(text.length + 1);
        text = text.slice(0, at) + (draw(2) ? junk[draw(junk.length)] : "") + text.slice(at + draw(12));
      }
      seen.add(read(headers, text).kind);
    }
    expect([...seen].toSorted()).toEqual(["nothing", "push", "refused"]);
    expect(Object.keys(Object.prototype)).toEqual([]);
  });
});
