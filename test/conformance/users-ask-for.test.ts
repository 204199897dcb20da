// What users of Argo CD asked for in vain, by the number of their issue: the old trouble, and that it is gone.
import { expect, test } from "vitest";
import { configMap, deployment, eventually, kubectl, kubectlJson, push, useWorld } from "../harness/story.ts";
import { annotated, hook, job, operate } from "./sync.ts";

const use = useWorld();
const REFRESH = "argocd.argoproj.io/refresh";

async function automated(name: string, files: Record<string, string>, spec: Record<string, unknown> = {}) {
  const { world } = use;
  const { url } = await world.git.createRepository(
    name,
    Object.fromEntries(Object.entries(files).map(([file, text]) => [`app/${file}`, text])),
  );
  await world.applications.create({ name, repoURL: url, path: "app", ...spec });
  return { world, url };
}

const annotate = (name: string, ...annotations: string[]) =>
  kubectl(use.world, "annotate", "-n", "argocd", "application", name, "--overwrite", ...annotations);

/** Asks for a look and waits until it is over. */
async function refreshed(name: string): Promise<void> {
  await annotate(name, `${REFRESH}=normal`);
  await use.world.applications.until(name, "refreshed", ({ metadata }) => !metadata.annotations?.[REFRESH]);
}

const valueOf = async (namespace: string) =>
  (await kubectlJson(use.world, "get", "-n", namespace, "configmap", "settings")).data.key as string;
const uidOf = async (namespace: string, kind: string, name: string) =>
  (await kubectlJson(use.world, "get", "-n", namespace, kind, name)).metadata.uid as string;

/** An object that refuses to become what Git says, until somebody deletes it. */
async function unyielding(namespace: string): Promise<void> {
  const { world } = use;
  await kubectl(world, "create", "namespace", namespace);
  await kubectl(world, "create", "-n", namespace, "configmap", "settings", "--from-literal=key=theirs");
  await kubectl(world, "patch", "-n", namespace, "configmap", "settings", "-p", '{"immutable":true}');
}

test("A#18442: a failed sync is tried again by itself, without a new commit and without end", async () => {
  await unyielding("again");
  const { world } = await automated("again", { "cm.yaml": configMap("settings") });
  const failed = await world.applications.condition("again", "APPLY_INVALID");
  expect(failed.status?.conditions?.[0]?.message).toContain("Failed last sync attempt to");
  await kubectl(world, "delete", "-n", "again", "configmap", "settings");
  const app = await world.applications.until(
    "again",
    "synced",
    ({ status }) => status?.operationState?.phase === "Succeeded",
    60_000,
  );
  expect(app.status?.conditions ?? []).toEqual([]);
  expect(await valueOf("again")).toBe("value");
});

test("A#15624: retry.limit 0 means not once more, until there is a new commit", async () => {
  await unyielding("never");
  const { world, url } = await automated(
    "never",
    { "cm.yaml": configMap("settings") },
    {
      spec: { syncPolicy: { automated: { prune: true, selfHeal: true }, retry: { limit: 0 } } },
    },
  );
  const failed = await world.applications.condition("never", "APPLY_INVALID");
  expect(failed.status?.operationState).toMatchObject({ phase: "Failed" });
  expect(failed.status?.operationState).not.toHaveProperty("retryCount");
  await kubectl(world, "delete", "-n", "never", "configmap", "settings");
  await refreshed("never");
  const still = await world.applications.get("never");
  expect(still.status?.operationState?.finishedAt).toBe(failed.status?.operationState?.finishedAt);
  expect(still.status?.sync?.status).toBe("OutOfSync");
  const sha = await world.git.commitFiles("never", { "app/cm.yaml": configMap("settings", { key: "new" }) }, "new");
  await push(world, url);
  await world.applications.synced("never", sha);
});

test("A#11494: a newer commit is taken between two attempts, whatever the pause between them", async () => {
  const { world, url } = await automated(
    "overtaken",
    { "pre.yaml": job("pre", hook("PreSync"), { fails: true }), "cm.yaml": configMap("settings") },
    {
      spec: {
        syncPolicy: {
          automated: {},
          syncOptions: ["CreateNamespace=true"],
          retry: { limit: 5, backoff: { duration: "10m", maxDuration: "1h" } },
        },
      },
    },
  );
  await world.applications.until("overtaken", "waits for its next attempt", ({ status }) =>
    /Retrying attempt #1/.test(status?.operationState?.message ?? ""),
  );
  const sha = await world.git.commitFiles("overtaken", { "app/pre.yaml": job("pre", hook("PreSync")) }, "repaired");
  await push(world, url);
  await world.applications.until("overtaken", "synced to the newer commit", ({ status }) => {
    const state = status?.operationState;
    return state?.phase === "Succeeded" && state.syncResult?.revision === sha;
  });
});

test("A#21599: heals in a row are counted and slowed down, and a new commit begins the counting anew", async () => {
  const { world, url } = await automated("counted", { "cm.yaml": configMap("settings") });
  await world.applications.synced("counted");
  const healed = async (count: number) => {
    await kubectl(world, "patch", "-n", "counted", "configmap", "settings", "-p", `{"data":{"key":"theirs"}}`);
    await world.applications.until("counted", `heal ${count}`, ({ status }) => {
      const { sync } = (status?.operationState?.operation ?? {}) as { sync?: { autoHealAttemptsCount?: number } };
      return sync?.autoHealAttemptsCount === count && status?.sync?.status === "Synced";
    });
    expect(await valueOf("counted")).not.toBe("theirs");
  };
  await healed(1);
  await healed(2);
  const sha = await world.git.commitFiles("counted", { "app/cm.yaml": configMap("settings", { key: "new" }) }, "new");
  await push(world, url);
  await world.applications.synced("counted", sha);
  await healed(1);
});

test("A#22795: a sync right after the first runs its hooks; A#18569: so does a heal, when asked to", async () => {
  const { world, url } = await automated("hooked", {
    "pre.yaml": job("pre", hook("PreSync")),
    "cm.yaml": configMap("settings"),
  });
  await world.applications.synced("hooked");
  const first = await uidOf("hooked", "job", "pre");
  const sha = await world.git.commitFiles("hooked", { "app/cm.yaml": configMap("settings", { key: "new" }) }, "new");
  await push(world, url);
  await world.applications.synced("hooked", sha);
  const second = await uidOf("hooked", "job", "pre");
  expect(second).not.toBe(first);
  const before = await uidOf("hooked", "configmap", "settings");
  await kubectl(world, "delete", "-n", "hooked", "configmap", "settings");
  await eventually(
    "healed",
    async () => (await uidOf("hooked", "configmap", "settings").catch(() => before)) !== before,
  );
  await world.applications.synced("hooked");
  expect(await uidOf("hooked", "job", "pre")).toBe(second);
  await annotate("hooked", "driftless.io/self-heal-hooks=true");
  await kubectl(world, "patch", "-n", "hooked", "configmap", "settings", "-p", `{"data":{"key":"theirs"}}`);
  await eventually("healed", async () => (await valueOf("hooked")) === "new");
  expect(await uidOf("hooked", "job", "pre")).not.toBe(second);
});

test("A#9570: a rollback of an automated app holds until its pin is taken away, or is over", async () => {
  const { world, url } = await automated("pinned", { "cm.yaml": configMap("settings", { key: "old" }) });
  const first = await world.applications.synced("pinned");
  const [old] = first.status!.history as unknown as { revision: string; source: Record<string, unknown> }[];
  const sha = await world.git.commitFiles("pinned", { "app/cm.yaml": configMap("settings", { key: "new" }) }, "new");
  await push(world, url);
  await world.applications.synced("pinned", sha);
  const pinUntil = (at: number) => annotate("pinned", `driftless.io/pinned-until=${new Date(at).toISOString()}`);
  const rollback = async () => {
    await pinUntil(Date.now() + 3_600_000);
    await operate(world, "pinned", { revision: old!.revision, source: old!.source, syncStrategy: { apply: {} } });
    expect(await valueOf("pinned")).toBe("old");
    await world.applications.condition("pinned", "SYNC_PINNED");
  };
  const followsGit = async () => {
    const freed = await world.applications.synced("pinned", sha);
    expect(freed.status?.conditions ?? []).toEqual([]);
    expect(await valueOf("pinned")).toBe("new");
  };
  await rollback();
  await refreshed("pinned");
  const held = await world.applications.get("pinned");
  expect(held.status?.sync).toMatchObject({ status: "OutOfSync", revision: sha });
  expect(await valueOf("pinned")).toBe("old");
  await annotate("pinned", "driftless.io/pinned-until-");
  await followsGit();
  await rollback();
  await pinUntil(Date.now() + 2_000);
  await followsGit();
});

test("A#6055, A#23523: a sync has a deadline over all its attempts, which names what it waited for", async () => {
  const { world } = await automated(
    "endless",
    { "pre.yaml": job("pre", hook("PreSync"), { hangs: true }), "cm.yaml": configMap("settings") },
    { automated: false, annotations: { "driftless.io/sync-timeout": "3s" } },
  );
  const app = await operate(world, "endless", {}, undefined, { retry: { limit: 5, backoff: { duration: "1s" } } });
  expect(app.status?.operationState).toMatchObject({
    phase: "Failed",
    message: "the sync took longer than 3s: waiting for completion of hook batch/Job/pre",
  });
  expect(app.status?.operationState).not.toHaveProperty("retryCount");
  await eventually("the hook is gone", () =>
    uidOf("endless", "job", "pre").then(
      () => false,
      () => true,
    ),
  );
});

test("A#4811: a wave and an object have deadlines too; what follows a failure follows", async () => {
  const files = (annotations: Record<string, string>) => ({
    "gate.yaml": annotated(deployment("gate", { extra: "      nodeSelector: {nowhere: really}\n" }), annotations),
    "after.yaml": annotated(configMap("settings"), { "argocd.argoproj.io/sync-wave": "1" }),
    "sorry.yaml": job("sorry", hook("SyncFail")),
  });
  const healthTimeout = { "driftless.io/health-timeout": "2s" };
  const waveTimeout = { "driftless.io/wave-timeout": "2s" };
  await automated("slow-object", files(healthTimeout), { automated: false });
  const { world } = await automated("slow-wave", files({}), { automated: false, annotations: waveTimeout });
  const waited = "waiting for healthy state of apps/Deployment/gate";
  for (const [name, message] of [
    ["slow-object", `apps/Deployment/gate took longer than 2s: ${waited}`],
    ["slow-wave", `the wave took longer than 2s: ${waited}`],
  ] as const) {
    const app = await operate(world, name);
    expect(app.status?.operationState).toMatchObject({ phase: "Failed", message });
    expect(await uidOf(name, "job", "sorry")).toBeTruthy();
    await expect(uidOf(name, "configmap", "settings")).rejects.toThrow("not found");
  }
});
