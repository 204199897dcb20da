// AppProjects: what their rules let an Application take and write, on every way that leads to a cluster (contract §11).
import { expect, test } from "vitest";
import { Applications } from "../harness/applications.ts";
import { configMap, deployment, eventually, kubectl, service, useWorld } from "../harness/story.ts";
import { annotated, hook, job, manualIn, operate } from "./sync.ts";

const use = useWorld();
const manual = manualIn(use);
const PROJECTS = "/apis/argoproj.io/v1alpha1/namespaces/argocd/appprojects";
const SERVER = "https://kubernetes.default.svc";
const OPEN = {
  sourceRepos: ["*"],
  destinations: [{ server: SERVER, namespace: "*" }],
  clusterResourceWhitelist: [{ group: "", kind: "Namespace" }],
};

async function project(name: string, spec: Record<string, unknown>, labels?: Record<string, string>): Promise<void> {
  const metadata = { name, labels };
  const body = JSON.stringify({ apiVersion: "argoproj.io/v1alpha1", kind: "AppProject", metadata, spec });
  const made = await use.world.client.request({ method: "POST", path: PROJECTS, body });
  if (made.kind === "error") throw new Error(made.error.message);
}

const change = (name: string, spec: Record<string, unknown>) =>
  kubectl(use.world, "patch", "-n", "argocd", "appproject", name, "--type=merge", "-p", JSON.stringify({ spec }));

const exists = async (namespace: string, what: string): Promise<boolean> =>
  (await kubectl(use.world, "get", "-n", namespace, ...what.split("/"), "--ignore-not-found", "-o", "name")) !== "";

/** Waits until what it is told of its project has been looked at. */
async function lookedAt(name: string): Promise<void> {
  const refresh = "argocd.argoproj.io/refresh";
  await kubectl(use.world, "annotate", "-n", "argocd", "application", name, `${refresh}=normal`, "--overwrite");
  await use.world.applications.until(name, "refreshed", ({ metadata }) => !metadata.annotations?.[refresh]);
}

test("repositories and destinations are globs, and `!` denies", async () => {
  const { world } = use;
  const files = { "app/cm.yaml": configMap("settings") };
  const open = await world.git.createRepository("team-open", files);
  const secret = await world.git.createRepository("team-secret", files);
  const host = open.url.slice(0, open.url.indexOf("/team-open"));
  await project("team", {
    ...OPEN,
    sourceRepos: [`${host}/team-*`, `!${host}/*-secret`],
    destinations: [
      { name: "in-clus*", namespace: "team-*" },
      { server: "*", namespace: "!team-prod" },
    ],
  });
  const make = (name: string, repoURL: string, destinationNamespace: string) =>
    world.applications.create({ name, repoURL, path: "app", project: "team", destinationNamespace });
  await make("fits", open.url, "team-web");
  await make("denied-repository", secret.url, "team-web");
  await make("denied-namespace", open.url, "team-prod");
  await world.applications.synced("fits");
  for (const name of ["denied-repository", "denied-namespace"]) {
    const app = await world.applications.condition(name, "PROJECT_DENIED");
    expect(app.status?.conditions?.[0]?.type).toBe("InvalidSpecError");
    expect(app.status?.operationState).toBeUndefined();
  }
});

test.each([
  ["an object of a kind", { "refused.yaml": service("refused") }],
  ["a hook of a kind", { "refused.yaml": annotated(service("refused"), hook("PreSync")) }],
  [
    "an object in a namespace",
    { "refused.yaml": configMap("refused").replace("name: refused", "name: refused\n  namespace: kube-system") },
  ],
  [
    "a hook in a namespace",
    {
      "refused.yaml": job("refused", hook("PostSync")).replace("name: refused", "name: refused\n  namespace: default"),
    },
  ],
  [
    "a cluster-scoped object",
    {
      "refused.yaml":
        "apiVersion: v1\nkind: PersistentVolume\nmetadata: {name: refused}\nspec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /x}}\n",
    },
  ],
])("%s that the project does not allow fails the sync before anything is written", async (what, files) => {
  const name = what.replaceAll(" ", "-");
  await project(name, {
    ...OPEN,
    destinations: [{ server: SERVER, namespace: name }],
    namespaceResourceBlacklist: [{ group: "", kind: "Serv*" }],
  });
  const { world } = await manual(name, { "cm.yaml": configMap("settings"), ...files }, { project: name });
  const app = await operate(world, name);
  expect(app.status?.operationState).toMatchObject({
    phase: "Failed",
    message: expect.stringContaining(`[PROJECT_DENIED] AppProject ${name} does not allow`),
  });
  expect(await kubectl(world, "get", "namespace", name, "--ignore-not-found")).toBe("");
});

test("a namespace is made only where the project allows Namespaces", async () => {
  await project("no-namespaces", { ...OPEN, clusterResourceWhitelist: [] });
  const { world } = await manual("homeless", { "cm.yaml": configMap("settings") }, { project: "no-namespaces" });
  const app = await operate(world, "homeless");
  expect(app.status?.operationState?.message).toContain("AppProject no-namespaces does not allow Namespace homeless");
  await change("no-namespaces", { clusterResourceWhitelist: [{ group: "", kind: "Namespace", name: "home*" }] });
  await lookedAt("homeless");
  expect((await operate(world, "homeless")).status?.operationState?.phase).toBe("Succeeded");
});

test("what the project does not allow any more is not healed, not pruned, and stays when the Application is deleted", async () => {
  const { world } = use;
  await project("narrowed", OPEN);
  const files = {
    "app/cm.yaml": configMap("settings"),
    "app/one.yaml": service("one"),
    "app/two.yaml": service("two"),
  };
  const { url } = await world.git.createRepository("narrowed", files);
  const finalizers = ["resources-finalizer.argocd.argoproj.io"];
  await world.applications.create({ name: "narrowed", repoURL: url, path: "app", project: "narrowed", finalizers });
  await world.applications.synced("narrowed");
  await change("narrowed", { namespaceResourceBlacklist: [{ group: "", kind: "Service" }] });
  await world.applications.condition("narrowed", "PROJECT_DENIED");
  await kubectl(world, "patch", "-n", "narrowed", "service", "one", "-p", '{"spec":{"selector":{"app":"theirs"}}}');
  const sha = await world.git.commitFiles("narrowed", { "app/one.yaml": null, "app/two.yaml": null }, "no services");
  await lookedAt("narrowed");
  const app = await world.applications.synced("narrowed", sha);
  expect(app.status?.resources?.map(({ kind }) => kind)).toEqual(["ConfigMap"]);
  expect(await kubectl(world, "get", "-n", "narrowed", "service", "one", "-o", "jsonpath={.spec.selector.app}")).toBe(
    "theirs",
  );
  await world.applications.delete("narrowed");
  await eventually("the Application is gone", async () => !(await exists("argocd", "application/narrowed")));
  expect(await exists("narrowed", "configmap/settings")).toBe(false);
  expect(await exists("narrowed", "service/one")).toBe(true);
  expect(await exists("narrowed", "service/two")).toBe(true);
});

test("a project that changes in the middle of a sync counts from the next step on", async () => {
  await project("changing", OPEN);
  const { world } = await manual(
    "changing",
    {
      "gate.yaml": deployment("gate", { extra: "      nodeSelector: {nowhere: really}\n" }),
      "after.yaml": annotated(configMap("settings"), { "argocd.argoproj.io/sync-wave": "1" }),
    },
    { project: "changing" },
  );
  await operate(world, "changing", {}, ({ message }) => message?.startsWith("waiting for healthy state") ?? false);
  await change("changing", { namespaceResourceBlacklist: [{ group: "", kind: "ConfigMap" }] });
  await kubectl(world, "scale", "-n", "changing", "deployment", "gate", "--replicas=0");
  const app = await world.applications.until("changing", "over", (a) => a.status?.operationState?.phase === "Failed");
  expect(app.status?.operationState?.message).toContain("one or more synchronization tasks are not valid");
  expect(await exists("changing", "configmap/settings")).toBe(false);
});

test("a project inherits from the global projects that select it", async () => {
  const { world } = use;
  await project("company", { namespaceResourceBlacklist: [{ group: "", kind: "Service" }] });
  await project("selected", OPEN, { tier: "prod" });
  const globalProjects = "[{projectName: company, labelSelector: {matchLabels: {tier: prod}}}]";
  const patch = JSON.stringify({ data: { globalProjects } });
  const { url } = await world.git.createRepository("selected", { "app/one.yaml": service("one") });
  await kubectl(world, "patch", "-n", "argocd", "configmap", "argocd-cm", "--type=merge", "-p", patch);
  await world.applications.create({ name: "selected", repoURL: url, path: "app", project: "selected" });
  await world.applications.condition("selected", "PROJECT_DENIED");
  await kubectl(world, "label", "-n", "argocd", "appproject", "selected", "tier-");
  await world.applications.synced("selected");
});

test("Applications of other namespaces count where argocd-cmd-params-cm names these and their project has them", async () => {
  const { world } = use;
  for (const name of ["team-apps", "other-apps"]) await kubectl(world, "create", "namespace", name);
  await project("anywhere", { ...OPEN, sourceNamespaces: ["team-*"] });
  const { url } = await world.git.createRepository("anywhere", { "app/cm.yaml": configMap("settings") });
  const team = new Applications(world.client, "team-apps");
  const other = new Applications(world.client, "other-apps");
  const spec = { repoURL: url, path: "app", project: "anywhere" };
  await team.create({ ...spec, name: "anywhere" });
  await team.create({ ...spec, name: "not-of-default", project: "default" });
  await other.create({ ...spec, name: "unheard", destinationNamespace: "unheard" });
  const data = { "application.namespaces": "/^team-/" };
  const params = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "argocd-cmd-params-cm" }, data };
  const body = JSON.stringify(params);
  await world.client.request({ method: "POST", path: "/api/v1/namespaces/argocd/configmaps", body });
  await team.synced("anywhere");
  const made = await kubectl(
    world,
    "get",
    "-n",
    "anywhere",
    "configmap",
    "settings",
    "-o",
    "jsonpath={.metadata.annotations}",
  );
  expect(made).toContain("team-apps_anywhere:/ConfigMap:anywhere/settings");
  const refused = await team.condition("not-of-default", "PROJECT_DENIED");
  expect(refused.status?.conditions?.[0]?.message).toContain(
    "application 'not-of-default' in namespace 'team-apps' is not permitted to use project 'default'",
  );
  expect((await other.get("unheard")).status).toBeUndefined();
  // Whose namespace is taken out again is left alone, not deleted.
  await kubectl(
    world,
    "patch",
    "-n",
    "argocd",
    "configmap",
    "argocd-cmd-params-cm",
    "-p",
    '{"data":{"application.namespaces":"/^other-/"}}',
  );
  await other.condition("unheard", "PROJECT_DENIED");
  expect(await exists("anywhere", "configmap/settings")).toBe(true);
});

test("a cluster that belongs to a project is a destination of it; permitOnlyProjectScopedClusters leaves it no other", async () => {
  const { world } = use;
  await project("owner", { ...OPEN, destinations: [], permitOnlyProjectScopedClusters: true });
  await project("guest", { ...OPEN, permitOnlyProjectScopedClusters: true });
  const { url } = await world.git.createRepository("scoped", { "app/cm.yaml": configMap("settings") });
  const secret = {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "home", labels: { "argocd.argoproj.io/secret-type": "cluster" } },
    stringData: { name: "home", server: SERVER, project: "owner", config: "{}" },
  };
  const body = JSON.stringify(secret);
  await world.client.request({ method: "POST", path: "/api/v1/namespaces/argocd/secrets", body });
  await world.applications.create({ name: "scoped", repoURL: url, path: "app", project: "owner" });
  await world.applications.create({ name: "guest", repoURL: url, path: "app", project: "guest" });
  await world.applications.synced("scoped");
  await world.applications.condition("guest", "PROJECT_DENIED");
  await kubectl(world, "delete", "-n", "argocd", "secret", "home");
  await world.applications.condition("scoped", "PROJECT_DENIED");
});
