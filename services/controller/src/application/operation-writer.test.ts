import { expect, test } from "vitest";
import { operationEntries, operationWriter } from "./operation-writer.ts";

const entry = (manager: string, fields: string[], time: string) => ({
  manager,
  operation: "Update" as const,
  apiVersion: "argoproj.io/v1alpha1",
  time,
  fieldsV1: Object.fromEntries(fields.map((field) => [field, { "f:sync": {} }])),
});
const object = (operation: unknown) => ({
  apiVersion: "argoproj.io/v1alpha1",
  kind: "Application",
  operation,
  metadata: {
    name: "shop",
    uid: "u",
    resourceVersion: "1",
    managedFields: [
      entry("kubectl-patch", ["f:operation"], "2026-01-01T00:00:02Z"),
      entry("argocd-server", ["f:spec", "f:operation"], "2026-01-01T00:00:01Z"),
      entry("kubectl-edit", ["f:spec"], "2026-01-01T00:00:03Z"),
    ],
  },
});

test("whoever wrote the operation last has asked for it", () => {
  expect(operationWriter(object({}))).toBe("kubectl-patch");
  expect(operationWriter({ metadata: {} })).toBeUndefined();
});

test("nothing else is kept of managedFields, and nothing at all without an operation", () => {
  const kept = operationEntries(object({ sync: {} }));
  expect(kept?.map(({ manager }) => manager)).toEqual(["kubectl-patch", "argocd-server"]);
  expect(JSON.stringify(kept)).not.toContain("f:spec");
  expect(operationEntries(object(undefined))).toBeUndefined();
});
