// The command's way from files on the disk to manifests, with the real engine.
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { buildRenderEngine } from "@driftless/render-engine/build";
import { createEngine, type Engine } from "@driftless/render-engine/engine";
import { afterAll, beforeAll, expect, test } from "vitest";
import { renderTree, yamlOf, type RenderOptions } from "./render.ts";

let engine: Engine;
let root: string;

beforeAll(async () => {
  engine = createEngine({ binary: await buildRenderEngine(), children: 1 });
  root = await mkdtemp(join(tmpdir(), "driftless-render-"));
  const files = {
    ".git/HEAD": "ref: refs/heads/main\n",
    "base/kustomization.yaml": "resources: [cm.yaml]\n",
    "base/cm.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: base}\n",
    "overlay/kustomization.yaml": "resources: [../base]\nnamePrefix: p-\n",
    "chart/Chart.yaml": "apiVersion: v2\nname: c\nversion: 1.0.0\n",
    "chart/templates/cm.yaml":
      "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-{{ .Release.Namespace }}-{{ .Values.a }}-{{ .Values.b }}'}\n",
    "chart/prod.yaml": "b: file\n",
  };
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  await mkdir(join(root, "outside"));
  await symlink("/etc/hostname", join(root, "outside/cm.yaml"));
  await symlink(tmpdir(), join(root, "elsewhere"));
  await mkdir(join(root, "through"));
  await writeFile(join(root, "through/kustomization.yaml"), "resources: [../elsewhere/x/base]\n");
}, 600_000);

afterAll(async () => {
  await engine.close();
  await rm(root, { recursive: true });
});

async function names(directory: string, options: Omit<RenderOptions, "output"> = {}): Promise<unknown> {
  const outcome = await renderTree(join(root, directory), options, (job) => engine.render(job));
  return outcome.kind === "rendered" ? outcome.manifests.map(({ metadata }) => JSON.parse(metadata).name) : outcome;
}

test("a chart that asks for the cluster's versions gets those that were given", async () => {
  await mkdir(join(root, "asks/templates"), { recursive: true });
  await writeFile(join(root, "asks/Chart.yaml"), "apiVersion: v2\nname: asks\nversion: 1.0.0\n");
  const name = `'{{ .Capabilities.KubeVersion.Minor }}-{{ .Capabilities.APIVersions.Has "x.io/v1" }}'`;
  await writeFile(join(root, "asks/templates/a.yaml"), `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\n`);
  const options = { kubeVersion: "v1.29.4", apiVersion: ["x.io/v1"] };
  expect(await renderTree(join(root, "asks"), options, (job) => engine.render(job))).toMatchObject({
    manifests: [{ metadata: '{"name":"29-true"}' }],
  });
});

test("a base beside the directory is found in the repository", async () => {
  expect(await names("overlay")).toEqual(["p-base"]);
});

test("name, namespace, parameters and value files go to Helm as an Application's would", async () => {
  const options = { name: "web", namespace: "shop", helmSet: ["a=set"], values: ["prod.yaml"] };
  expect(await names("chart", options)).toEqual(["web-shop-set-file"]);
});

test.each(["outside", "through"])("a link out of the repository is refused and not followed: %s", async (directory) => {
  expect(await names(directory)).toMatchObject({ kind: "failed", code: "RENDER_PATH_DENIED" });
});

test("as YAML a value means to Kubernetes what it was", () => {
  const json = '{"a":"yes","b":"010","c":12345678901234567890,"d":"2026-01-01","e":true}';
  expect(yamlOf(json)).toBe('a: "yes"\nb: "010"\nc: 12345678901234567890\nd: "2026-01-01"\ne: true');
});
