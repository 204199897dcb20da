import { expect, test } from "vitest";
import { parseKey } from "./resource-key.ts";
import {
  describesBearer,
  INSTALLATION_ANNOTATION,
  isTracked,
  parseTrackingId,
  sharedText,
  TRACKING_ANNOTATION,
  TRACKING_LABEL,
  trackerOf,
  trackingId,
  type Tracking,
} from "./tracking.ts";

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
  const ownerOf = (bearer: string) => trackerOf({ annotations }, parseKey(bearer)!, { trackingMethod: "annotation" });
  expect(ownerOf("apps/Deployment/n/d")).toBe("shop");
  for (const other of ["apps/Deployment/n/e", "apps/Deployment/m/d", "apps/ReplicaSet/n/d", "/Deployment/n/d"]) {
    expect(ownerOf(other)).toBeUndefined();
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

test.each<[string, Tracking, string | undefined]>([
  ["annotation", { trackingMethod: "annotation" }, "shop"],
  ["annotation+label: the annotation", { trackingMethod: "annotation+label" }, "shop"],
  ["label", { trackingMethod: "label" }, "by-label"],
  ["a label of one's own", { trackingMethod: "label", instanceLabelKey: "example.com/app" }, "own"],
  ["another label, which it has not", { trackingMethod: "label", instanceLabelKey: "example.com/other" }, undefined],
  ["the annotation of this installation", { trackingMethod: "annotation", installationId: "one" }, "shop"],
  ["the annotation of another installation", { trackingMethod: "annotation+label", installationId: "two" }, undefined],
  ["labels know no installations", { trackingMethod: "label", installationId: "two" }, "by-label"],
])("whose an object is says %s", (_name, tracking, owner) => {
  const annotations = { [TRACKING_ANNOTATION]: "shop:/ConfigMap:n/c", [INSTALLATION_ANNOTATION]: "one" };
  const labels = { [TRACKING_LABEL]: "by-label", "example.com/app": "own" };
  expect(trackerOf({ annotations, labels }, parseKey("/ConfigMap/n/c")!, tracking)).toBe(owner);
});

test("a shared object is told as Argo CD tells it", () => {
  const app = { namespace: "argocd", name: "shop" };
  expect(sharedText(parseKey("apps/Deployment/n/d")!, app, "team_shop")).toBe(
    "Deployment/d is part of applications argocd/shop and team/shop",
  );
});
