import { expect, test } from "vitest";
import { customizationsOf } from "./entries.ts";

test("a value of another sort is not taken for one of this", () => {
  const data = { "resource.customizations.healthy.Pod": "x", "resource.customizations.health.Pod": "y" };
  expect(customizationsOf(data, "health").entries.map(({ text }) => text)).toEqual(["y"]);
});
