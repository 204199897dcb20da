import { expect, test } from "vitest";
import { applyOptionsIn, unusual } from "./apply-options.ts";

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
