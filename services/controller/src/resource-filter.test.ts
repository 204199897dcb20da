import { expect, test } from "vitest";
import { resourceFilterOf } from "./resource-filter.ts";

test("without either list there is no filter; an absent member of an entry is an empty list", () => {
  expect(resourceFilterOf({})).toEqual({ refused: [] });
  expect(resourceFilterOf({ "resource.exclusions": "- kinds: [Secret]" }).filter).toEqual({
    exclusions: [{ apiGroups: [], kinds: ["Secret"], clusters: [] }],
    inclusions: [],
  });
});

test("a filter of kinds that cannot be read stops every Application: what is excluded must not be applied", () => {
  expect(resourceFilterOf({ "resource.inclusions": "kinds: [ConfigMap]" }).refused).toEqual([
    expect.objectContaining({ code: "SPEC_INVALID", message: expect.stringContaining("resource.inclusions") }),
  ]);
});
