// What counts as a difference: ignoreDifferences of the Application and of the system, compare-options (contract §6).
import { expect, test } from "vitest";
import { configMap, deployment, eventually, kubectl, kubectlJson, useWorld } from "../harness/story.ts";
import { annotated } from "./sync.ts";

const use = useWorld();

async function synced(name: string, files: Record<string, string>, spec: Record<string, unknown> = {}) {
  const { world } = use;
  const { url } = await world.git.createRepository(
    name,
    Object.fromEntries(Object.entries(files).map(([file, text]) => [`app/${file}`, text])),
  );
  await world.applications.create({ name, repoURL: url, path: "app", ...spec });
  await world.applications.until(name, "in sync", (app) => app.status?.sync?.status === "Synced");
  return world;
}

/** Compared once more, whatever came of it. */
async function refreshed(name: string) {
  const { world } = use;
  await kubectl(world, "annotate", "-n", "argocd", "application", name, "argocd.argoproj.io/refresh=hard");
  return world.applications.until(
    name,
    "refreshed",
    (app) => app.metadata.annotations?.["argocd.argoproj.io/refresh"] === undefined,
  );
}

const settings = (namespace: string, name = "settings") =>
  kubectlJson(use.world, "get", "-n", namespace, "configmap", name);
const web = (namespace: string) => kubectlJson(use.world, "get", "-n", namespace, "deployment", "web");

const merge = (namespace: string, kind: string, name: string, patch: unknown, manager = "somebody") => {
  const text = JSON.stringify(patch);
  return kubectl(
    use.world,
    "patch",
    "-n",
    namespace,
    kind,
    name,
    `--field-manager=${manager}`,
    "--type=merge",
    "-p",
    text,
  );
};

const rule = (more: Record<string, unknown>, kind = "Deployment", group = "apps") => ({
  spec: { ignoreDifferences: [{ group, kind, ...more }] },
});

// First, since it counts the looks of all Applications.
test("a change of what Git does not say is compared with nothing, whatever ignoreResourceUpdates says", async () => {
  const world = await synced("noise", { "web.yaml": deployment("web") });
  const comparisons = async () => {
    const text = await (await fetch(`${world.services.apiUrl}/metrics`)).text();
    return Number(/^driftless_diff_seconds_count (\d+)$/m.exec(text)?.[1]);
  };
  const lookedOnceMore = async (): Promise<number> => {
    const before = await comparisons();
    await refreshed("noise");
    return (await comparisons()) - before;
  };
  await eventually("its sync has been looked at", async () => (await lookedOnceMore()) === 1);
  const before = await comparisons();
  for (let n = 0; n < 5; n++) {
    await kubectl(world, "annotate", "-n", "noise", "deployment/web", "--overwrite", `example.com/seen=${n}`);
  }
  await refreshed("noise");
  expect(await comparisons()).toBe(before + 1);
});

test("a field that a JSON pointer names may change without a difference, and is left alone", async () => {
  await synced("pointer", { "web.yaml": deployment("web") }, rule({ jsonPointers: ["/spec/replicas"] }));
  await kubectl(use.world, "scale", "-n", "pointer", "deployment/web", "--replicas=3");
  const app = await refreshed("pointer");
  expect(app.status?.sync).toMatchObject({ status: "Synced" });
  expect(app.status?.sync).toMatchObject({ comparedTo: { ignoreDifferences: [{ jsonPointers: ["/spec/replicas"] }] } });
  expect((await web("pointer")).spec.replicas).toBe(3);

  await merge("pointer", "deployment", "web", { spec: { revisionHistoryLimit: 3, paused: false } });
  await kubectl(use.world, "set", "image", "-n", "pointer", "deployment/web", "web=registry.example.com/web:9");
  await eventually("what counts is healed", async () => {
    const { spec } = await web("pointer");
    return spec.template.spec.containers[0].image === "registry.example.com/web:1";
  });
});

test("what a jq expression selects by a condition does not count, its neighbours do", async () => {
  const two = deployment("web").replace(
    "        - name: web",
    "        - {name: mesh, image: registry.example.com/mesh:1}\n        - name: web",
  );
  const jqPathExpressions = ['.spec.template.spec.containers[] | select(.name == "mesh") | .image'];
  await synced("jq", { "web.yaml": two }, { ...rule({ jqPathExpressions }), automated: { prune: true } });
  await kubectl(use.world, "set", "image", "-n", "jq", "deployment/web", "mesh=registry.example.com/mesh:2");
  expect((await refreshed("jq")).status?.sync?.status).toBe("Synced");
  await kubectl(use.world, "set", "image", "-n", "jq", "deployment/web", "web=registry.example.com/web:2");
  await use.world.applications.until("jq", "out of sync", (app) => app.status?.sync?.status === "OutOfSync");
  const { spec } = await web("jq");
  expect(spec.template.spec.containers.map(({ image }: { image: string }) => image)).toEqual([
    "registry.example.com/mesh:2",
    "registry.example.com/web:2",
  ]);
});

test("what a named manager owns does not count, what another changes does", async () => {
  const files = { "cm.yaml": configMap("settings", { theirs: "1", ours: "1" }) };
  const spec = rule({ managedFieldsManagers: ["operator"] }, "ConfigMap", "");
  await synced("manager", files, { ...spec, automated: { prune: true } });
  await merge("manager", "configmap", "settings", { data: { theirs: "2" } }, "operator");
  expect((await refreshed("manager")).status?.sync?.status).toBe("Synced");
  await merge("manager", "configmap", "settings", { data: { ours: "2" } });
  await use.world.applications.until("manager", "out of sync", (app) => app.status?.sync?.status === "OutOfSync");
  expect((await settings("manager")).data).toEqual({ theirs: "2", ours: "2" });
});

test("a rule of the system holds for every Application, from the moment it is written until it goes", async () => {
  const { world } = use;
  const rules = "resource.customizations.ignoreDifferences.ConfigMap";
  const setting = (value: string | null) => ({ data: { [rules]: value } });
  await synced("system", { "cm.yaml": configMap("settings") }, { automated: { prune: true } });
  await merge("system", "configmap", "settings", { data: { key: "changed" } });
  await world.applications.until("system", "out of sync", (app) => app.status?.sync?.status === "OutOfSync");
  await kubectl(world, "create", "configmap", "-n", "argocd", "argocd-cm").catch(() => "");
  await merge("argocd", "configmap", "argocd-cm", setting('jqPathExpressions: [".data.key"]'));
  await world.applications.until("system", "in sync by the rule", (app) => app.status?.sync?.status === "Synced");
  expect((await settings("system")).data).toEqual({ key: "changed" });
  await merge("argocd", "configmap", "argocd-cm", setting(null));
  await world.applications.until("system", "out of sync again", (app) => app.status?.sync?.status === "OutOfSync");
});

test.each([
  ["unreadable", ".data[", "[DIFF_EXPR_INVALID]"],
  ["endless", "[range(1e12)] | .[0]", "[DIFF_EXPR_LIMIT]"],
])("an expression that is %s is told by its path, and nothing is applied for it", async (name, expression, code) => {
  const { world } = use;
  const { url } = await world.git.createRepository(name, { "app/cm.yaml": configMap("settings") });
  await kubectl(world, "create", "namespace", name);
  await kubectl(world, "create", "configmap", "-n", name, "settings", "--from-literal=key=before");
  const spec = rule({ jqPathExpressions: [".data.fine", expression] }, "ConfigMap", "");
  await world.applications.create({ name, repoURL: url, path: "app", ...spec });
  const app = await world.applications.until(name, "refused", ({ status }) =>
    (status?.conditions ?? []).some(({ message }) => message.includes(code)),
  );
  const [condition] = app.status!.conditions!.filter(({ message }) => message.includes(code));
  expect(condition!.message).toContain("spec.ignoreDifferences[0].jqPathExpressions[1]");
  expect((await settings(name)).data).toEqual({ key: "before" });
});

test("a rule that cannot be one is refused before anything is compared", async () => {
  const { world } = use;
  const { url } = await world.git.createRepository("slash", { "app/cm.yaml": configMap("settings") });
  await world.applications.create({
    name: "slash",
    repoURL: url,
    path: "app",
    ...rule({ jsonPointers: ["spec/replicas"] }),
  });
  const app = await world.applications.until("slash", "refused", ({ status }) => (status?.conditions?.length ?? 0) > 0);
  expect(app.status?.conditions).toEqual([
    expect.objectContaining({ type: "InvalidSpecError", message: expect.stringContaining("jsonPointers[0]") }),
  ]);
});

test("a left-over object that asks for IgnoreExtraneous is listed and does not make the app OutOfSync", async () => {
  const name = "extraneous";
  const extra = configMap("extra").replace(
    "metadata:\n",
    "metadata:\n  annotations: {argocd.argoproj.io/compare-options: IgnoreExtraneous}\n",
  );
  const world = await synced(name, { "a.yaml": configMap("settings"), "b.yaml": extra }, { automated: {} });
  const sha = await world.git.commitFiles(name, { "app/b.yaml": null }, "drop");
  await kubectl(world, "annotate", "-n", "argocd", "application", name, "argocd.argoproj.io/refresh=normal");
  const app = await world.applications.until(name, "refreshed", ({ status }) => status?.sync?.revision === sha);
  expect(app.status?.sync?.status).toBe("Synced");
  const left = app.status?.resources?.find((resource) => resource.name === "extra");
  expect(left).toMatchObject({ requiresPruning: true });
  expect(left?.status).toBeUndefined();
});

test("rules that Kubernetes gathers into a ClusterRole do not count where resource.compareoptions says so", async () => {
  const setting = (value: string | null) => ({ data: { "resource.compareoptions": value } });
  const role = (name: string, more: string) =>
    `apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: ${name}\n${more}\n`;
  const gathering = role(
    "gathering",
    "aggregationRule: {clusterRoleSelectors: [{matchLabels: {gather: this}}]}\nrules: []",
  );
  const gathered = role(
    "gathered",
    "  labels: {gather: this}\nrules: [{apiGroups: [''], resources: [pods], verbs: [get]}]",
  );
  const { world } = use;
  const { url } = await world.git.createRepository("roles", { "app/a.yaml": gathering, "app/b.yaml": gathered });
  await world.applications.create({ name: "roles", repoURL: url, path: "app", automated: { prune: true } });
  await world.applications.until("roles", "OutOfSync", (app) => app.status?.sync?.status === "OutOfSync");
  await eventually("gathered", async () => {
    const { rules } = await kubectlJson(world, "get", "clusterrole", "gathering");
    return rules.length === 1;
  });
  await merge("argocd", "configmap", "argocd-cm", setting("ignoreAggregatedRoles: true"));
  await world.applications.synced("roles");
  await merge("argocd", "configmap", "argocd-cm", setting(null));
});

test("compare-options that ask for what is done anyway are no difference, on an Application and on its objects", async () => {
  const annotations = {
    "argocd.argoproj.io/compare-options": "IgnoreExtraneous,ServerSideDiff=true",
    "argocd.argoproj.io/ignore-resource-updates": "true",
  };
  const object = annotated(configMap("settings"), annotations);
  await synced(
    "options",
    { "cm.yaml": object },
    {
      annotations: {
        "argocd.argoproj.io/compare-options": "ServerSideDiff=true,IncludeMutationWebhook=true,IgnoreExtraneous",
      },
    },
  );
  expect((await settings("options")).metadata.annotations).toMatchObject(annotations);
});
