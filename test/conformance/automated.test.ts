// Automated syncs (contract §2): when one is begun, what it asks for, what it leaves, and what it never does.
import { expect, test } from "vitest";
import { configMap, eventually, kubectl, kubectlJson, push, service, useWorld } from "../harness/story.ts";
import { annotated, hook, job, operate } from "./sync.ts";

const use = useWorld();
const REFRESH = "argocd.argoproj.io/refresh";

interface OperationWritten {
  initiatedBy?: Record<string, unknown>;
  retry?: Record<string, unknown>;
  sync?: {
    autoHealAttemptsCount?: number;
    resources?: Record<string, unknown>[];
    prune?: boolean;
    syncOptions?: string[];
  };
}

async function automated(name: string, files: Record<string, string>, policy: Record<string, unknown> = {}) {
  const { world } = use;
  const { url } = await world.git.createRepository(
    name,
    Object.fromEntries(Object.entries(files).map(([file, text]) => [`app/${file}`, text])),
  );
  await world.applications.create({ name, repoURL: url, path: "app", automated: policy });
  return {
    world,
    commit: async (changes: Record<string, string | null>): Promise<string> => {
      const sha = await world.git.commitFiles(name, changes, "change");
      await push(world, url);
      return sha;
    },
    /** Synced, and what brought it there is over. */
    done: (revision?: string) =>
      world.applications.until(name, "synced", ({ status }) => {
        const isThere = status?.sync?.status === "Synced" && (!revision || status.sync.revision === revision);
        return isThere && status.operationState?.phase === "Succeeded";
      }),
    operation: async () => (await world.applications.get(name)).status!.operationState!.operation as OperationWritten,
  };
}

/** Asks for a look and waits until it is over. */
async function refreshed(name: string): Promise<void> {
  await kubectl(use.world, "annotate", "-n", "argocd", "application", name, `${REFRESH}=normal`, "--overwrite");
  await use.world.applications.until(name, "refreshed", ({ metadata }) => !metadata.annotations?.[REFRESH]);
}

const valueOf = async (namespace: string) =>
  (await kubectlJson(use.world, "get", "-n", namespace, "configmap", "settings")).data.key as string;
const tamper = (namespace: string) =>
  kubectl(use.world, "patch", "-n", namespace, "configmap", "settings", "-p", '{"data":{"key":"theirs"}}');

test("an automated sync says that it is one, how often it is tried again, and takes the app's options along", async () => {
  const { done, operation } = await automated("plain", { "cm.yaml": configMap("settings") });
  const app = await done();
  expect(await operation()).toMatchObject({
    initiatedBy: { automated: true },
    retry: { limit: 5 },
    sync: { syncOptions: ["CreateNamespace=true"] },
  });
  expect((await operation()).sync).not.toHaveProperty("autoHealAttemptsCount");
  expect(app.status?.history).toMatchObject([{ id: 0, initiatedBy: { automated: true } }]);
});

test("`enabled: false` is not automated, and switching it on syncs at once", async () => {
  const { world } = await automated("off", { "cm.yaml": configMap("settings") }, { enabled: false });
  await world.applications.until("off", "compared", ({ status }) => status?.sync?.status === "OutOfSync");
  await refreshed("off");
  expect((await world.applications.get("off")).status?.operationState).toBeUndefined();
  await world.applications.patch("off", { spec: { syncPolicy: { automated: { enabled: true } } } });
  await world.applications.synced("off");
});

test("without selfHeal a revision that was synced is not synced again, whatever becomes of its objects", async () => {
  const { world, done, commit } = await automated("once", { "cm.yaml": configMap("settings") });
  const synced = await done();
  await tamper("once");
  await world.applications.until("once", "drifted", ({ status }) => status?.sync?.status === "OutOfSync");
  await refreshed("once");
  const still = await world.applications.get("once");
  expect(still.status?.operationState?.finishedAt).toBe(synced.status?.operationState?.finishedAt);
  expect(await valueOf("once")).toBe("theirs");
  await done(await commit({ "app/more.yaml": configMap("more") }));
  expect(await valueOf("once")).toBe("value");
});

test("a heal names what it heals without namespaces, counts itself, runs no hooks and leaves no history", async () => {
  const { world, done, operation } = await automated(
    "healing",
    {
      "cm.yaml": configMap("settings"),
      "other.yaml": configMap("other"),
      "pre.yaml": job("pre", hook("PreSync")),
    },
    { selfHeal: true },
  );
  const synced = await done();
  const ran = (await kubectlJson(world, "get", "-n", "healing", "job", "pre")).metadata.uid as string;
  await tamper("healing");
  await eventually("healed", async () => (await operation()).sync?.autoHealAttemptsCount === 1);
  const app = await done();
  expect(await operation()).toMatchObject({
    initiatedBy: { automated: true },
    sync: { autoHealAttemptsCount: 1, resources: [{ kind: "ConfigMap", name: "settings" }] },
  });
  expect((await operation()).sync?.resources?.[0]).not.toHaveProperty("namespace");
  expect(app.status?.operationState?.phase).toBe("Succeeded");
  expect(app.status?.operationState?.syncResult?.resources?.map(({ name }) => name)).toEqual(["settings"]);
  expect(app.status?.history).toEqual(synced.status?.history);
  expect((await kubectlJson(world, "get", "-n", "healing", "job", "pre")).metadata.uid).toBe(ran);

  // The object is gone: no heal at once, but a partial sync after the pause for heals in a row.
  await kubectl(world, "delete", "-n", "healing", "configmap", "other");
  await eventually("made again", async () => (await operation()).sync?.autoHealAttemptsCount === 2);
  await done();
  expect((await operation()).sync?.resources).toEqual([expect.objectContaining({ kind: "ConfigMap", name: "other" })]);
  expect((await operation()).sync?.resources?.[0]).not.toHaveProperty("namespace");
});

test("without prune an app whose only differences are left-overs stays OutOfSync, and nothing is begun", async () => {
  const { world, done, commit } = await automated("leftover", {
    "cm.yaml": configMap("settings"),
    "svc.yaml": service("web"),
  });
  const synced = await done();
  const sha = await commit({ "app/svc.yaml": null });
  await world.applications.until(
    "leftover",
    "OutOfSync at the new commit",
    ({ status }) => status?.sync?.status === "OutOfSync" && status.sync.revision === sha,
  );
  await refreshed("leftover");
  const app = await world.applications.get("leftover");
  expect(app.status?.operationState?.startedAt).toBe(synced.status?.operationState?.startedAt);
  expect(app.status?.resources?.find(({ name }) => name === "web")).toMatchObject({ requiresPruning: true });
});

test("what would prune every object is refused, unless allowEmpty allows it", async () => {
  const { world, done, commit } = await automated(
    "wiped",
    { "cm.yaml": configMap("settings"), "README.md": "kept\n" },
    { prune: true },
  );
  await done();
  await commit({ "app/cm.yaml": null });
  const refused = await world.applications.condition("wiped", "WIPE_REFUSED");
  expect(refused.status?.conditions?.[0]).toMatchObject({
    type: "SyncError",
    message: expect.stringContaining("auto-sync will wipe out all resources"),
  });
  expect(await valueOf("wiped")).toBe("value");
  await world.applications.patch("wiped", { spec: { syncPolicy: { automated: { prune: true, allowEmpty: true } } } });
  await eventually("pruned", () =>
    valueOf("wiped").then(
      () => false,
      () => true,
    ),
  );
  const app = await done();
  expect(app.status?.conditions ?? []).toEqual([]);
  expect(((app.status?.operationState?.operation ?? {}) as OperationWritten).sync?.prune).toBe(true);
});

test("a revision that failed under retry.limit is not tried again, not even to heal; by hand it is", async () => {
  const { world } = use;
  await kubectl(world, "create", "namespace", "attempted");
  await kubectl(world, "create", "-n", "attempted", "configmap", "settings", "--from-literal=key=theirs");
  await kubectl(world, "patch", "-n", "attempted", "configmap", "settings", "-p", '{"immutable":true}');
  const { url } = await world.git.createRepository("attempted", { "app/cm.yaml": configMap("settings") });
  const syncPolicy = { automated: { selfHeal: true }, retry: { limit: 1, backoff: { duration: "1s" } } };
  await world.applications.create({ name: "attempted", repoURL: url, path: "app", spec: { syncPolicy } });
  const failed = await world.applications.condition("attempted", "APPLY_INVALID");
  expect(failed.status?.operationState).toMatchObject({ phase: "Failed", retryCount: 1 });
  expect(failed.status?.conditions?.[0]?.message).toContain(
    `Failed last sync attempt to ${failed.status?.sync?.revision}`,
  );
  await kubectl(world, "delete", "-n", "attempted", "configmap", "settings");
  await refreshed("attempted");
  expect((await world.applications.get("attempted")).status?.operationState?.startedAt).toBe(
    failed.status?.operationState?.startedAt,
  );
  expect((await operate(world, "attempted")).status?.operationState?.phase).toBe("Succeeded");
  const app = await world.applications.synced("attempted");
  expect(app.status?.conditions ?? []).toEqual([]);
});

test("an operation that is asked for goes before an automated one, and what it pins is followed by the app's own revision", async () => {
  const { world, done, commit } = await automated("asked-first", { "cm.yaml": configMap("settings", { key: "old" }) });
  const first = await done();
  const sha = await commit({ "app/cm.yaml": annotated(configMap("settings", { key: "new" }), {}) });
  await done(sha);
  const app = await operate(world, "asked-first", { revision: first.status!.sync!.revision });
  expect(app.status?.operationState).toMatchObject({ phase: "Succeeded" });
  await world.applications.until("asked-first", "back at its own", ({ status }) => {
    const { initiatedBy } = (status?.operationState?.operation ?? {}) as OperationWritten;
    return status?.sync?.status === "Synced" && status.sync.revision === sha && initiatedBy?.["automated"] === true;
  });
  expect(await valueOf("asked-first")).toBe("new");
});
