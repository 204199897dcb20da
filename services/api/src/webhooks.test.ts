import { createHmac } from "node:crypto";
import { describe, expect, test } from "vitest";
import { PushReceived } from "@driftless/contracts/pipeline/1-refresh";
import { readWebhook, type Headers, type WebhookSecrets } from "./webhooks.ts";

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

describe("what a webhook says", () => {
  test("GitHub: a push names repository, ref and commits", () => {
    expect(read({ "x-github-event": "push" }, githubPush)).toMatchObject({
      kind: "push",
      provider: "github",
      push: {
        repoURL: "https://github.com/acme/shop.git",
        ref: "refs/heads/main",
        before: "0".repeat(40),
        after: sha,
        by: "github",
      },
    });
  });

  test("GitLab: a tag push, also as a system hook; other system events are of no consequence", () => {
    const push = { repoURL: "https://gitlab.com/acme/shop.git", ref: "refs/tags/v1.2.0", after: sha, by: "gitlab" };
    expect(read({ "x-gitlab-event": "Tag Push Hook" }, gitlabPush)).toMatchObject({ kind: "push", push });
    const system = { ...gitlabPush, event_name: "tag_push" };
    expect(read({ "x-gitlab-event": "System Hook" }, system)).toMatchObject({ kind: "push", push });
    expect(read({ "x-gitlab-event": "System Hook" }, { event_name: "user_create" })).toMatchObject({ kind: "nothing" });
  });

  test("Gitea, which sends GitHub's headers too, is taken for Gogs, as Argo CD does", () => {
    const headers = { "x-gitea-event": "push", "x-gogs-event": "push", "x-github-event": "push" };
    expect(read(headers, githubPush)).toMatchObject({ kind: "push", provider: "gogs" });
  });

  test("Gogs: a created tag, told only by `create`, becomes a full ref", () => {
    const body = { ref: "v2", ref_type: "tag", repository: githubPush.repository };
    expect(read({ "x-gogs-event": "create" }, body)).toMatchObject({ kind: "push", push: { ref: "refs/tags/v2" } });
  });

  test("plain: without a full ref every ref of the repository is meant", () => {
    const repoURL = "https://git.example/acme/shop";
    const { push } = read({}, { repoURL, ref: "main" }) as { push: object };
    expect(push).toMatchObject({ repoURL, ref: undefined, by: "generic" });
    expect(read({}, { repoURL, ref: "refs/tags/v1" })).toMatchObject({ push: { ref: "refs/tags/v1" } });
    expect(read({}, { repoURL })).toMatchObject({ kind: "push", push: { ref: undefined } });
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
    expect(outcome).toMatchObject({ push: { repoURL: "https://git.example/a/b.git" } });
  });

  test("a delivery sent again has the same message id, and no other delivery has it", () => {
    const id = (headers: Headers, body: unknown) => {
      const outcome = read(headers, body);
      if (outcome.kind !== "push") throw new Error(outcome.kind);
      return PushReceived.messageId!(outcome.push);
    };
    const headers = { "x-github-event": "push", "x-github-delivery": "72d3162e" };
    expect(id(headers, githubPush)).toBeDefined();
    expect(id(headers, githubPush)).toBe(id({ ...headers }, githubPush));
    expect(id({ ...headers, "x-github-delivery": "72d3162f" }, githubPush)).not.toBe(id(headers, githubPush));
    // The id is in no signature: under somebody else's id another body still counts.
    expect(id(headers, { ...githubPush, ref: "refs/heads/other" })).not.toBe(id(headers, githubPush));
    expect(id({ "x-github-event": "push" }, githubPush)).toBeUndefined();
  });
});

describe("signatures", () => {
  const secrets = { github: "s1", gogs: "s2", gitlab: "s3", generic: "s4" };
  const plain = { repoURL: "https://git.example/a/b" };
  const signed: [string, Headers, unknown][] = [
    ["github", { "x-github-event": "push", "x-hub-signature-256": `sha256=${hmac("s1", githubPush)}` }, githubPush],
    ["gogs", { "x-gogs-event": "push", "x-gogs-signature": hmac("s2", githubPush) }, githubPush],
    ["gitea", { "x-gitea-event": "push", "x-gitea-signature": hmac("s2", githubPush) }, githubPush],
    ["gitlab", { "x-gitlab-event": "Tag Push Hook", "x-gitlab-token": "s3" }, gitlabPush],
    ["plain", { "x-driftless-signature-256": `sha256=${hmac("s4", plain)}` }, plain],
  ];

  test.each(signed)("%s: the right one is accepted", (_name, headers, body) => {
    expect(read(headers, body, secrets).kind).toBe("push");
  });

  test.each(signed)("%s: a wrong, short or missing one, or another secret's, is 401", (_name, headers, body) => {
    const key = Object.keys(headers).find((name) => /signature|token/.test(name))!;
    const right = headers[key] as string;
    const others = [
      "",
      "sha256=",
      "sha256=zz",
      right.slice(0, -1),
      right.replace(/.$/, (c) => (c === "0" ? "1" : "0")),
    ];
    for (const value of [undefined, ...others, `sha256=${hmac("other", body)}`]) {
      expect(read({ ...headers, [key]: value }, body, secrets)).toMatchObject({ kind: "refused", status: 401 });
    }
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
    ["Bitbucket, not understood yet", { "x-event-key": "repo:refs_changed" }, { repository: { links: { clone: {} } } }],
    ["Azure DevOps, not understood yet", { "x-vss-activityid": "1" }, { resource: { refUpdates: [] } }],
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
