import { describe, expect, test } from "vitest";
import { failure } from "@driftless/contracts/failure";
import type { Outcome } from "./git-failure.ts";
import { whatCame } from "./push-outcome.ts";
import type { Followed } from "./repository.ts";

const was = "a".repeat(40);
const is = "b".repeat(40);
const main = (more: Partial<Followed> = {}): Followed => ({
  targetRevision: "main",
  ref: "refs/heads/main",
  at: is,
  count: 2,
  ids: ["u1", "u2"],
  ...more,
});
const push = { repoURL: "https://git.example/acme/shop.git", ref: "refs/heads/main", after: is, delivery: "d" };
const came = (looked: readonly Outcome<Followed[]>[], over: object = {}, urls: string[] = []) =>
  whatCame({
    push: { ...push, ...over },
    looked,
    nameOf: (id) => `argocd/${id}`,
    urls: () => urls,
    at: "2026-01-01T00:00:00.000Z",
    tookMs: 1,
  });
const ok = (...followed: Followed[]): Outcome<Followed[]>[] => [{ kind: "ok", value: followed }];

describe("what came of a push", () => {
  test("who reads what changed looks again, the others are named too", () => {
    const told = came(ok(main({ moved: { from: was, told: ["u2"] } }), main({ targetRevision: "v1.*", ref: "x" })));
    expect(told).toMatchObject({
      outcome: "woken",
      why: "1 of 2 sources following main looks again",
      delivery: "d",
      revisions: [{ targetRevision: "main", from: was, to: is, woken: ["argocd/u2"], others: ["argocd/u1"] }],
    });
    expect(told.revisions).toHaveLength(1);
  });

  test("a version that moves by the push counts, though its ref is another than was followed before", () => {
    const moved = { from: was, told: ["u1"] };
    const constraint = main({ targetRevision: "v1.*", ref: "refs/tags/v1.2.0", moved });
    expect(came(ok(constraint), { ref: "refs/tags/v1.2.0" })).toMatchObject({ outcome: "woken" });
  });

  test("nothing that is read is another: nobody is woken", () => {
    expect(came(ok(main({ moved: { from: was, told: [] } })))).toMatchObject({
      outcome: "unchanged",
      why: "nothing that is read by 2 sources following main is another",
    });
  });

  test("a poll was quicker, or the server has another commit than was told", () => {
    expect(came(ok(main()))).toMatchObject({ outcome: "known", why: expect.stringContaining("already") });
    const told = came(ok(main({ at: was })));
    expect(told.why).toBe(`the server has main at ${was}, as before, and not at the ${is} that was told`);
  });

  test("a ref that nobody follows: what is followed instead", () => {
    expect(came(ok(main({ targetRevision: "" })), { ref: "refs/heads/topic" })).toMatchObject({
      outcome: "ref-not-followed",
      why: "no Application follows topic; followed: HEAD (2)",
    });
  });

  test("a repository that nobody follows: which are nearest to it", () => {
    const urls = ["https://git.example/other/shop", "https://git.example/acme/blog", "https://git.example/x/y"];
    expect(came([], {}, urls)).toMatchObject({ outcome: "repository-not-followed", nearest: [urls[0]] });
    expect(came([], { repoURL: "https://git.example/acme/new" }, urls)).toMatchObject({ nearest: [urls[1]] });
    expect(came([], { repoURL: "https://elsewhere/b/new" }, urls).why).toBe(
      "no Application has a source in elsewhere/b/new",
    );
    // A repository that was asked for once and is followed by nobody is no different.
    expect(came(ok(main({ count: 0, ids: [] }))).outcome).toBe("repository-not-followed");
  });

  test("a server that does not answer says so by its code", () => {
    const told = came([{ kind: "failed", failure: failure("GIT_UNREACHABLE", "no answer") }]);
    expect(told).toMatchObject({ outcome: "failed", why: "[GIT_UNREACHABLE] no answer" });
  });

  test("credentials in the URL of a push are told to nobody", () => {
    const told = came([], { repoURL: "https://user:CANARY@git.example/a/b.git?private_token=CANARY" });
    expect(JSON.stringify(told)).not.toContain("CANARY");
    expect(told.why).toContain("git.example/a/b");
  });

  test("ten thousand followers make a small message", () => {
    const ids = Array.from({ length: 10_000 }, (_, n) => `uid-${n}`);
    const told = came(ok(main({ count: 10_000, ids, moved: { from: was, told: ids } })));
    expect(told.revisions[0]).toMatchObject({ sources: 10_000, wokenTotal: 10_000 });
    expect(JSON.stringify(told).length).toBeLessThan(5_000);
  });
});
