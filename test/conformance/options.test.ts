// Sync options of an Application, of an operation and of a single object (contract §2): in which way objects are applied.
import { expect, test } from "vitest";
import { configMap, deployment, eventually, kubectl, useWorld } from "../harness/story.ts";
import { CRDS, applyingIn, asking, crd, message } from "./applying.ts";
import { annotated, manualIn, operate } from "./sync.ts";

const use = useWorld();
const manual = manualIn(use);

const { automated, expectQuiet, get, make, merge } = applyingIn(use);

const withUnknown = (text: string) => text.replace("replicas:", "nonsense: {a: 1}\n  replicas:");

test.each([
  ["the object's", "validate-own", asking(withUnknown(deployment("web")), "Validate=false"), []],
  ["the app's", "validate-app", withUnknown(deployment("web")), ["Validate=false"]],
])(
  "members that the API server does not know are left out by %s Validate=false, and are no drift",
  async (_whose, name, text, options) => {
    const world = await automated(name, { "web.yaml": text }, { syncOptions: ["CreateNamespace=true", ...options] });
    await world.applications.synced(name);
    expect((await get(name, "deployment", "web")).spec.replicas).toBe(1);
    await expectQuiet(name, "deployment");
    await merge(name, "deployment", "web", { spec: { replicas: 3 } });
    await eventually("healed", async () => (await get(name, "deployment", "web")).spec.replicas === 1);
    await world.applications.synced(name);
  },
);

test("without Validate=false an unknown member is refused before anything is applied", async () => {
  const { world } = await manual("strict", { "a.yaml": configMap("a"), "web.yaml": withUnknown(deployment("web")) });
  const app = await operate(world, "strict");
  expect(message(app)).toContain("nonsense: field not declared in schema");
  expect(await kubectl(world, "get", "configmap", "-n", "strict", "a", "--ignore-not-found")).toBe("");
});

const custom = (kind: string) => `apiVersion: example.com/v1\nkind: ${kind}\nmetadata:\n  name: one\nspec: {size: 1}\n`;

const skipping = "SkipDryRunOnMissingResource=true";

/** A sync of an object of a kind that is made known once its turn has come. */
async function syncMeanwhile(
  name: string,
  files: Record<string, string>,
  definition: string,
  syncOptions: string[] = [],
) {
  const { world, exists } = await manual(name, files, { syncOptions: ["CreateNamespace=true", ...syncOptions] });
  const syncing = operate(world, name);
  await eventually("its turn has come", () => exists("configmap/a"));
  await make(CRDS, definition);
  return syncing;
}

test("with SkipDryRunOnMissingResource=true a kind may come to be known while the sync is under way", async () => {
  const files = { "a.yaml": configMap("a"), "one.yaml": asking(custom("Late"), skipping) };
  const app = await syncMeanwhile("late", files, crd("lates", "Late"));
  expect(app.status?.operationState).toMatchObject({ phase: "Succeeded" });
  expect((await get("late", "lates.example.com", "one")).spec).toEqual({ size: 1 });
  await use.world.applications.until("late", "watched", ({ status }) => status?.sync?.status === "Synced");
  await merge("late", "lates.example.com", "one", { spec: { size: 2 } });
  await use.world.applications.until("late", "drift seen", ({ status }) => status?.sync?.status === "OutOfSync");
});

test("a kind that turns out to be cluster-scoped is not applied by what was allowed of a namespaced one", async () => {
  const files = { "a.yaml": configMap("a"), "one.yaml": custom("Wide") };
  const app = await syncMeanwhile("scope", files, crd("wides", "Wide", "Cluster"), [skipping]);
  expect(message(app)).toContain("[KIND_UNAVAILABLE] Wide has only come to be known as a cluster-scoped kind");
  expect((await operate(use.world, "scope")).status?.operationState).toMatchObject({ phase: "Succeeded" });
});

test("a kind that never comes to be known fails when its turn has come, without the option before anything is applied", async () => {
  const files = (text: string) => ({ "a.yaml": configMap("a"), "one.yaml": text });
  const never = await manual("never", files(custom("Never")));
  expect((await operate(never.world, "never")).status?.operationState?.phase).not.toBe("Succeeded");
  expect(await never.exists("configmap/a")).toBe(false);
  const skipped = await manual("skipped", files(asking(custom("Never"), skipping)));
  expect(message(await operate(skipped.world, "skipped"))).toContain("[KIND_UNKNOWN] The cluster has no kind Never");
  expect(await skipped.exists("configmap/a")).toBe(true);
});

/** Two fields of a ConfigMap, by kubectl's client-side apply or by the manager named; Git has one of them. */
async function formerly(namespace: string, manager?: string): Promise<void> {
  const { world } = use;
  await kubectl(world, "create", "namespace", namespace);
  const metadata = {
    name: "web",
    annotations: manager
      ? undefined
      : {
          "kubectl.kubernetes.io/last-applied-configuration":
            '{"apiVersion":"v1","data":{"key":"old","more":"old"},"kind":"ConfigMap","metadata":{"name":"web"}}',
        },
  };
  const text = JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata, data: { key: "old", more: "old" } });
  await make(`/api/v1/namespaces/${namespace}/configmaps`, text, {
    fieldManager: manager ?? "kubectl-client-side-apply",
  });
}

test.each([
  ["taken over from kubectl", "migrate-usual", undefined, {}, [], { key: "value" }],
  [
    "left to kubectl by ClientSideApplyMigration=false",
    "migrate-off",
    undefined,
    {},
    ["ClientSideApplyMigration=false"],
    { key: "value", more: "old" },
  ],
  ["left to another manager", "migrate-other", "operator", {}, [], { key: "value", more: "old" }],
  [
    "taken over from the manager that an annotation names",
    "migrate-named",
    "operator",
    { "argocd.argoproj.io/client-side-apply-migration-manager": "operator" },
    [],
    { key: "value" },
  ],
])("what Git does not name is %s", async (_what, name, manager, annotations, options, data) => {
  await formerly(name, manager);
  const world = await automated(name, { "a.yaml": annotated(configMap("web"), annotations) }, { syncOptions: options });
  await world.applications.synced(name);
  expect((await get(name, "configmap", "web")).data).toEqual(data);
  await expectQuiet(name, "configmap");
});

test("ServerSideApply=false is accepted, of an app or an object, and leaves to others what Git does not name", async () => {
  await formerly("client-side", "somebody");
  const files = { "a.yaml": asking(configMap("web"), "ServerSideApply=false") };
  const world = await automated("client-side", files, {
    syncOptions: ["ServerSideApply=false", "ApplyOutOfSyncOnly=true"],
  });
  await world.applications.synced("client-side");
  expect((await get("client-side", "configmap", "web")).data).toEqual({ key: "value", more: "old" });
  await expectQuiet("client-side", "configmap");
});

test.each(["FailOnSharedResource=true", "FailOnSharedResource=false"])(
  "S5: what another Application tracks is never written, with %s as well, and both are told",
  async (option) => {
    const name = `shared-${option.endsWith("true")}`;
    await automated(`${name}-a`, { "a.yaml": configMap("web") }, { destinationNamespace: name });
    await use.world.applications.synced(`${name}-a`);
    const files = { "a.yaml": configMap("web", { key: "other" }), "b.yaml": configMap("b") };
    const { world } = await manual(`${name}-b`, files, { destinationNamespace: name, syncOptions: [option] });
    const app = await operate(world, `${name}-b`);
    expect(app.status?.operationState?.phase).toBe("Failed");
    expect(message(app)).toContain(
      `[RESOURCE_OWNED_BY_OTHER] ConfigMap/web is part of applications argocd/${name}-b and ${name}-a`,
    );
    expect((await get(name, "configmap", "web")).data).toEqual({ key: "value" });
    await expect(get(name, "configmap", "b")).rejects.toThrow("not found");
  },
);
