// Helm, Kustomize and Jsonnet sources on real parts: what a person changes in Git or in the Application arrives in the
// cluster, what is refused says why, and what has changed for nobody stays as it is.
import { mkdtemp, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import { expect, test } from "vitest";
import { configMap, deployment, eventually, kubectl, push, useWorld } from "../harness/story.ts";

const use = useWorld({ settings: { "timeout.reconciliation": "0s" } });

const read = (namespace: string, kind: string, name: string, jsonpath: string) =>
  kubectl(use.world, "get", "-n", namespace, kind, name, "-o", `jsonpath={${jsonpath}}`);

const image = (namespace: string, name: string) =>
  read(namespace, "deployment", name, ".spec.template.spec.containers[0].image");

async function commit(repository: string, url: string, files: Record<string, string>): Promise<string> {
  const sha = await use.world.git.commitFiles(repository, files, "change");
  await push(use.world, url);
  return sha;
}

/** How often each Application was rendered can be told only all together. */
async function renders(): Promise<number> {
  const text = await (await fetch(`${use.world.services.apiUrl}/metrics`)).text();
  return Number(/^driftless_render_seconds_count (\d+)/m.exec(text)?.[1] ?? Number.NaN);
}

const CHART = {
  "web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n",
  "web/values.yaml": "tag: one\ngreeting: chart\n",
  "web/templates/web.yaml": deployment("{{ .Release.Name }}", { image: "registry.example.com/web:{{ .Values.tag }}" }),
  "web/templates/greeting.yaml":
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: greeting\n  namespace: {{ .Release.Namespace }}\ndata:\n  text: {{ .Values.greeting | quote }}\n",
  "values/production.yaml": "greeting: production\n",
};

test("a chart is rendered with value files from elsewhere in the repository, values and parameters", async () => {
  const { world } = use;
  const { url, sha } = await world.git.createRepository("helm", CHART);
  await world.applications.create({
    name: "helm",
    repoURL: url,
    path: "web",
    source: { helm: { releaseName: "shop", valueFiles: ["/values/production.yaml"] } },
  });
  const app = await world.applications.synced("helm", sha);
  expect((app.status as { sourceType?: string }).sourceType).toBe("Helm");
  expect(await image("helm", "shop")).toBe("registry.example.com/web:one");
  expect(await read("helm", "configmap", "greeting", ".data.text")).toBe("production");

  const helm = { parameters: [{ name: "tag", value: "two" }] };
  await world.applications.patch("helm", { spec: { source: { helm } } });
  await eventually("the new image", async () => (await image("helm", "shop")).endsWith(":two"));

  await commit("helm", url, { "values/production.yaml": "greeting: pushed\n" });
  await eventually(
    "the new value",
    async () => (await read("helm", "configmap", "greeting", ".data.text")) === "pushed",
  );
  expect((await world.applications.get("helm")).status?.conditions ?? []).toEqual([]);
});

test("a template that is broken is named with its file; the last good state stays, and the push that mends it is noticed", async () => {
  const { world } = use;
  const { url } = await world.git.createRepository("mend", { ...CHART, "other/x.yaml": configMap("x") });
  await world.applications.create({ name: "mend", repoURL: url, path: "web" });
  await world.applications.synced("mend");
  await commit("mend", url, { "web/templates/greeting.yaml": "a: {{ .Values.nothing.below }}\n" });
  const broken = await world.applications.condition("mend", "MANIFEST_INVALID");
  expect(broken.status?.conditions?.[0]?.message).toContain("web/templates/greeting.yaml");
  expect(await read("mend", "configmap", "greeting", ".data.text")).toBe("chart");

  const before = await renders();
  await commit("mend", url, { "other/x.yaml": configMap("y") });
  const sha = await commit("mend", url, { "web/values.yaml": "tag: one\ngreeting: chart\nnothing: {below: 1}\n" });
  await world.applications.condition("mend", "MANIFEST_INVALID");
  const mended = await commit("mend", url, { "web/templates/greeting.yaml": CHART["web/templates/greeting.yaml"] });
  expect(mended).not.toBe(sha);
  const app = await world.applications.synced("mend", mended);
  expect(app.status?.conditions ?? []).toEqual([]);
  expect(await renders()).toBeGreaterThan(before);
});

test("a chart that asks what the cluster serves is rendered anew when that changes, and only then", async () => {
  const { world } = use;
  const asks = `.Capabilities.APIVersions.Has "example.com/v1/Widget"`;
  const { url } = await world.git.createRepository("asks", {
    "asks/Chart.yaml": "apiVersion: v2\nname: asks\nversion: 1.0.0\n",
    "asks/templates/a.yaml": `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: told\ndata:\n  kube: {{ .Capabilities.KubeVersion.Version }}\n  widgets: {{ ${asks} | quote }}\n`,
    "refuses/Chart.yaml": "apiVersion: v2\nname: refuses\nversion: 1.0.0\n",
    "refuses/templates/a.yaml": `{{ if not (${asks}) }}{{ fail "no widgets" }}{{ end }}${configMap("there")}`,
  });
  for (const name of ["asks", "refuses"]) await world.applications.create({ name, repoURL: url, path: name });
  await world.applications.synced("asks");
  const refused = await world.applications.condition("refuses", "MANIFEST_INVALID");
  expect(refused.status?.conditions?.[0]?.message).toContain("no widgets");
  const { gitVersion } = JSON.parse(await kubectl(world, "get", "--raw", "/version")) as { gitVersion: string };
  expect(await read("asks", "configmap", "told", ".data.kube")).toBe(/^v[\d.]+/.exec(gitVersion)![0]);
  expect(await read("asks", "configmap", "told", ".data.widgets")).toBe("false");

  const before = await renders();
  await kubectl(world, "create", "-f", await crdFile("others.example.com", "Other"));
  await kubectl(world, "create", "-f", await crdFile("widgets.example.com", "Widget"));
  await eventually("the new answer", async () => (await read("asks", "configmap", "told", ".data.widgets")) === "true");
  await world.applications.synced("refuses");
  // One render for each that asked; `refuses` may have been tried when the other kind came.
  expect((await renders()) - before).toBeLessThanOrEqual(4);
});

async function crdFile(name: string, kind: string): Promise<string> {
  const [plural = "", ...group] = name.split(".");
  const schema = { openAPIV3Schema: { type: "object" } };
  const crd = {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name },
    spec: {
      group: group.join("."),
      scope: "Namespaced",
      names: { plural, singular: kind.toLowerCase(), kind },
      versions: [{ name: "v1", served: true, storage: true, schema }],
    },
  };
  const file = join(await mkdtemp(join(tmpdir(), "driftless-crd-")), "crd.json");
  await writeFile(file, JSON.stringify(crd));
  return file;
}

test("an overlay takes its base from outside its path, and a push to a base changes exactly the overlays that use it", async () => {
  const { world } = use;
  const overlay = (base: string) => `resources: [../../${base}]\nnamePrefix: prod-\n`;
  const { url, sha } = await world.git.createRepository("kustomize", {
    "bases/a/kustomization.yaml": "resources: [web.yaml, ../common]\n",
    "bases/a/web.yaml": deployment("web"),
    "bases/common/kustomization.yaml": "resources: [cm.yaml]\n",
    "bases/common/cm.yaml": configMap("common"),
    "bases/b/kustomization.yaml": "resources: [web.yaml]\n",
    "bases/b/web.yaml": deployment("web"),
    "overlays/a/kustomization.yaml": overlay("bases/a"),
    "overlays/b/kustomization.yaml": overlay("bases/b"),
  });
  for (const name of ["a", "b"]) {
    await world.applications.create({
      name: `kustomize-${name}`,
      repoURL: url,
      path: `overlays/${name}`,
      source: { kustomize: { images: ["registry.example.com/web:7"] } },
    });
  }
  for (const name of ["a", "b"]) await world.applications.synced(`kustomize-${name}`, sha);
  expect(await image("kustomize-a", "prod-web")).toBe("registry.example.com/web:7");

  const before = await renders();
  const pushed = await commit("kustomize", url, { "bases/common/cm.yaml": configMap("common", { key: "new" }) });
  await world.applications.synced("kustomize-a", pushed);
  expect(await read("kustomize-a", "configmap", "prod-common", ".data.key")).toBe("new");
  // The base is fetched along at once, and nobody asks for anything again.
  expect((await renders()) - before).toBe(1);
  expect((await world.applications.get("kustomize-b")).status?.history).toHaveLength(1);
});

test("Jsonnet takes libraries, external variables and the build environment; where the revision is in it, every commit counts", async () => {
  const { world } = use;
  const { url, sha } = await world.git.createRepository("jsonnet", {
    "app/cm.jsonnet": `local lib = import 'lib.libsonnet';\nlib.configMap('settings', { env: std.extVar('env'), commit: std.extVar('commit') })`,
    "lib/lib.libsonnet":
      "{ configMap(name, data):: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: name }, data: data } }",
  });
  const extVars = [
    { name: "env", value: "$ARGOCD_APP_NAME" },
    { name: "commit", value: "${ARGOCD_APP_REVISION_SHORT}" },
  ];
  await world.applications.create({
    name: "jsonnet",
    repoURL: url,
    path: "app",
    directory: { jsonnet: { extVars, libs: ["lib"] } },
  });
  await world.applications.synced("jsonnet", sha);
  expect(await read("jsonnet", "configmap", "settings", ".data.env")).toBe("jsonnet");
  expect(await read("jsonnet", "configmap", "settings", ".data.commit")).toBe(sha!.slice(0, 7));
  const next = await commit("jsonnet", url, { "README.md": "elsewhere\n" });
  await eventually(
    "the commit's name",
    async () => (await read("jsonnet", "configmap", "settings", ".data.commit")) === next.slice(0, 7),
  );
});

test(".argocd-source.yaml overrides the Application's options, and a new one is noticed", async () => {
  const { world } = use;
  const { url } = await world.git.createRepository("override", CHART);
  await world.applications.create({ name: "override", repoURL: url, path: "web" });
  await world.applications.synced("override");
  await commit("override", url, {
    "web/.argocd-source-override.yaml": "helm:\n  parameters: [{name: tag, value: three}]\n",
  });
  await eventually("the overridden image", async () => (await image("override", "override")).endsWith(":three"));
});

test("chance in a chart never rotates a Secret: not by a refresh, a hard one, a sync, nor a push elsewhere", async () => {
  const { world } = use;
  const { url, sha } = await world.git.createRepository("chance", {
    "chart/Chart.yaml": "apiVersion: v2\nname: chance\nversion: 1.0.0\n",
    "chart/templates/secret.yaml": `{{ $ca := genCA "ca" 365 }}apiVersion: v1\nkind: Secret\nmetadata:\n  name: secret\nstringData:\n  password: {{ randAlphaNum 20 }}\n  ca: {{ $ca.Cert | quote }}\n`,
    "other/x.yaml": configMap("x"),
  });
  await world.applications.create({ name: "chance", repoURL: url, path: "chart" });
  await world.applications.synced("chance", sha);
  const secret = () => read("chance", "secret", "secret", ".metadata.resourceVersion");
  const before = await secret();
  const refresh = async (mode: "normal" | "hard") => {
    await world.applications.patch("chance", { metadata: { annotations: { "argocd.argoproj.io/refresh": mode } } });
    await world.applications.until(
      "chance",
      `${mode} refresh`,
      (app) => !app.metadata.annotations?.["argocd.argoproj.io/refresh"],
    );
  };
  await refresh("normal");
  await refresh("hard");
  const app = await world.applications.condition("chance", "NONDETERMINISTIC_RENDER");
  expect(app.status?.sync?.status).toBe("Synced");
  await commit("chance", url, { "other/x.yaml": configMap("y") });
  await refresh("normal");
  await refresh("hard");
  await world.applications.patch("chance", { operation: { sync: {} } });
  await world.applications.until(
    "chance",
    "synced by hand",
    (one) => one.operation === undefined && one.status?.operationState?.phase === "Succeeded",
  );
  expect(await secret()).toBe(before);
  const pushed = await commit("chance", url, { "chart/values.yaml": "a: 1\n" });
  await world.applications.synced("chance", pushed);
  await eventually("a push to the chart is another desired state", async () => (await secret()) !== before);
});

test.each([
  [
    "a remote base",
    { "app/kustomization.yaml": "resources:\n  - https://example.org/x//base?ref=v1\n" },
    "RENDER_REMOTE_BASE_DENIED",
    "app/kustomization.yaml",
  ],
  [
    "an exec plugin",
    {
      "app/kustomization.yaml": "generators: [g.yaml]\n",
      "app/g.yaml":
        "apiVersion: x/v1\nkind: G\nmetadata:\n  name: g\n  annotations:\n    config.kubernetes.io/function: |\n      exec: {path: ./run.sh}\n",
    },
    "RENDER_PLUGIN_DENIED",
    "app/",
  ],
  [
    "a path out of the repository",
    { "app/kustomization.yaml": "resources: [../../outside]\n" },
    "RENDER_PATH_DENIED",
    "app/kustomization.yaml",
  ],
])("%s is refused with a code and the file", async (title, files, code, file) => {
  const { world } = use;
  const name = title.replaceAll(/[^a-z]+/g, "-");
  const { url } = await world.git.createRepository(name, files);
  await world.applications.create({ name, repoURL: url, path: "app" });
  const app = await world.applications.condition(name, code);
  expect(app.status?.conditions?.[0]?.message).toContain(file);
});

test("tagPrefix: a constraint is met by the tags of this prefix only", async () => {
  const { world } = use;
  const { url, sha } = await world.git.createRepository("tags", { "app/cm.yaml": configMap("cm", { tag: "old" }) });
  await world.git.setRef("tags", "refs/tags/web-1.0.0", sha!);
  const next = await world.git.commitFiles("tags", { "app/cm.yaml": configMap("cm", { tag: "new" }) }, "next");
  await world.git.setRef("tags", "refs/tags/other-1.9.0", next);
  await world.applications.create({
    name: "tags",
    repoURL: url,
    path: "app",
    targetRevision: "1.x",
    source: { tagPrefix: "web-" },
  });
  await world.applications.synced("tags", sha);
  await world.git.setRef("tags", "refs/tags/web-1.1.0", next);
  await push(world, url, "refs/tags/web-1.1.0");
  await world.applications.synced("tags", next);
});

async function archive(version: string, text: string): Promise<Buffer> {
  const tar = pack();
  const chart = {
    "web/Chart.yaml": `apiVersion: v2\nname: web\nversion: ${version}\n`,
    "web/values.yaml": "global: {}\n",
    "web/templates/cm.yaml": configMap("{{ .Release.Name }}-chart", { text }),
  };
  for (const [name, content] of Object.entries(chart)) tar.entry({ name }, content);
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  return gzipSync(Buffer.concat(chunks));
}

test("a chart of a Helm repository is a source of its own and a dependency of one in Git; a new version is followed", async () => {
  const { world } = use;
  const archives = new Map([["1.0.0", await archive("1.0.0", "one")]]);
  const server = createServer((request, response) => {
    const version = /^\/web-(.*)\.tgz$/.exec(request.url ?? "")?.[1];
    if (version !== undefined) return response.end(archives.get(version));
    const entries = [...archives.keys()].map((one) => `  - {name: web, version: ${one}, urls: [web-${one}.tgz]}\n`);
    response.end(`apiVersion: v1\nentries:\n  web:\n${entries.join("")}`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const repository = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { url } = await world.git.createRepository("umbrella", {
      "app/Chart.yaml": `apiVersion: v2\nname: umbrella\nversion: 1.0.0\ndependencies: [{name: web, version: 1.x, repository: "${repository}"}]\n`,
    });
    await world.applications.create({ name: "umbrella", repoURL: url, path: "app" });
    await world.applications.create({
      name: "chart",
      repoURL: repository,
      path: "",
      targetRevision: "1.x",
      source: { chart: "web" },
    });
    const text = (name: string) => read(name, "configmap", `${name}-chart`, ".data.text");
    await world.applications.synced("umbrella");
    expect(await text("umbrella")).toBe("one");
    await world.applications.synced("chart", "1.0.0");
    expect(await text("chart")).toBe("one");

    archives.set("1.1.0", await archive("1.1.0", "two"));
    await world.applications.patch("chart", { metadata: { annotations: { "argocd.argoproj.io/refresh": "normal" } } });
    await world.applications.synced("chart", "1.1.0");
    await eventually("the new version", async () => (await text("chart")) === "two");
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
