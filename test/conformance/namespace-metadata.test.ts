// CreateNamespace=true with managedNamespaceMetadata (contract §2): labels and annotations of the destination namespace.
import { expect, test } from "vitest";
import { configMap, eventually, kubectl, kubectlJson, useWorld } from "../harness/story.ts";
import { applyingIn, message } from "./applying.ts";
import { manualIn, operate } from "./sync.ts";

const use = useWorld();
const { automated, expectQuiet } = applyingIn(use);

const FILES = { "a.yaml": configMap("web") };

const managing = (labels: Record<string, string>, annotations: Record<string, string> = {}, more = {}) => ({
  syncOptions: ["CreateNamespace=true"],
  automated: { prune: true, selfHeal: true },
  managedNamespaceMetadata: { labels, annotations },
  ...more,
});

const namespace = async (name: string) => (await kubectlJson(use.world, "get", "namespace", name)).metadata;

const label = (name: string, text: string) => kubectl(use.world, "label", "namespace", name, "--overwrite", text);

test("labels and annotations are made with the namespace, kept, and taken away when the spec no longer has them", async () => {
  const world = await automated("kept", FILES, {
    spec: { syncPolicy: managing({ tier: "1", team: "a" }, { note: "x" }) },
  });
  const app = await world.applications.synced("kept");
  const made = await namespace("kept");
  expect(made.labels).toMatchObject({ tier: "1", team: "a" });
  expect(made.annotations).toEqual({ note: "x" });
  expect(app.status?.resources?.map(({ kind }) => kind)).toEqual(["ConfigMap"]);
  expect(app.status?.operationState?.syncResult).toMatchObject({
    managedNamespaceMetadata: { labels: { tier: "1", team: "a" }, annotations: { note: "x" } },
  });
  await expectQuiet("kept", "configmap");

  await label("kept", "other=theirs");
  await label("kept", "tier=2");
  await eventually("healed", async () => (await namespace("kept")).labels.tier === "1");
  expect((await namespace("kept")).labels).toMatchObject({ other: "theirs" });

  await world.applications.patch("kept", { spec: { syncPolicy: managing({ tier: "3" }, { note: "x" }) } });
  await world.applications.patch("kept", {
    spec: { syncPolicy: { managedNamespaceMetadata: { labels: { team: null } } } },
  });
  await eventually("changed", async () => {
    const { labels } = await namespace("kept");
    return labels.tier === "3" && labels.team === undefined && labels.other === "theirs";
  });
  await world.applications.synced("kept");
  // The namespace is none of the app's objects, whatever becomes of the app.
  await world.applications.patch("kept", { metadata: { finalizers: ["resources-finalizer.argocd.argoproj.io"] } });
  await world.applications.delete("kept");
  await eventually("deleted", () =>
    world.applications.get("kept").then(
      () => false,
      () => true,
    ),
  );
  expect((await namespace("kept")).deletionTimestamp).toBeUndefined();
});

test("a namespace that differs makes an app OutOfSync, that is there already is taken on, and a sync of one object brings it along", async () => {
  await kubectl(use.world, "create", "namespace", "taken");
  await label("taken", "tier=0");
  const { world } = await manualIn(use)("taken", FILES, {
    spec: { syncPolicy: managing({ tier: "1" }, {}, { automated: undefined }) },
  });
  const resources = [{ kind: "ConfigMap", name: "web" }];
  const selective = { resources, syncOptions: ["CreateNamespace=true"] };
  expect((await operate(world, "taken", selective)).status?.operationState?.phase).toBe("Succeeded");
  expect((await namespace("taken")).labels.tier).toBe("1");
  await world.applications.synced("taken");
  await label("taken", "tier=0");
  const app = await world.applications.until(
    "taken",
    "drift seen",
    ({ status }) => status?.sync?.status === "OutOfSync",
  );
  expect(app.status?.resources).toMatchObject([{ kind: "ConfigMap", status: "Synced" }]);
});

test("a Namespace in Git takes precedence", async () => {
  const files = {
    ...FILES,
    "ns.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: git, labels: {tier: git}}\n",
  };
  const world = await automated("git", files, { spec: { syncPolicy: managing({ tier: "1", team: "a" }) } });
  const app = await world.applications.synced("git");
  expect((await namespace("git")).labels).toMatchObject({ tier: "git" });
  expect((await namespace("git")).labels.team).toBeUndefined();
  expect(app.status?.resources?.map(({ kind }) => kind)).toEqual(["ConfigMap", "Namespace"]);
});

test("without CreateNamespace=true the namespace is left alone, as one that another Application tracks", async () => {
  await kubectl(use.world, "create", "namespace", "alone");
  const alone = await automated("alone", FILES, {
    spec: { syncPolicy: { ...managing({ tier: "1" }), syncOptions: [] } },
  });
  await alone.applications.synced("alone");
  expect((await namespace("alone")).labels.tier).toBeUndefined();

  const { world } = await manualIn(use)("git-other", FILES, {
    destinationNamespace: "git",
    spec: { syncPolicy: managing({ tier: "other" }, {}, { automated: undefined }) },
  });
  expect(message(await operate(world, "git-other"))).toContain("[RESOURCE_OWNED_BY_OTHER] Namespace/git");
  expect((await namespace("git")).labels.tier).toBe("git");
});

test("an app that has nothing left but its namespace is not wiped without being told so", async () => {
  const world = await automated("wipe", FILES, { spec: { syncPolicy: managing({ tier: "1" }) } });
  await world.applications.synced("wipe");
  await world.git.commitFiles("wipe", { "app/a.yaml": null, "app/README.md": "nothing" }, "empty");
  await kubectl(world, "annotate", "-n", "argocd", "application", "wipe", "argocd.argoproj.io/refresh=normal");
  await world.applications.condition("wipe", "WIPE_REFUSED");
});
