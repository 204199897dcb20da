// What is said of a failure, wherever it is shown.
import { expect, test } from "vitest";
import { failure, failureText } from "./failure.ts";

test("a failure says its code, what is wrong and where", () => {
  expect(failureText(failure("MANIFEST_INVALID", "It is broken.", { file: "a.yaml", line: 3 }))).toBe(
    "[MANIFEST_INVALID] It is broken. (a.yaml:3)",
  );
  expect(failureText(failure("SPEC_INVALID", "No.", { path: "spec.source" }))).toBe("[SPEC_INVALID] No. (spec.source)");
});

test("a message that quotes something endless ends all the same", () => {
  const { message } = failure("GIT_UNREACHABLE", `${"x".repeat(1_000_000)} cannot be reached`);
  expect(message.length).toBeLessThan(2_100);
  expect(message).toMatch(/^x+…$/);
});
