import { kubeError, type KubeErrorCode } from "@driftless/kube/outcome";
import { expect, test } from "vitest";
import { applyFailure } from "./apply-failure.ts";

const key = { group: "apps", version: "v1", kind: "Deployment", namespace: "shop", name: "web" };

test.each<[KubeErrorCode, string]>([
  ["INVALID", "APPLY_INVALID"],
  ["APPLY_SCHEMA", "APPLY_SCHEMA"],
  ["FORBIDDEN", "APPLY_FORBIDDEN"],
  ["CONFLICT", "APPLY_CONFLICT"],
  ["TIMEOUT", "CLUSTER_UNREACHABLE"],
  ["SERVER_ERROR", "APPLY_FAILED"],
])("%s is told as %s, with the object", (code, expected) => {
  const told = applyFailure(kubeError(code, "because"), key, { namespaced: true });
  expect(told).toMatchObject({ code: expected, message: "because", path: "apps/Deployment shop/web" });
});

test("what an apply does not find is the namespace, for an object that lives in one", () => {
  const missing = kubeError("NOT_FOUND", "masked");
  expect(applyFailure(missing, key, { namespaced: true })).toMatchObject({
    code: "NAMESPACE_MISSING",
    message: "The namespace shop does not exist.",
  });
  expect(applyFailure(missing, { ...key, namespace: "" }, { namespaced: false }).code).toBe("KIND_UNKNOWN");
});
