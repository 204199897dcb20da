// Replace=true and Force=true (contract §2): objects that are written whole, or made anew.
import { expect, test } from "vitest";
import { configMap, deployment, eventually, kubectl, kubectlJson, useWorld } from "../harness/story.ts";
import { CRDS, applyingIn, asking, crd, message } from "./applying.ts";
import { job, manualIn, operate } from "./sync.ts";

const use = useWorld();
const manual = manualIn(use);
const { automated, expectQuiet, get, make, merge } = applyingIn(use);

const recreating = (options: string, more = "") =>
  asking(deployment("web", { extra: `  strategy: {type: Recreate}\n${more}` }), options);

/** As somebody made it, with fields that Git does not name. */
async function madeBySomebody(namespace: string): Promise<void> {
  await kubectl(use.world, "create", "namespace", namespace);
  const container = { name: "web", image: "registry.example.com/web:0" };
  const spec = {
    replicas: 2,
    minReadySeconds: 1,
    strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 2, maxUnavailable: 0 } },
    selector: { matchLabels: { app: "web" } },
    template: { metadata: { labels: { app: "web" } }, spec: { containers: [container] } },
  };
  const metadata = { name: "web", labels: { theirs: "1" } };
  const text = JSON.stringify({ apiVersion: "apps/v1", kind: "Deployment", metadata, spec });
  await make(`/apis/apps/v1/namespaces/${namespace}/deployments`, text, { fieldManager: "somebody" });
}

test("Replace=true writes an object whole: fields of others that Git does not name go, and its drift is seen", async () => {
  await madeBySomebody("replace");
  const { uid } = (await get("replace", "deployment", "web")).metadata;
  const world = await automated("replace", { "web.yaml": recreating("Replace=true", "  revisionHistoryLimit: 3\n") });
  const app = await world.applications.synced("replace");
  expect(app.status?.operationState?.syncResult?.resources).toMatchObject([
    { message: "deployment.apps/web replaced" },
  ]);
  const live = await get("replace", "deployment", "web");
  expect(live.metadata.uid).toBe(uid);
  expect(live.metadata.labels).toBeUndefined();
  expect(live.spec).toMatchObject({ replicas: 1, strategy: { type: "Recreate" }, revisionHistoryLimit: 3 });
  expect(live.spec.strategy.rollingUpdate).toBeUndefined();
  await expectQuiet("replace", "deployment");

  await merge("replace", "deployment", "web", { metadata: { labels: { theirs: "2" } } });
  await merge("replace", "deployment", "web", { spec: { replicas: 3 } });
  await eventually("healed", async () => (await get("replace", "deployment", "web")).spec.replicas === 1);
  await world.applications.synced("replace");
  await expectQuiet("replace", "deployment");
  // What Git takes away is noticed though nothing else differs.
  await world.git.commitFiles("replace", { "app/web.yaml": recreating("Replace=true") }, "drop");
  await kubectl(world, "annotate", "-n", "argocd", "application", "replace", "argocd.argoproj.io/refresh=normal");
  await eventually(
    "taken away",
    async () => (await get("replace", "deployment", "web")).spec.revisionHistoryLimit === 10,
  );
});

test("what Git sets is ours after a replacement, also what somebody had set to the same before: its drift is seen", async () => {
  const text = (data: Record<string, string>) => asking(configMap("web", data), "Replace=true");
  const world = await automated("same", { "a.yaml": text({ key: "1", gone: "1" }) });
  await world.applications.synced("same");
  await merge("same", "configmap", "web", { data: { more: "x" } });
  const sha = await world.git.commitFiles("same", { "app/a.yaml": text({ key: "1", more: "x" }) }, "change");
  await kubectl(world, "annotate", "-n", "argocd", "application", "same", "argocd.argoproj.io/refresh=normal");
  await world.applications.synced("same", sha);
  expect((await get("same", "configmap", "web")).data).toEqual({ key: "1", more: "x" });
  await merge("same", "configmap", "web", { data: { more: "y" } });
  await eventually("healed", async () => (await get("same", "configmap", "web")).data.more === "x");
});

test("a suspicion is no reason to replace: what others add where Git has an empty map stays", async () => {
  const world = await automated("addition", { "a.yaml": asking(configMap("web", {}), "Replace=true") });
  await world.applications.synced("addition");
  await merge("addition", "configmap", "web", { data: { theirs: "1" } });
  await expectQuiet("addition", "configmap");
  expect((await get("addition", "configmap", "web")).data).toEqual({ theirs: "1" });
});

test("a Namespace and a CRD are replaced in place, never made anew, whatever forces it", async () => {
  await kubectl(use.world, "create", "namespace", "kept");
  await kubectl(use.world, "create", "configmap", "-n", "kept", "inside");
  await make(CRDS, crd("kepts", "Kept"));
  await make(
    "/apis/example.com/v1/namespaces/default/kepts",
    JSON.stringify({ apiVersion: "example.com/v1", kind: "Kept", metadata: { name: "inside" } }),
  ).catch(() => undefined);
  const before = await Promise.all([
    kubectlJson(use.world, "get", "namespace", "kept"),
    kubectlJson(use.world, "get", "crd", "kepts.example.com"),
  ]);
  const labelled = (text: string) =>
    JSON.stringify({ ...JSON.parse(text), metadata: { ...JSON.parse(text).metadata, labels: { of: "git" } } });
  const files = {
    "ns.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: kept, labels: {of: git}}\n",
    "crd.json": labelled(crd("kepts", "Kept")),
  };
  const { world } = await manual("kept", files, { syncOptions: ["Replace=true", "Force=true"] });
  expect((await operate(world, "kept")).status?.operationState?.phase).toBe("Succeeded");
  const after = await Promise.all([
    kubectlJson(use.world, "get", "namespace", "kept"),
    kubectlJson(use.world, "get", "crd", "kepts.example.com"),
  ]);
  for (const [index, { metadata }] of after.entries()) {
    expect(metadata.uid).toBe(before[index].metadata.uid);
    expect(metadata.labels).toMatchObject({ of: "git" });
  }
});

const image = (text: string, version: number) =>
  text.replace("registry.example.com/job:1", `registry.example.com/job:${version}`);

test("Force=true makes anew what cannot be changed, of an object or of a whole operation, and nothing else", async () => {
  const forced = job("forced", { "argocd.argoproj.io/sync-options": "Force=true" });
  const plain = job("plain", {});
  const { world, commit } = await manual("force", {
    "a.yaml": forced,
    "b.yaml": plain,
    "cm.yaml": asking(configMap("cm"), "Force=true"),
  });
  await operate(world, "force");
  const uids = async () =>
    Promise.all(
      ["job/forced", "job/plain", "configmap/cm"].map(async (what) => {
        const [kind, name] = what.split("/");
        return (await get("force", kind!, name!)).metadata.uid as string;
      }),
    );
  const before = await uids();
  await commit({ "app/a.yaml": image(forced, 2), "app/cm.yaml": asking(configMap("cm", { key: "2" }), "Force=true") });
  const app = await operate(world, "force");
  expect(app.status?.operationState).toMatchObject({ phase: "Succeeded" });
  const forcedAfter = await uids();
  expect(forcedAfter[0]).not.toBe(before[0]);
  expect(forcedAfter.slice(1)).toEqual(before.slice(1));
  await expectQuiet("force", "job", "forced");

  await commit({ "app/b.yaml": image(plain, 2) });
  expect(message(await operate(world, "force"))).toContain("field is immutable");
  expect(await uids()).toEqual(forcedAfter);
  await operate(world, "force", { syncStrategy: { apply: { force: true } } });
  const last = await uids();
  expect(last[1]).not.toBe(forcedAfter[1]);
  expect([last[0], last[2]]).toEqual([forcedAfter[0], forcedAfter[2]]);
});

test("Force=true with Replace=true makes anew whatever differs", async () => {
  const text = (value: string) => asking(configMap("web", { key: value }), "Force=true,Replace=true");
  const world = await automated("remake", { "a.yaml": text("1") });
  await world.applications.synced("remake");
  const { uid } = (await get("remake", "configmap", "web")).metadata;
  await merge("remake", "configmap", "web", { data: { key: "drift" } });
  await eventually("made anew", async () => {
    const now = await get("remake", "configmap", "web").catch(() => undefined);
    return now?.data.key === "1" && now.metadata.uid !== uid;
  });
  await world.applications.synced("remake");
  await expectQuiet("remake", "configmap");
});

test("what is forced and replaced is made anew by every sync of the whole app, unless that applies only what differs", async () => {
  const always = job("always", { "argocd.argoproj.io/sync-options": "Force=true,Replace=true" });
  const { world } = await manual("always", { "a.yaml": always, "b.yaml": configMap("b") });
  const uid = async () => (await get("always", "job", "always")).metadata.uid as string;
  await operate(world, "always");
  const first = await uid();
  const app = await operate(world, "always");
  const second = await uid();
  expect(second).not.toBe(first);
  expect(app.status?.operationState?.syncResult?.resources).toContainEqual(
    expect.objectContaining({ kind: "Job", message: "job.batch/always replaced" }),
  );
  await operate(world, "always", { syncOptions: ["ApplyOutOfSyncOnly=true"] });
  await operate(world, "always", { resources: [{ kind: "ConfigMap", name: "b" }] });
  await operate(world, "always", { dryRun: true });
  await expectQuiet("always", "job", "always");
  expect(await uid()).toBe(second);
});

test("what asks not to be deleted, in Git or in the cluster, is not deleted to be made anew", async () => {
  const annotations = (more: string) => ({ "argocd.argoproj.io/sync-options": `Force=true${more}` });
  const { world, commit } = await manual("guarded", {
    "a.yaml": job("careful", annotations(",Delete=false")),
    "b.yaml": job("helm", { ...annotations(""), "helm.sh/resource-policy": "keep" }),
  });
  await operate(world, "guarded");
  const uids = async () => Promise.all(["careful", "helm"].map((name) => get("guarded", "job", name))).then(ids);
  const ids = (objects: { metadata: { uid: string } }[]) => objects.map(({ metadata }) => metadata.uid);
  const before = await uids();
  await commit({
    // The word is taken back in Git, but the object that is there still has it.
    "app/a.yaml": job("careful", annotations(""), { spec: "  completions: 2\n" }),
    "app/b.yaml": job(
      "helm",
      { ...annotations(""), "helm.sh/resource-policy": "keep" },
      { spec: "  completions: 2\n" },
    ),
  });
  const told = message(await operate(world, "guarded"));
  expect(told).toContain("has Delete=false, so it is not deleted to make it anew");
  expect(told).toContain("has helm.sh/resource-policy: keep, so it is not deleted to make it anew");
  expect(await uids()).toEqual(before);
});

test("what this Application does not track, or what the API server would not take again, is not deleted to be made anew", async () => {
  await kubectl(use.world, "create", "namespace", "strange");
  await kubectl(use.world, "create", "job", "-n", "strange", "theirs", "--image=registry.example.com/job:0");
  const { world, commit } = await manual("strange", {
    "a.yaml": job("theirs", { "argocd.argoproj.io/sync-options": "Force=true" }),
  });
  const { uid } = (await get("strange", "job", "theirs")).metadata;
  expect(message(await operate(world, "strange"))).toContain(
    "is not tracked by this Application, so it is not deleted to make it anew",
  );
  expect((await get("strange", "job", "theirs")).metadata.uid).toBe(uid);

  const mine = (more: string) => job("mine", { "argocd.argoproj.io/sync-options": "Force=true" }, { spec: more });
  await commit({ "app/a.yaml": null, "app/b.yaml": mine("") });
  await operate(world, "strange");
  const own = (await get("strange", "job", "mine")).metadata.uid;
  await commit({ "app/b.yaml": mine("  completions: -1\n") });
  expect(message(await operate(world, "strange"))).toContain("spec.completions");
  expect((await get("strange", "job", "mine")).metadata.uid).toBe(own);
});
