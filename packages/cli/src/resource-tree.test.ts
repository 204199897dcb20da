import { expect, test } from "vitest";
import type { KubeObject } from "@driftless/kube/resource";
import { branchOf } from "./commands/app-resources.ts";
import { withChildren, type TreeNode } from "./resource-tree.ts";

const made = (kind: string, name: string, owner: [apiVersion: string, kind: string, name: string]): KubeObject => ({
  apiVersion: kind === "Pod" ? "v1" : "apps/v1",
  kind,
  metadata: {
    name,
    namespace: "shop",
    uid: name,
    resourceVersion: "1",
    ownerReferences: [{ apiVersion: owner[0], kind: owner[1], name: owner[2], uid: "", controller: true }],
  },
});
const web: TreeNode = {
  group: "apps",
  kind: "Deployment",
  namespace: "shop",
  name: "web",
  sync: "Synced",
  children: [],
};

test("children hang below who made them, and nobody else's are shown", () => {
  const [root] = withChildren(
    [web],
    [
      made("Pod", "web-1-b", ["apps/v1", "ReplicaSet", "web-1"]),
      made("Pod", "web-1-a", ["apps/v1", "ReplicaSet", "web-1"]),
      made("ReplicaSet", "web-1", ["apps/v1", "Deployment", "web"]),
      made("ReplicaSet", "web-0", ["apps/v1", "Deployment", "web"]),
      made("ReplicaSet", "other-1", ["apps/v1", "Deployment", "other"]),
      made("Pod", "web", ["example.com/v1", "Deployment", "web"]),
    ],
  );
  const shape = branchOf(root!).map((line) => line.split("  ")[0]);
  expect(shape).toEqual(["Deployment/web (shop)", "├─ ReplicaSet/web-0", "└─ ReplicaSet/web-1", "", ""]);
  expect(
    branchOf(root!)
      .slice(3)
      .map((line) => line.replace(/ {2}\w.*$/, "")),
  ).toEqual(["   ├─ Pod/web-1-a", "   └─ Pod/web-1-b"]);
});
