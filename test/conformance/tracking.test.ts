// Whose an object is: the three tracking methods, installation ids, shared and excluded objects (contract §6).
import { expect, test } from "vitest";
import { configMap, deployment, eventually, kubectl, kubectlJson, service, useWorld } from "../harness/story.ts";

const use = useWorld({ settings: { "timeout.reconciliation": "2s" } });
const ID = "argocd.argoproj.io/tracking-id";
const INSTALLATION = "argocd.argoproj.io/installation-id";
const INSTANCE = "app.kubernetes.io/instance";
const HEALED = { prune: true, selfHeal: true };

async function created(name: string, files: Record<string, string>, spec: Record<string, unknown> = {}) {
  const { world } = use;
  const { url } = await world.git.createRepository(
    name,
    Object.fromEntries(Object.entries(files).map(([file, text]) => [`app/${file}`, text])),
  );
  await world.applications.create({ name, repoURL: url, path: "app", ...spec });
  return world;
}

async function synced(name: string, files: Record<string, string>, spec: Record<string, unknown> = {}) {
  const world = await created(name, files, spec);
  await world.applications.synced(name);
  return world;
}

/** Waits until that commit is compared. */
async function committed(name: string, changes: Record<string, string | null>) {
  const { world } = use;
  const sha = await world.git.commitFiles(name, changes, "change");
  await kubectl(world, "annotate", "-n", "argocd", "application", name, "argocd.argoproj.io/refresh=normal");
  return world.applications.until(name, "refreshed", ({ status }) => status?.sync?.revision === sha);
}

/** Keys of argocd-cm for all tests after; null takes one away. */
const setting = (data: Record<string, string | null>) =>
  kubectl(use.world, "patch", "-n", "argocd", "configmap", "argocd-cm", "--type=merge", "-p", JSON.stringify({ data }));

interface Marks {
  uid: string;
  id?: string | undefined;
  installation?: string | undefined;
  labels: Record<string, string>;
}

async function marks(namespace: string, kind: string, name: string): Promise<Marks> {
  const { metadata } = await kubectlJson(use.world, "get", "-n", namespace, kind, name);
  const { [ID]: id, [INSTALLATION]: installation } = metadata.annotations ?? {};
  return { uid: metadata.uid, id, installation, labels: metadata.labels ?? {} };
}

const annotate = (namespace: string, object: string, ...annotations: string[]) =>
  kubectl(use.world, "annotate", "-n", namespace, object, "--overwrite", ...annotations);

const isThere = async (namespace: string, ...what: string[]) =>
  (await kubectl(use.world, "get", "-n", namespace, ...what, "--ignore-not-found", "-o", "name")) !== "";

const clusterRole = (name: string) =>
  `apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: "${name}"}\nrules: []\n`;

const WIDGETS = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Widget, plural: widgets}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
`;

test("by annotation, the default: namespaced and cluster-scoped objects bear Argo CD's id, CRDs bear none", async () => {
  const widget = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: one}\nspec: {size: 1}\n";
  await synced("annotated", {
    "cm.yaml": configMap("settings"),
    "role.yaml": clusterRole("system:annotated"),
    "crd.yaml": WIDGETS,
    "widget.yaml": widget,
  });
  expect(await marks("annotated", "configmap", "settings")).toMatchObject({
    id: "annotated:/ConfigMap:annotated/settings",
    labels: {},
  });
  expect((await marks("annotated", "clusterrole", "system:annotated")).id).toBe(
    "annotated:rbac.authorization.k8s.io/ClusterRole:annotated/system:annotated",
  );
  expect((await marks("annotated", "widget", "one")).id).toBe("annotated:example.com/Widget:annotated/one");
  const crd = await marks("annotated", "crd", "widgets.example.com");
  expect(crd.id).toBeUndefined();
  expect(crd.labels).toEqual({});
});

test("an id that was copied along with an object says nothing: the copy is nobody's, and free to take", async () => {
  const world = await synced("original", { "cm.yaml": configMap("settings") });
  const copy = (name: string) =>
    kubectl(world, "create", "configmap", "-n", "original", name).then(() =>
      annotate("original", `configmap/${name}`, `${ID}=original:/ConfigMap:original/settings`),
    );
  await copy("left-alone");
  await copy("taken");
  await synced("taker", { "cm.yaml": configMap("taken") }, { destinationNamespace: "original" });
  expect((await marks("original", "configmap", "taken")).id).toBe("taker:/ConfigMap:original/taken");
  const app = await committed("original", { "app/new.yaml": configMap("new") });
  expect(app.status?.resources?.map(({ name }) => name)).not.toContain("left-alone");
  expect(await isThere("original", "configmap", "left-alone")).toBe(true);
});

test("an object of two Applications is told to the one that came later, as Argo CD says it", async () => {
  await synced("first", { "cm.yaml": configMap("settings") });
  const world = await created("second", { "cm.yaml": configMap("settings") }, { destinationNamespace: "first" });
  const app = await world.applications.until("second", "warned", ({ status }) =>
    (status?.conditions ?? []).some(({ type }) => type === "SharedResourceWarning"),
  );
  const warning = app.status!.conditions!.find(({ type }) => type === "SharedResourceWarning")!;
  expect(warning.message).toContain("ConfigMap/settings is part of applications argocd/second and first");
  expect((await marks("first", "configmap", "settings")).id).toBe("first:/ConfigMap:first/settings");
});

test("a change of the method moves objects over without making them anew, and pruning goes by the new marks", async () => {
  const name = "moving";
  const world = await synced(name, { "a.yaml": configMap("a"), "b.yaml": configMap("b") }, { automated: HEALED });
  const { uid } = await marks(name, "configmap", "a");
  const id = `${name}:/ConfigMap:${name}/a`;
  const moved = (method: string, expected: Partial<Marks>, labelKey: string | null = null) =>
    setting({ "application.resourceTrackingMethod": method, "application.instanceLabelKey": labelKey }).then(() =>
      eventually(`marked by ${method}`, async () => {
        const now = await marks(name, "configmap", "a");
        expect(now.uid).toBe(uid);
        return now.id === expected.id && JSON.stringify(now.labels) === JSON.stringify(expected.labels);
      }),
    );
  await moved("label", { labels: { [INSTANCE]: name } });
  await moved("label", { labels: { "example.com/app": name } }, "example.com/app");
  await world.applications.synced(name);
  await committed(name, { "app/b.yaml": null });
  await eventually("pruned by its label", async () => !(await isThere(name, "configmap", "b")));
  await moved("annotation+label", { id, labels: { [INSTANCE]: name } });
  await moved("annotation", { id, labels: {} });
  const app = await world.applications.synced(name);
  expect(app.status?.conditions ?? []).toEqual([]);
});

test("with both marks the label is cut to what a label holds, and the annotation tells whose it is", async () => {
  const name = `cut-${"x".repeat(58)}-${"y".repeat(20)}`;
  await setting({ "application.resourceTrackingMethod": "annotation+label" });
  const files = { "a.yaml": configMap("a"), "b.yaml": configMap("b") };
  await synced(name, files, { destinationNamespace: "cut" });
  expect(await marks("cut", "configmap", "a")).toMatchObject({
    id: `${name}:/ConfigMap:cut/a`,
    labels: { [INSTANCE]: `cut-${"x".repeat(58)}` },
  });
  await committed(name, { "app/b.yaml": null });
  await eventually("pruned", async () => !(await isThere("cut", "configmap", "b")));
  await setting({ "application.resourceTrackingMethod": null });
});

test("what another installation tracks is none of ours, though its Application has the same name", async () => {
  await setting({ installationID: "ours" });
  const files = { "a.yaml": configMap("a"), "b.yaml": configMap("b"), "c.yaml": configMap("c") };
  const world = await synced("installed", files, { automated: { prune: true } });
  expect((await marks("installed", "configmap", "a")).installation).toBe("ours");
  await annotate("installed", "configmap/b", `${INSTALLATION}=theirs`);
  await committed("installed", { "app/b.yaml": null, "app/c.yaml": null });
  await eventually("ours is pruned", async () => !(await isThere("installed", "configmap", "c")));
  const app = await world.applications.synced("installed");
  expect(app.status?.resources?.map((resource) => resource.name)).toEqual(["a"]);
  expect(await isThere("installed", "configmap", "b")).toBe(true);
  await setting({ installationID: null });
});

test("an excluded object in Git is told, and neither applied nor compared nor pruned", async () => {
  const lease = "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: leader}\nspec: {}\n";
  const secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: password}\nstringData: {key: secret}\n";
  const files = { "cm.yaml": configMap("settings"), "lease.yaml": lease, "secret.yaml": secret };
  const world = await synced("excluded", files);
  const warned = async (...texts: string[]) => {
    const app = await world.applications.until("excluded", `told: ${texts.join()}`, ({ status }) => {
      const told = (status?.conditions ?? []).filter(({ type }) => type === "ExcludedResourceWarning");
      return told.length === texts.length && texts.every((text) => told.some(({ message }) => message.includes(text)));
    });
    return (await world.applications.synced("excluded", app.status?.sync?.revision)).status!;
  };
  const leaseText = "Resource coordination.k8s.io/Lease leader is excluded in the settings";
  const before = await warned(leaseText);
  expect(before.resources?.map(({ kind }) => kind)).toEqual(["ConfigMap", "Secret"]);
  expect(await isThere("excluded", "lease", "leader")).toBe(false);

  await setting({ "resource.exclusions": `- kinds: [Secret]\n  clusters: ["https://kubernetes.*"]\n` });
  const after = await warned(leaseText, "Resource /Secret password is excluded in the settings");
  expect(after.resources?.map(({ kind }) => kind)).toEqual(["ConfigMap"]);
  await kubectl(world, "patch", "-n", "excluded", "secret", "password", "-p", '{"stringData":{"key":"theirs"}}');
  await committed("excluded", { "app/secret.yaml": null, "app/lease.yaml": null });
  await warned();
  const { data } = await kubectlJson(world, "get", "-n", "excluded", "secret", "password");
  expect(Buffer.from(data.key, "base64").toString()).toBe("theirs");
  await setting({ "resource.exclusions": null });
});

test("what belongs to no Application is told where its AppProject asks for it, and only then", async () => {
  const { world } = use;
  const project = (name: string, orphanedResources?: Record<string, unknown>) =>
    world.client.request({
      method: "POST",
      path: "/apis/argoproj.io/v1alpha1/namespaces/argocd/appprojects",
      body: JSON.stringify({
        apiVersion: "argoproj.io/v1alpha1",
        kind: "AppProject",
        metadata: { name },
        spec: {
          sourceRepos: ["*"],
          destinations: [{ namespace: "*", server: "*" }],
          clusterResourceWhitelist: [{ group: "*", kind: "*" }],
          ...(orphanedResources && { orphanedResources }),
        },
      }),
    });
  await project("watchful", { warn: true, ignore: [{ kind: "ConfigMap", name: "known-*" }] });
  await project("careless", { warn: false });
  const files = { "web.yaml": deployment("web"), "service.yaml": service("web") };
  await synced(
    "careless",
    { "cm.yaml": configMap("settings") },
    { project: "careless", destinationNamespace: "orphans" },
  );
  await synced("watchful", files, { project: "watchful", destinationNamespace: "orphans" });
  for (const name of ["known-one", "stray"]) await kubectl(world, "create", "configmap", "-n", "orphans", name);
  const warnings = async (name: string) => {
    await kubectl(world, "annotate", "-n", "argocd", "application", name, "argocd.argoproj.io/refresh=normal");
    const app = await world.applications.until(
      name,
      "refreshed",
      ({ metadata }) => !metadata.annotations?.["argocd.argoproj.io/refresh"],
    );
    return (app.status?.conditions ?? []).map(({ type, message }) => `${type}: ${message}`);
  };
  expect(await warnings("watchful")).toEqual([
    "OrphanedResourceWarning: [ORPHANED_RESOURCES] Application has 1 orphaned resource: ConfigMap/stray",
  ]);
  expect(await warnings("careless")).toEqual([]);
  await kubectl(world, "delete", "configmap", "-n", "orphans", "stray");
  // Nobody asks: the namespace is surveyed by itself.
  await kubectl(world, "create", "configmap", "-n", "orphans", "later");
  await world.applications.until("watchful", "surveyed again", ({ status }) =>
    (status?.conditions ?? []).some(({ message }) => message.includes("ConfigMap/later")),
  );
});
