import type { ObjectKey } from "@driftless/contracts/identity";
import type { KubeObject } from "@driftless/kube/resource";
import { TRACKING_ANNOTATION } from "@driftless/manifests/tracking";
import { expect, test } from "vitest";
import { orphansIn, type OrphanQuestion, type Surveyed } from "./orphans.ts";

const object = (text: string, metadata: Partial<KubeObject["metadata"]> = {}): Surveyed => {
  const [group, kind, name] = text.split("/") as [string, string, string];
  const key: ObjectKey = { group, version: "v1", kind, namespace: "n", name };
  return { key, metadata: { name, namespace: "n", uid: name, resourceVersion: "1", ...metadata } };
};

const QUESTION: OrphanQuestion = {
  tracking: { trackingMethod: "annotation" },
  own: new Set(["/ConfigMap/n/not-tracked-yet"]),
  ignore: [],
  server: "https://kubernetes.default.svc",
  resourceFilter: undefined,
};

const orphans = (objects: Surveyed[], over: Partial<OrphanQuestion> = {}) =>
  orphansIn({ objects, apps: new Set(["shop"]) }, { ...QUESTION, ...over }).map(({ kind, name }) => `${kind}/${name}`);

const tracked = (app: string, name: string) =>
  object(`/ConfigMap/${name}`, { annotations: { [TRACKING_ANNOTATION]: `${app}:/ConfigMap:n/${name}` } });

test("what no Application tracks is an orphan, also what one tracked that is gone or what bears a copied id", () => {
  const copied = object("/ConfigMap/copy", { annotations: { [TRACKING_ANNOTATION]: "shop:/ConfigMap:n/one" } });
  expect(
    orphans([
      tracked("shop", "one"),
      tracked("team_shop", "two"),
      tracked("gone", "three"),
      copied,
      object("/ConfigMap/not-tracked-yet"),
      object("/ConfigMap/stray"),
    ]),
  ).toEqual(["ConfigMap/three", "ConfigMap/copy", "ConfigMap/stray"]);
});

test("what others own or make is none: by owner, by name, by what every namespace has", () => {
  const owned = { ownerReferences: [{ kind: "ReplicaSet" }] } as Partial<KubeObject["metadata"]>;
  const token = { annotations: { "kubernetes.io/service-account.name": "robot" } };
  expect(
    orphans([
      object("/Pod/web-1", owned),
      object("/Service/web"),
      object("/Endpoints/web"),
      object("/Endpoints/alone"),
      object("/ServiceAccount/default"),
      object("/ServiceAccount/robot"),
      object("/Secret/robot-token", token),
      object("/ConfigMap/kube-root-ca.crt"),
      object("apps/StatefulSet/my-db"),
      object("/PersistentVolumeClaim/my-data-my-db-0"),
      object("/PersistentVolumeClaim/other-0"),
      object("/Event/happened"),
    ]),
  ).toEqual([
    "Service/web",
    "Endpoints/alone",
    "ServiceAccount/robot",
    "StatefulSet/my-db",
    "PersistentVolumeClaim/other-0",
  ]);
});

test("an ignore rule names groups, kinds and names by globs; without a group it means the core one", () => {
  const objects = [object("/ConfigMap/cache-a"), object("/Secret/cache-b"), object("apps/Deployment/cache-c")];
  expect(orphans(objects, { ignore: [{ kind: "ConfigMap" }] })).toEqual(["Secret/cache-b", "Deployment/cache-c"]);
  expect(orphans(objects, { ignore: [{ name: "cache-*" }] })).toEqual(["Deployment/cache-c"]);
  expect(orphans(objects, { ignore: [{ group: "*" }] })).toEqual([]);
});
