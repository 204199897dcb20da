// A rendered set that has an object more than once: the last one counts, and all are named.
import { expect, test } from "vitest";
import type { Manifest } from "@driftless/manifests/manifest";
import { resolveDesired } from "./desired-set.ts";
import type { Discovery } from "./discovery.ts";

const discovery = {
  resourceFor: async (group: string, kind: string, version = "v1") => ({
    kind: "ok",
    resource: { group, version, kind, plural: "", namespaced: true, verbs: [], versions: [version] },
  }),
} as unknown as Discovery;

let line = 0;
const manifest = (name: string, more: Record<string, unknown> = {}, kind = "ConfigMap"): Manifest => ({
  apiVersion: "v1",
  kind,
  metadata: { name, ...more },
  body: `"data":{"line":"${++line}"}`,
  images: [],
  file: "all.yaml",
  line,
  warnings: [],
});
const hook = (more: Record<string, unknown>) =>
  manifest("", { name: undefined, ...more, annotations: { "argocd.argoproj.io/hook": "PreSync" } });

const resolve = (manifests: Manifest[]) => {
  const destination = { server: "s", namespace: "shop" };
  const target = { destination, manifestsDigest: "d", trackingMethod: "annotation", controlPlaneNamespace: "argocd" };
  return resolveDesired({
    manifests,
    app: { name: "shop", namespace: "argocd" },
    target: target as never,
    discovery,
    server: "s",
  });
};

test("the last of several manifests of one object counts, and the warning says where all of them stand", async () => {
  line = 0;
  const set = await resolve([
    manifest("a"),
    manifest("b"),
    manifest("a", { namespace: "shop" }),
    manifest("a", { namespace: "other" }),
  ]);
  expect(set.failures).toEqual([]);
  expect(set.objects.map(({ prepared: { key, line: at } }) => `${key.namespace}/${key.name} ${at}`)).toEqual([
    "shop/a 3",
    "shop/b 2",
    "other/a 4",
  ]);
  expect(set.repeated.map(({ code, message }) => `${code} ${message}`)).toEqual([
    "DUPLICATE_RESOURCE Resource ConfigMap shop/a appeared 2 times among application resources, in all.yaml:1 and all.yaml:3; the last one counts.",
  ]);
});

test("hooks too, but not those whose names are made for each run", async () => {
  const set = await resolve([
    hook({ name: "once" }),
    manifest("once"),
    hook({ name: "once" }),
    hook({ generateName: "each-" }),
    hook({ generateName: "each-" }),
  ]);
  expect(set.hooks.map(({ index }) => index)).toEqual([2, 3, 4]);
  expect(set.objects).toEqual([]);
  expect(set.repeated).toHaveLength(1);
});
