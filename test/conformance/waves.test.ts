// Waves: what comes first, what is waited for, and in which order things go (contract §3).
import { expect, test } from "vitest";
import { configMap, deployment, eventually, kubectl, kubectlJson, useWorld } from "../harness/story.ts";
import { annotated, manualIn, operate } from "./sync.ts";

const use = useWorld();
const manual = manualIn(use);

/** Its pod finds no node until one has the label `gate: <name>`. */
const gate = (name: string, extra = "") =>
  deployment(name, { extra: `      nodeSelector: {gate: ${name}}\n` }).replace("  replicas:", `${extra}  replicas:`);

async function open(name: string): Promise<void> {
  const { items } = await kubectlJson(use.world, "get", "nodes");
  await kubectl(use.world, "label", "node", items[0].metadata.name, `gate=${name}`, "--overwrite");
}

const wave = (text: string, number: number, more: Record<string, string> = {}) =>
  annotated(text, { "argocd.argoproj.io/sync-wave": String(number), ...more });

test("waves go one after the other, negative ones first, whatever their kind", async () => {
  const { world } = await manual("ordered", {
    "a.yaml": wave(configMap("last"), 2),
    "b.yaml": configMap("middle"),
    "c.yaml": wave(deployment("first", { replicas: 0 }), -1),
  });
  const app = await operate(world, "ordered");
  expect(app.status?.operationState).toMatchObject({
    phase: "Succeeded",
    message: "successfully synced (all tasks run)",
  });
  const created = async (kind: string, name: string) => {
    const { metadata } = await kubectlJson(world, "get", "-n", "ordered", kind, name, "--show-managed-fields");
    return metadata as { uid: string; resourceVersion: string };
  };
  const middle = await created("configmap", "middle");
  const last = await created("configmap", "last");
  expect(Number(middle.resourceVersion)).toBeLessThan(Number(last.resourceVersion));
  const results = app.status?.operationState?.syncResult?.resources ?? [];
  expect(results.map(({ name, status }) => `${name} ${status}`).toSorted()).toEqual([
    "first Synced",
    "last Synced",
    "middle Synced",
  ]);
});

test("a wave waits for the health of the one before, says what for, and takes it from events", async () => {
  const { world, exists } = await manual("gated", {
    "gate.yaml": gate("gated"),
    "after.yaml": wave(configMap("after"), 1),
  });
  await operate(world, "gated", {}, (state) => state.message === "waiting for healthy state of apps/Deployment/gated");
  expect(await exists("configmap/after")).toBe(false);
  await open("gated");
  await world.applications.until("gated", "Succeeded", (app) => app.status?.operationState?.phase === "Succeeded");
  expect(await exists("configmap/after")).toBe(true);
});

test("between two waves is a pause where the installation asks for one", async () => {
  const literal = "--from-literal=controller.sync.wave.delay.seconds=4";
  await kubectl(use.world, "create", "-n", "argocd", "configmap", "argocd-cmd-params-cm", literal);
  const { world, exists } = await manual("paused", {
    "first.yaml": configMap("first"),
    "second.yaml": wave(configMap("second"), 1),
  });
  await operate(world, "paused", {}, ({ message }) => message === "waiting for the pause between two waves");
  expect(await exists("configmap/first")).toBe(true);
  await kubectl(world, "delete", "-n", "argocd", "configmap", "argocd-cmd-params-cm");
  await world.applications.until("paused", "Succeeded", (app) => app.status?.operationState?.phase === "Succeeded");
  expect(await exists("configmap/second")).toBe(true);
});

test("in a single wave nothing is waited for", async () => {
  const { world } = await manual("single", { "gate.yaml": gate("single"), "cm.yaml": configMap("beside") });
  const app = await operate(world, "single");
  expect(app.status?.operationState?.phase).toBe("Succeeded");
  expect(app.status?.health?.status).not.toBe("Healthy");
});

test("an object that becomes Degraded fails the sync, and later waves are not applied", async () => {
  const { world, exists } = await manual("degraded", {
    "gate.yaml": gate("degraded", "  progressDeadlineSeconds: 1\n"),
    "after.yaml": wave(configMap("after"), 1),
  });
  const app = await operate(world, "degraded");
  expect(app.status?.operationState?.phase).toBe("Failed");
  expect(app.status?.operationState?.message).toMatch(/^one or more synchronization tasks completed unsuccessfully/);
  expect(await exists("configmap/after")).toBe(false);
});

test("a Namespace of a later wave is lifted before what lives in it", async () => {
  const namespace = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: lifted\n";
  const { world } = await manual(
    "lifted",
    {
      "ns.yaml": wave(namespace, 5),
      "cm.yaml": wave(configMap("inside"), -3),
      "late.yaml": wave(configMap("late"), 1),
    },
    { syncOptions: [] },
  );
  const app = await operate(world, "lifted");
  expect(app.status?.operationState?.phase).toBe("Succeeded");
});

test("prune goes the other way round: the highest wave first, each waiting until the one before is gone", async () => {
  const { world, commit, exists } = await manual("pruned", {
    "keep.yaml": configMap("keep"),
    "early.yaml": wave(configMap("early"), 0),
    "late.yaml": wave(configMap("late"), 3),
  });
  await operate(world, "pruned");
  await kubectl(
    world,
    "patch",
    "-n",
    "pruned",
    "configmap",
    "late",
    "--type=merge",
    "-p",
    finalizers(["example.com/hold"]),
  );
  await commit({ "app/early.yaml": null, "app/late.yaml": null });
  await operate(
    world,
    "pruned",
    { prune: true },
    ({ message }) => message === "waiting for deletion of /ConfigMap/late",
  );
  expect(await exists("configmap/early")).toBe(true);
  await kubectl(world, "patch", "-n", "pruned", "configmap", "late", "--type=merge", "-p", finalizers(null));
  const app = await world.applications.until(
    "pruned",
    "Succeeded",
    ({ status }) => status?.operationState?.phase === "Succeeded",
  );
  expect(await exists("configmap/early")).toBe(false);
  const results = app.status?.operationState?.syncResult?.resources?.filter(({ status }) => status === "Pruned");
  expect(results?.map(({ name, message }) => `${name} ${message}`).toSorted()).toEqual(["early pruned", "late pruned"]);
});

const finalizers = (list: string[] | null) => JSON.stringify({ metadata: { finalizers: list } });

test("PruneLast goes after everything else is healthy", async () => {
  const { world, commit, exists } = await manual("prunelast", {
    "old.yaml": annotated(configMap("old"), { "argocd.argoproj.io/sync-options": "PruneLast=true" }),
    "keep.yaml": configMap("keep"),
  });
  await operate(world, "prunelast");
  await commit({ "app/old.yaml": null, "app/gate.yaml": gate("prunelast") });
  await operate(
    world,
    "prunelast",
    { prune: true },
    ({ message }) => message?.startsWith("waiting for healthy state") ?? false,
  );
  expect(await exists("configmap/old")).toBe(true);
  await open("prunelast");
  await eventually("old is pruned", async () => !(await exists("configmap/old")));
});

test("without prune the sync says what it left", async () => {
  const { world, commit, exists } = await manual("unpruned", { "a.yaml": configMap("a"), "b.yaml": configMap("b") });
  await operate(world, "unpruned");
  await commit({ "app/b.yaml": null });
  const app = await operate(world, "unpruned");
  expect(await exists("configmap/b")).toBe(true);
  expect(app.status?.operationState?.syncResult?.resources?.find(({ name }) => name === "b")).toMatchObject({
    status: "PruneSkipped",
    message: "ignored (requires pruning)",
  });
});
