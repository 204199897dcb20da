import { footprintFrom } from "@driftless/kube/footprint";
import { expect, test } from "vitest";
import { judge, type Evidence, type Remembered } from "./judge.ts";
import type { Seen } from "./seen.ts";

const footprint = footprintFrom('{"f:data":{"f:a":{}}}');
const other = footprintFrom('{"f:data":{"f:b":{}}}');
const AT = "2026-01-01T00:00:00Z";
const LATER = "2026-01-01T00:00:09Z";

const record = (more: Partial<Remembered> = {}): Remembered => ({
  app: "app",
  uid: "u",
  resourceVersion: "10",
  version: "v1",
  desiredHash: "h",
  footprint,
  imprint: "ours",
  appliedAt: AT,
  ...more,
});
const seen = (resourceVersion: string, more: Partial<Seen> = {}): Seen => ({
  uid: "u",
  resourceVersion,
  footprint,
  imprint: "ours",
  appliedAt: AT,
  ...more,
});
const evidence = (more: Partial<Evidence>): Evidence => ({
  before: seen("10"),
  now: seen("11"),
  by: "kubectl",
  record: record(),
  waiting: undefined,
  recordIsFresh: false,
  ...more,
});

test("the same imprint is no news, whoever wrote", () => {
  expect(judge(evidence({}))).toBe("quiet");
});

test("another imprint by another manager is suspected at once", () => {
  expect(judge(evidence({ now: seen("11", { imprint: "theirs" }) }))).toBe("suspect");
});

test("J1: an event that is not newer than the record says nothing", () => {
  const now = seen("9", { imprint: "old" });
  expect(judge(evidence({ now }))).toBe("quiet");
  // Numbers, not texts: "9" is older than "10".
  expect(judge(evidence({ now: seen("100", { imprint: "new" }), record: record({ resourceVersion: "99" }) }))).toBe(
    "suspect",
  );
});

test("J2: an event of an apply of ours that no record tells of waits for the record", () => {
  const now = seen("11", { imprint: "next", appliedAt: LATER });
  expect(judge(evidence({ now, by: "argocd-controller" }))).toBe("wait");
  // Also when a controller wrote at the same time.
  expect(judge(evidence({ now, by: "kube-controller-manager" }))).toBe("wait");
});

test("J2: a new object of ours waits for its first record, and keeps waiting when its status changes", () => {
  const now = seen("11", { footprint: undefined, imprint: undefined });
  const first = evidence({ before: undefined, now, record: undefined });
  expect(judge(first)).toBe("wait");
  const status = { ...first, before: now, now: { ...now, resourceVersion: "12" }, waiting: { expected: undefined } };
  expect(judge(status)).toBe("wait");
});

test("J2: two applies of ours within one second are told apart by how fresh the record is", () => {
  const now = seen("11", { imprint: "next" });
  expect(judge(evidence({ now, by: "argocd-controller", recordIsFresh: true }))).toBe("wait");
  expect(judge(evidence({ now, by: "argocd-controller", recordIsFresh: false }))).toBe("suspect");
});

test("what waits is not forgotten because the next event changes nothing more", () => {
  const drifted = seen("11", { imprint: "theirs" });
  const now = seen("12", { imprint: "theirs" });
  expect(judge(evidence({ before: drifted, now, waiting: { expected: "ours" } }))).toBe("suspect");
});

test("a drift is told once, and its next change again", () => {
  const drifted = seen("11", { imprint: "theirs" });
  expect(judge(evidence({ before: drifted, now: seen("12", { imprint: "theirs" }) }))).toBe("quiet");
  expect(judge(evidence({ before: drifted, now: seen("12", { imprint: "more" }) }))).toBe("suspect");
});

test("a drift that somebody undoes is told, so that the app is looked at again", () => {
  const drifted = seen("11", { imprint: "theirs" });
  expect(judge(evidence({ before: drifted, now: seen("12") }))).toBe("suspect");
});

test("J3: a drift that we undo is not told", () => {
  const drifted = seen("11", { imprint: "theirs" });
  expect(judge(evidence({ before: drifted, now: seen("12"), by: "argocd-controller" }))).toBe("quiet");
});

test("an imprint along another footprint is not compared with this one", () => {
  const before = seen("11", { footprint: other, imprint: "something" });
  expect(judge(evidence({ before, now: seen("12") }))).toBe("quiet");
});

test("without a record a change of contents is suspected, a change of status is not", () => {
  const bare = (resourceVersion: string, contents: string) =>
    seen(resourceVersion, { footprint: undefined, imprint: undefined, contents });
  const base = { record: undefined, before: bare("10", "x") };
  expect(judge(evidence({ ...base, now: bare("11", "x") }))).toBe("quiet");
  expect(judge(evidence({ ...base, now: bare("11", "y") }))).toBe("suspect");
});

test("an object made anew by somebody is suspected, whatever is remembered of the one before", () => {
  const now = seen("11", {
    uid: "other",
    footprint: undefined,
    imprint: undefined,
    appliedAt: undefined,
    contents: "x",
  });
  expect(judge(evidence({ now }))).toBe("suspect");
});
