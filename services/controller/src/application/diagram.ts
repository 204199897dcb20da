// Diagram (pure): the machine as Mermaid, for machine.md. A test compares the two, so that the picture is never stale.
import { toDirectedGraph } from "xstate/graph";
import { applicationMachine } from "./machine.ts";

type Graph = ReturnType<typeof toDirectedGraph>;

export function machineDiagram(): string {
  const root = toDirectedGraph(applicationMachine);
  const regions = root.children.map((region) => {
    const lines = [`### ${title(region)}`, "", "```mermaid", "stateDiagram-v2", ...states(region, "  "), "```"];
    return lines.join("\n");
  });
  return [
    "# The machine of one Application",
    "",
    "Generated from `machine.ts` by `npm run unit -- -u`. Two regions run beside each other: `sync` is what people see,",
    "`refresh` is the pass through the hops that finds it out. `[x]` is a guard, `always` a transition without an event,",
    "`after x` a timer. Events that change no state are left out.",
    "",
    regions.join("\n\n"),
    "",
  ].join("\n");
}

const title = (node: Graph): string => node.stateNode.key;

const name = (id: string): string => id.replace(/^application\./, "").replaceAll(".", "_");

function states(node: Graph, indent: string): string[] {
  const { initial } = node.stateNode;
  const first = initial?.target?.[0]?.id;
  const lines = first ? [`${indent}[*] --> ${name(first)}`] : [];
  for (const child of node.children) {
    lines.push(`${indent}state "${title(child)}" as ${name(child.id)}`);
    if (child.children.length > 0) {
      lines.push(`${indent}state ${name(child.id)} {`, ...states(child, `${indent}  `), `${indent}}`);
    }
  }
  for (const child of node.children) lines.push(...edges(child, indent));
  if (node.stateNode.parent?.type === "parallel") lines.push(...edges(node, indent));
  return lines;
}

function edges(node: Graph, indent: string): string[] {
  const guardOf = (guard: unknown): string =>
    typeof guard === "string" ? ` [${guard}]` : guard ? ` [${(guard as { type: string }).type}]` : "";
  const from = node.stateNode.parent?.type === "parallel" ? "[*]" : name(node.id);
  const always = (node.stateNode.always ?? []).flatMap((transition) =>
    (transition.target ?? []).map(
      (target) => `${indent}${from} --> ${name(target.id)} : always${guardOf(transition.guard)}`,
    ),
  );
  const onEvents = node.edges
    .filter((edge) => edge.source !== edge.target || edge.transition.reenter)
    .map((edge) => {
      const label = `${eventName(edge.label.text)}${guardOf(edge.transition.guard)}`;
      return `${indent}${from} --> ${name(edge.target.id)} : ${label}`;
    });
  return [...always, ...onEvents];
}

const eventName = (text: string): string => {
  const after = /^xstate\.after\.([^.]+)\./.exec(text);
  return after ? `after ${after[1]}` : text;
};
