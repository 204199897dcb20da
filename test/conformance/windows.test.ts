// Sync windows (contract §11), and what users of Argo CD asked for in vain: a sync that waits says until when, goes on by
// itself, and can be terminated. Windows here end in seconds, whatever the minute: a schedule names a start in the past.
import { expect, test } from "vitest";
import { configMap, deployment, eventually, kubectl, kubectlJson, useWorld } from "../harness/story.ts";
import { annotated, hook, job, manualIn, operate } from "./sync.ts";

const use = useWorld();
const manual = manualIn(use);
const HOUR_MS = 3_600_000;
const BLOCKED = "Sync operation blocked by sync window";

/** Active now, and until so many milliseconds from now. */
function window(kind: "allow" | "deny", forMs: number, more: Record<string, unknown> = {}) {
  const start = new Date(Math.floor((Date.now() - HOUR_MS) / 60_000) * 60_000);
  return {
    kind,
    schedule: `${start.getUTCMinutes()} ${start.getUTCHours()} * * *`,
    duration: `${Date.now() + forMs - start.getTime()}ms`,
    applications: ["*"],
    ...more,
  };
}

/** Never active. */
const shut = (more: Record<string, unknown> = {}) => ({
  kind: "allow",
  schedule: "0 0 31 2 *",
  duration: "1h",
  applications: ["*"],
  ...more,
});

async function project(name: string, syncWindows: Record<string, unknown>[]): Promise<void> {
  const object = {
    apiVersion: "argoproj.io/v1alpha1",
    kind: "AppProject",
    metadata: { name },
    spec: {
      sourceRepos: ["*"],
      destinations: [{ server: "*", namespace: "*" }],
      clusterResourceWhitelist: [{ group: "*", kind: "*" }],
      syncWindows,
    },
  };
  const made = await use.world.client.request({
    method: "POST",
    path: "/apis/argoproj.io/v1alpha1/namespaces/argocd/appprojects",
    body: JSON.stringify(object),
  });
  if (made.kind === "error") throw new Error(made.error.message);
}

const change = (name: string, syncWindows: Record<string, unknown>[]) =>
  kubectl(
    use.world,
    "patch",
    "-n",
    "argocd",
    "appproject",
    name,
    "--type=merge",
    "-p",
    JSON.stringify({ spec: { syncWindows } }),
  );

async function automated(name: string, syncWindows: Record<string, unknown>[]) {
  const { world } = use;
  await project(name, syncWindows);
  const { url } = await world.git.createRepository(name, { "app/cm.yaml": configMap("settings") });
  await world.applications.create({ name, repoURL: url, path: "app", project: name });
  return world.applications;
}

const isBlocked = ({ phase, message }: { phase: string; message?: string }): boolean =>
  phase === "Running" && (message?.startsWith(BLOCKED) ?? false);
const valueOf = async (namespace: string) =>
  (await kubectlJson(use.world, "get", "-n", namespace, "configmap", "settings")).data.key as string;
const exists = async (namespace: string, what: string): Promise<boolean> =>
  (await kubectl(use.world, "get", "-n", namespace, ...what.split("/"), "--ignore-not-found", "-o", "name")) !== "";

test("A#21692: an automated sync waits for its window, says until when, and goes on by itself when that opens", async () => {
  const apps = await automated("waits", [window("deny", 5_000)]);
  const app = await apps.condition("waits", "SYNC_WINDOW");
  expect(app.status?.sync?.status).toBe("OutOfSync");
  expect(app.status?.operationState).toBeUndefined();
  const [told] = app.status!.conditions!;
  expect(told?.type).toBe("SyncWindowWarning");
  expect(told?.message).toMatch(/blocked by sync window: deny '\d+ \d+ \* \* \*' for \d+ms, until 2\d{3}-\d\d-\d\dT/);
  const until = Date.parse(/until (\S+Z)/.exec(told!.message)![1]!);
  const synced = await apps.synced("waits");
  expect(Date.parse(synced.status!.operationState!.startedAt!)).toBeGreaterThanOrEqual(until);
  expect(synced.status?.conditions ?? []).toEqual([]);
});

test("a window is looked at again when its project changes, and one that cannot be read blocks", async () => {
  const apps = await automated("changed", [window("deny", HOUR_MS, { schedule: "never" })]);
  const app = await apps.condition("changed", "SYNC_WINDOW");
  expect(app.status?.conditions?.[0]?.message).toContain(`${BLOCKED}: cannot parse schedule 'never'`);
  await change("changed", [window("deny", HOUR_MS, { applications: ["other"] }), window("allow", HOUR_MS)]);
  await apps.synced("changed");
});

test("heals wait too: outside of its allow windows an application keeps its drift", async () => {
  const apps = await automated("drifting", [window("allow", HOUR_MS)]);
  await apps.synced("drifting");
  await change("drifting", [shut()]);
  await eventually("the window is known to be closed", async () => {
    await kubectl(use.world, "patch", "-n", "drifting", "configmap", "settings", "-p", '{"data":{"key":"theirs"}}');
    const { status } = await apps.get("drifting");
    return status?.conditions?.some(({ message }) => message.startsWith("[SYNC_WINDOW]"));
  });
  expect(await valueOf("drifting")).toBe("theirs");
  expect((await apps.get("drifting")).status?.sync?.status).toBe("OutOfSync");
  await change("drifting", [window("allow", HOUR_MS)]);
  await eventually("healed", async () => (await valueOf("drifting")) === "value");
});

test("A#26215: what is asked for by hand, or has been stopped, outlives a restart; then it goes on, or is terminated", async () => {
  const { world } = use;
  await project("asked", [window("deny", HOUR_MS)]);
  await manual("asked", { "cm.yaml": configMap("settings") }, { project: "asked" });
  const held = await operate(world, "asked", {}, isBlocked);
  expect(held.status?.operationState?.message).toMatch(/: deny '.*, until /);
  expect(held.status?.sync?.status).toBe("OutOfSync");
  expect(held.operation).toBeDefined();
  await project("hooked", [window("allow", HOUR_MS)]);
  const files = { "pre.yaml": job("pre", hook("PreSync"), { hangs: true }), "cm.yaml": configMap("settings") };
  await manual("hooked", files, { project: "hooked" });
  await operate(world, "hooked", {}, ({ message }) => message?.startsWith("waiting for completion") ?? false);
  await change("hooked", [shut()]);

  await world.services.kill();
  await world.services.start();
  await world.services.ready();
  await world.applications.until("hooked", "blocked", (a) => isBlocked(a.status!.operationState!));
  await world.applications.patch("hooked", { status: { operationState: { phase: "Terminating" } } });
  await world.applications.until("hooked", "ended", (a) => a.status?.operationState?.phase === "Failed");
  await eventually("the hook is gone", async () => !(await exists("hooked", "job/pre")));
  expect(await exists("hooked", "configmap/settings")).toBe(false);

  await change("asked", [window("deny", 2_000)]);
  const app = await world.applications.until("asked", "over", (a) => a.status?.operationState?.phase === "Succeeded");
  expect(app.status?.operationState?.operation).toMatchObject({ initiatedBy: { username: "tester" } });
  expect(app.status?.history).toHaveLength(1);
  expect(app.operation).toBeUndefined();
});

test("A#25361: an operation that waits for its window is terminated at once, and the next one can be asked for", async () => {
  await project("ended", [window("deny", HOUR_MS)]);
  const { world } = await manual("ended", { "cm.yaml": configMap("settings") }, { project: "ended" });
  await operate(world, "ended", {}, isBlocked);
  await world.applications.patch("ended", { status: { operationState: { phase: "Terminating" } } });
  const app = await world.applications.until("ended", "ended", (a) => a.status?.operationState?.phase === "Failed");
  expect(app.status?.operationState?.message).toBe("Operation terminated");
  expect(app.operation).toBeUndefined();
  await change("ended", []);
  expect((await operate(world, "ended")).status?.operationState?.phase).toBe("Succeeded");
});

test("a sync by hand passes where every window that is closed has manualSync", async () => {
  await project("by-hand", [window("deny", HOUR_MS, { manualSync: true }), shut({ manualSync: true })]);
  const { world } = await manual("by-hand", { "cm.yaml": configMap("settings") }, { project: "by-hand" });
  expect((await operate(world, "by-hand")).status?.operationState?.phase).toBe("Succeeded");
});

test.each([
  ["stops before its next step and goes on when it opens", false],
  ["A#20799: goes on where the window has syncOverrun", true],
])("a sync over which its window closes %s", async (_what, syncOverrun) => {
  const name = syncOverrun ? "runs-over" : "stops";
  await project(name, [window("allow", HOUR_MS)]);
  const { world } = await manual(
    name,
    {
      "gate.yaml": deployment("gate", { extra: "      nodeSelector: {nowhere: really}\n" }),
      "after.yaml": annotated(configMap("settings"), { "argocd.argoproj.io/sync-wave": "1" }),
    },
    { project: name },
  );
  await operate(world, name, {}, ({ message }) => message?.startsWith("waiting for healthy state") ?? false);
  // It ended a moment ago: when the operation began it was open.
  const ending = window("allow", 500, { syncOverrun });
  const closedAt = Date.now() + 600;
  await change(name, [ending]);
  await eventually("that window is closed", () => Date.now() > closedAt);
  await kubectl(world, "scale", "-n", name, "deployment", "gate", "--replicas=0");
  const goesOn = () => world.applications.until(name, "over", (a) => a.status?.operationState?.phase === "Succeeded");
  if (!syncOverrun) {
    await world.applications.until(name, "blocked", (a) => isBlocked(a.status!.operationState!));
    expect(await exists(name, "configmap/settings")).toBe(false);
    await change(name, [window("allow", HOUR_MS)]);
  }
  await goesOn();
  expect(await exists(name, "configmap/settings")).toBe(true);
});
