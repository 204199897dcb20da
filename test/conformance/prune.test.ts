// Prune: what goes, what stays, and what waits for a person. Never a wrong delete (contract §2, §3).
import { expect, test } from "vitest";
import type { ApplicationSpec } from "../harness/applications.ts";
import { configMap, eventually, kubectl, push, useWorld } from "../harness/story.ts";
import { annotated, apply as applyIn, manualIn, operate } from "./sync.ts";

const use = useWorld();
const manual = manualIn(use);
const apply = (object: unknown) => applyIn(use.world, object);

const OPTIONS = "argocd.argoproj.io/sync-options";
const option = (text: string, value: string) => annotated(text, { [OPTIONS]: value });
const names = (...list: string[]) => Object.fromEntries(list.map((name) => [`${name}.yaml`, configMap(name)]));
const gone = (...list: string[]) => Object.fromEntries(list.map((name) => [`app/${name}.yaml`, null]));

const approve = (name: string, at = new Date().toISOString()) =>
  kubectl(
    use.world,
    "annotate",
    "-n",
    "argocd",
    "application",
    name,
    `argocd.argoproj.io/deletion-approved=${at}`,
    "--overwrite",
  );

/** An automated app, synced. */
async function automated(name: string, files: Record<string, string>, spec: Partial<ApplicationSpec> = {}) {
  const { world } = use;
  const { url } = await world.git.createRepository(
    name,
    Object.fromEntries(Object.entries(files).map(([file, text]) => [`app/${file}`, text])),
  );
  await world.applications.create({ name, repoURL: url, path: "app", ...spec });
  await world.applications.synced(name);
  const left = async () =>
    (await kubectl(world, "get", "configmap", "-n", name, "-o", "name"))
      .split("\n")
      .filter((line) => line !== "" && !line.endsWith("/kube-root-ca.crt"))
      .map((line) => line.replace("configmap/", ""));
  const commit = async (changes: Record<string, string | null>) => {
    const sha = await world.git.commitFiles(name, changes, "change");
    await push(world, url);
    return sha;
  };
  return { world, url, commit, left };
}

test("Prune=confirm holds its step until the Application says approved, and an approval ends the wait at once", async () => {
  const { world, commit, exists } = await manual("confirm", {
    "guarded.yaml": option(configMap("guarded"), "Prune=confirm"),
    ...names("stays"),
  });
  const before = await operate(world, "confirm");
  const flags = (app: typeof before) =>
    Object.fromEntries(app.status!.resources!.map((one) => [one.name, one as unknown as Record<string, unknown>]));
  expect(flags(before)["guarded"]).toMatchObject({ requiresDeletionConfirmation: true });
  expect(flags(before)["stays"]).not.toHaveProperty("requiresDeletionConfirmation");
  // An approval of something that came before it.
  await approve("confirm", "2020-01-01T00:00:00Z");
  await commit(gone("guarded"));
  const waiting = await operate(
    world,
    "confirm",
    { prune: true },
    ({ message }) => message === "waiting for pruning confirmation of /ConfigMap/guarded",
  );
  expect(flags(waiting)["guarded"]).toMatchObject({ requiresPruning: true, requiresDeletionConfirmation: true });
  expect(await exists("configmap/guarded")).toBe(true);
  await approve("confirm");
  const app = await world.applications.until(
    "confirm",
    "the end",
    (a) => a.status?.operationState?.phase !== "Running",
  );
  expect(app.status?.operationState?.phase).toBe("Succeeded");
  expect(await exists("configmap/guarded")).toBe(false);
});

test("an object's own Prune option counts before its Application's", async () => {
  const { world, commit, exists } = await manual(
    "own",
    {
      ...names("silent", "stays"),
      "goes.yaml": option(configMap("goes"), "Prune=true"),
    },
    { syncOptions: ["CreateNamespace=true", "Prune=false"] },
  );
  await operate(world, "own");
  await commit(gone("silent", "goes"));
  const app = await operate(world, "own", { prune: true });
  expect(await exists("configmap/goes")).toBe(false);
  expect(await exists("configmap/silent")).toBe(true);
  const results = app.status?.operationState?.syncResult?.resources ?? [];
  expect(results.find(({ name }) => name === "silent")).toMatchObject({
    status: "PruneSkipped",
    message: "ignored (no prune)",
  });
});

test("an automated prune of more than half of an app waits for a person; the revert ends the wait and nothing went", async () => {
  const all = ["a", "b", "c", "d", "e", "f"];
  const { world, commit, left } = await automated("half", names(...all));
  await commit(gone("a", "b", "c", "d"));
  const waiting = await world.applications.until("half", "waiting", (app) =>
    (app.status?.operationState?.message ?? "").startsWith(
      "waiting for pruning confirmation of /ConfigMap/a and 3 more resources: 4 of the app's 6 objects would be deleted",
    ),
  );
  expect(waiting.status?.operationState?.phase).toBe("Running");
  expect(await left()).toEqual(all);
  const reverted = await commit(Object.fromEntries(["a", "b", "c", "d"].map((n) => [`app/${n}.yaml`, configMap(n)])));
  await world.applications.synced("half", reverted);
  expect(await left()).toEqual(all);
  // Said in advance, it goes at once.
  const { syncPolicy } = waiting.spec as { syncPolicy: { syncOptions: string[] } };
  const syncOptions = [...syncPolicy.syncOptions, "Prune=true"];
  await world.applications.patch("half", { spec: { syncPolicy: { syncOptions } } });
  await world.applications.synced("half", await commit(gone("a", "b", "c", "d")));
  await eventually("four are gone", async () => (await left()).join() === "e,f");
});

test("a small app changes most of itself in one commit without anybody being asked", async () => {
  const { commit, left } = await automated("small", names("a", "b", "c"));
  await commit({ ...gone("a", "b"), "app/d.yaml": configMap("d") });
  await eventually("pruned", async () => (await left()).join() === "c,d");
});

test("the Prune option in Git's last word counts once it was applied: what was never synced has not said it", async () => {
  const { world, commit, exists } = await manual("word", names("a", "stays"));
  await operate(world, "word");
  await commit({ "app/a.yaml": option(configMap("a"), "Prune=false") });
  await operate(world, "word");
  await commit(gone("a"));
  await operate(world, "word", { prune: true });
  expect(await exists("configmap/a")).toBe(true);
});

test("what has an owner, is kept by Helm's annotation or bears a copied tracking id is not pruned", async () => {
  const keep = { "helm.sh/resource-policy": "keep" };
  const { world, commit, exists } = await manual("spared", {
    ...names("owner", "owned", "plain", "stays", "untracked"),
    "kept.yaml": annotated(configMap("kept"), keep),
  });
  await operate(world, "spared");
  const uid = await kubectl(world, "get", "cm", "owner", "-n", "spared", "-o", "jsonpath={.metadata.uid}");
  const ownerReferences = [{ apiVersion: "v1", kind: "ConfigMap", name: "owner", uid }];
  await kubectl(
    world,
    "patch",
    "cm",
    "owned",
    "-n",
    "spared",
    "--type=merge",
    "-p",
    JSON.stringify({ metadata: { ownerReferences } }),
  );
  await kubectl(world, "annotate", "cm", "untracked", "-n", "spared", "argocd.argoproj.io/tracking-id-");
  await kubectl(world, "create", "configmap", "copy", "-n", "spared");
  await kubectl(
    world,
    "annotate",
    "cm",
    "copy",
    "-n",
    "spared",
    "argocd.argoproj.io/tracking-id=spared:/ConfigMap:spared/plain",
  );
  await commit(gone("owned", "plain", "kept", "untracked"));
  await operate(world, "spared", { prune: true });
  const there = await Promise.all(["owned", "kept", "copy", "untracked", "plain"].map((n) => exists(`configmap/${n}`)));
  expect(there).toEqual([true, true, true, true, false]);
});

test("a branch that is gone, a path that is gone and an empty folder prune nothing", async () => {
  const { world } = use;
  const lost = await automated("lost-branch", names("a", "b"));
  const empty = await automated("empty-folder", names("a", "b"));
  const moved = await automated("lost-path", names("a", "b"));
  await world.git.setRef(
    "lost-branch",
    "refs/heads/other",
    (await world.git.refs("lost-branch")).get("refs/heads/main")!,
  );
  await world.git.setRef("lost-branch", "refs/heads/main", null);
  await push(world, lost.url);
  await empty.commit({ ...gone("a", "b"), "app/readme.md": "nothing here" });
  await moved.commit({ ...gone("a", "b"), "elsewhere/a.yaml": configMap("a") });
  await world.applications.condition("lost-path", "PATH_NOT_FOUND");
  await world.applications.condition("empty-folder", "WIPE_REFUSED");
  await kubectl(world, "annotate", "-n", "argocd", "application", "lost-branch", "argocd.argoproj.io/refresh=hard");
  await world.applications.until(
    "lost-branch",
    "refreshed",
    ({ metadata }) => !metadata.annotations?.["argocd.argoproj.io/refresh"],
  );
  for (const { left } of [lost, empty, moved]) expect(await left()).toEqual(["a", "b"]);
});

const thing = (group: string) => `apiVersion: ${group}/v2\nkind: Thing\nmetadata:\n  name: one\n`;
const things = (group: string) => {
  const version = { served: true, schema: { openAPIV3Schema: { type: "object" } } };
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `things.${group}` },
    spec: {
      group,
      scope: "Namespaced",
      names: { plural: "things", singular: "thing", kind: "Thing" },
      versions: [
        { name: "v1", storage: true, ...version },
        { name: "v2", storage: false, ...version },
      ],
    },
  };
};
/** So that everything is listed anew. */
async function restart(): Promise<void> {
  await use.world.services.kill();
  await use.world.services.start();
  await use.world.services.ready();
}

const merge = (kind: string, name: string, patch: unknown) =>
  kubectl(use.world, "patch", kind, name, "--type=merge", "-p", JSON.stringify(patch));

test("while one of its kinds cannot be listed, nothing of an app is pruned nor deleted along", async () => {
  const { world } = use;
  const name = "unreadable";
  const group = "unreadable.example.com";
  await apply(things(group));
  const { commit, left } = await automated(
    name,
    { ...names("a", "stays"), "thing.yaml": thing(group) },
    { finalizers: ["resources-finalizer.argocd.argoproj.io"] },
  );
  const conversion = async (value: unknown) => {
    await merge("crd", `things.${group}`, { spec: { conversion: value } });
    await restart();
  };
  const webhook = { conversionReviewVersions: ["v1"], clientConfig: { url: "https://127.0.0.1:9/convert" } };
  await conversion({ strategy: "Webhook", webhook });
  const sha = await commit(gone("a", "thing"));
  await world.applications.until(name, "compared", ({ status }) => status?.sync?.revision === sha);
  await world.applications.condition(name, "KIND_UNAVAILABLE");
  expect(await left()).toEqual(["a", "stays"]);
  await conversion({ strategy: "None", webhook: null });
  const thingsLeft = () => kubectl(world, "get", `things.${group}`, "-A", "-o", "name");
  await eventually("readable, both are pruned", async () => (await left()).join() === "stays" && !(await thingsLeft()));

  await world.applications.synced(name, await commit({ "app/thing.yaml": thing(group) }));
  await conversion({ strategy: "Webhook", webhook });
  await world.applications.delete(name);
  await world.applications.until(name, "the deletion waits", ({ status }) =>
    (status?.conditions ?? []).some((one) => one.type === "DeletionError" && one.message.includes("KIND_UNAVAILABLE")),
  );
  await conversion({ strategy: "None", webhook: null });
  await eventually("gone", async () => {
    const apps = await kubectl(world, "get", "applications", "-n", "argocd", "-o", "name");
    return !apps.includes(`/${name}\n`);
  });
  expect([await thingsLeft(), await left()]).toEqual(["", []]);
});

test("while the discovery of one of its groups fails, nothing of an app is pruned", async () => {
  const { world } = use;
  const group = "undiscovered.example.com";
  await apply(things(group));
  const { commit, left } = await automated("undiscovered", { ...names("a", "stays"), "thing.yaml": thing(group) });
  const thingLeft = () => kubectl(world, "get", `things.v1.${group}`, "-n", "undiscovered", "-o", "name");
  expect(await thingLeft()).toContain("/one");
  await kubectl(world, "label", "apiservice", `v2.${group}`, "kube-aggregator.kubernetes.io/automanaged-");
  const service = { name: "nobody", namespace: "default", port: 443 };
  await merge("apiservice", `v2.${group}`, { spec: { service, insecureSkipTLSVerify: true } });
  await restart();
  const sha = await commit(gone("a", "thing"));
  await world.applications.until("undiscovered", "compared", ({ status }) => status?.sync?.revision === sha);
  expect(await thingLeft()).toContain("/one");
  expect(await left()).toEqual(["a", "stays"]);
  await kubectl(world, "delete", "apiservice", `v2.${group}`);
  await eventually(
    "known again, both are pruned",
    async () => !(await thingLeft()) && (await left()).join() === "stays",
    60_000,
  );
});

test("without the permission to list nothing is pruned, and what is missing is said", async () => {
  const { world } = use;
  await kubectl(world, "create", "namespace", "limited");
  await kubectl(world, "create", "serviceaccount", "limited", "-n", "limited");
  const everything = [{ apiGroups: ["*"], resources: ["*"], verbs: ["*"] }];
  const role = (rules: unknown) =>
    apply({ apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRole", metadata: { name: "limited" }, rules });
  await role(everything);
  await kubectl(
    world,
    "create",
    "clusterrolebinding",
    "limited",
    "--clusterrole=limited",
    "--serviceaccount=limited:limited",
  );
  const token = await kubectl(world, "create", "token", "limited", "-n", "limited");
  const server = (await kubectl(world, "config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")).trim();
  const config = JSON.stringify({ bearerToken: token.trim(), tlsClientConfig: { insecure: true } });
  await apply({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "limited", namespace: "argocd", labels: { "argocd.argoproj.io/secret-type": "cluster" } },
    stringData: { name: "limited", server, config },
  });
  const { commit, left } = await automated("limited", names("a", "b"), {
    spec: { destination: { server, namespace: "limited" } },
  });
  await role([{ apiGroups: ["*"], resources: ["*"], verbs: ["get", "create", "patch", "update", "delete"] }]);
  await restart();
  await commit(gone("a"));
  const app = await world.applications.condition("limited", "CLUSTER_FORBIDDEN");
  expect(app.status?.conditions?.[0]?.message).toContain("configmaps");
  expect(await left()).toEqual(["a", "b"]);
  await role(everything);
  await eventually("allowed again, it is pruned", async () => (await left()).join() === "b", 60_000);
});
