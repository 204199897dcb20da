// `driftless app resources`: the objects of an Application with sync status and health, as a table or as a tree.
import { appName, getApplication } from "../applications.ts";
import { namespaceOf, withCluster, type ConnectionOptions } from "../connection.ts";
import { withDestination } from "../destination.ts";
import { note, paint, say, sayJson, sayTable, state, type Output } from "../output.ts";
import { ownNodes, resourceTree, type TreeNode } from "../resource-tree.ts";

export async function appResources(
  text: string,
  options: ConnectionOptions & { tree?: boolean; output: Output },
): Promise<void> {
  const namespace = await namespaceOf(options);
  const name = appName(text, namespace);
  const nodes = await withCluster(options, async (client) => {
    const app = await getApplication(client, name);
    if (!options.tree) return ownNodes(app);
    return withDestination(client, app, (cluster) => resourceTree(app, cluster));
  });
  if (options.output === "json") return sayJson(nodes);
  if (options.output === "name") return nodes.forEach((node) => say(`${node.kind}/${node.name}`));
  if (nodes.length === 0) return note(`${name.name} has no objects.`);
  if (options.tree) return nodes.forEach((node) => say(branchOf(node).join("\n")));
  const wide = options.output === "wide";
  sayTable(
    ["GROUP", "KIND", "NAMESPACE", "NAME", "SYNC", "HEALTH", ...(wide ? ["WAVE", "MESSAGE"] : [])],
    nodes.map((node) => [
      node.group,
      node.kind,
      node.namespace,
      node.name,
      syncOf(node),
      node.health ? state(node.health.status) : "",
      ...(wide ? [String(node.wave ?? 0), node.health?.message ?? ""] : []),
    ]),
  );
}

const syncOf = ({ sync, requiresPruning }: TreeNode): string =>
  (sync ? state(sync) : "") + (requiresPruning ? " (to be pruned)" : "");

export function branchOf(node: TreeNode, isTop = true): string[] {
  const where = isTop && node.namespace ? paint("dim", ` (${node.namespace})`) : "";
  const facts = [syncOf(node), node.health && state(node.health.status), node.health?.message].filter(Boolean);
  const lines = [`${node.kind}/${node.name}${where}  ${facts.join("  ")}`.trimEnd()];
  node.children.forEach((child, n) => {
    const isLast = n === node.children.length - 1;
    const [first, ...rest] = branchOf(child, false);
    lines.push(`${isLast ? "└─ " : "├─ "}${first}`, ...rest.map((line) => `${isLast ? "   " : "│  "}${line}`));
  });
  return lines;
}
