// RespectIgnoreDifferences=true (contract §6, users-ask 40): a sync leaves ignored fields as they are in the cluster, by
// ownership instead of by copying, and their neighbours change all the same.
import { expect, test } from "vitest";
import { configMap, deployment, eventually, kubectl, useWorld } from "../harness/story.ts";
import { CRDS, applyingIn, crd } from "./applying.ts";

const use = useWorld();
const { automated, expectQuiet, get, make, merge } = applyingIn(use);

const respecting = (group: string, kind: string, rule: Record<string, unknown>, respects = true) => ({
  syncOptions: ["CreateNamespace=true", ...(respects ? ["RespectIgnoreDifferences=true"] : [])],
  spec: { ignoreDifferences: [{ group, kind, ...rule }] },
});

const REPLICAS = { jsonPointers: ["/spec/replicas"] };

/** Synced to a commit that changes these files. */
async function commit(name: string, files: Record<string, string>) {
  const { world } = use;
  const changes = Object.fromEntries(Object.entries(files).map(([file, text]) => [`app/${file}`, text]));
  const sha = await world.git.commitFiles(name, changes, "change");
  await kubectl(world, "annotate", "-n", "argocd", "application", name, "argocd.argoproj.io/refresh=normal");
  return world.applications.synced(name, sha);
}

const web = async (name: string) => {
  const { spec } = await get(name, "deployment", "web");
  return { replicas: spec.replicas, image: spec.template.spec.containers.at(-1).image };
};

const image = (version: number) => `registry.example.com/web:${version}`;

test("a field that somebody else took over stays theirs while its neighbours change", async () => {
  const world = await automated(
    "scaled",
    { "web.yaml": deployment("web") },
    respecting("apps", "Deployment", REPLICAS),
  );
  await world.applications.synced("scaled");
  await kubectl(world, "scale", "-n", "scaled", "deployment/web", "--replicas=3");
  await commit("scaled", { "web.yaml": deployment("web", { replicas: 2, image: image(2) }) });
  expect(await web("scaled")).toEqual({ replicas: 3, image: image(2) });
  const { metadata } = await get("scaled", "deployment", "web");
  const ours = metadata.managedFields.find((entry: any) => entry.manager === "argocd-controller");
  expect(ours.fieldsV1["f:spec"]).not.toHaveProperty("f:replicas");
  await expectQuiet("scaled", "deployment");
  // Drift beside it is healed, and leaves it alone as well.
  await kubectl(world, "set", "image", "-n", "scaled", "deployment/web", `web=${image(9)}`);
  await eventually("healed", async () => (await web("scaled")).image === image(2));
  expect((await web("scaled")).replicas).toBe(3);
});

test("without the option a sync sets it, though it is no difference", async () => {
  const spec = respecting("apps", "Deployment", REPLICAS, false);
  const world = await automated("unscaled", { "web.yaml": deployment("web") }, spec);
  await world.applications.synced("unscaled");
  await kubectl(world, "scale", "-n", "unscaled", "deployment/web", "--replicas=3");
  await commit("unscaled", { "web.yaml": deployment("web", { replicas: 1, image: image(2) }) });
  expect(await web("unscaled")).toEqual({ replicas: 1, image: image(2) });
});

test("R1: a field that only we own stays as it is, also when Git no longer has it", async () => {
  const world = await automated(
    "alone",
    { "web.yaml": deployment("web", { replicas: 2 }) },
    respecting("apps", "Deployment", REPLICAS),
  );
  await world.applications.synced("alone");
  await commit("alone", { "web.yaml": deployment("web", { replicas: 5, image: image(2) }) });
  expect(await web("alone")).toEqual({ replicas: 2, image: image(2) });
  const without = deployment("web", { image: image(3) }).replace("  replicas: 1\n", "");
  await commit("alone", { "web.yaml": without });
  expect(await web("alone")).toEqual({ replicas: 2, image: image(3) });
  await expectQuiet("alone", "deployment");
});

test("in a list with keys, only the field of the item that is meant stays", async () => {
  const two = (mesh: number, version: number) =>
    deployment("web", { image: image(version) }).replace(
      "        - name: web",
      `        - {name: mesh, image: "registry.example.com/mesh:${mesh}"}\n        - name: web`,
    );
  const rule = { jqPathExpressions: ['.spec.template.spec.containers[] | select(.name == "mesh") | .image'] };
  const world = await automated("keyed", { "web.yaml": two(1, 1) }, respecting("apps", "Deployment", rule));
  await world.applications.synced("keyed");
  await kubectl(world, "set", "image", "-n", "keyed", "deployment/web", "mesh=registry.example.com/mesh:7");
  await commit("keyed", { "web.yaml": two(2, 2) });
  const { spec } = await get("keyed", "deployment", "web");
  expect(spec.template.spec.containers.map((one: { image: string }) => one.image)).toEqual([
    "registry.example.com/mesh:7",
    image(2),
  ]);
  await expectQuiet("keyed", "deployment");
});

test("in a list of a custom resource that is owned as a whole, items are found by their names", async () => {
  await make(CRDS, crd("routes", "Route"));
  const route = (rules: string) =>
    `apiVersion: example.com/v1\nkind: Route\nmetadata:\n  name: web\nspec: {rules: [${rules}]}\n`;
  const rule = { jqPathExpressions: [".spec.rules[].weight"] };
  const files = { "web.yaml": route("{name: a, weight: 100, port: 1}, {name: b, weight: 0}") };
  const world = await automated("atomic", files, respecting("example.com", "Route", rule));
  await world.applications.synced("atomic");
  // As a rollout shifts traffic: the whole list is its then.
  const shifted = [
    { name: "a", weight: 30, port: 1 },
    { name: "b", weight: 70 },
  ];
  await merge("atomic", "routes.example.com", "web", { spec: { rules: shifted } });
  await commit("atomic", {
    "web.yaml": route("{name: c, weight: 5}, {name: a, weight: 100, port: 2}, {name: b, weight: 0}"),
  });
  expect((await get("atomic", "routes.example.com", "web")).spec.rules).toEqual([
    { name: "c", weight: 5 },
    { name: "a", weight: 30, port: 2 },
    { name: "b", weight: 70 },
  ]);
  await expectQuiet("atomic", "routes.example.com");
});

test("what kubectl applied before us is ours to keep, and stays while the rest of it is taken over", async () => {
  await kubectl(use.world, "create", "namespace", "legacy");
  const annotation =
    '{"apiVersion":"v1","data":{"theirs":"old","gone":"old"},"kind":"ConfigMap","metadata":{"name":"web"}}';
  const metadata = { name: "web", annotations: { "kubectl.kubernetes.io/last-applied-configuration": annotation } };
  const text = JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata, data: { theirs: "old", gone: "old" } });
  await make("/api/v1/namespaces/legacy/configmaps", text, { fieldManager: "kubectl-client-side-apply" });
  const spec = respecting("", "ConfigMap", { jsonPointers: ["/data/theirs"] });
  const world = await automated("legacy", { "a.yaml": configMap("web", { theirs: "new", key: "1" }) }, spec);
  await world.applications.synced("legacy");
  expect((await get("legacy", "configmap", "web")).data).toEqual({ theirs: "old", key: "1" });
  await expectQuiet("legacy", "configmap");
});

test("a replacement leaves what is ignored as it is, whoever owns it", async () => {
  const spec = respecting("apps", "Deployment", REPLICAS);
  const files = { "web.yaml": deployment("web") };
  const world = await automated("whole", files, { ...spec, syncOptions: [...spec.syncOptions, "Replace=true"] });
  await world.applications.synced("whole");
  await kubectl(world, "scale", "-n", "whole", "deployment/web", "--replicas=3");
  await commit("whole", { "web.yaml": deployment("web", { image: image(2) }) });
  expect(await web("whole")).toEqual({ replicas: 3, image: image(2) });
  await expectQuiet("whole", "deployment");
});
