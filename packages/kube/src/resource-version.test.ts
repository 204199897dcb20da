import { expect, test } from "vitest";
import { compareResourceVersions, isNewer } from "./resource-version.ts";

test("resource versions are ordered as numbers of any length, not as texts", () => {
  expect(["10", "9", "100", "99999999999999999999", "99999999999999999998"].toSorted(compareResourceVersions)).toEqual([
    "9",
    "10",
    "100",
    "99999999999999999998",
    "99999999999999999999",
  ]);
  expect(isNewer("10", "9")).toBe(true);
  expect(isNewer("9", "9")).toBe(false);
});
