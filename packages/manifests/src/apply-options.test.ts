import { expect, test } from "vitest";
import { applyOptionsIn, unusual, wayTo } from "./apply-options.ts";

test("options are read by their names, and others' are none of them", () => {
  const options = ["Replace=true", "Validate=false", "Prune=false", "Force=maybe", "Replace=false"];
  expect(applyOptionsIn(options)).toEqual({ replace: true, validate: false });
});

test.each([
  [{}, {}, undefined],
  [{ validate: true, replace: false, clientSideApplyMigration: true }, {}, undefined],
  [{}, { replace: true }, { replace: true }],
  [{ replace: false }, { replace: true, force: true }, { force: true }],
  [{ validate: false }, { validate: true }, { validate: false }],
  [{ migrationManager: "old" }, {}, { migrationManager: "old" }],
])("%o over %o leaves %o to be done otherwise than usual", (own, ofAll, left) => {
  expect(unusual(own, ofAll)).toEqual(left);
});

test.each([
  ["Job", undefined, "apply"],
  ["Job", { replace: true }, "replace"],
  ["Job", { force: true }, "applyOrRemake"],
  ["Job", { replace: true, force: true }, "remake"],
  ["Namespace", { replace: true, force: true }, "replace"],
  ["Namespace", { force: true }, "apply"],
])("a %s with %o is written by: %s", (kind, options, way) => {
  expect(wayTo({ group: "", kind }, options)).toBe(way);
});
