// Who depends on whom, and what the dependents know.
import { expect, test } from "vitest";
import { createDependencies } from "./dependencies.ts";

function book() {
  const states = new Map<string, string | undefined>();
  const asked: string[] = [];
  const dependencies = createDependencies((name) => {
    asked.push(name);
    return states.get(name);
  });
  return { states, asked, dependencies };
}

test("dependents know a state until a change of it is told to all of them", () => {
  const { states, dependencies } = book();
  states.set("n/db", "OutOfSync, Missing");
  expect(dependencies.set("n/shop", ["n/db"])).toBe(true);
  expect(dependencies.of("n/shop")).toEqual({ blockers: ["n/db (OutOfSync, Missing)"] });
  states.set("n/db", undefined);
  dependencies.set("n/other", ["n/db"]);
  expect(dependencies.of("n/other")).toEqual(dependencies.of("n/shop"));
  expect(dependencies.refresh("n/db")).toBe(true);
  expect(dependencies.dependentsOf("n/db")).toEqual(["n/shop", "n/other"]);
  expect(dependencies.of("n/shop")).toEqual({ blockers: [] });
  expect(dependencies.refresh("n/db")).toBe(false);
});

test("of an Application on which nobody depends, or no longer, nothing is asked", () => {
  const { asked, dependencies } = book();
  expect(dependencies.set("n/shop", [])).toBe(false);
  expect(dependencies.of("n/shop")).toBeUndefined();
  expect(dependencies.refresh("n/shop")).toBe(false);
  expect(asked).toEqual([]);
  dependencies.set("n/shop", ["n/db"]);
  expect(dependencies.set("n/shop", ["n/db"])).toBe(false);
  expect(dependencies.set("n/shop", [])).toBe(true);
  expect(dependencies.dependents()).toEqual([]);
  expect(dependencies.refresh("n/db")).toBe(false);
  expect(asked).toEqual(["n/db"]);
});

test("those in a cycle wait for nobody by name, those beside it do", () => {
  const { states, dependencies } = book();
  for (const name of ["n/a", "n/b"]) states.set(name, "OutOfSync, Missing");
  dependencies.set("n/a", ["n/b"]);
  dependencies.set("n/b", ["n/a"]);
  dependencies.set("n/c", ["n/a"]);
  expect(dependencies.of("n/a")).toEqual({ blockers: [], cycle: ["n/a", "n/b", "n/a"] });
  expect(dependencies.of("n/c")).toEqual({ blockers: ["n/a (OutOfSync, Missing)"] });
  dependencies.set("n/b", []);
  expect(dependencies.of("n/a")).toEqual({ blockers: ["n/b (OutOfSync, Missing)"] });
});
