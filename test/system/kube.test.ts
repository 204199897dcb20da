// packages/kube against a real API server: what DESIGN §5 and §6 rest on, tried kind by kind.
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { startControlPlane } from "@driftless/local/control-plane";
import { startLocal, type Local } from "@driftless/local/local";
import { jsonPatch, mergePatch, remove, serverSideApply, type Precondition } from "@driftless/kube/apply";
import { createClient, type KubeClient } from "@driftless/kube/client";
import { loadConfig } from "@driftless/kube/config";
import { createDiscovery, type Discovery } from "@driftless/kube/discovery";
import { differingPaths, footprintOf, imprintOf, ownersOfDifferences } from "@driftless/kube/footprint";
import type { KubeOutcome } from "@driftless/kube/outcome";
import { predict } from "@driftless/kube/predict";
import { pathOf, type ApiResource, type KubeObject } from "@driftless/kube/resource";
import { legacyOnlyFields, migrateManagers } from "@driftless/kube/takeover";
import { watchResource } from "@driftless/kube/watch";
import { prepare, type PreparedManifest } from "@driftless/manifests/manifest";
import { groupOf } from "@driftless/manifests/resource-key";
import { systemClock, waitUntil } from "@driftless/process/clock";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { kindsToTry } from "./kube-kinds.ts";

let folder: string;
let local: Local;
let client: KubeClient;
let discovery: Discovery;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "driftless-kube-"));
  local = await startLocal({ home: path.join(folder, "home"), nats: false, git: false, unsafeNoFsync: true });
  const config = await loadConfig({ kind: "kubeconfig", path: local.kubeconfigPath! });
  if (config.kind === "error") throw new Error(config.error.message);
  client = createClient(config.config);
  discovery = createDiscovery(client, { missIntervalMs: 100 });
  await kubectl("create", "namespace", "try");
});
afterAll(async () => {
  await client?.close();
  await local?.stop();
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

async function kubectl(...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(local.programs.kubectl, [
    `--kubeconfig=${local.kubeconfigPath}`,
    ...args,
  ]);
  return stdout.trim();
}

async function resourceOf(apiVersion: string, kind: string): Promise<ApiResource> {
  const version = apiVersion.slice(apiVersion.indexOf("/") + 1);
  const found = await discovery.resourceFor(groupOf(apiVersion), kind, version);
  if (found.kind !== "ok") throw new Error(`${apiVersion} ${kind}: ${found.kind}`);
  return found.resource;
}

type Source = { apiVersion: string; kind: string; metadata: Record<string, unknown>; [member: string]: unknown };

async function prepared(source: Source): Promise<PreparedManifest & { resource: ApiResource }> {
  const { apiVersion, kind, metadata, ...rest } = source;
  const resource = await resourceOf(apiVersion, kind);
  const manifest = { apiVersion, kind, metadata, body: JSON.stringify(rest).slice(1, -1) };
  const made = prepare(
    { ...manifest, images: [], file: "a.yaml", line: 1, warnings: [] },
    {
      app: { name: "try", namespace: "argocd", controlPlaneNamespace: "argocd" },
      destinationNamespace: "try",
      scope: resource.namespaced ? "Namespaced" : "Cluster",
      trackingMethod: "annotation",
    },
  );
  return { ...made, resource };
}

async function apply(source: Source, more: { dryRun?: boolean; precondition?: Precondition } = {}) {
  return serverSideApply({ client, ...(await prepared(source)), ...more });
}

/** As the syncer does it: fenced with what was read, and read again when somebody was faster. */
async function fenced(source: Source, more: { dryRun: boolean }): Promise<{ live: KubeObject; answer: KubeObject }> {
  return waitUntil(
    systemClock,
    "an apply to an object that keeps still",
    async () => {
      const live = await get(source);
      const outcome = await apply(source, { ...more, precondition: identity(live) });
      if (outcome.kind === "error" && outcome.error.code === "CONFLICT") return undefined;
      return { live, answer: ok(outcome) };
    },
    { deadlineMs: 20_000 },
  );
}

async function get(source: Source): Promise<KubeObject> {
  const { resource, key } = await prepared(source);
  return ok(await client.get(resource, key.namespace, key.name));
}

function ok<T>(outcome: KubeOutcome<T>): T {
  if (outcome.kind === "error")
    throw new Error(`${outcome.error.code} ${outcome.error.status}: ${outcome.error.message}`);
  return outcome.object;
}

function codeOf(outcome: KubeOutcome<unknown>): string {
  return outcome.kind === "ok" ? "ok" : outcome.error.code;
}

const identity = (object: KubeObject): Precondition => ({
  uid: object.metadata.uid,
  resourceVersion: object.metadata.resourceVersion,
});

const deployment = (name: string, more: Record<string, unknown> = {}): Source => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name, labels: { app: name } },
  spec: {
    replicas: 2,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: {
        containers: [
          { name: "web", image: "nginx:1", env: [{ name: "A", value: "1" }], ports: [{ containerPort: 80 }] },
        ],
      },
    },
    ...more,
  },
});

describe("footprint and imprint", () => {
  test.each(kindsToTry)(
    "$kind $metadata.name: applied again nothing changes, and the imprint says so",
    async (source) => {
      const applied = ok(await apply(source));
      const footprint = footprintOf(applied)!;
      expect(footprint).toBeDefined();
      const imprint = imprintOf(applied, footprint);

      const again = await apply(source);
      expect(again.kind === "ok" && again.created).toBe(false);
      expect(footprintOf(ok(again))).toBe(footprint);
      expect(imprintOf(ok(again), footprint)).toBe(imprint);

      // Controllers write status meanwhile; none of it is ours.
      const { live, answer } = await fenced(source, { dryRun: true });
      expect(imprintOf(live, footprint)).toBe(imprint);
      expect(predict(live, answer)).toEqual({ kind: "same" });
    },
  );

  test("kubectl scale changes the imprint, names the field and who did it, and one apply heals it", async () => {
    const source = deployment("scaled");
    const applied = ok(await apply(source));
    const footprint = footprintOf(applied)!;
    await kubectl("-n", "try", "scale", "deployment/scaled", "--replicas=5");
    const { live, answer } = await fenced(source, { dryRun: true });
    expect(imprintOf(live, footprint)).not.toBe(imprintOf(applied, footprint));
    expect(differingPaths(footprint, live, applied)).toEqual([{ path: "spec.replicas", live: 5, desired: 2 }]);

    const prediction = predict(live, answer);
    expect(prediction).toMatchObject({ kind: "differs", missing: false });
    expect(prediction.kind === "differs" && prediction.paths).toContainEqual({
      path: "spec.replicas",
      live: 5,
      desired: 2,
    });
    expect(ownersOfDifferences(live, answer)).toEqual(["kubectl"]);

    const { answer: healed } = await fenced(source, { dryRun: false });
    expect(imprintOf(healed, footprintOf(healed)!)).toBe(imprintOf(applied, footprint));
  });

  test("labels, annotations and list items of others leave the imprint alone", async () => {
    const source = deployment("shared");
    const applied = ok(await apply(source));
    const footprint = footprintOf(applied)!;
    await kubectl("-n", "try", "annotate", "deployment/shared", "other=1");
    await kubectl("-n", "try", "set", "env", "deployment/shared", "B=2");
    expect(imprintOf(await get(source), footprint)).toBe(imprintOf(applied, footprint));
  });

  test("a changed, a removed and a repeated list item each change the imprint", async () => {
    const source = deployment("items");
    const applied = ok(await apply(source));
    const footprint = footprintOf(applied)!;
    const imprint = imprintOf(applied, footprint);
    const env = "/spec/template/spec/containers/0/env";
    for (const patch of [
      [{ op: "replace", path: `${env}/0/value`, value: "2" }],
      [{ op: "remove", path: `${env}/0` }],
      [{ op: "add", path: `${env}/-`, value: { name: "A", value: "3" } }],
    ] as const) {
      const { resource, key } = await prepared(source);
      const live = ok(await jsonPatch({ client, resource, key, patch: [...patch], fieldManager: "somebody" }));
      expect(imprintOf(live, footprint), JSON.stringify(patch)).not.toBe(imprint);
      const healed = ok(await apply(source));
      expect(imprintOf(healed, footprint)).toBe(imprint);
    }
  });

  test("an empty map is a leaf where others may add: a suspicion that the dry run clears", async () => {
    const source: Source = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "leaf" }, data: {} };
    const applied = ok(await apply(source));
    await kubectl("-n", "try", "patch", "configmap/leaf", "--type=merge", '-p={"data":{"theirs":"1"}}');
    const live = await get(source);
    const footprint = footprintOf(applied)!;
    expect(imprintOf(live, footprint)).not.toBe(imprintOf(applied, footprint));
    expect(predict(live, ok(await apply(source, { dryRun: true })))).toEqual({ kind: "same" });
    // The first apply takes the field back into managedFields; from then on there is nothing to write.
    const healed = ok(await apply(source));
    expect(healed["data"]).toEqual({ theirs: "1" });
    expect(ok(await apply(source)).metadata.resourceVersion).toBe(healed.metadata.resourceVersion);
  });
});

describe("takeover", () => {
  test("what kubectl applied client-side and Git has no more is removed by the first apply", async () => {
    const name = "kubectls";
    const old = deployment(name, { minReadySeconds: 7 });
    (old.metadata["labels"] as Record<string, string>)["old"] = "yes";
    const file = path.join(folder, "old.json");
    await writeFile(file, JSON.stringify(old));
    await kubectl("-n", "try", "apply", "-f", file);

    const source = deployment(name);
    const live = await get(source);
    const predicted = ok(await apply(source, { dryRun: true }));
    // Without the migration the dry run keeps both: they are another manager's.
    expect(predicted.metadata.labels).toHaveProperty("old");
    expect(legacyOnlyFields(live, predicted)).toEqual(["metadata.labels.old", "spec.minReadySeconds"]);

    const { resource, key } = await prepared(source);
    // The Deployment's controller writes its status meanwhile: each try is fenced by what it has read.
    const applied = await waitUntil(
      systemClock,
      "the takeover is through",
      async () => {
        const patch = migrateManagers(await get(source));
        if (patch) await jsonPatch({ client, resource, key, patch });
        const live = await get(source);
        const outcome = migrateManagers(live) ? undefined : await apply(source, { precondition: identity(live) });
        return outcome?.kind === "ok" ? outcome.object : undefined;
      },
      { deadlineMs: 20_000 },
    );
    expect(applied.metadata.labels).toEqual({ app: name });
    expect((applied["spec"] as Record<string, unknown>)["minReadySeconds"]).toBeUndefined();
    expect(applied.metadata.annotations).not.toHaveProperty("kubectl.kubernetes.io/last-applied-configuration");
    // What the API server had defaulted is there again.
    expect((applied["spec"] as Record<string, unknown>)["revisionHistoryLimit"]).toBe(10);
  });

  test("fields that Argo CD wrote by update under our own name are taken over as well", async () => {
    const source: Source = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "argos" }, data: { a: "1" } };
    const { resource } = await prepared(source);
    const before = { ...source, data: { a: "1", b: "2" } };
    ok(await client.create(resource, "try", JSON.stringify(before)));
    const live = await get(source);
    expect(legacyOnlyFields(live, ok(await apply(source, { dryRun: true })))).toEqual(["data.b"]);
    const { key } = await prepared(source);
    ok(await jsonPatch({ client, resource, key, patch: migrateManagers(live)! }));
    expect(ok(await apply(source))["data"]).toEqual({ a: "1" });
  });

  test("a migration of an object that changed meanwhile is refused as a conflict", async () => {
    const source: Source = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "raced" }, data: { a: "1" } };
    const { resource, key } = await prepared(source);
    const live = ok(await client.create(resource, "try", JSON.stringify(source)));
    await kubectl("-n", "try", "annotate", "configmap/raced", "x=1");
    expect(codeOf(await jsonPatch({ client, resource, key, patch: migrateManagers(live)! }))).toBe("CONFLICT");
  });
});

describe("fences", () => {
  const source: Source = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "fenced" }, data: { a: "1" } };

  test("an apply with uid and resourceVersion never creates what is missing", async () => {
    const applied = ok(await apply(source));
    const { resource, key } = await prepared(source);
    // In the foreground it would stay until the garbage collector has seen it.
    const gone = { client, resource, key, precondition: identity(applied), propagationPolicy: "Background" } as const;
    expect(codeOf(await remove(gone))).toBe("ok");
    expect(codeOf(await client.get(resource, "try", "fenced"))).toBe("NOT_FOUND");
    expect(codeOf(await apply(source, { precondition: identity(applied) }))).toBe("CONFLICT");
    expect(codeOf(await client.get(resource, "try", "fenced"))).toBe("NOT_FOUND");
  });

  test("an apply, a patch and a delete of an older state or another object of the name are refused", async () => {
    const first = await apply(source);
    expect(first.kind === "ok" && first.created).toBe(true);
    const applied = ok(first);
    await kubectl("-n", "try", "annotate", "configmap/fenced", "x=1");
    const { resource, key } = await prepared(source);
    expect(codeOf(await apply(source, { precondition: identity(applied) }))).toBe("CONFLICT");
    expect(codeOf(await remove({ client, resource, key, precondition: identity(applied) }))).toBe("CONFLICT");
    const patch = { metadata: { annotations: { y: "1" } } };
    const { resourceVersion } = applied.metadata;
    expect(codeOf(await mergePatch({ client, resource, key, patch, resourceVersion }))).toBe("CONFLICT");
    const live = await get(source);
    const other = { uid: "00000000-0000-0000-0000-000000000000", resourceVersion: live.metadata.resourceVersion };
    expect(codeOf(await apply(source, { precondition: other }))).toBe("CONFLICT");
    expect(codeOf(await remove({ client, resource, key, precondition: other }))).toBe("CONFLICT");
    ok(await mergePatch({ client, resource, key, patch, resourceVersion: live.metadata.resourceVersion }));
    ok(await apply(source, { precondition: identity(await get(source)) }));
  });
});

describe("errors", () => {
  test("a variable given twice is folded to the last one; sent as it is, the schema refuses it for good", async () => {
    const twice = deployment("twice");
    const env = [
      { name: "A", value: "1" },
      { name: "A", value: "2" },
    ];
    const pod = { metadata: { labels: { app: "twice" } }, spec: { containers: [{ name: "web", image: "a", env }] } };
    (twice["spec"] as Record<string, unknown>)["template"] = pod;
    const applied = ok(await apply(twice));
    expect(JSON.stringify(applied["spec"])).toContain('"env":[{"name":"A","value":"2"}]');

    const made = await prepared(twice);
    const raw = made.text.replace('"env":[', '"env":[{"name":"A","value":"1"},');
    expect(await serverSideApply({ client, ...made, text: raw })).toMatchObject({
      kind: "error",
      error: { code: "APPLY_SCHEMA", retryable: false },
    });
  });

  test("a misspelt field and a wrong value are terminal", async () => {
    expect(codeOf(await apply(deployment("misspelt", { replicaz: 1 })))).toBe("APPLY_SCHEMA");
    const refused = await apply(deployment("refused", { replicas: -1 }));
    expect(refused).toMatchObject({ kind: "error", error: { code: "INVALID", retryable: false } });
  });

  test("a refused Secret is told by its path and never by its value", async () => {
    for (const data of [{ p: "CANARY-7f3!!" }, { p: 1234577 }, "CANARY-7f3", { "CANARY 7f3": "YQ==" }]) {
      const refused = await apply({ apiVersion: "v1", kind: "Secret", metadata: { name: "refused" }, data });
      expect(refused.kind, JSON.stringify(data)).toBe("error");
      const told = refused.kind === "error" ? refused.error.message : "";
      expect(told).toContain("refused a Secret");
      expect(told).not.toMatch(/CANARY|1234577/);
    }
  });

  test("without a server the error is UNREACHABLE, within the deadline", async () => {
    const nowhere = createClient({ server: "http://127.0.0.1:9" });
    expect(await nowhere.request({ method: "GET", path: "/version", deadlineMs: 2_000 })).toMatchObject({
      kind: "error",
      error: { code: "UNREACHABLE", retryable: true },
    });
    await nowhere.close();
  });
});

describe("discovery", () => {
  test("kinds have their plural, scope and versions, preferred first; a kind of a known group can be absent", async () => {
    expect(await resourceOf("apps/v1", "Deployment")).toMatchObject({ plural: "deployments", namespaced: true });
    expect(await resourceOf("v1", "Namespace")).toMatchObject({ plural: "namespaces", namespaced: false });
    const hpa = await discovery.resourceFor("autoscaling", "HorizontalPodAutoscaler");
    expect(hpa).toMatchObject({ kind: "ok", resource: { version: "v2", versions: ["v2", "v1"] } });
    expect(await discovery.resourceFor("apps", "Deployement")).toEqual({ kind: "absent" });
    expect(await discovery.resourceFor("nowhere.example", "Thing")).toEqual({ kind: "absent" });
  });

  test("a CRD's kind is found without being told, and its objects have footprints like any other", async () => {
    const schema = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
    ok(
      await apply({
        apiVersion: "apiextensions.k8s.io/v1",
        kind: "CustomResourceDefinition",
        metadata: { name: "widgets.try.example" },
        spec: {
          group: "try.example",
          names: { kind: "Widget", plural: "widgets" },
          scope: "Namespaced",
          versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: schema } }],
        },
      }),
    );
    const widget: Source = {
      apiVersion: "try.example/v1",
      kind: "Widget",
      metadata: { name: "w" },
      spec: { parts: [1, 2] },
    };
    await waitUntil(
      systemClock,
      "Widget is discovered",
      async () => (await discovery.resourceFor("try.example", "Widget")).kind === "ok",
      { deadlineMs: 20_000 },
    );
    const applied = await waitUntil(
      systemClock,
      "a Widget can be applied",
      async () => {
        const outcome = await apply(widget);
        return outcome.kind === "ok" ? outcome.object : undefined;
      },
      { deadlineMs: 20_000 },
    );
    const footprint = footprintOf(applied)!;
    await kubectl("-n", "try", "patch", "widget/w", "--type=merge", '-p={"spec":{"parts":[1]}}');
    expect(differingPaths(footprint, await get(widget), applied)).toEqual([
      { path: "spec.parts", live: [1], desired: [1, 2] },
    ]);
  });
});

describe("watch", () => {
  test("state, then events; after the API server was killed and came back nothing is missed", async () => {
    const source = (name: string, value: string): Source => ({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name, labels: { watched: "yes" } },
      data: { value },
    });
    for (let index = 0; index < 7; index++) ok(await apply(source(`w${index}`, "0")));
    const known = new Map<string, string>();
    let states = 0;
    const seenFailing: string[] = [];
    const watch = watchResource({
      client,
      resource: await resourceOf("v1", "ConfigMap"),
      labelSelector: "watched=yes",
      pageSize: 3,
      retryMinMs: 100,
      retryMaxMs: 500,
      select: (object) => ({ name: object.metadata.name, value: (object["data"] as { value: string }).value }),
      onState: ({ objects }) => {
        states++;
        known.clear();
        for (const { name, value } of objects) known.set(name, value);
      },
      onEvent: ({ type, object }) => {
        if (type === "DELETED") known.delete(object.name);
        else known.set(object.name, object.value);
      },
      onStatus: (status) => {
        if (status.kind === "failing") seenFailing.push(status.error.code);
      },
    });
    await watch.synced;
    expect(known.size).toBe(7);

    const reaches = (name: string, value: string | undefined) =>
      waitUntil(systemClock, `${name} is ${value}`, () => known.get(name) === value, { deadlineMs: 30_000 });
    ok(await apply(source("w0", "1")));
    await reaches("w0", "1");
    await kubectl("-n", "try", "delete", "configmap", "w1");
    await reaches("w1", undefined);
    expect(states).toBe(1);

    const port = local.cluster!.port;
    await local.cluster!.kill();
    await waitUntil(systemClock, "the watch says that it fails", () => watch.status().kind === "failing", {
      deadlineMs: 20_000,
    });
    local.replaceCluster(await startControlPlane(local.state, local.programs, { port, unsafeNoFsync: true }));
    ok(await apply(source("w2", "2")));
    await kubectl("-n", "try", "delete", "configmap", "w3");
    await reaches("w2", "2");
    await reaches("w3", undefined);
    expect(known.size).toBe(5);
    expect(seenFailing).toContain("UNREACHABLE");

    // What the history no longer has is told as 410, as the answer or as the first event.
    const { resource } = await prepared(source("w0", "0"));
    const old = await client.request<{ type: string; object: { code: number } }>({
      method: "GET",
      path: pathOf(resource),
      query: { watch: true, resourceVersion: 1, timeoutSeconds: 1 },
    });
    expect(old.kind === "ok" ? old.object.object.code : old.error.status).toBe(410);
    watch.stop();
    await waitUntil(systemClock, "the watch has stopped", () => watch.status().kind === "stopped", {
      deadlineMs: 5_000,
    });
  });
});
