// What users of Argo CD asked for in vain around refreshes and comparison, by the number of their issue: the old trouble,
// and that it is gone. Nothing is polled here, so that what is missed stays missed.
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { configMap, eventually, kubectl, kubectlJson, push, useWorld } from "../harness/story.ts";
import { operate } from "./sync.ts";

const use = useWorld({ settings: { "timeout.reconciliation": "0s" } });
const REFRESH = "argocd.argoproj.io/refresh";

const settings = (key: string) => ({ "app/cm.yaml": configMap("settings", { key }) });
const valueOf = async (namespace: string) =>
  (await kubectlJson(use.world, "get", "-n", namespace, "configmap", "settings")).data.key as string;

async function created(name: string, files: Record<string, string> = settings("0")) {
  const { world } = use;
  const { url, sha } = await world.git.createRepository(name, files);
  await world.applications.create({ name, repoURL: url, path: "app" });
  return { world, url, sha: sha! };
}

async function synced(name: string, files?: Record<string, string>) {
  const made = await created(name, files);
  await made.world.applications.synced(name, made.sha);
  return made;
}

const annotate = (name: string, ...annotations: string[]) =>
  kubectl(use.world, "annotate", "-n", "argocd", "application", name, "--overwrite", ...annotations);

async function refreshed(name: string, mode: "normal" | "hard" = "normal") {
  await annotate(name, `${REFRESH}=${mode}`);
  return use.world.applications.until(name, `${mode} refresh`, ({ metadata }) => !metadata.annotations?.[REFRESH]);
}

/** A Git server that takes every connection and never says anything. */
const silent = createServer((socket) => void sockets.add(socket));
const sockets = new Set<Socket>();
let askedAt = 0;

beforeAll(async () => {
  silent.listen(0, "127.0.0.1");
  await once(silent, "listening");
  const { port } = silent.address() as AddressInfo;
  const repoURL = `http://127.0.0.1:${port}/silent.git`;
  askedAt = Date.now();
  await use.world.applications.create({
    name: "silent",
    repoURL,
    path: "app",
    annotations: { [REFRESH]: "normal" },
  });
});
afterAll(() => {
  for (const socket of sockets) socket.destroy();
  silent.close();
});

test("A#28306: no commit is lost that comes while the app is being looked at, by webhook or by refresh", async () => {
  const { world, url } = await synced("busy");
  let last = "";
  for (let n = 1; n <= 8; n++) {
    last = await world.git.commitFiles("busy", settings(`pushed ${n}`), `commit ${n}`);
    void push(world, url).catch(() => undefined);
  }
  await world.applications.synced("busy", last);
  await eventually("the last one", async () => (await valueOf("busy")) === "pushed 8");
  for (let n = 1; n <= 8; n++) {
    last = await world.git.commitFiles("busy", settings(`asked ${n}`), `commit ${n}`);
    await annotate("busy", `${REFRESH}=normal`, `argocd.argoproj.io/refresh-timestamp=${n}`);
  }
  const app = await world.applications.synced("busy", last);
  await eventually("the last one", async () => (await valueOf("busy")) === "asked 8");
  await world.applications.until("busy", "answered", ({ metadata }) => !metadata.annotations?.[REFRESH]);
  expect(app.status?.conditions ?? []).toEqual([]);
});

test("A#29716: no commit older than one that was taken is ever synced, however webhooks come; a push back is newer", async () => {
  const { world, url, sha: first } = await synced("ordered");
  const order = [first];
  for (let n = 1; n <= 6; n++) {
    order.push(await world.git.commitFiles("ordered", settings(String(n)), `commit ${n}`));
    const told = order.slice(1).toReversed();
    await Promise.all(
      told.map((after) =>
        fetch(`${world.services.apiUrl}/api/webhook`, {
          method: "POST",
          body: JSON.stringify({ repoURL: url, ref: "refs/heads/main", after }),
        }),
      ),
    );
  }
  const app = await world.applications.synced("ordered", order.at(-1));
  const taken = app.status!.history!.map(({ revision }) => order.indexOf(revision!));
  expect(taken).toEqual(taken.toSorted((a, b) => a - b));
  // A#10367: nor after a sync by hand, by what was known before it.
  await operate(world, "ordered");
  expect((await refreshed("ordered")).status?.sync?.revision).toBe(order.at(-1));
  expect(await valueOf("ordered")).toBe("6");

  await world.git.setRef("ordered", "refs/heads/main", order[2]!);
  await push(world, url);
  await world.applications.synced("ordered", order[2]);
  await eventually("what was pushed back", async () => (await valueOf("ordered")) === "2");
});

test("A#26530: what is applied under a commit is what that commit has, also when contents come back", async () => {
  const { world, url } = await synced("exact");
  for (const key of ["1", "2", "1", "0", "2"]) {
    const sha = await world.git.commitFiles("exact", settings(key), `to ${key}`);
    await push(world, url);
    const app = await world.applications.synced("exact", sha);
    await eventually(`${key} of ${sha}`, async () => (await valueOf("exact")) === key);
    expect(app.status?.operationState?.syncResult?.revision).toBe(sha);
  }
  await refreshed("exact", "hard");
  expect(await valueOf("exact")).toBe("2");
});

test("A#12039: a render that lacked something for a while is tried again by itself", async () => {
  const folder = await mkdtemp(join(tmpdir(), "driftless-chart-"));
  await mkdir(join(folder, "dep/templates"), { recursive: true });
  await writeFile(join(folder, "dep/Chart.yaml"), "apiVersion: v2\nname: dep\nversion: 1.0.0\n");
  await writeFile(join(folder, "dep/templates/cm.yaml"), configMap("settings", { key: "of the dependency" }));
  await promisify(execFile)("tar", ["-czf", join(folder, "dep.tgz"), "-C", folder, "dep"]);
  const archive = await readFile(join(folder, "dep.tgz"));
  let isUp = false;
  const server = createHttpServer((incoming, answer) => {
    if (!isUp) answer.writeHead(503).end();
    else if (incoming.url === "/index.yaml")
      answer.end("apiVersion: v1\nentries: {dep: [{name: dep, version: 1.0.0, urls: [dep.tgz]}]}\n");
    else answer.end(archive);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    const repository = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const chart = `apiVersion: v2\nname: app\nversion: 1.0.0\ndependencies: [{name: dep, version: 1.0.0, repository: "${repository}"}]\n`;
    const { world } = await created("lacking", { "app/Chart.yaml": chart });
    await world.applications.condition("lacking", "CHART_REPO_UNREACHABLE");
    isUp = true;
    await world.applications.synced("lacking");
    expect(await valueOf("lacking")).toBe("of the dependency");
  } finally {
    server.close();
    await rm(folder, { recursive: true });
  }
});

const GADGETS = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "gadgets.broken.example.com" },
  spec: {
    group: "broken.example.com",
    scope: "Namespaced",
    names: { kind: "Gadget", plural: "gadgets" },
    versions: ["v1", "v2"].map((name) => ({
      name,
      served: true,
      storage: name === "v1",
      schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
    })),
    conversion: {
      strategy: "Webhook",
      webhook: { conversionReviewVersions: ["v1"], clientConfig: { url: "https://127.0.0.1:1/convert" } },
    },
  },
};

const DEAD = {
  apiVersion: "apiregistration.k8s.io/v1",
  kind: "APIService",
  metadata: { name: "v1.dead.example.com" },
  spec: {
    group: "dead.example.com",
    version: "v1",
    groupPriorityMinimum: 1000,
    versionPriority: 10,
    insecureSkipTLSVerify: true,
    service: { name: "nobody", namespace: "default", port: 443 },
  },
};

test("A#20828: a dead conversion webhook or aggregated API makes only the apps Unknown that use its kind", async () => {
  const { world } = use;
  const { client } = world;
  const create = async (path: string, object: unknown) => {
    const outcome = await client.request({ method: "POST", path, body: JSON.stringify(object) });
    if (outcome.kind === "error") throw new Error(outcome.error.message);
  };
  await create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", GADGETS);
  await create("/apis/apiregistration.k8s.io/v1/apiservices", DEAD);
  await kubectl(world, "wait", "--for=condition=Established", "crd/gadgets.broken.example.com");
  await kubectl(world, "wait", "--for=condition=Available=false", "apiservice/v1.dead.example.com");
  const gadget = { apiVersion: "broken.example.com/v1", kind: "Gadget", metadata: { name: "one" } };
  await create("/apis/broken.example.com/v1/namespaces/default/gadgets", gadget);

  const object = (apiVersion: string, kind: string) =>
    `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: {name: one}\n`;
  await created("gadgets", { "app/gadget.yaml": object("broken.example.com/v2", "Gadget") });
  await created("things", { "app/thing.yaml": object("dead.example.com/v1", "Thing") });
  for (const [name, kind] of [
    ["gadgets", "Gadget"],
    ["things", "Thing"],
  ] as const) {
    const app = await world.applications.condition(name, "KIND_UNAVAILABLE");
    expect(app.status?.conditions?.[0]?.message).toContain(kind);
    await world.applications.until(name, "Unknown", ({ status }) => status?.sync?.status === "Unknown");
  }
  const { url } = await synced("beside");
  const sha = await world.git.commitFiles("beside", settings("1"), "one");
  await push(world, url);
  const beside = await world.applications.synced("beside", sha);
  expect(beside.status?.conditions ?? []).toEqual([]);
  const hard = await refreshed("beside", "hard");
  expect(hard.status?.sync?.status).toBe("Synced");

  const none = JSON.stringify({ spec: { conversion: { strategy: "None", webhook: null } } });
  await kubectl(world, "patch", "crd", "gadgets.broken.example.com", "--type=merge", "-p", none);
  await world.applications.synced("gadgets", undefined, 60_000);
});

test("A#15519: a refresh is never stuck: not by services that are killed in its middle, nor by a server that is silent", async () => {
  const { world } = await synced("killed");
  const sha = await world.git.commitFiles("killed", settings("1"), "one");
  await annotate("killed", `${REFRESH}=normal`);
  await world.services.kill();
  await world.services.start();
  await world.services.ready();
  await world.applications.synced("killed", sha);
  await world.applications.until("killed", "answered", ({ metadata }) => !metadata.annotations?.[REFRESH]);

  const left = Math.max(1_000, 90_000 - (Date.now() - askedAt));
  const silenced = await world.applications.until(
    "silent",
    "answered",
    ({ metadata, status }) => !metadata.annotations?.[REFRESH] && (status?.conditions?.length ?? 0) > 0,
    left,
  );
  expect(silenced.status?.conditions?.[0]?.message).toMatch(/^\[(GIT_UNREACHABLE|DEADLINE_EXCEEDED)\]/);
  expect(silenced.status?.sync?.status).toBe("Unknown");
});
