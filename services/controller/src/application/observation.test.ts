import { expect, test } from "vitest";
import type { KubeObject } from "@driftless/kube/resource";
import { settingsOf } from "../settings.ts";
import { doneByArgoCd, withoutRequests } from "./observation.ts";
import { inventoryOf, viewOf } from "./view.ts";

const object = {
  apiVersion: "argoproj.io/v1alpha1",
  kind: "Application",
  metadata: {
    name: "web",
    namespace: "argocd",
    uid: "u",
    resourceVersion: "1",
    deletionTimestamp: "2026-01-01T00:00:00Z",
    finalizers: ["resources-finalizer.argocd.argoproj.io"],
    annotations: { "argocd.argoproj.io/refresh": "hard", other: "stays" },
  },
  operation: { sync: {} },
  status: {
    sync: { status: "Synced" },
    operationState: { phase: "Running", operation: { sync: {} } },
    resources: [{ kind: "ConfigMap", namespace: "n", name: "c" }],
  },
} as unknown as KubeObject;

test("what is asked of Argo CD is not heard: operation, refresh, deletion, an operation that runs", () => {
  const seen = withoutRequests(object);
  const view = viewOf(seen, () => undefined, settingsOf(undefined, "argocd").settings)!;
  expect(view).toMatchObject({ operation: undefined, refresh: undefined, deletion: undefined });
  expect(view.status.operationState).toBeUndefined();
  expect(view.status.sync).toEqual({ status: "Synced" });
  expect(seen.metadata.annotations).toEqual({ other: "stays" });
  // What was read stays as it was: it is what is compared with.
  expect(object["operation"]).toBeDefined();
});

test("a hook that Argo CD lists among an Application's resources is not its own", () => {
  const hook = { kind: "Job", group: "batch", namespace: "n", name: "migrate", hook: true };
  const own = { kind: "ConfigMap", version: "v1", namespace: "n", name: "c" };
  expect(inventoryOf({ resources: [hook, own] }).map(({ name }) => name)).toEqual(["c"]);
});

test("a sync by Argo CD is something done, a new look of it is not", () => {
  const { status } = object as unknown as { status: Record<string, unknown> };
  const looked = { ...status, sync: { status: "OutOfSync" }, reconciledAt: "later" };
  expect(doneByArgoCd(looked)).toBe(doneByArgoCd(status));
  const synced = { ...status, operationState: { phase: "Succeeded", startedAt: "t" } };
  expect(doneByArgoCd(synced)).not.toBe(doneByArgoCd(status));
});
