// The objects of an Application as a tree: each with what Kubernetes' controllers made of it, found by owner references.
import type { Application, ResourceStatus } from "@driftless/contracts/application";
import type { Cluster } from "@driftless/kube/clusters";
import type { ApiResource, KubeObject } from "@driftless/kube/resource";
import { healthOf } from "@driftless/manifests/health/health";
import { CliError } from "./cli-error.ts";

export interface TreeNode {
  group: string;
  kind: string;
  namespace: string;
  name: string;
  /** Of the Application's own objects. */
  sync?: string;
  requiresPruning?: boolean;
  wave?: number;
  health?: { status?: string; message?: string };
  children: TreeNode[];
}

const kind = (group: string, version: string, name: string, plural: string): ApiResource => ({
  group,
  version,
  kind: name,
  plural,
  namespaced: true,
  verbs: ["list"],
  versions: [version],
});

/** What the controllers of the built-in kinds make. */
const MADE_BY_CONTROLLERS = [
  kind("apps", "v1", "ReplicaSet", "replicasets"),
  kind("", "v1", "Pod", "pods"),
  kind("batch", "v1", "Job", "jobs"),
  kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
  kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"),
];
const NAMESPACES_MAX = 20;

export const ownNodes = (app: Application): TreeNode[] =>
  (app.status?.resources ?? []).map((one: ResourceStatus) => ({
    group: one.group ?? "",
    kind: one.kind ?? "",
    namespace: one.namespace ?? "",
    name: one.name ?? "",
    ...(one.status && { sync: one.status }),
    ...(one.requiresPruning && { requiresPruning: true }),
    ...(one.syncWave && { wave: one.syncWave }),
    ...(one.health && { health: one.health }),
    children: [],
  }));

/** The Application's objects with their children below them. */
export async function resourceTree(app: Application, cluster: Cluster): Promise<TreeNode[]> {
  const roots = ownNodes(app);
  const namespaces = [...new Set(roots.map(({ namespace }) => namespace))].filter((one) => one !== "");
  if (namespaces.length > NAMESPACES_MAX)
    throw new CliError(`a tree over ${namespaces.length} namespaces is too large; leave --tree away`);
  const lists = await Promise.all(
    namespaces.flatMap((namespace) =>
      MADE_BY_CONTROLLERS.map((resource) => cluster.client.list(resource, { namespace })),
    ),
  );
  const objects = lists.flatMap((list) => {
    if (list.kind === "ok") return list.object.items;
    throw new CliError(`the objects of ${cluster.server} cannot be listed: ${list.error.message}`);
  });
  return withChildren(roots, objects);
}

export function withChildren(roots: readonly TreeNode[], objects: readonly KubeObject[]): TreeNode[] {
  const owned = new Map<string, KubeObject[]>();
  for (const object of objects) {
    const owner = object.metadata.ownerReferences?.find(({ controller }) => controller);
    if (!owner) continue;
    const key = keyOf(groupOf(owner.apiVersion), owner.kind, object.metadata.namespace ?? "", owner.name);
    owned.set(key, [...(owned.get(key) ?? []), object]);
  }
  const ours = new Set(roots.map((node) => keyOf(node.group, node.kind, node.namespace, node.name)));
  const grow = (node: TreeNode): TreeNode => {
    const made = owned.get(keyOf(node.group, node.kind, node.namespace, node.name)) ?? [];
    const children = made
      .map(nodeOf)
      .filter((child) => !ours.has(keyOf(child.group, child.kind, child.namespace, child.name)));
    return { ...node, children: children.toSorted((a, b) => a.name.localeCompare(b.name)).map(grow) };
  };
  return roots.map(grow);
}

function nodeOf(object: KubeObject): TreeNode {
  const health = healthOf(object);
  return {
    group: groupOf(object.apiVersion),
    kind: object.kind,
    namespace: object.metadata.namespace ?? "",
    name: object.metadata.name,
    ...(health && { health }),
    children: [],
  };
}

const groupOf = (apiVersion: string): string => (apiVersion.includes("/") ? apiVersion.split("/")[0]! : "");
const keyOf = (...parts: string[]): string => parts.join("\0");
