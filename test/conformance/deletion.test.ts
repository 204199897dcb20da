// Deletion of an Application: what goes along and in which order, hooks before and after, and what keeps it (contract §3).
import { spawn } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { ApplicationObject, ApplicationSpec } from "../harness/applications.ts";
import { configMap, eventually, kubectl, kubectlJson, push, useWorld } from "../harness/story.ts";
import { annotated, apply, hook, job, manualIn, operate } from "./sync.ts";

const use = useWorld();
const manual = manualIn(use);

const CASCADE = "resources-finalizer.argocd.argoproj.io";
const PRE = "pre-delete-finalizer.argocd.argoproj.io";
const POST = "post-delete-finalizer.argocd.argoproj.io";
const wave = (n: number) => ({ "argocd.argoproj.io/sync-wave": String(n) });
const policy = (name: string) => ({ "argocd.argoproj.io/hook-delete-policy": name });

/** Synced, and deleted with its objects. */
async function synced(name: string, files: Record<string, string>, spec: Partial<ApplicationSpec> = {}) {
  const app = await manual(name, files, { finalizers: [CASCADE], ...spec });
  await operate(app.world, name);
  return app;
}

const finalizersOf = ({ metadata }: ApplicationObject): string[] =>
  (metadata as { finalizers?: string[] }).finalizers ?? [];

const finalizers = async (name: string): Promise<string[]> => finalizersOf(await use.world.applications.get(name));

const isGone = async (name: string): Promise<boolean> =>
  (await kubectl(use.world, "get", "application", "-n", "argocd", name, "--ignore-not-found", "-o", "name")) === "";

const gone = (name: string) =>
  eventually(`${name} is gone`, () => isGone(name), 60_000).catch(async (error: Error) => {
    const { status } = await use.world.applications.get(name);
    throw new Error(`${error.message}\n${JSON.stringify(status?.conditions)} ${(await finalizers(name)).join()}`);
  });

const named = async (kind: string, namespace: string): Promise<string[]> =>
  (await kubectlJson(use.world, "get", kind, "-n", namespace)).items
    .map(({ metadata }: { metadata: { name: string } }) => metadata.name)
    .filter((name: string) => name !== "kube-root-ca.crt");

const deletionError = (name: string, text: string) =>
  use.world.applications.until(name, `says ${text}`, (app) =>
    (app.status?.conditions ?? []).some((one) => one.type === "DeletionError" && one.message.includes(text)),
  );

const sourceOf = async (name: string): Promise<{ url: string }> => {
  const { spec } = await use.world.applications.get(name);
  return { url: (spec as { source: { repoURL: string } }).source.repoURL };
};

/** Made, or changed to this. */
const project = (name: string, spec: Record<string, unknown>) =>
  apply(use.world, {
    apiVersion: "argoproj.io/v1alpha1",
    kind: "AppProject",
    metadata: { name, namespace: "argocd" },
    spec,
  });

/** What happens to Jobs and ConfigMaps there, as `ADDED Job pre <uid>`. */
async function watch(namespace: string) {
  const format = "jsonpath={.type} {.object.kind} {.object.metadata.name} {.object.metadata.uid}{'\\n'}";
  const { binDir, kubeconfigPath } = use.world.local;
  const seen: string[] = [];
  const children = ["jobs", "configmaps"].map((kind) => {
    const args = ["get", kind, "-n", namespace, "--watch", "--output-watch-events", "-o", format];
    const child = spawn(join(binDir, "kubectl"), ["--kubeconfig", kubeconfigPath!, ...args]);
    child.stdout.on("data", (chunk: Buffer) => seen.push(...chunk.toString().split("\n").filter(Boolean)));
    return child;
  });
  await eventually("the watch runs", () => seen.length > 0);
  return { seen, stop: () => children.forEach((child) => child.kill()) };
}

test("finalizers of deletion hooks come with the hooks that are rendered, and go with them", async () => {
  const { commit } = await manual("finalizers", {
    "cm.yaml": configMap("settings"),
    "pre.yaml": job("pre", hook("PreDelete")),
    "post.yaml": job("post", { "helm.sh/hook": "post-delete" }),
  });
  expect(await finalizers("finalizers")).toEqual([PRE, `${PRE}/cleanup`, POST, `${POST}/cleanup`]);
  await commit({ "app/pre.yaml": null });
  await eventually(
    "only the other's",
    async () => (await finalizers("finalizers")).join() === `${POST},${POST}/cleanup`,
  );
  await commit({ "app/post.yaml": null });
  await eventually("none", async () => (await finalizers("finalizers")).length === 0);
});

test("PreDelete hooks are over before anything is deleted, PostDelete begin when all is gone; policies clean up", async () => {
  const { world, exists } = await synced("both", {
    "cm.yaml": configMap("settings"),
    "pre.yaml": job("pre", hook("PreDelete")),
    "second.yaml": job("second-", hook("PreDelete", wave(1)), { generated: true }),
    "post.yaml": job("post", hook("PostDelete")),
    "tidy.yaml": job("tidy", hook("PostDelete", policy("HookSucceeded"))),
  });
  expect(await named("jobs", "both")).toEqual([]);
  expect((await world.applications.get("both")).status?.sync?.status).toBe("Synced");
  const { seen, stop } = await watch("both");
  await world.applications.delete("both");
  await gone("both");
  await eventually("the last is told", () => seen.some((line) => line.startsWith("DELETED Job tidy")));
  stop();
  const order = seen
    .filter((line) => /^(ADDED Job|DELETED ConfigMap settings)/.test(line))
    .map((line) =>
      line
        .split(" ")
        .slice(0, 3)
        .join(" ")
        .replace(/predelete-[0-9a-f]{10}$/, "*"),
    );
  expect(order.slice(0, 3)).toEqual(["ADDED Job pre", "ADDED Job second-*", "DELETED ConfigMap settings"]);
  expect(order.slice(3).toSorted()).toEqual(["ADDED Job post", "ADDED Job tidy"]);
  expect(await exists("configmap/settings")).toBe(false);
  expect(await named("jobs", "both")).toEqual(["post"]);
  const [post] = (await kubectlJson(world, "get", "jobs", "-n", "both")).items;
  expect(post.metadata.finalizers ?? []).not.toContain("argocd.argoproj.io/hook-finalizer");
});

test("a hook that fails is named with why, nothing is deleted, it is deleted and tried again; a push repairs it at once", async () => {
  const { world, exists } = await synced("failing", {
    "cm.yaml": configMap("settings"),
    "pre.yaml": job("pre", hook("PreDelete"), { fails: true }),
  });
  const { seen, stop } = await watch("failing");
  await world.applications.delete("failing");
  await deletionError("failing", "[HOOK_FAILED] PreDelete hook batch/Job/pre: Job was active longer than");
  expect(await finalizers("failing")).toEqual([CASCADE, PRE, `${PRE}/cleanup`]);
  await eventually("tried again", () => seen.filter((line) => line.startsWith("ADDED Job pre")).length > 1);
  stop();
  expect(seen.findIndex((line) => line.startsWith("DELETED Job pre"))).toBeLessThan(
    seen.findLastIndex((line) => line.startsWith("ADDED Job pre")),
  );
  expect(await exists("configmap/settings")).toBe(true);
  const { url } = await sourceOf("failing");
  await world.git.commitFiles("failing", { "app/pre.yaml": job("pre", hook("PreDelete")) }, "repaired");
  await push(world, url);
  await gone("failing");
  expect(await exists("configmap/settings")).toBe(false);
});

test("CVE-2026-77459: what the AppProject does not allow is no deletion hook either: the app stays and nothing is written", async () => {
  const { world } = use;
  await kubectl(world, "create", "namespace", "walled");
  await project("walled", { destinations: [{ server: "*", namespace: "walled" }], sourceRepos: ["*"] });
  const { exists } = await synced(
    "walled",
    {
      "cm.yaml": configMap("settings"),
      "allowed.yaml": job("allowed", hook("PreDelete")),
      "post.yaml": job("outside", hook("PostDelete")).replace("metadata:\n", "metadata:\n  namespace: kube-system\n"),
    },
    { project: "walled", syncOptions: [] },
  );
  await world.applications.delete("walled");
  await deletionError("walled", "[PROJECT_DENIED] AppProject walled does not allow batch/Job kube-system/outside");
  expect(await exists("configmap/settings")).toBe(true);
  expect(await named("jobs", "walled")).toEqual([]);
  expect(await named("jobs", "kube-system")).toEqual([]);
  await world.git.commitFiles(
    "walled",
    {
      "app/post.yaml": null,
      "app/binding.yaml": annotated(
        `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: walled-admin
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: default, namespace: walled}]
`,
        hook("PreDelete"),
      ),
    },
    "another",
  );
  await push(world, (await sourceOf("walled")).url);
  await deletionError(
    "walled",
    "[PROJECT_DENIED] AppProject walled does not allow rbac.authorization.k8s.io/ClusterRoleBinding",
  );
  expect(await kubectl(world, "get", "clusterrolebinding", "walled-admin", "--ignore-not-found")).toBe("");
  expect(await named("jobs", "walled")).toEqual([]);
  // Allowed, it goes on by itself.
  await project("walled", {
    destinations: [{ server: "*", namespace: "walled" }],
    sourceRepos: ["*"],
    clusterResourceWhitelist: [{ group: "*", kind: "*" }],
  });
  await gone("walled");
  expect(await exists("configmap/settings")).toBe(false);
  await kubectl(world, "delete", "clusterrolebinding", "walled-admin", "--ignore-not-found");
});

test("the highest wave goes first and is waited for; what holds it is named", async () => {
  const held = annotated(configMap("late"), wave(2)).replace(
    "metadata:\n",
    "metadata:\n  finalizers: [example.com/hold]\n",
  );
  const { world, exists } = await synced("ordered", {
    "early.yaml": configMap("early"),
    "middle.yaml": annotated(configMap("middle"), wave(1)),
    "late.yaml": held,
  });
  const { seen, stop } = await watch("ordered");
  await world.applications.delete("ordered");
  await deletionError("ordered", "waiting for deletion of /ConfigMap/late, held by example.com/hold");
  expect(await named("configmaps", "ordered")).toEqual(["early", "late", "middle"]);
  await kubectl(world, "patch", "cm", "late", "-n", "ordered", "--type=merge", "-p", '{"metadata":{"finalizers":[]}}');
  await gone("ordered");
  stop();
  const deleted = seen.filter((line) => line.startsWith("DELETED ConfigMap")).map((line) => line.split(" ")[2]);
  expect(deleted.slice(0, 3)).toEqual(["late", "middle", "early"]);
  expect(await exists("configmap/early")).toBe(false);
});

test("CRDs, the Application itself, Delete=false, Helm's keep and what the project no longer allows stay", async () => {
  const { world } = use;
  await project("narrowed", {
    destinations: [{ server: "*", namespace: "*" }],
    sourceRepos: ["*"],
    clusterResourceWhitelist: [{ group: "*", kind: "*" }],
  });
  const crd = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: things.deletion.example.com
spec:
  group: deletion.example.com
  scope: Namespaced
  names: {plural: things, singular: thing, kind: Thing}
  versions:
    - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
`;
  const { exists, commit, url } = await synced(
    "sparing",
    {
      "crd.yaml": crd,
      "thing.yaml": "apiVersion: deletion.example.com/v1\nkind: Thing\nmetadata:\n  name: one\n",
      "goes.yaml": configMap("goes"),
      "stays.yaml": annotated(configMap("stays"), { "argocd.argoproj.io/sync-options": "Delete=false" }),
      "helm.yaml": annotated(configMap("helm"), { "helm.sh/resource-policy": "keep" }),
      "secret.yaml": "apiVersion: v1\nkind: Secret\nmetadata:\n  name: secret\n",
    },
    { project: "narrowed" },
  );
  const self = world.applications.object({
    name: "sparing",
    repoURL: url,
    path: "app",
    project: "narrowed",
    automated: false,
    finalizers: [CASCADE],
  });
  await commit({ "app/self.json": JSON.stringify(self) });
  await operate(world, "sparing");
  expect(await kubectl(world, "get", "application", "sparing", "-n", "argocd", "-o", "yaml")).toContain("tracking-id");
  await project("narrowed", {
    destinations: [{ server: "*", namespace: "*" }],
    sourceRepos: ["*"],
    clusterResourceWhitelist: [{ group: "*", kind: "*" }],
    namespaceResourceBlacklist: [{ group: "", kind: "Secret" }],
  });
  await world.applications.delete("sparing");
  await gone("sparing");
  const left = await Promise.all(
    ["configmap/goes", "things.deletion.example.com/one", "configmap/stays", "configmap/helm", "secret/secret"].map(
      exists,
    ),
  );
  expect(left).toEqual([false, false, true, true, true]);
  expect(await kubectl(world, "get", "crd", "things.deletion.example.com", "-o", "name")).toContain("things");
});

test("Delete=confirm on one object holds the whole cascade until somebody approves", async () => {
  const { world } = await synced("confirmed", {
    "cm.yaml": configMap("plain"),
    "guarded.yaml": annotated(configMap("guarded"), { "argocd.argoproj.io/sync-options": "Delete=confirm" }),
  });
  await world.applications.delete("confirmed");
  await deletionError("confirmed", "[APPROVAL_MISSING] waiting for deletion confirmation of /ConfigMap/guarded");
  expect(await named("configmaps", "confirmed")).toEqual(["guarded", "plain"]);
  const at = new Date(Date.now() + 1_000).toISOString();
  await kubectl(
    world,
    "annotate",
    "application",
    "confirmed",
    "-n",
    "argocd",
    `argocd.argoproj.io/deletion-approved=${at}`,
  );
  await gone("confirmed");
  expect(await named("configmaps", "confirmed")).toEqual([]);
});

test("a known cluster that cannot be reached is waited for, one that nobody knows any more is not", async () => {
  const { world } = use;
  const server = "https://127.0.0.1:9";
  const secret = {
    name: "away",
    server,
    config: JSON.stringify({ bearerToken: "none", tlsClientConfig: { insecure: true } }),
  };
  await kubectl(
    world,
    "create",
    "secret",
    "generic",
    "away",
    "-n",
    "argocd",
    ...Object.entries(secret).map(([key, value]) => `--from-literal=${key}=${value}`),
  );
  await kubectl(world, "label", "secret", "away", "-n", "argocd", "argocd.argoproj.io/secret-type=cluster");
  const { url } = await world.git.createRepository("away", { "app/cm.yaml": configMap("settings") });
  await world.applications.create({
    name: "away",
    repoURL: url,
    path: "app",
    automated: false,
    finalizers: [`${CASCADE}/background`],
    spec: { destination: { server, namespace: "away" } },
  });
  const resources = [{ version: "v1", kind: "ConfigMap", namespace: "away", name: "settings" }];
  await world.applications.patch("away", { status: { resources } });
  await world.applications.condition("away", "CLUSTER_UNREACHABLE");
  await world.applications.delete("away");
  await deletionError("away", "[CLUSTER_UNREACHABLE]");
  expect(await finalizers("away")).toEqual([`${CASCADE}/background`]);
  await kubectl(world, "delete", "secret", "away", "-n", "argocd");
  await gone("away");
});

test("without a finalizer only the Application goes", async () => {
  const { world, exists } = await synced("alone", { "cm.yaml": configMap("settings") }, { finalizers: [] });
  await world.applications.delete("alone");
  await gone("alone");
  expect(await exists("configmap/settings")).toBe(true);
});

test("kill -9 at any moment of a deletion: each hook runs once, and the Application goes", async () => {
  const { world } = use;
  const rounds = 3;
  await kubectl(world, "create", "namespace", "killed");
  const { seen, stop } = await watch("killed");
  for (let round = 0; round < rounds; round++) {
    const name = `killed-${round}`;
    await synced(
      name,
      {
        "cm.yaml": configMap(`settings-${round}`),
        "pre.yaml": job(`pre-${round}`, hook("PreDelete")),
        "made.yaml": job(`made-${round}-`, hook("PreDelete", wave(1)), { generated: true }),
        "post.yaml": job(`post-${round}`, hook("PostDelete", policy("HookSucceeded"))),
      },
      { destinationNamespace: "killed", syncOptions: [] },
    );
    await world.applications.delete(name);
    const asked = Date.now();
    await eventually("the moment to kill", () => Date.now() - asked >= 150 + round * 600);
    await world.services.kill();
    await world.services.start();
    await gone(name);
  }
  await eventually("all Jobs are seen", () => jobsIn(seen).length >= rounds * 3);
  stop();
  expect(jobsIn(seen)).toHaveLength(rounds * 3);
  expect(await named("configmaps", "killed")).toEqual([]);
}, 240_000);

const jobsIn = (seen: readonly string[]): string[] => [
  ...new Set(seen.filter((line) => line.startsWith("ADDED Job")).map((line) => line.split(" ")[3]!)),
];
