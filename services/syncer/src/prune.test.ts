import type { PlannedObject } from "@driftless/contracts/pipeline/5-sync";
import type { KubeObject } from "@driftless/kube/resource";
import { expect, test } from "vitest";
import { decidePrune, type PruneInput } from "./prune.ts";

const ID = "argocd.argoproj.io/tracking-id";
const OPTIONS = "argocd.argoproj.io/sync-options";
const planned: PlannedObject = {
  group: "",
  version: "v1",
  kind: "ConfigMap",
  namespace: "ns",
  name: "one",
  live: { uid: "u", resourceVersion: "1" },
};
const live = (metadata: Record<string, unknown> = {}, annotations: Record<string, string> = {}): KubeObject => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: {
    name: "one",
    namespace: "ns",
    uid: "u",
    resourceVersion: "2",
    annotations: { [ID]: "shop:/ConfigMap:ns/one", ...annotations },
    ...metadata,
  },
});
const decide = (more: Partial<PruneInput> = {}) =>
  decidePrune({
    planned,
    live: live(),
    desired: false,
    app: { trackingName: "shop" },
    tracking: { trackingMethod: "annotation" },
    purpose: "prune",
    ...more,
  });

test("what is ours and no longer desired goes, also when its status moved on since it was judged", () => {
  expect(decide()).toEqual({ kind: "prune" });
});

test.each<[string, Partial<PruneInput>]>([
  ["P1: desired", { desired: true }],
  ["P2: tracked by another", { live: live({}, { [ID]: "other:/ConfigMap:ns/one" }) }],
  ["P2: not tracked", { live: live({ annotations: {} }) }],
  [
    "P2: with a tracking id that was copied from another object",
    { live: live({}, { [ID]: "shop:/ConfigMap:ns/two" }) },
  ],
  [
    "P3: owned by an object",
    { live: live({ ownerReferences: [{ apiVersion: "v1", kind: "X", name: "x", uid: "x" }] }) },
  ],
  ["P3: being deleted", { live: live({ deletionTimestamp: "2026-01-01T00:00:00Z" }) }],
  ["P3: Prune=false", { live: live({}, { [OPTIONS]: "Prune=false" }) }],
  ["P3: Prune=confirm without an approval", { live: live({}, { [OPTIONS]: "Prune=confirm" }) }],
  ["P3: silent under an app's Prune=false", { usual: { prune: "no" } }],
  ["P3: silent under an app's Prune=confirm", { usual: { prune: "confirm" } }],
  ["P3: kept by Helm", { live: live({}, { "helm.sh/resource-policy": "keep" }) }],
  ["P3: a CRD", { planned: { ...planned, group: "apiextensions.k8s.io", kind: "CustomResourceDefinition" } }],
  ["P4: another object of that name", { live: live({ uid: "v" }) }],
  ["P4: not known by identity", { planned: { ...planned, live: undefined } }],
  [
    "with a label of another app, by label tracking",
    { tracking: { trackingMethod: "label" }, live: live({ labels: { "app.kubernetes.io/instance": "other" } }) },
  ],
])("an object is kept that is %s", (_title, more) => {
  expect(decide(more).kind).toBe("skip");
});

test("the object's own word counts before its Application's, and an approval ends what waits for one", () => {
  expect(decide({ live: live({}, { [OPTIONS]: "Prune=true" }), usual: { prune: "no" } }).kind).toBe("prune");
  expect(decide({ live: live({}, { [OPTIONS]: "Prune=false" }), usual: { prune: "yes" }, approved: true }).kind).toBe(
    "skip",
  );
  expect(decide({ live: live({}, { [OPTIONS]: "Prune=confirm" }), approved: true }).kind).toBe("prune");
});

test("an object that asks for a confirmation of its pruning asks for one when its Application goes, too", () => {
  const guarded = { purpose: "delete", live: live({}, { [OPTIONS]: "Prune=confirm" }) } as const;
  expect(decide(guarded).kind).toBe("skip");
  expect(decide({ ...guarded, approved: true }).kind).toBe("prune");
});

test("when the Application itself is deleted, Delete=false keeps and Prune=false does not", () => {
  expect(decide({ purpose: "delete", desired: true })).toEqual({ kind: "prune" });
  expect(decide({ purpose: "delete", live: live({}, { [OPTIONS]: "Prune=false" }) }).kind).toBe("prune");
  expect(decide({ purpose: "delete", live: live({}, { [OPTIONS]: "Delete=false" }) }).kind).toBe("skip");
});
