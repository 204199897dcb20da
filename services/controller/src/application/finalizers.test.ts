import { expect, test } from "vitest";
import { cascadeOf, stagesOf, withHookFinalizers } from "./finalizers.ts";

const CASCADE = "resources-finalizer.argocd.argoproj.io";
const PRE = "pre-delete-finalizer.argocd.argoproj.io";
const POST = "post-delete-finalizer.argocd.argoproj.io";

test("stages come in their order, whatever the order of the finalizers; others' are none", () => {
  const finalizers = [`${POST}/cleanup`, "example.com/theirs", `${CASCADE}/background`, PRE];
  expect(stagesOf(finalizers)).toEqual(["PreDelete", "Cascade", "PostDeleteCleanup"]);
  expect(stagesOf([`${PRE}/else`, "constructor"])).toEqual([]);
});

test.each([
  [[CASCADE], "Foreground"],
  [[`${CASCADE}/foreground`], "Foreground"],
  [[`${CASCADE}/background`], "Background"],
  [["example.com/theirs"], undefined],
])("%j is a cascade: %s", (finalizers, cascade) => {
  expect(cascadeOf(finalizers)).toBe(cascade);
});

test("finalizers follow the hooks that are rendered and leave all others alone", () => {
  expect(withHookFinalizers([CASCADE], new Set(["PostDelete"]))).toEqual([CASCADE, POST, `${POST}/cleanup`]);
  expect(withHookFinalizers([PRE, CASCADE, `${PRE}/cleanup`], new Set())).toEqual([CASCADE]);
  expect(withHookFinalizers([PRE, "example.com/theirs"], new Set(["PreDelete"]))).toEqual([
    PRE,
    "example.com/theirs",
    `${PRE}/cleanup`,
  ]);
  expect(withHookFinalizers([PRE, `${PRE}/cleanup`], new Set(["PreDelete"]))).toBeUndefined();
  expect(withHookFinalizers([], new Set())).toBeUndefined();
});
