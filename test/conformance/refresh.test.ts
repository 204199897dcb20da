// What makes an Application look again, what it then asks anew, and what it leaves alone (contract §5).
import { expect, test } from "vitest";
import type { ApplicationObject } from "../harness/applications.ts";
import { configMap, deployment, eventually, kubectl, kubectlJson, push, useWorld } from "../harness/story.ts";

const use = useWorld({ settings: { "timeout.reconciliation": "0s" } });
const REFRESH = "argocd.argoproj.io/refresh";
const SKIP = "argocd.argoproj.io/skip-reconcile";

async function created(name: string, files: Record<string, string>, spec: Record<string, unknown> = {}) {
  const { world } = use;
  const { url } = await world.git.createRepository(name, files);
  await world.applications.create({ name, repoURL: url, path: "app", ...spec });
  return { world, url };
}

async function synced(name: string, files: Record<string, string> = settings("1"), spec: Record<string, unknown> = {}) {
  const { world, url } = await created(name, files, spec);
  const app = await world.applications.synced(name);
  return { world, url, sha: app.status!.sync!.revision! };
}

const settings = (key: string) => ({ "app/cm.yaml": configMap("settings", { key }) });
const valueOf = async (namespace: string) =>
  (await kubectlJson(use.world, "get", "-n", namespace, "configmap", "settings")).data.key as string;

const annotate = (name: string, ...annotations: string[]) =>
  kubectl(use.world, "annotate", "-n", "argocd", "application", name, "--overwrite", ...annotations);

/** Asks for a look and waits until it is over. */
async function refreshed(name: string, mode: "normal" | "hard" = "normal"): Promise<ApplicationObject> {
  await annotate(name, `${REFRESH}=${mode}`);
  return use.world.applications.until(name, `${mode} refresh`, ({ metadata }) => !metadata.annotations?.[REFRESH]);
}

const patched = (configMapName: string, data: Record<string, string | null>) =>
  kubectl(
    use.world,
    "patch",
    "-n",
    "argocd",
    "configmap",
    configMapName,
    "--type=merge",
    "-p",
    JSON.stringify({ data }),
  );

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${use.world.services.apiUrl}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1]);
}

/** How often anything was rendered since the services began. */
const renders = () => metric("driftless_render_seconds_count");

const questions = (repository: string): number =>
  use.world.requests.filter((request) => request.repository === repository).length;

test("a refresh asks Git, takes what is new, and is answered by the end of its annotation", async () => {
  const { world } = await synced("asked");
  const sha = await world.git.commitFiles("asked", settings("2"), "two");
  const app = await refreshed("asked");
  expect(app.status?.sync?.revision).toBe(sha);
  await eventually("applied", async () => (await valueOf("asked")) === "2");
});

test("a normal refresh of unchanged inputs renders nothing, a hard one does", async () => {
  await synced("modes");
  const before = await renders();
  await refreshed("modes");
  expect(await renders()).toBe(before);
  await refreshed("modes", "hard");
  expect(await renders()).toBe(before + 1);
});

test("a render that fails for good is not tried again on the same inputs, but by a hard refresh and after a repair", async () => {
  const { world, url } = await synced("broken");
  const broken = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [unclosed\n";
  await world.git.commitFiles("broken", { "app/cm.yaml": broken }, "broken");
  await push(world, url);
  await world.applications.condition("broken", "MANIFEST_INVALID");
  const before = await renders();
  const sha = await world.git.commitFiles("broken", { "README.md": "nobody renders this\n" }, "beside it");
  await push(world, url);
  await refreshed("broken");
  const still = await refreshed("broken");
  expect(still.status?.conditions?.[0]?.message).toContain("[MANIFEST_INVALID]");
  expect(await renders()).toBe(before);
  await refreshed("broken", "hard");
  expect(await renders()).toBe(before + 1);
  // A change in the cluster does not bring back what was rendered before it broke.
  await kubectl(world, "patch", "-n", "broken", "configmap", "settings", "-p", '{"data":{"key":"theirs"}}');
  const kept = await refreshed("broken");
  expect(kept.status?.sync?.status).toBe("Unknown");
  expect(await valueOf("broken")).toBe("theirs");
  const repaired = await world.git.commitFiles("broken", settings("2"), `repaired after ${sha}`);
  await push(world, url);
  await world.applications.synced("broken", repaired);
});

test("timeout.reconciliation looks by itself, and 0 never; timeout.hard.reconciliation renders everything anew", async () => {
  const { world } = await synced("polled");
  await patched("argocd-cm", { "timeout.reconciliation": "1s", "timeout.reconciliation.jitter": "0s" });
  const sha = await world.git.commitFiles("polled", settings("2"), "two");
  await world.applications.synced("polled", sha);
  await patched("argocd-cm", { "timeout.reconciliation": "0s", "timeout.reconciliation.jitter": null });
  await refreshed("polled");
  const asked = questions("polled");
  const before = await renders();
  await patched("argocd-cm", { "timeout.hard.reconciliation": "1s" });
  await eventually("rendered anew", async () => (await renders()) > before);
  await patched("argocd-cm", { "timeout.hard.reconciliation": null });
  await refreshed("polled");
  const after = questions("polled");
  expect(after).toBeGreaterThan(asked);
  await synced("meanwhile");
  expect(questions("polled")).toBe(after);
});

test("automation switched on, another path and another destination are acted upon at once", async () => {
  const files = { ...settings("1"), "other/cm.yaml": configMap("settings", { key: "other" }) };
  const { world } = await created("changed", files, { automated: false });
  const { applications } = world;
  await applications.until("changed", "compared", ({ status }) => status?.sync?.status === "OutOfSync");
  await applications.patch("changed", { spec: { syncPolicy: { automated: { prune: true } } } });
  await applications.synced("changed");
  expect(await valueOf("changed")).toBe("1");
  await applications.patch("changed", { spec: { source: { path: "other" } } });
  await eventually("the other path", async () => (await valueOf("changed")) === "other");
  await applications.patch("changed", { spec: { destination: { namespace: "moved" } } });
  await eventually("the other namespace", async () => (await valueOf("moved").catch(() => "")) === "other");
});

test("cluster.inClusterEnabled takes the cluster of the control plane away from its Applications, and gives it back", async () => {
  const { world } = await synced("local");
  await patched("argocd-cm", { "cluster.inClusterEnabled": "false" });
  const app = await world.applications.condition("local", "DESTINATION_UNKNOWN");
  expect(app.status?.conditions?.[0]?.message).toContain("cluster.inClusterEnabled");
  await patched("argocd-cm", { "cluster.inClusterEnabled": null });
  await world.applications.until("local", "back", ({ status }) => (status?.conditions ?? []).length === 0);
  await world.applications.synced("local");
});

test("a change of an object is compared at once, and Git is not asked for it", async () => {
  const { world } = await synced("drifted", { "app/web.yaml": deployment("web") }, { automated: { prune: true } });
  const before = questions("drifted");
  await kubectl(world, "scale", "-n", "drifted", "deployment/web", "--replicas=3");
  await world.applications.until("drifted", "OutOfSync", ({ status }) => status?.sync?.status === "OutOfSync");
  await kubectl(world, "scale", "-n", "drifted", "deployment/web", "--replicas=1");
  await world.applications.synced("drifted");
  expect(questions("drifted")).toBe(before);
});

test("what a push changes outside manifest-generate-paths is taken all the same when it is rendered", async () => {
  const values = { "app/Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\n", "values.yaml": "key: one\n" };
  const template = configMap("settings", { key: "{{ .Values.key }}" });
  const { world, url } = await synced(
    "paths",
    { ...values, "app/templates/cm.yaml": template, "docs/a.md": "a\n" },
    {
      source: { helm: { valueFiles: ["../values.yaml"] }, directory: undefined },
      annotations: { "argocd.argoproj.io/manifest-generate-paths": "/docs" },
    },
  );
  const before = await renders();
  await world.git.commitFiles("paths", { "docs/a.md": "b\n" }, "declared, and not read");
  await push(world, url);
  await refreshed("paths");
  expect(await renders()).toBe(before);
  const sha = await world.git.commitFiles("paths", { "values.yaml": "key: two\n" }, "read, and not declared");
  await push(world, url);
  await world.applications.synced("paths", sha);
  expect(await valueOf("paths")).toBe("two");
});

test("while Git refuses, the last result stays for the grace period and the error is told; then Unknown, until it is back", async () => {
  await kubectl(use.world, "create", "configmap", "-n", "argocd", "argocd-cmd-params-cm");
  await patched("argocd-cmd-params-cm", { "controller.repo.error.grace.period.seconds": "4" });
  const { world, sha } = await synced("away");
  world.git.setCredentials("away", { username: "who", password: "knows" });
  const told = await refreshed("away");
  expect(told.status?.conditions?.[0]?.message).toContain("[GIT_AUTH_FAILED]");
  expect(told.status?.sync).toMatchObject({ status: "Synced", revision: sha });
  await world.applications.until("away", "Unknown", ({ status }) => status?.sync?.status === "Unknown");
  expect(await valueOf("away")).toBe("1");
  world.git.setCredentials("away", undefined);
  const back = await refreshed("away");
  expect(back.status?.conditions ?? []).toEqual([]);
  expect(back.status?.sync?.status).toBe("Synced");
});

test("skip-reconcile stops everything for an Application, a refresh too, until it is taken away", async () => {
  const { world } = await synced("skipped");
  await annotate("skipped", `${SKIP}=true`, `${REFRESH}=normal`);
  const sha = await world.git.commitFiles("skipped", settings("2"), "two");
  await kubectl(world, "patch", "-n", "skipped", "configmap", "settings", "-p", '{"data":{"key":"theirs"}}');
  await synced("not-skipped");
  expect((await world.applications.get("skipped")).metadata.annotations?.[REFRESH]).toBe("normal");
  expect(await valueOf("skipped")).toBe("theirs");
  await annotate("skipped", `${SKIP}-`);
  await world.applications.synced("skipped", sha);
  await eventually("applied", async () => (await valueOf("skipped")) === "2");
});

test("skip-reconcile on a cluster's Secret stops its Applications, whatever they name it by, and no other", async () => {
  const { world } = await synced("here");
  const secret = {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "here", namespace: "argocd", labels: { "argocd.argoproj.io/secret-type": "cluster" } },
    stringData: { name: "the-very-cluster", server: "https://kubernetes.default.svc", config: "{}" },
  };
  await world.client.request({
    method: "POST",
    path: "/api/v1/namespaces/argocd/secrets",
    body: JSON.stringify(secret),
  });
  const { url } = await world.git.createRepository("elsewhere", settings("1"));
  const destination = { destination: { server: "https://127.0.0.1:1", namespace: "x" } };
  await world.applications.create({ name: "elsewhere", repoURL: url, path: "app", spec: destination });
  await kubectl(world, "annotate", "-n", "argocd", "secret", "here", `${SKIP}=true`);
  await eventually("only the other cluster's is left", async () => (await metric("driftless_applications")) === 1);
  await annotate("here", `${REFRESH}=normal`);
  const sha = await world.git.commitFiles("here", settings("2"), "two");
  await world.applications.condition("elsewhere", "DESTINATION_UNKNOWN");
  expect((await world.applications.get("here")).metadata.annotations?.[REFRESH]).toBe("normal");
  await kubectl(world, "annotate", "-n", "argocd", "secret", "here", `${SKIP}-`);
  await world.applications.synced("here", sha);
});
