import { expect, test } from "vitest";
import { errorOfAnswer } from "./outcome.ts";

const status = (more: object) => JSON.stringify({ kind: "Status", ...more });

test.each([
  [404, status({ reason: "NotFound" }), "NOT_FOUND", false],
  [409, status({ reason: "Conflict" }), "CONFLICT", true],
  [409, status({ reason: "AlreadyExists" }), "ALREADY_EXISTS", false],
  [422, status({ reason: "Invalid" }), "INVALID", false],
  [422, status({ reason: "Invalid", details: { causes: [{ field: "metadata.uid" }] } }), "CONFLICT", true],
  [403, status({ reason: "Forbidden" }), "FORBIDDEN", false],
  [410, status({ reason: "Expired" }), "GONE", true],
  [429, "", "RATE_LIMITED", true],
  [
    500,
    status({ message: "failed to create typed patch object (n/x; apps/v1, Kind=Deployment): errors" }),
    "APPLY_SCHEMA",
    false,
  ],
  [500, status({ message: "etcd" }), "SERVER_ERROR", true],
  [503, "<html>upstream</html>", "SERVER_ERROR", true],
])("%i %s is %s", (code, body, expected, retryable) => {
  expect(errorOfAnswer(code, body, "ConfigMap")).toMatchObject({ code: expected, retryable, status: code });
});

test("of a Secret's refusal only status and field paths are told, whichever of the two says that it is one", () => {
  const body = (kind: string) =>
    status({
      reason: "Invalid",
      message: "CANARY",
      details: { kind, causes: [{ field: "data[p]", message: "CANARY" }, { field: "data[CANARY value]" }] },
    });
  const told = "the API server refused a Secret: 422 Invalid at data[p]";
  expect(errorOfAnswer(422, body("Secret"), undefined).message).toBe(told);
  expect(errorOfAnswer(422, body(""), "Secret").message).toBe(told);
  expect(JSON.stringify(errorOfAnswer(500, "CANARY", "Secret"))).not.toContain("CANARY");
});

test("Retry-After is read from the header, else from the answer", () => {
  expect(errorOfAnswer(429, "", undefined, "3").retryAfterMs).toBe(3000);
  expect(errorOfAnswer(429, status({ details: { retryAfterSeconds: 2 } }), undefined).retryAfterMs).toBe(2000);
  expect(errorOfAnswer(429, "", undefined, "Tue, 24 Nov").retryAfterMs).toBeUndefined();
});
