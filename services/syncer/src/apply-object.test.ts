// The apply of one object, against an API server that answers as the test says.
import { expect, test } from "vitest";
import { applyObject } from "./apply-object.ts";
import { Withdrawn } from "./execution.ts";

const KEY = { group: "", version: "v1", kind: "ConfigMap", namespace: "shop", name: "settings" };
const app = { uid: "a", namespace: "argocd", name: "shop", project: "default" };

const configMap = (owner: string, resourceVersion: string) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: {
    name: "settings",
    namespace: "shop",
    uid: "u",
    resourceVersion,
    annotations: { "argocd.argoproj.io/tracking-id": `${owner}:/ConfigMap:shop/settings` },
    managedFields: [
      { manager: "kubectl-client-side-apply", operation: "Update", apiVersion: "v1", fieldsV1: { "f:data": {} } },
    ],
  },
});

/** kubectl's entry is to be taken over, and meanwhile somebody was faster; `seen`: what is there then. */
function applied(seen: object, operationId: string) {
  const writes: string[] = [];
  const request = async ({ method, body = "" }: { method: string; body?: string }) => {
    if (method === "GET") return { kind: "ok", object: seen };
    writes.push(body);
    if (writes.length === 1) return { kind: "ok", object: configMap("shop", "6"), created: false };
    return { kind: "error", error: { code: "CONFLICT", message: "it has been changed" } };
  };
  const operation = {
    info: [
      { name: "driftless.io/operation-id", value: operationId },
      { name: "driftless.io/epoch", value: "1" },
    ],
  };
  const application = { metadata: { uid: "a" }, status: { operationState: { phase: "Running", operation } } };
  const step = {
    app,
    target: { trackingMethod: "annotation", controlPlaneNamespace: "argocd" },
    cluster: { client: { request } },
    controlPlane: { client: { get: async () => ({ kind: "ok", object: application }) } },
    claim: { app, operationId: "op-1", epoch: 1, purpose: "sync" },
    clock: { sleep: async () => {}, monotonic: () => 0 },
    limit: async (send: () => Promise<unknown>) => send(),
    signal: new AbortController().signal,
    predicted: () => undefined,
  };
  const text = JSON.stringify({ metadata: { name: "settings" } });
  const desired = {
    prepared: { key: KEY, text, desiredHash: "h", images: [] },
    resource: { group: "", version: "v1", kind: "ConfigMap", plural: "configmaps", namespaced: true },
    kindPending: false,
  };
  const planned = { ...KEY, live: { uid: "u", resourceVersion: "5" } };
  return { writes, done: applyObject(step as never, { key: KEY, planned, desired } as never) };
}

test("what another Application has come to track meanwhile is not taken over", async () => {
  const { writes, done } = applied(configMap("other", "7"), "op-1");
  expect(await done).toMatchObject({ outcome: "failed", failure: { code: "RESOURCE_OWNED_BY_OTHER" } });
  expect(writes).toHaveLength(2);
});

test("an operation that was withdrawn meanwhile takes nothing over", async () => {
  const { writes, done } = applied(configMap("shop", "7"), "op-2");
  await expect(done).rejects.toBeInstanceOf(Withdrawn);
  expect(writes).toHaveLength(2);
});
