import { expect, test } from "vitest";
import type { Context } from "./context.ts";
import type { EventOf } from "./events.ts";
import { onLiveChanged } from "./heal.ts";

const key = { group: "example.com", version: "v1", kind: "Widget", namespace: "n", name: "w" };

function healthAfter(resourceVersion: string, health: { status: "Healthy" } | undefined) {
  const known = { key, live: { uid: "u", resourceVersion: "20" }, health: { status: "Progressing" }, extra: false };
  const context = { objects: [known], heal: { requestId: "" } } as unknown as Context;
  const message = { object: key, change: "health", live: { uid: "u", resourceVersion }, health };
  const { objects = [] } = onLiveChanged(context, { type: "LiveChanged", at: 1, message } as EventOf<"LiveChanged">);
  return objects[0]?.health?.status;
}

test("an event from before our apply says nothing of the object's health since", () => {
  expect(healthAfter("19", { status: "Healthy" })).toBe("Progressing");
  expect(healthAfter("20", { status: "Healthy" })).toBe("Healthy");
  expect(healthAfter("21", { status: "Healthy" })).toBe("Healthy");
});

test("an object that has no health any more is told so", () => {
  expect(healthAfter("21", undefined)).toBeUndefined();
});
