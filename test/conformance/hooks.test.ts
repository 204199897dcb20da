// Hooks: run in their phase, once, cleaned up by their policies, and never part of sync status or health (contract §3).
import { spawn } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { configMap, eventually, kubectl, kubectlJson, useWorld } from "../harness/story.ts";
import type { World } from "../harness/world.ts";
import { annotated, hook, job, manualIn, operate } from "./sync.ts";

const use = useWorld();
const manual = manualIn(use);

const jobs = async (world: World, namespace: string) =>
  (await kubectlJson(world, "get", "jobs", "-n", namespace)).items as {
    metadata: { name: string; uid: string; creationTimestamp: string; finalizers?: string[] };
    status: { completionTime?: string };
  }[];

test("PreSync is over before the first object is applied, PostSync begins after; hooks are in no status", async () => {
  const { world } = await manual("phases", {
    "pre.yaml": job("pre", hook("PreSync")),
    "cm.yaml": configMap("settings"),
    "post.yaml": job("post", hook("PostSync")),
    "skip.yaml": annotated(configMap("skipped"), hook("Skip")),
  });
  const app = await operate(world, "phases");
  expect(app.status?.operationState).toMatchObject({
    phase: "Succeeded",
    message: "successfully synced (no more tasks)",
  });
  const results = app.status?.operationState?.syncResult?.resources ?? [];
  expect(
    results.map(({ name, hookType, hookPhase, syncPhase }) => [name, hookType, hookPhase, syncPhase].join()),
  ).toEqual(["settings,,Running,Sync", "post,PostSync,Succeeded,PostSync", "pre,PreSync,Succeeded,PreSync"]);
  expect(results.find(({ name }) => name === "pre")?.message).toBe("Reached expected number of succeeded pods");
  expect(app.status?.sync?.status).toBe("Synced");
  expect(app.status?.resources?.map(({ name }) => name)).toEqual(["settings"]);
  const [post, pre] = await jobs(world, "phases");
  const { metadata } = await kubectlJson(world, "get", "-n", "phases", "configmap", "settings");
  expect(pre!.status.completionTime! <= metadata.creationTimestamp).toBe(true);
  expect(metadata.creationTimestamp <= post!.metadata.creationTimestamp).toBe(true);
  expect(await kubectl(world, "get", "-n", "phases", "configmap", "skipped", "--ignore-not-found")).toBe("");
  // Let go of, so that a person may delete them.
  for (const { metadata: left } of [pre!, post!]) {
    expect(left.finalizers ?? []).not.toContain("argocd.argoproj.io/hook-finalizer");
  }
});

test("BeforeHookCreation, the default, replaces what the last sync left; other policies delete after it", async () => {
  const policy = (name: string) => ({ "argocd.argoproj.io/hook-delete-policy": name });
  const { world } = await manual("policies", {
    "again.yaml": job("again", hook("PreSync")),
    "gone.yaml": job("gone", hook("Sync", policy("HookSucceeded"))),
    "kept.yaml": job("kept", hook("Sync", policy("HookFailed,BeforeHookCreation"))),
    "cm.yaml": configMap("settings"),
  });
  await operate(world, "policies");
  const first = await jobs(world, "policies");
  expect(first.map(({ metadata: { name } }) => name)).toEqual(["again", "kept"]);
  await operate(world, "policies");
  const second = await jobs(world, "policies");
  expect(second.map(({ metadata: { name } }) => name)).toEqual(["again", "kept"]);
  expect(second[0]!.metadata.uid).not.toBe(first[0]!.metadata.uid);
});

test("a generated name says revision and phase, and is another for each sync", async () => {
  const { world } = await manual("generated", {
    "migrate.yaml": job("migrate-", hook("PreSync"), { generated: true }),
    "cm.yaml": configMap("settings"),
  });
  const app = await operate(world, "generated");
  const revision = app.status!.sync!.revision!.slice(0, 7);
  const [first] = await jobs(world, "generated");
  expect(first!.metadata.name).toMatch(new RegExp(`^migrate-${revision}-presync-[0-9a-f]{10}$`));
  await operate(world, "generated");
  expect(await jobs(world, "generated")).toHaveLength(2);
});

test("a hook that fails ends the sync before its objects, after the SyncFail hooks", async () => {
  const { world } = await manual("failing", {
    "pre.yaml": job("pre", hook("PreSync"), { fails: true }),
    "cm.yaml": configMap("settings"),
    "sorry.yaml": job("sorry", hook("SyncFail")),
    "post.yaml": job("post", hook("PostSync")),
  });
  const app = await operate(world, "failing");
  expect(app.status?.operationState?.phase).toBe("Failed");
  expect(app.status?.operationState?.message).toMatch(
    /^one or more synchronization tasks completed unsuccessfully, reason: batch\/Job\/pre: /,
  );
  expect((await jobs(world, "failing")).map(({ metadata: { name } }) => name)).toEqual(["pre", "sorry"]);
  expect(await kubectl(world, "get", "-n", "failing", "configmap", "settings", "--ignore-not-found")).toBe("");
  const results = app.status?.operationState?.syncResult?.resources ?? [];
  expect(results.filter(({ hookType }) => hookType).map(({ name, hookPhase }) => `${name} ${hookPhase}`)).toEqual([
    "pre Failed",
    "sorry Succeeded",
  ]);
});

test("SyncFail hooks do not run when all went well, nor when the dry run refused", async () => {
  const { world } = await manual("nofail", {
    "cm.yaml": configMap("settings"),
    "sorry.yaml": job("sorry", hook("SyncFail")),
  });
  expect((await operate(world, "nofail")).status?.operationState?.phase).toBe("Succeeded");
  expect(await jobs(world, "nofail")).toEqual([]);
  await kubectl(use.world, "create", "namespace", "refused");
  const { world: refused } = await manual("refused", {
    "cm.yaml": configMap("settings"),
    "pre.yaml": job("pre", hook("PreSync"), { spec: "  completionMode: Nonsense\n" }),
    "sorry.yaml": job("sorry", hook("SyncFail")),
  });
  const app = await operate(refused, "refused");
  expect(app.status?.operationState?.message).toMatch(/^one or more objects failed to apply \(dry run\)/);
  expect(app.status?.operationState?.message).toContain("completionMode");
  expect(await jobs(refused, "refused")).toEqual([]);
  expect(await kubectl(refused, "get", "-n", "refused", "configmap", "settings", "--ignore-not-found")).toBe("");
});

test("while a hook runs, the operation says which it waits for", async () => {
  const { world } = await manual("waits", {
    "pre.yaml": job("never", hook("PreSync"), { hangs: true }),
    "cm.yaml": configMap("settings"),
  });
  await operate(world, "waits", {}, ({ message }) => message === "waiting for completion of hook batch/Job/never");
  await world.applications.patch("waits", { status: { operationState: { phase: "Terminating" } } });
  const app = await world.applications.until("waits", "ended", (a) => a.status?.operationState?.phase === "Failed");
  expect(app.status?.operationState?.message).toBe("Operation terminated");
  expect(await jobs(world, "waits")).toEqual([]);
});

test("A#20119: a Job that its TTL takes away at once has still succeeded", async () => {
  const { world } = await manual("ttl", {
    "pre.yaml": job("quick", hook("PreSync"), { spec: "  ttlSecondsAfterFinished: 0\n" }),
    "cm.yaml": configMap("settings"),
  });
  const app = await operate(world, "ttl");
  expect(app.status?.operationState?.phase).toBe("Succeeded");
  await eventually("the Job is gone", async () => (await jobs(world, "ttl")).length === 0);
});

test("a hook that somebody deletes while it runs has failed", async () => {
  const { world } = await manual("taken", {
    "pre.yaml": job("taken", hook("PreSync"), { hangs: true }),
    "cm.yaml": configMap("settings"),
  });
  await operate(world, "taken", {}, ({ message }) => message?.startsWith("waiting for completion of hook") ?? false);
  await kubectl(world, "delete", "job", "-n", "taken", "taken", "--wait=false");
  const app = await world.applications.until("taken", "ended", (a) => a.status?.operationState?.phase === "Failed");
  expect(app.status?.operationState?.message).toContain("is missing, it might have been deleted");
});

test("Helm's hook annotations are understood, and its tests are not run", async () => {
  const { world } = await manual("helmhooks", {
    "pre.yaml": job("pre", { "helm.sh/hook": "pre-install,pre-upgrade", "helm.sh/hook-weight": "-5" }),
    "post.yaml": job("post", { "helm.sh/hook": "post-install", "helm.sh/hook-delete-policy": "hook-succeeded" }),
    "test.yaml": job("test", { "helm.sh/hook": "test" }),
    "cm.yaml": configMap("settings"),
  });
  const app = await operate(world, "helmhooks");
  const results = app.status?.operationState?.syncResult?.resources ?? [];
  expect(results.filter(({ hookType }) => hookType).map(({ name, hookType }) => `${name} ${hookType}`)).toEqual([
    "post PostSync",
    "pre PreSync",
  ]);
  expect((await jobs(world, "helmhooks")).map(({ metadata: { name } }) => name)).toEqual(["pre"]);
});

test("an object that becomes a hook is not pruned; a foreign object of a hook's name is not deleted for it", async () => {
  const { world } = await manual("foreign", { "cm.yaml": configMap("settings") });
  await operate(world, "foreign");
  await kubectl(world, "create", "configmap", "-n", "foreign", "theirs", "--from-literal=a=b");
  const sha = await world.git.commitFiles(
    "foreign",
    {
      "app/cm.yaml": annotated(configMap("settings"), hook("Sync")),
      "app/theirs.yaml": annotated(configMap("theirs"), hook("PreSync")),
      "app/other.yaml": configMap("other"),
    },
    "hooks",
  );
  await kubectl(world, "annotate", "-n", "argocd", "application", "foreign", "argocd.argoproj.io/refresh=normal");
  await world.applications.until("foreign", "refreshed", (a) => a.status?.sync?.revision === sha);
  const app = await operate(world, "foreign", { prune: true });
  expect(app.status?.operationState?.phase).toBe("Failed");
  expect(app.status?.operationState?.message).toContain("RESOURCE_OWNED_BY_OTHER");
  expect(await kubectl(world, "get", "-n", "foreign", "configmap", "settings", "-o", "name")).toContain("settings");
});

test("kill -9 at any moment of a sync with hooks: each hook runs once, and the sync comes to its end", async () => {
  const { world } = use;
  const name = "killed";
  await manual(name, {
    "pre.yaml": job("pre", hook("PreSync")),
    "made.yaml": job("made-", hook("PreSync", { "argocd.argoproj.io/sync-wave": "1" }), { generated: true }),
    "a.yaml": configMap("a"),
    "b.yaml": annotated(configMap("b"), { "argocd.argoproj.io/sync-wave": "1" }),
    "mid.yaml": job("mid", hook("Sync", { "argocd.argoproj.io/hook-delete-policy": "HookSucceeded" })),
    "post.yaml": job("post", hook("PostSync")),
  });
  const seen = watchJobs(world, name);
  const rounds = 10;
  for (let round = 0; round < rounds; round++) {
    const asked = Date.now();
    const ended = operate(world, name, {}, undefined);
    await eventually("the moment to kill", () => Date.now() - asked >= 40 + round * 130);
    await world.services.kill();
    await world.services.start();
    const app = await ended;
    expect(app.status?.operationState?.phase, `round ${round}: ${app.status?.operationState?.message}`).toBe(
      "Succeeded",
    );
    const hooks = app.status!.operationState!.syncResult!.resources!.filter(({ hookType }) => hookType);
    expect(hooks.map(({ hookPhase }) => hookPhase)).toEqual(Array(4).fill("Succeeded"));
  }
  await eventually("all Jobs are seen", () => seen.uids().length >= rounds * 4);
  seen.stop();
  expect(seen.uids()).toHaveLength(rounds * 4);
}, 240_000);

/** Every Job that ever was in the namespace, by uid. */
function watchJobs(world: World, namespace: string) {
  const args = ["get", "jobs", "-n", namespace, "--watch", "-o", "jsonpath={.metadata.uid}{'\\n'}"];
  const child = spawn(join(world.local.binDir, "kubectl"), ["--kubeconfig", world.local.kubeconfigPath!, ...args]);
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
  return { uids: () => [...new Set(text.split("\n").filter(Boolean))], stop: () => child.kill() };
}
