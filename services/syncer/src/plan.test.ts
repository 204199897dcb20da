import type { DesiredObject } from "@driftless/kube/desired-set";
import { customKindOf } from "@driftless/manifests/custom-kind";
import { prepare, type Manifest } from "@driftless/manifests/manifest";
import { groupOf, versionOf } from "@driftless/manifests/resource-key";
import { expect, test } from "vitest";
import { plan, planPrune } from "./plan.ts";

function desired(apiVersion: string, kind: string, name: string, body = "", namespaced = true): DesiredObject {
  const manifest: Manifest = {
    apiVersion,
    kind,
    metadata: { name },
    body,
    images: [],
    file: "a.yaml",
    line: 1,
    warnings: [],
  };
  const prepared = prepare(manifest, {
    app: { name: "shop", namespace: "argocd", controlPlaneNamespace: "argocd" },
    destinationNamespace: "ns",
    scope: namespaced ? "Namespaced" : "Cluster",
    trackingMethod: "annotation",
  });
  const group = groupOf(apiVersion);
  const version = versionOf(apiVersion);
  const resource = { group, version, kind, plural: "x", namespaced, verbs: [], versions: [version] };
  return { prepared, resource, kindPending: false, defines: customKindOf(manifest) };
}
const plannedOf = ({ prepared: { key }, resource: { version } }: DesiredObject) => ({ ...key, version });
const names = (groups: { key: { kind: string; name: string } }[][]) =>
  groups.map((group) => group.map(({ key }) => `${key.kind}/${key.name}`));

test("kinds follow each other in Argo CD's order, and the objects of one kind go together", () => {
  const set = [
    desired("networking.k8s.io/v1", "Ingress", "i"),
    desired("apps/v1", "Deployment", "d2"),
    desired("apps/v1", "Deployment", "d1"),
    desired("v1", "Service", "s"),
    desired("v1", "ServiceAccount", "a"),
    desired("v1", "Namespace", "ns", "", false),
  ];
  expect(names(plan(set.map(plannedOf), set).groups)).toEqual([
    ["Namespace/ns"],
    ["ServiceAccount/a"],
    ["Service/s"],
    ["Deployment/d1", "Deployment/d2"],
    ["Ingress/i"],
  ]);
});

test("a CRD stands in a group before the objects of its kind", () => {
  const body =
    '"spec":{"group":"example.org","scope":"Namespaced","names":{"kind":"Thing","plural":"things"},"versions":[{"name":"v1"}]}';
  const crd = desired("apiextensions.k8s.io/v1", "CustomResourceDefinition", "things.example.org", body, false);
  const set = [desired("example.org/v1", "Thing", "t"), crd];
  expect(names(plan(set.map(plannedOf), set).groups)).toEqual([
    ["CustomResourceDefinition/things.example.org"],
    ["Thing/t"],
  ]);
});

test("only what is planned is applied; what the set does not have is named", () => {
  const set = [desired("v1", "ConfigMap", "one"), desired("v1", "ConfigMap", "two")];
  const ghost = { group: "", version: "v1", kind: "ConfigMap", namespace: "ns", name: "ghost" };
  const { groups, absent } = plan([plannedOf(set[1]!), ghost], set);
  expect(names(groups)).toEqual([["ConfigMap/two"]]);
  expect(absent).toEqual([ghost]);
});

test("prune goes the other way round", () => {
  const set = [
    desired("v1", "ServiceAccount", "a"),
    desired("apps/v1", "Deployment", "d"),
    desired("v1", "Service", "s"),
  ];
  expect(names(planPrune(set.map(plannedOf)))).toEqual([["Deployment/d"], ["Service/s"], ["ServiceAccount/a"]]);
});
