// Actions on objects: built in and by scripts of argocd-cm, within what the project allows (contract §12).
import { join } from "node:path";
import { expect, test } from "vitest";
import { configMap, deployment, kubectl, kubectlJson, run, useWorld } from "../harness/story.ts";

const CONFIG_MAP_ACTIONS = `
discovery.lua: |
  actions = {}
  actions["stamp"] = {["params"] = {{["name"] = "with"}}}
  actions["copy"] = {}
  actions["leak"] = {}
  actions["never"] = {["disabled"] = true}
  return actions
definitions:
- name: stamp
  action.lua: |
    obj.data.stamped = actionParams["with"]
    return obj
- name: copy
  action.lua: |
    obj.data.copied = "yes"
    local copy = {apiVersion = "v1", kind = "ConfigMap", metadata = {name = obj.metadata.name .. "-copy"}, data = obj.data}
    return {{operation = "create", resource = copy}, {operation = "patch", resource = obj}}
- name: leak
  action.lua: |
    return {{operation = "create", resource = {apiVersion = "v1", kind = "Secret", metadata = {name = "leaked"}}}}
- name: never
  action.lua: return obj
`;

const use = useWorld({ settings: { "resource.customizations.actions.ConfigMap": CONFIG_MAP_ACTIONS } });

const cli = (...args: string[]) =>
  run(join(import.meta.dirname, "..", "..", "packages/cli/bin/driftless.mjs"), ["app", "actions", ...args], {
    DRIFTLESS_NATS_URL: use.world.local.natsUrl,
    DRIFTLESS_NAMESPACE: "argocd",
  });

async function synced(name: string, files: Record<string, string>, project?: string): Promise<void> {
  const { world } = use;
  const { url } = await world.git.createRepository(
    name,
    Object.fromEntries(Object.entries(files).map(([file, text]) => [`app/${file}`, text])),
  );
  await world.applications.create({ name, repoURL: url, path: "app", ...(project && { project }) });
  await world.applications.synced(name);
}

test("a Deployment can be restarted, and is still as Git has it", async () => {
  await synced("restarted", { "web.yaml": deployment("web") });
  const listed = await cli("list", "restarted", "--kind", "Deployment", "-o", "json");
  expect(JSON.parse(listed.stdout)).toMatchObject([{ name: "web", actions: [{ name: "restart" }] }]);
  const ran = await cli("run", "restarted", "restart", "--kind", "Deployment", "--resource-name", "web");
  expect(ran).toMatchObject({ code: 0, stdout: expect.stringContaining("patched") });
  const { spec, metadata } = await kubectlJson(
    use.world,
    "get",
    "-n",
    "restarted",
    "deployment",
    "web",
    "--show-managed-fields",
  );
  expect(spec.template.metadata.annotations["kubectl.kubernetes.io/restartedAt"]).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/);
  expect(metadata.managedFields.map(({ manager }: { manager: string }) => manager)).toContain("argocd-server");
  await kubectl(use.world, "annotate", "-n", "argocd", "application", "restarted", "argocd.argoproj.io/refresh=hard");
  const app = await use.world.applications.until(
    "restarted",
    "refreshed",
    ({ metadata: { annotations } }) => annotations?.["argocd.argoproj.io/refresh"] === undefined,
  );
  expect(app.status?.sync?.status).toBe("Synced");
});

test("scripts of argocd-cm say which actions there are, and change their object or make another", async () => {
  const spec = {
    sourceRepos: ["*"],
    destinations: [{ namespace: "*", server: "*" }],
    clusterResourceWhitelist: [{ group: "*", kind: "*" }],
    namespaceResourceBlacklist: [{ group: "", kind: "Secret" }],
  };
  const project = { apiVersion: "argoproj.io/v1alpha1", kind: "AppProject", metadata: { name: "no-secrets" }, spec };
  const path = "/apis/argoproj.io/v1alpha1/namespaces/argocd/appprojects";
  const made = await use.world.client.request({ method: "POST", path, body: JSON.stringify(project) });
  expect(made.kind).toBe("ok");
  await synced("acted", { "one.yaml": configMap("one"), "two.yaml": configMap("two") }, "no-secrets");
  const one = ["--kind", "ConfigMap", "--resource-name", "one"];

  const listed = await cli("list", "acted", ...one);
  expect(listed.stdout).toMatch(/copy\s+no[^]*leak\s+no[^]*never\s+yes[^]*stamp\s+no\s+with/);

  expect(await cli("run", "acted", "stamp", ...one, "--param", "with=ink")).toMatchObject({ code: 0 });
  expect(await cli("run", "acted", "copy", ...one)).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/created[^]*patched/),
  });
  const data = async (name: string) => (await kubectlJson(use.world, "get", "-n", "acted", "configmap", name)).data;
  expect(await data("one")).toEqual({ key: "value", stamped: "ink", copied: "yes" });
  expect(await data("one-copy")).toEqual({ key: "value", stamped: "ink", copied: "yes" });

  const refusals: [string[], RegExp][] = [
    [["run", "acted", "leak", ...one], /\[PROJECT_DENIED\] AppProject no-secrets does not allow Secret/],
    [["run", "acted", "never", ...one], /\[ACTION_UNKNOWN\].*disabled now/],
    [["run", "acted", "melt", ...one], /\[ACTION_UNKNOWN\].*there are: copy, leak, never, stamp/],
    [["run", "acted", "stamp", "--kind", "ConfigMap"], /\[ACTION_UNKNOWN\] More than one object/],
    [["run", "acted", "stamp", "--kind", "ConfigMap", "--resource-name", "kube-root-ca.crt"], /has no live object/],
  ];
  for (const [args, why] of refusals)
    expect(await cli(...args)).toMatchObject({ code: 1, stderr: expect.stringMatching(why) });
  expect(await kubectl(use.world, "get", "-n", "acted", "secret", "-o", "name")).toBe("");
});
