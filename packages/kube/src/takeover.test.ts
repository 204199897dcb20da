import { expect, test } from "vitest";
import { legacyOnlyFields, migrateManagers } from "./takeover.ts";
import type { KubeObject } from "./resource.ts";

const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";
const entry = (manager: string, operation: string, fieldsV1: object, more: object = {}) => ({
  manager,
  operation,
  apiVersion: "v1",
  fieldsType: "FieldsV1",
  fieldsV1,
  ...more,
});
const object = (managedFields: object[], metadata: object = {}): KubeObject =>
  ({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "x", uid: "u", resourceVersion: "7", managedFields, ...metadata },
  }) as KubeObject;
const migrated = (live: KubeObject) => migrateManagers(live)![0]!.value;

test("a legacy entry becomes ours, the others stay, and the patch is fenced", () => {
  const other = entry("hpa", "Update", { "f:spec": {} });
  const live = object([entry("kubectl-client-side-apply", "Update", { "f:data": { "f:a": {} } }), other]);
  expect(migrateManagers(live)).toEqual([
    {
      op: "replace",
      path: "/metadata/managedFields",
      value: [entry("argocd-controller", "Apply", { "f:data": { "f:a": {} } }), other],
    },
    { op: "replace", path: "/metadata/resourceVersion", value: "7" },
  ]);
});

test("with an entry of ours already there the fields are united, whole values and their members too", () => {
  const live = object([
    entry("argocd-controller", "Apply", { "f:data": { "f:a": {} }, "f:x": {} }),
    entry("argocd-controller", "Update", { "f:data": { ".": {}, "f:b": {} }, "f:x": { "f:y": {} } }),
    entry("kubectl-client-side-apply", "Update", { "f:c": {} }),
  ]);
  expect(migrated(live)).toEqual([
    entry("argocd-controller", "Apply", {
      "f:data": { ".": {}, "f:a": {}, "f:b": {} },
      "f:x": { ".": {}, "f:y": {} },
      "f:c": {},
    }),
  ]);
});

test("whoever wrote the last-applied annotation counts as a client-side apply", () => {
  const fields = { "f:metadata": { "f:annotations": { [`f:${LAST_APPLIED}`]: {} } } };
  expect(migrated(object([entry("kubectl", "Update", fields)]))).toEqual([entry("argocd-controller", "Apply", fields)]);
});

test("fields of another API version are not carried over, and its entry goes", () => {
  const live = object([
    entry("argocd-controller", "Apply", { "f:a": {} }),
    entry("kubectl-client-side-apply", "Update", { "f:b": {} }, { apiVersion: "v1beta1" }),
  ]);
  expect(migrated(live)).toEqual([entry("argocd-controller", "Apply", { "f:a": {} })]);
});

test.each([
  ["our own entry only", [entry("argocd-controller", "Apply", {})]],
  ["entries of a subresource", [entry("argocd-controller", "Update", {}, { subresource: "status" })]],
  ["others' entries", [entry("helm", "Update", {}), entry("kubectl", "Apply", {})]],
  ["none", []],
])("with %s there is nothing to take over", (_what, managedFields) => {
  expect(migrateManagers(object(managedFields))).toBeUndefined();
  expect(legacyOnlyFields(object(managedFields), object([]))).toEqual([]);
});

test("legacy-only are the fields that nobody keeps: not Git, not another manager", () => {
  const live = object([
    entry("kubectl-client-side-apply", "Update", {
      "f:data": { ".": {}, "f:git": {}, "f:gone": {}, "f:shared": {} },
      "f:list": { 'k:{"name":"A"}': { ".": {}, "f:name": {}, "f:value": {} }, 'v:"s"': {} },
      "f:metadata": { "f:annotations": { [`f:${LAST_APPLIED}`]: {} } },
    }),
    entry("controller", "Update", { "f:data": { "f:shared": {} } }),
  ]);
  const predicted = object([entry("argocd-controller", "Apply", { "f:data": { "f:git": {} } })]);
  expect(legacyOnlyFields(live, predicted)).toEqual([
    "data.gone",
    'list["s"]',
    "list[name=A].name",
    "list[name=A].value",
  ]);
});

test("a map of which another manager took every member does not go, as long as Git has some of it", () => {
  const live = object([
    entry("kubectl-client-side-apply", "Update", { "f:data": { ".": {} } }),
    entry("kubectl-patch", "Update", { "f:data": { "f:key": {} } }),
  ]);
  const predicted = object([entry("argocd-controller", "Apply", { "f:data": { "f:key": {} } })]);
  expect(legacyOnlyFields(live, predicted)).toEqual([]);
});

test("what the API server only defaulted does not count, where last-applied tells", () => {
  const annotations = { [LAST_APPLIED]: JSON.stringify({ spec: { ports: [{ port: 80 }], asked: 1 } }) };
  const fields = {
    "f:spec": {
      "f:asked": {},
      "f:defaulted": {},
      "f:ports": { 'k:{"port":80,"protocol":"TCP"}': { "f:port": {}, "f:protocol": {} } },
    },
  };
  const live = object([entry("kubectl-client-side-apply", "Update", fields)], { annotations });
  expect(legacyOnlyFields(live, object([]))).toEqual(["spec.asked", "spec.ports[port=80,protocol=TCP].port"]);
});
