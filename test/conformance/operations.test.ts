// Operations: what somebody asks for through the Application's `operation` field, and what its end says (contract §4).
import { expect, test } from "vitest";
import { configMap, eventually, kubectl, kubectlJson, useWorld } from "../harness/story.ts";
import { apply, followTold, hook, job, manualIn, operate } from "./sync.ts";

const use = useWorld();
const manual = manualIn(use);

const exists = async (namespace: string, kind: string, name: string) =>
  (await kubectl(use.world, "get", "-n", namespace, kind, name, "--ignore-not-found", "-o", "name")) !== "";
const value = async (namespace: string, name = "settings") =>
  (await kubectlJson(use.world, "get", "-n", namespace, "configmap", name)).data.key as string;

test("a manual sync leaves who asked, the revision, each object's result and a history entry", async () => {
  const { world } = await manual("whole", { "cm.yaml": configMap("settings") });
  const app = await operate(world, "whole");
  const state = app.status!.operationState!;
  expect(state).toMatchObject({ phase: "Succeeded", message: "successfully synced (all tasks run)" });
  expect(state.operation).toMatchObject({ initiatedBy: { username: "tester" } });
  expect(state.syncResult?.revision).toBe(app.status?.sync?.revision);
  expect(state.syncResult?.resources).toEqual([
    expect.objectContaining({
      name: "settings",
      status: "Synced",
      syncPhase: "Sync",
      message: "configmap/settings created",
    }),
  ]);
  expect(app.status?.history).toHaveLength(1);
  expect(app.operation).toBeUndefined();
});

test("a sync that finds all as it should be says so of each object, and is reconciled not before its end", async () => {
  const { world } = await manual("again", { "cm.yaml": configMap("settings") });
  const first = Date.parse((await operate(world, "again")).status!.operationState!.finishedAt!);
  await eventually("another second, which is all that a status can tell apart", async () => Date.now() > first + 1_000);
  // What Argo CD's `app get --refresh` leaves behind asks nothing of an app without a sourceHydrator.
  await kubectl(world, "annotate", "-n", "argocd", "application", "again", "argocd.argoproj.io/hydrate=normal");
  const { status } = await operate(world, "again");
  expect(status?.operationState).toMatchObject({ phase: "Succeeded" });
  expect(status?.operationState?.syncResult?.resources).toEqual([
    expect.objectContaining({ name: "settings", status: "Synced", message: "configmap/settings unchanged" }),
  ]);
  const { reconciledAt } = status as { reconciledAt?: string };
  expect(Date.parse(reconciledAt!)).toBeGreaterThanOrEqual(Date.parse(status!.operationState!.finishedAt!));
  const refused = await operate(world, "again", { resources: [], syncOptions: ["Nobody=knows"] });
  expect(refused.status?.operationState).toMatchObject({ phase: "Error" });
  const after = (refused.status as { reconciledAt?: string }).reconciledAt!;
  expect(Date.parse(after)).toBeGreaterThanOrEqual(Date.parse(refused.status!.operationState!.finishedAt!));
});

test("a selective sync applies what it names, runs no hooks, prunes nothing else and leaves no history", async () => {
  const { world } = await manual("selective", {
    "one.yaml": configMap("one"),
    "two.yaml": configMap("two"),
    "pre.yaml": job("pre", hook("PreSync")),
  });
  const app = await operate(world, "selective", {
    resources: [{ group: "", kind: "ConfigMap", name: "two" }],
    prune: true,
  });
  expect(app.status?.operationState?.phase).toBe("Succeeded");
  expect(await exists("selective", "configmap", "two")).toBe(true);
  expect(await exists("selective", "configmap", "one")).toBe(false);
  expect(await exists("selective", "job", "pre")).toBe(false);
  expect(app.status?.operationState?.syncResult?.resources?.map(({ name }) => name)).toEqual(["two"]);
  expect(app.status?.history ?? []).toEqual([]);
  expect(app.status?.sync?.status).toBe("OutOfSync");
});

test("a dry run says what would be done, does nothing and leaves no history", async () => {
  const { world } = await manual("dry", { "cm.yaml": configMap("settings"), "pre.yaml": job("pre", hook("PreSync")) });
  const app = await operate(world, "dry", { dryRun: true });
  expect(app.status?.operationState).toMatchObject({
    phase: "Succeeded",
    syncResult: { resources: [{ name: "settings", message: "configmap/settings created (dry run)" }] },
  });
  expect(await kubectl(world, "get", "namespace", "dry", "--ignore-not-found")).toBe("");
  expect(app.status?.history ?? []).toEqual([]);
});

test("the strategy `apply` runs no hooks", async () => {
  const { world } = await manual("applied", {
    "cm.yaml": configMap("settings"),
    "pre.yaml": job("pre", hook("PreSync")),
  });
  const app = await operate(world, "applied", { syncStrategy: { apply: {} } });
  expect(app.status?.operationState?.phase).toBe("Succeeded");
  expect(await exists("applied", "job", "pre")).toBe(false);
  expect(app.status?.history).toHaveLength(1);
});

test("terminating ends it at once and takes its running hooks away, also over a restart", async () => {
  const { world } = await manual("stopped", {
    "pre.yaml": job("pre", hook("PreSync"), { hangs: true }),
    "cm.yaml": configMap("settings"),
  });
  const runs = ({ message }: { message?: string }) => message === "waiting for completion of hook batch/Job/pre";
  for (const restarted of [false, true]) {
    // Argo CD's API server terminates only what has its field.
    expect((await operate(world, "stopped", {}, runs)).operation).toBeDefined();
    if (restarted) await world.services.kill();
    await world.applications.patch("stopped", { status: { operationState: { phase: "Terminating" } } });
    if (restarted) await world.services.start();
    const app = await world.applications.until("stopped", "ended", (a) => a.status?.operationState?.phase === "Failed");
    expect(app.status?.operationState?.message).toBe("Operation terminated");
    expect(app.operation).toBeUndefined();
    await eventually("the hook is gone", async () => !(await exists("stopped", "job", "pre")));
    expect(await exists("stopped", "configmap", "settings")).toBe(false);
  }
});

test("what is asked for while another one runs is answered after it, also where it is refused", async () => {
  const { world } = await manual("queued", {
    "pre.yaml": job("pre", hook("PreSync"), { hangs: true }),
    "cm.yaml": configMap("settings"),
  });
  await operate(world, "queued", {}, ({ message }) => message?.startsWith("waiting for completion of hook") === true);
  const refused = operate(world, "queued", { syncOptions: ["Novelty=true"] });
  await world.applications.until("queued", "asked for", ({ operation }) =>
    JSON.stringify(operation).includes("Novelty"),
  );
  await world.applications.patch("queued", { status: { operationState: { phase: "Terminating" } } });
  expect((await refused).status?.operationState).toMatchObject({ phase: "Error" });
  await world.applications.until("queued", "answered", ({ operation }) => operation === undefined);
});

test("a failed sync is tried again as often and as slowly as it asks, and says so", async () => {
  const { world } = await manual("retried", {
    "pre.yaml": job("pre", hook("PreSync"), { fails: true }),
    "cm.yaml": configMap("settings"),
  });
  const retry = { limit: 1, backoff: { duration: "1s" } };
  const waits = ({ message }: { message?: string }) => /Retrying attempt #1 at \d{4}-/.test(message ?? "");
  const during = await operate(world, "retried", {}, waits, { retry });
  expect(during.status?.operationState?.phase).toBe("Running");
  const app = await world.applications.until("retried", "Failed", (a) => a.status?.operationState?.phase === "Failed");
  expect(app.status?.operationState).toMatchObject({ retryCount: 1 });
});

test("a retry with refresh takes the revision that is newest then", async () => {
  const { world } = await manual("refreshed", {
    "pre.yaml": job("pre", hook("PreSync"), { fails: true }),
    "cm.yaml": configMap("settings"),
  });
  const waits = ({ message }: { message?: string }) => /Retrying attempt #1/.test(message ?? "");
  const retry = { limit: 3, refresh: true, backoff: { duration: "2s" } };
  await operate(world, "refreshed", {}, waits, { retry });
  const sha = await world.git.commitFiles("refreshed", { "app/pre.yaml": job("pre", hook("PreSync")) }, "repaired");
  const app = await world.applications.until(
    "refreshed",
    "Succeeded",
    (a) => a.status?.operationState?.phase === "Succeeded",
  );
  expect(app.status?.operationState?.syncResult?.revision).toBe(sha);
});

test("a rollback brings back revision and source of a history entry, though the Application follows another", async () => {
  const { world, url, commit } = await manual("rolled", { "cm.yaml": configMap("settings", { key: "old" }) });
  const first = await operate(world, "rolled");
  const old = first.status!.history![0] as unknown as { revision: string; source: Record<string, unknown> };
  await commit({
    "app/cm.yaml": configMap("settings", { key: "new" }),
    "other/cm.yaml": configMap("settings", { key: "elsewhere" }),
  });
  await operate(world, "rolled");
  expect(await value("rolled")).toBe("new");
  await world.applications.patch("rolled", { spec: { source: { repoURL: url, path: "other" } } });
  await world.applications.until("rolled", "follows another path", (a) => a.status?.sync?.status === "OutOfSync");
  const app = await operate(world, "rolled", {
    revision: old.revision,
    source: old.source,
    syncStrategy: { apply: {} },
  });
  expect(app.status?.operationState?.phase).toBe("Succeeded");
  expect(await value("rolled")).toBe("old");
  expect(app.status?.history?.map(({ id }) => id)).toEqual([0, 1, 2]);
  expect(app.status?.history?.at(-1)).toMatchObject({ revision: old.revision, source: { path: "app" } });
  await world.applications.until("rolled", "compared with its own source", (a) => {
    const sync = a.status?.sync as { comparedTo?: { source?: { path?: string } } } | undefined;
    return sync?.comparedTo?.source?.path === "other" && a.status?.sync?.status === "OutOfSync";
  });
});

test("what is not built, and an operation of nothing, end with what is wrong", async () => {
  const { world } = await manual("refusing", { "cm.yaml": configMap("settings") });
  const app = await operate(world, "refusing", { syncOptions: ["Novelty=true"] });
  const message = expect.stringContaining("operation.sync.syncOptions[Novelty=true]");
  expect(app.status?.operationState).toMatchObject({ phase: "Error", message });
  const nothing = await operate(world, "refusing", {}, undefined, { sync: null });
  expect(nothing.status?.operationState).toMatchObject({
    phase: "Error",
    message: expect.stringContaining("Invalid operation request: no operation specified"),
  });
});

test("local manifests are applied instead of the source's, as YAML as in Git, and leave no history", async () => {
  const { world } = await manual("local", { "cm.yaml": configMap("settings", { key: "git" }) });
  await operate(world, "local");
  const yaml =
    'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {key: "on"}\n---\n' + configMap("second");
  const json = JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "third" }, data: { n: "1" } });
  const dry = await operate(world, "local", { manifests: [yaml, json], dryRun: true });
  expect(dry.status?.operationState?.syncResult?.resources?.map(({ message }) => message)).toEqual([
    "configmap/settings configured (dry run)",
    "configmap/second created (dry run)",
    "configmap/third created (dry run)",
  ]);
  expect(await value("local")).toBe("git");
  const app = await operate(world, "local", { manifests: [yaml, json] });
  expect(app.status?.operationState).toMatchObject({
    phase: "Succeeded",
    message: "successfully synced (all tasks run)",
  });
  expect(await value("local")).toBe("on");
  expect(await exists("local", "configmap", "third")).toBe(true);
  expect(app.status?.history).toHaveLength(1);
  // What Git has is what is desired, still.
  const after = await world.applications.until(
    "local",
    "compared with Git",
    ({ status }) => status?.sync?.status === "OutOfSync",
  );
  expect(after.status?.sync?.revision).toBe(app.status?.history?.[0]?.revision);
  for (const wrong of ["kind: ConfigMap\n", "apiVersion: v1\nkind: [ConfigMap\nmetadata: {}\n"]) {
    const broken = await operate(world, "local", { manifests: [json, wrong] });
    expect(broken.status?.operationState).toMatchObject({
      phase: "Error",
      message: expect.stringMatching(/\[MANIFEST_INVALID\].*operation\.sync\.manifests\[1\]/),
    });
  }
});

test("local manifests keep to the AppProject, and are refused while automation would take them back", async () => {
  const { world } = await manual("bounded", { "cm.yaml": configMap("settings") });
  const spec = { sourceRepos: ["*"], destinations: [{ server: "*", namespace: "bounded" }] };
  const project = {
    apiVersion: "argoproj.io/v1alpha1",
    kind: "AppProject",
    metadata: { name: "bounded", namespace: "argocd" },
    spec,
  };
  await apply(world, project);
  await world.applications.patch("bounded", { spec: { project: "bounded" } });
  const role = {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: { name: "bounded" },
    rules: [],
  };
  const elsewhere = configMap("elsewhere").replace("metadata:\n", "metadata:\n  namespace: default\n");
  const denied = await operate(world, "bounded", { manifests: [JSON.stringify(role), elsewhere] });
  expect(denied.status?.operationState?.phase).toBe("Failed");
  expect(denied.status?.operationState?.message).toMatch(
    /^one or more synchronization tasks are not valid: \[PROJECT_DENIED\] .*ClusterRole bounded.*ConfigMap default\/elsewhere/,
  );
  expect(await kubectl(world, "get", "clusterrole", "bounded", "--ignore-not-found")).toBe("");
  await world.applications.patch("bounded", { spec: { syncPolicy: { automated: {} } } });
  const refused = await operate(world, "bounded", { manifests: [configMap("settings")] });
  expect(refused.status?.operationState).toMatchObject({
    phase: "Error",
    message: expect.stringContaining("cannot use local sync when Automatic Sync Policy is enabled unless for dry run"),
  });
});

test("A#14082, A#6264, kargo#1845: the stream tells every operation: who asked, how, and what became of each object", async () => {
  const { world, commit } = await manual("told", { "a.yaml": configMap("a"), "b.yaml": configMap("b") });
  const { told, stop } = await followTold(world, "told");
  await operate(world, "told");
  await commit({ "app/b.yaml": null });
  await operate(world, "told", { prune: true });
  await operate(world, "told", { syncOptions: ["Novelty=true"] });
  await world.applications.patch("told", { metadata: { finalizers: ["resources-finalizer.argocd.argoproj.io"] } });
  await world.applications.delete("told");
  const operations = () =>
    told.flatMap(({ operation }) => (operation && operation.phase !== "Running" ? [operation] : []));
  await eventually("the deletion is told", () => operations().length === 4);
  await stop();
  const [first, pruned, refused, deleted] = operations();
  expect(first).toMatchObject({
    phase: "Succeeded",
    automated: false,
    username: "tester",
    requestedBy: expect.stringMatching(/./),
    server: "https://kubernetes.default.svc",
    manifestsDigest: expect.stringMatching(/^[0-9a-f]{64}$/),
    syncOptions: ["CreateNamespace=true"],
    resultsTotal: 2,
  });
  expect(first!.results!.map(({ name, status }) => `${name} ${status}`)).toEqual(["a Synced", "b Synced"]);
  expect(told.find(({ to }) => to === "Syncing")?.operation).toMatchObject({ phase: "Running", username: "tester" });
  expect(pruned).toMatchObject({ prune: true });
  expect(pruned!.results!.find(({ name }) => name === "b")).toMatchObject({ status: "Pruned" });
  expect(refused).toMatchObject({ phase: "Error", username: "tester", message: expect.stringContaining("Novelty") });
  expect(deleted).toMatchObject({ id: expect.stringMatching(/-delete$/), phase: "Succeeded" });
  expect(deleted!.results).toMatchObject([{ name: "a", status: "Pruned", message: "deleted" }]);
});

test("hooks go with their Application, finalizers or not", async () => {
  const { world } = await manual(
    "leaving",
    { "pre.yaml": job("pre", hook("PreSync"), { hangs: true }), "cm.yaml": configMap("settings") },
    { finalizers: ["resources-finalizer.argocd.argoproj.io"] },
  );
  await operate(world, "leaving", {}, ({ message }) => message?.startsWith("waiting for completion") ?? false);
  await world.applications.delete("leaving");
  await eventually("the Application is gone", async () => !(await exists("argocd", "application", "leaving")));
  await eventually("and its hook", async () => !(await exists("leaving", "job", "pre")));
});
