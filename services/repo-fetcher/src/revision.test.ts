import { describe, expect, test } from "vitest";
import { looksLikeConstraint, refPrefixes, resolveRevision } from "./revision.ts";
import type { Refs } from "./revision.ts";

const oid = (n: number) => n.toString(16).padStart(2, "0").repeat(20);
const refs: Refs = {
  head: "refs/heads/main",
  refs: new Map([
    ["HEAD", oid(1)],
    ["refs/heads/main", oid(1)],
    ["refs/heads/feature/x", oid(2)],
    ["refs/heads/both", oid(3)],
    ["refs/tags/both", oid(4)],
    ["refs/heads/twin", oid(5)],
    ["refs/tags/twin", oid(5)],
    ["refs/tags/v1.2.0", oid(6)],
    ["refs/tags/v1.3.0", oid(7)],
    ["refs/tags/chart-2.0.0", oid(8)],
    ["refs/heads/1.9.0", oid(9)],
    [`refs/heads/${oid(10)}`, oid(11)],
    ["refs/pull/7/head", oid(12)],
  ]),
};
// The real matching is the render engine's; here it only has to be asked the right thing.
const highest = (asked: string[][] = []) =>
  Object.assign(
    (constraint: string, versions: readonly string[]) => {
      asked.push([constraint, ...versions]);
      return versions.filter((v) => v.startsWith(constraint.startsWith(">=2") ? "2" : "v1")).at(-1);
    },
    { asked },
  );

describe("targetRevision is resolved in Argo CD's order", () => {
  test.each([
    ["", oid(1)],
    ["HEAD", oid(1)],
    [oid(200), oid(200)],
    [oid(200).toUpperCase(), oid(200)],
    ["main", oid(1)],
    ["refs/heads/main", oid(1)],
    ["heads/main", oid(1)],
    ["feature/x", oid(2)],
    ["v1.2.0", oid(6)],
    ["1.9.0", oid(9)],
    ["1.*", oid(7)],
    [">=1.0 <2", oid(7)],
    ["v1.x", oid(7)],
    ["both", "REVISION_AMBIGUOUS"],
    ["refs/tags/both", oid(4)],
    ["twin", oid(5)],
    ["pull/7/head", oid(12)],
    // 40 hex digits are a commit, though a branch is called so.
    [oid(10), oid(10)],
    [oid(6).slice(0, 7), oid(6)],
    ["abcdef12", "short abcdef12"],
    ["abcdef", "REVISION_NOT_FOUND"],
    ["gone", "REVISION_NOT_FOUND"],
    ["-x", "REVISION_NOT_FOUND"],
    ["HEAD~1", "REVISION_NOT_FOUND"],
    ["__proto__", "REVISION_NOT_FOUND"],
    ["^9", "REVISION_NOT_FOUND"],
  ])("%j → %s", async (targetRevision, expected) => {
    const match = highest();
    const resolution = await resolveRevision(targetRevision, refs, (c, v) =>
      c.startsWith("^9") || c.includes("~") ? undefined : match(c, v),
    );
    const got =
      resolution.kind === "resolved"
        ? resolution.commit
        : resolution.kind === "short"
          ? `short ${resolution.short}`
          : resolution.code;
    expect(got).toBe(expected);
  });

  test("a constraint sees tags only, and a tag prefix limits and is taken off them", async () => {
    const match = highest();
    const resolution = await resolveRevision(">=2", refs, match, "chart-");
    expect(match.asked).toEqual([[">=2", "2.0.0"]]);
    expect(resolution).toEqual({ kind: "resolved", commit: oid(8), ref: "refs/tags/chart-2.0.0" });
  });

  test("an exact version and a plain name are never taken for a constraint", () => {
    for (const text of ["1", "v1", "1.2", "v1.2.3-rc.1+5", "main", "release-1.2", "fix", "max"])
      expect(looksLikeConstraint(text), text).toBe(false);
    for (const text of ["*", "x", "1.x", "~1.2", "^1", ">=1", "1 - 2", "1 || 2", "v1.X"])
      expect(looksLikeConstraint(text), text).toBe(true);
  });

  test("an empty repository and a HEAD without its branch say so", async () => {
    const empty = await resolveRevision("main", { head: undefined, refs: new Map() }, highest());
    expect(empty).toMatchObject({ code: "REVISION_NOT_FOUND", message: "the repository is empty" });
    const headless = { head: undefined, refs: new Map([["refs/heads/main", oid(1)]]) };
    expect(await resolveRevision("", headless, highest())).toMatchObject({ code: "REVISION_NOT_FOUND" });
  });

  test("only what can be a ref's name is ever sent to the server as a prefix", () => {
    expect(refPrefixes("refs/pull/7/head")).toEqual(["refs/pull/7/head"]);
    expect(refPrefixes("pull/7/head")).toEqual(["refs/pull/7/head"]);
    for (const text of ["main", "refs/heads/../../x", "a b/c", "refs/x\n0000", "-x/y", "HEAD", ""])
      expect(refPrefixes(text)).toEqual([]);
  });
});
