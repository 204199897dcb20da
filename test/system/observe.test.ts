// Driftless beside a running Argo CD: with --observe it judges every Application and tells where it would judge or act
// differently from the status that Argo CD wrote, and nothing at all is written: no object has another resourceVersion,
// and no request that could write passes to the API server.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ApplicationObserved } from "@driftless/contracts/pipeline/6-application";
import type { MessageOf } from "@driftless/contracts/message";
import { startApiProxy, type ApiProxy } from "../harness/api-proxy.ts";
import { startServices, type Services } from "../harness/services.ts";
import { configMap, eventually, kubectl, kubectlJson, run, useWorld } from "../harness/story.ts";

type Observation = MessageOf<typeof ApplicationObserved>;

const use = useWorld({ crds: true, started: false });
const FINALIZER = "resources-finalizer.argocd.argoproj.io";

let proxy: ApiProxy;
let services: Services;
let before: Map<string, string>;

/** An Application as Argo CD leaves it: its objects applied and tracked, its status written. */
async function deployed(
  name: string,
  options: { found?: object; inGit?: string; spec?: object; metadata?: object; live?: Record<string, string> } = {},
): Promise<void> {
  const { world } = use;
  const manifest = (data: string) => configMap("settings", { key: data });
  const { url, sha } = await world.git.createRepository(name, {
    "app/cm.yaml": options.inGit ?? manifest("one"),
  });
  const tracking = { "argocd.argoproj.io/tracking-id": `${name}:/ConfigMap:${name}/settings` };
  await kubectl(world, "create", "namespace", name);
  const file = join(world.home, `${name}.json`);
  const metadata = { name: "settings", namespace: name, annotations: tracking };
  const data = options.live ?? { key: "one" };
  await writeFile(file, JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata, data }));
  // Client-side, as Argo CD does unless told otherwise.
  await kubectl(world, "apply", "-f", file, "--field-manager=argocd-controller");
  await world.applications.create({ name, repoURL: url, path: "app", syncOptions: [], ...options.metadata });
  if (options.spec) await world.applications.patch(name, { spec: options.spec });
  const source = { repoURL: url, path: "app", targetRevision: "main" };
  const object = { version: "v1", kind: "ConfigMap", namespace: name, name: "settings", status: "Synced" };
  await world.applications.patch(name, {
    status: {
      sync: { status: "Synced", revision: sha, comparedTo: { source, destination: {} } },
      health: { status: "Healthy" },
      resources: [object, { kind: "Job", group: "batch", version: "v1", namespace: name, name: "migrate", hook: true }],
      operationState: {
        phase: "Succeeded",
        startedAt: "2026-01-01T00:00:00Z",
        finishedAt: "2026-01-01T00:00:01Z",
        operation: { sync: { revision: sha } },
        syncResult: { revision: sha, source },
      },
      reconciledAt: "2026-01-01T00:00:01Z",
      ...options.found,
    },
  });
}

beforeAll(async () => {
  const { world } = use;
  const labels = { "app.kubernetes.io/name": "argocd-application-controller" };
  const argoCd = {
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: { name: "argocd-application-controller", namespace: "argocd", labels },
    spec: {
      replicas: 1,
      serviceName: "x",
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: "c", image: "argocd" }] } },
    },
  };
  const path = "/apis/apps/v1/namespaces/argocd/statefulsets";
  await world.client.request({ method: "POST", path, body: JSON.stringify(argoCd) });

  await Promise.all([
    deployed("same"),
    deployed("drifted", { live: { key: "by-hand" } }),
    deployed("removed", { live: { key: "one", gone: "from Git" }, found: differs("removed") }),
    deployed("manual", {
      live: { key: "by-hand" },
      spec: { syncPolicy: { automated: null } },
      found: differs("manual"),
    }),
    deployed("broken", { inGit: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [" }),
    deployed("leaving", { metadata: { finalizers: [FINALIZER] } }),
    deployed("running", {
      live: { key: "by-hand" },
      found: { operationState: { phase: "Running", startedAt: "2026-01-01T00:00:00Z", operation: { sync: {} } } },
    }),
  ]);
  await world.applications.patch("same", { metadata: { annotations: { "argocd.argoproj.io/refresh": "hard" } } });
  await world.applications.patch("manual", { operation: { sync: {} } });
  await kubectl(world, "delete", "-n", "argocd", "application", "leaving", "--wait=false");

  before = await resourceVersions();
  const through = join(world.home, "proxied.kubeconfig");
  proxy = await startApiProxy({ kubeconfigPath: world.local.kubeconfigPath!, through });
  services = await startServices({
    home: join(world.home, "observing"),
    natsUrl: world.local.natsUrl!,
    kubeconfigPath: through,
    env: { DRIFTLESS_OBSERVE: "true" },
  });
}, 120_000);
afterAll(async () => {
  await services?.stop();
  await proxy?.[Symbol.asyncDispose]();
});

const differs = (name: string) => ({
  sync: { status: "OutOfSync" },
  resources: [{ version: "v1", kind: "ConfigMap", namespace: name, name: "settings", status: "OutOfSync" }],
});

/** Of everything that Driftless writes in other modes, and of what an engine might leave. */
async function resourceVersions(): Promise<Map<string, string>> {
  const { world } = use;
  const kinds = "applications.argoproj.io,appprojects.argoproj.io,configmaps,secrets,leases.coordination.k8s.io";
  const [named, others] = await Promise.all([
    kubectlJson(world, "get", "-A", kinds),
    kubectlJson(world, "get", "customresourcedefinitions,namespaces"),
  ]);
  const all = new Map<string, string>();
  for (const { kind, metadata } of [...named.items, ...others.items]) {
    // Kubernetes' own components renew theirs.
    if (metadata.namespace?.startsWith("kube-")) continue;
    all.set(`${kind} ${metadata.namespace ?? ""}/${metadata.name}`, metadata.resourceVersion);
  }
  return all;
}

const observe = (...args: string[]) =>
  run(join(import.meta.dirname, "../../packages/cli/bin/driftless.mjs"), ["observe", ...args], {
    DRIFTLESS_HOME: join(use.world.home, "nothing-runs-here"),
    DRIFTLESS_NATS_URL: use.world.local.natsUrl!,
  });

const observationOf = (name: string): Promise<Observation> =>
  eventually(`${name} is observed`, async () => {
    const { code, stdout } = await observe(name, "-o", "json");
    return code !== 2 && (JSON.parse(stdout) as Observation);
  });

test("an Application of which both say the same is told so, a refresh asked of Argo CD or not", async () => {
  expect(await observationOf("same")).toMatchObject({
    agrees: true,
    found: { sync: "Synced", health: "Healthy", operation: "Succeeded" },
    ours: { sync: "Synced", health: "Healthy" },
    would: { act: "nothing" },
    disagreements: [],
  });
});

test("drift that Argo CD has not seen is told with its field, and that it would be healed", async () => {
  const why = 'data.key: "by-hand" in the cluster, "one" in Git';
  expect(await observationOf("drifted")).toMatchObject({
    agrees: false,
    found: { sync: "Synced" },
    ours: { sync: "OutOfSync" },
    would: { act: "sync" },
    disagreements: [
      { field: "sync.status", found: "Synced", ours: "OutOfSync", why: `ConfigMap/settings: ${why}` },
      { field: "resources[ConfigMap/drifted/settings].status", found: "Synced", ours: "OutOfSync", why },
    ],
    resources: [{ name: "settings", fields: [{ path: "data.key", live: '"by-hand"', desired: '"one"' }] }],
  });
  expect((await observe("drifted")).stdout).toContain('data.key: "by-hand" → "one"');
});

test("the same difference seen by both is no disagreement, and an operation asked of Argo CD is left to it", async () => {
  const observation = await observationOf("manual");
  expect(observation).toMatchObject({ agrees: true, ours: { sync: "OutOfSync" }, would: { act: "wait" } });
});

test("a field that Git no longer has, and only Argo CD's client-side apply set, differs for both", async () => {
  expect(await observationOf("removed")).toMatchObject({
    ours: { sync: "OutOfSync" },
    disagreements: [],
    would: { act: "sync" },
    resources: [{ name: "settings", fields: [{ path: "data.gone" }] }],
  });
});

test("what cannot be rendered is told with its code", async () => {
  expect(await observationOf("broken")).toMatchObject({
    agrees: false,
    ours: { sync: "Unknown" },
    disagreements: [
      { field: "sync.status", found: "Synced", ours: "Unknown" },
      { field: "conditions[ComparisonError]", ours: expect.stringContaining("[MANIFEST_INVALID]") },
    ],
    conditions: [{ type: "ComparisonError", message: expect.stringContaining("[MANIFEST_INVALID]") }],
  });
});

test("an operation that Argo CD is running, and a deletion, are its own", async () => {
  expect(await observationOf("running")).toMatchObject({ would: { act: "wait" }, found: { operation: "Running" } });
  expect(await observationOf("leaving")).toMatchObject({
    would: { act: "nothing", why: expect.stringMatching(/delet/) },
  });
});

test("the list shows who differs first, and exits with 1", async () => {
  const { code, stdout } = await observe();
  expect(code).toBe(1);
  expect(stdout).toMatch(/NAME .*AGREES[^]*argocd\/drifted +no +Synced → OutOfSync[^]*argocd\/same +yes/);
});

test("nothing at all was written", async () => {
  expect(await resourceVersions()).toEqual(before);
  const writes = proxy.passed.filter(({ method, url }) => method !== "GET" && !url.includes("dryRun=All"));
  expect(writes).toEqual([]);
  // It has been looked through: dry runs did pass.
  expect(proxy.passed.filter(({ method }) => method === "PATCH").length).toBeGreaterThan(0);
});

test("what Argo CD does then is taken up: it syncs, and the two agree", async () => {
  const { world } = use;
  await kubectl(
    world,
    "patch",
    "-n",
    "drifted",
    "configmap",
    "settings",
    "--type=merge",
    "-p",
    '{"data":{"key":"one"}}',
  );
  let last = "";
  await eventually("they agree", async () => {
    const { code, stdout } = await observe("drifted", "-o", "json");
    last = stdout;
    return code === 0;
  }).catch((error: Error) => {
    throw new Error(`${error.message}\n${last}`);
  });
});

test("without --observe no process starts here, however it is started", async () => {
  const { world } = use;
  const started = startServices({
    home: join(world.home, "writing"),
    natsUrl: world.local.natsUrl!,
    kubeconfigPath: world.local.kubeconfigPath!,
    env: { DRIFTLESS_REPLICA: "other" },
  });
  await expect(started).rejects.toThrow(/ended with 2[^]*Argo CD's application controller is running/);
});
