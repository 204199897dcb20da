// The CRDs in deploy/crds are those of the contracts; `vitest -u` writes them anew.
import { expect, test } from "vitest";
import { CRDS, crdText } from "./crd.ts";

test.each(CRDS.map((make) => make()))("deploy/crds holds the fresh CRD of $metadata.name", async (crd) => {
  await expect(crdText(crd)).toMatchFileSnapshot(`../../../deploy/crds/${crd.metadata.name}.yaml`);
});

test("no schema node holds what the API server refuses in a structural schema", () => {
  const nodes: Record<string, unknown>[] = [];
  const walk = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    nodes.push(value as Record<string, unknown>);
    Object.values(value).forEach(walk);
  };
  CRDS.forEach((make) => walk(make()));
  for (const node of nodes) {
    expect(node).not.toHaveProperty("$ref");
    expect(node).not.toHaveProperty("const");
    expect(node).not.toHaveProperty("$schema");
    if (node["additionalProperties"] !== undefined) {
      expect(node["additionalProperties"]).not.toEqual({});
      expect(node).not.toHaveProperty("properties");
    }
  }
});
