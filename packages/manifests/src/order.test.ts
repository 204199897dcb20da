import { expect, test } from "vitest";
import { applyOrder, kindRank, pruneOrder, type Ordered } from "./order.ts";
import { parseKey } from "./resource-key.ts";

const item = (text: string, more: { wave?: number; text?: string } = {}): Ordered & { text?: string } => ({
  key: parseKey(text)!,
  ...more,
});
const names = (items: readonly Ordered[]) => items.map(({ key }) => `${key.kind}/${key.name}`);

test("kinds go in Argo CD's order, unknown ones last, names within a kind", () => {
  const items = [
    item("example.com/Widget/n/w"),
    item("apps/Deployment/n/b"),
    item("apps/Deployment/n/a"),
    item("/ConfigMap/n/c"),
    item("/Namespace//n"),
    item("apiregistration.k8s.io/APIService//v1.x"),
    item("/Secret/n/s"),
  ];
  expect(names(applyOrder(items))).toEqual([
    "Namespace/n",
    "Secret/s",
    "ConfigMap/c",
    "Deployment/a",
    "Deployment/b",
    "APIService/v1.x",
    "Widget/w",
  ]);
  expect(names(pruneOrder(items))).toEqual(names(applyOrder(items)).toReversed());
  expect(kindRank("Widget")).toBeGreaterThan(kindRank("APIService"));
});

test("waves come before kinds, and negative ones first", () => {
  const items = [item("/Namespace//z", { wave: 1 }), item("/Pod/n/p", { wave: -1 }), item("/ConfigMap/n/c")];
  expect(names(applyOrder(items))).toEqual(["Pod/p", "ConfigMap/c", "Namespace/z"]);
});

test("a Namespace of a later wave is lifted before the first object in it and takes on its wave", () => {
  const items = [
    item("/ConfigMap/n/c", { wave: 0 }),
    item("/Namespace//n", { wave: 5 }),
    item("/ConfigMap/m/d", { wave: -1 }),
  ];
  const ordered = applyOrder(items);
  expect(names(ordered)).toEqual(["ConfigMap/d", "Namespace/n", "ConfigMap/c"]);
  expect(ordered[1]!.wave).toBe(0);
});

test("a CRD of a later wave is lifted before the objects of its kind, which its own text names", () => {
  const crd = JSON.stringify({ spec: { group: "example.com", names: { kind: "Widget" } } });
  const items = [
    item("example.com/Widget/n/w", { wave: -2 }),
    item("apiextensions.k8s.io/CustomResourceDefinition//widgets.example.com", { wave: 3, text: crd }),
  ];
  expect(names(applyOrder(items))).toEqual(["CustomResourceDefinition/widgets.example.com", "Widget/w"]);
});
