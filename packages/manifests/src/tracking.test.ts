import { expect, test } from "vitest";
import { parseKey } from "./resource-key.ts";
import { describesBearer, isTracked, ownerOf, parseTrackingId, TRACKING_ANNOTATION, trackingId } from "./tracking.ts";

const app = { name: "shop", namespace: "argocd", controlPlaneNamespace: "argocd" };

test.each([
  ["/ConfigMap/n/c", app, "shop:/ConfigMap:n/c"],
  ["apps/Deployment/n/d", app, "shop:apps/Deployment:n/d"],
  ["/Namespace//x", app, "shop:/Namespace:dest/x"],
  ["/ConfigMap/n/c", { ...app, namespace: "team" }, "team_shop:/ConfigMap:n/c"],
  [
    "rbac.authorization.k8s.io/ClusterRole//system:x:y",
    app,
    "shop:rbac.authorization.k8s.io/ClusterRole:dest/system:x:y",
  ],
])("the tracking id of %s is Argo CD's, and describes its bearer", (key, of, id) => {
  const bearer = parseKey(key)!;
  expect(trackingId(of, bearer, "dest")).toBe(id);
  expect(describesBearer(parseTrackingId(id)!, bearer)).toBe(true);
});

test("an id that was copied to another object makes that object nobody's", () => {
  const annotations = { [TRACKING_ANNOTATION]: "shop:apps/Deployment:n/d" };
  expect(ownerOf(annotations, parseKey("apps/Deployment/n/d")!)).toBe("shop");
  for (const other of ["apps/Deployment/n/e", "apps/Deployment/m/d", "apps/ReplicaSet/n/d", "/Deployment/n/d"]) {
    expect(ownerOf(annotations, parseKey(other)!)).toBeUndefined();
  }
});

test.each([
  "",
  "shop",
  "shop:apps/Deployment",
  "shop:Deployment:n/d",
  "shop:apps/Deployment:d",
  ":apps/Deployment:n/d",
])("%j is no tracking id", (text) => {
  expect(parseTrackingId(text)).toBeUndefined();
});

test("CRDs are not tracked", () => {
  expect(isTracked({ group: "apiextensions.k8s.io", kind: "CustomResourceDefinition" })).toBe(false);
  expect(isTracked({ group: "example.com", kind: "CustomResourceDefinition" })).toBe(true);
});
