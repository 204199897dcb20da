// The main job: what is in Git comes to stand in the cluster, stays so, and changes with Git.
import { describe, expect, test } from "vitest";
import { configMap, deployment, eventually, kubectl, kubectlJson, push, service, useWorld } from "../harness/story.ts";

describe("an automated Application", () => {
  const use = useWorld();

  async function deployed(name: string, files: Record<string, string>, spec: Record<string, unknown> = {}) {
    const { world } = use;
    const { url } = await world.git.createRepository(
      name,
      Object.fromEntries(Object.entries(files).map(([file, text]) => [`app/${file}`, text])),
    );
    await world.applications.create({ name, repoURL: url, path: "app", ...spec });
    await world.applications.synced(name);
    return {
      world,
      url,
      commit: (changes: Record<string, string | null>) => world.git.commitFiles(name, changes, "change"),
    };
  }

  test("is deployed into a namespace that it creates, and becomes Synced and Healthy", async () => {
    const { world } = await deployed("first", {
      "deployment.yaml": deployment("web", { replicas: 2 }),
      "service.yaml": service("web"),
    });
    const app = await world.applications.until("first", "Healthy", (a) => a.status?.health?.status === "Healthy");
    expect(app.status?.operationState?.phase).toBe("Succeeded");
    expect(app.status?.operationState?.message).toMatch(/^successfully synced/);
    expect(app.status?.history).toHaveLength(1);
    expect(app.status?.resources?.map((r) => `${r.kind}/${r.name} ${r.status}`)).toEqual([
      "Service/web Synced",
      "Deployment/web Synced",
    ]);
    expect(app.status?.summary?.images).toEqual(["registry.example.com/web:1"]);
    const live = await kubectlJson(world, "get", "-n", "first", "deployment", "web");
    expect(live.metadata.annotations["argocd.argoproj.io/tracking-id"]).toBe("first:apps/Deployment:first/web");
    expect(live.status.readyReplicas).toBe(2);
  });

  test("what a person scales is healed, and who did it is told", async () => {
    const { world } = await deployed("drift", { "deployment.yaml": deployment("web", { replicas: 3 }) });
    await kubectl(world, "scale", "-n", "drift", "deployment/web", "--replicas=5");
    await eventually("back to 3 replicas", async () => {
      const live = await kubectlJson(world, "get", "-n", "drift", "deployment", "web");
      return live.spec.replicas === 3 && live.metadata.generation >= 3;
    });
    await world.applications.synced("drift");
  });

  test("what a person deletes comes back", async () => {
    const { world } = await deployed("deleted", { "cm.yaml": configMap("settings") });
    await kubectl(world, "delete", "-n", "deleted", "configmap", "settings");
    await eventually("the ConfigMap is back", async () =>
      (
        await kubectl(world, "get", "-n", "deleted", "configmap", "settings", "--ignore-not-found", "-o", "name")
      ).includes("settings"),
    );
  });

  test("a push with a webhook brings the new image and prunes what left Git", async () => {
    const { world, url, commit } = await deployed("pushed", {
      "deployment.yaml": deployment("web"),
      "old.yaml": configMap("old"),
    });
    const sha = await commit({
      "app/deployment.yaml": deployment("web", { image: "registry.example.com/web:2" }),
      "app/old.yaml": null,
    });
    await push(world, url);
    await world.applications.synced("pushed", sha);
    const live = await kubectlJson(world, "get", "-n", "pushed", "deployment", "web");
    expect(live.spec.template.spec.containers[0].image).toBe("registry.example.com/web:2");
    expect(await kubectl(world, "get", "-n", "pushed", "configmap", "old", "--ignore-not-found")).toBe("");
  });

  test("a push that touches none of its files leaves its objects and its record alone", async () => {
    const { world, url, commit } = await deployed("untouched", { "cm.yaml": configMap("settings") });
    const before = await kubectlJson(world, "get", "-n", "untouched", "configmap", "settings");
    const sha = await commit({ "elsewhere/readme.md": "nothing of yours" });
    await push(world, url);
    // The revision follows lazily (DESIGN §3); asking makes it follow.
    await world.applications.patch("untouched", {
      metadata: { annotations: { "argocd.argoproj.io/refresh": "normal" } },
    });
    const app = await world.applications.synced("untouched", sha);
    await eventually("the refresh annotation is taken away", async () => {
      const now = await world.applications.get("untouched");
      return now.metadata.annotations?.["argocd.argoproj.io/refresh"] === undefined;
    });
    expect(app.status?.history).toHaveLength(1);
    const after = await kubectlJson(world, "get", "-n", "untouched", "configmap", "settings");
    expect(after.metadata.resourceVersion).toBe(before.metadata.resourceVersion);
  });

  test("objects that kubectl applied before are taken over, and what Git does not have goes from them", async () => {
    const { world } = use;
    await kubectl(world, "create", "namespace", "takeover");
    const { mkdtemp, writeFile } = await import("node:fs/promises");
    const file = `${await mkdtemp("/tmp/driftless-takeover-")}/cm.yaml`;
    await writeFile(file, configMap("settings", { key: "old", gone: "yes" }));
    await kubectl(world, "apply", "-n", "takeover", "-f", file);
    await deployed("takeover", { "cm.yaml": configMap("settings", { key: "new" }) });
    const live = await kubectlJson(world, "get", "-n", "takeover", "configmap", "settings");
    expect(live.data).toEqual({ key: "new" });
  });

  test("self-heal off: drift is shown and left alone", async () => {
    const { world } = await deployed(
      "noheal",
      { "deployment.yaml": deployment("web", { replicas: 1 }) },
      { automated: { prune: true } },
    );
    await kubectl(world, "scale", "-n", "noheal", "deployment/web", "--replicas=2");
    const app = await world.applications.until("noheal", "OutOfSync", (a) => a.status?.sync?.status === "OutOfSync");
    expect(app.status?.resources?.find((r) => r.kind === "Deployment")?.status).toBe("OutOfSync");
    const live = await kubectlJson(world, "get", "-n", "noheal", "deployment", "web");
    expect(live.spec.replicas).toBe(2);
  });

  test("S4: pruning everything is refused unless allowEmpty says so", async () => {
    const { world, url, commit } = await deployed("wiped", { "cm.yaml": configMap("settings"), "readme.md": "kept" });
    await commit({ "app/cm.yaml": null });
    await push(world, url);
    await world.applications.condition("wiped", "WIPE_REFUSED");
    expect(await kubectl(world, "get", "-n", "wiped", "configmap", "settings", "-o", "name")).toContain("settings");
  });

  test("prune off: what left Git is shown OutOfSync and stays", async () => {
    const { world, url, commit } = await deployed(
      "noprune",
      { "a.yaml": configMap("a"), "b.yaml": configMap("b") },
      { automated: { selfHeal: true } },
    );
    await commit({ "app/b.yaml": null });
    await push(world, url);
    await world.applications.until("noprune", "OutOfSync", (a) => a.status?.sync?.status === "OutOfSync");
    expect(await kubectl(world, "get", "-n", "noprune", "configmap", "b", "-o", "name")).toContain("b");
  });

  test("objects with Prune=false stay when they leave Git", async () => {
    const { world, url, commit } = await deployed("kept", {
      "a.yaml": configMap("a"),
      "b.yaml": configMap("b").replace(
        "metadata:",
        'metadata:\n  annotations: {"argocd.argoproj.io/sync-options": "Prune=false"}',
      ),
    });
    const sha = await commit({ "app/b.yaml": null, "app/a.yaml": configMap("a", { key: "2" }) });
    await push(world, url);
    await world.applications.until(
      "kept",
      "the operation at the new commit",
      (a) => a.status?.operationState?.syncResult?.revision === sha && a.status.operationState.phase === "Succeeded",
    );
    expect(await kubectl(world, "get", "-n", "kept", "configmap", "b", "-o", "name")).toContain("b");
  });

  test("an Application that is deleted with the finalizer takes its objects along", async () => {
    const { world } = await deployed(
      "cascade",
      { "cm.yaml": configMap("settings") },
      { finalizers: ["resources-finalizer.argocd.argoproj.io"] },
    );
    await world.applications.delete("cascade");
    await eventually(
      "the Application is gone",
      async () =>
        await world.applications.get("cascade").then(
          () => false,
          () => true,
        ),
    );
    expect(await kubectl(world, "get", "-n", "cascade", "configmap", "settings", "--ignore-not-found")).toBe("");
  });
});

describe("an Application without automation", () => {
  const use = useWorld();

  test("goes OutOfSync, stays so, and is synced when the operation field says so", async () => {
    const { world } = use;
    const { url, sha } = await world.git.createRepository("manual", { "app/cm.yaml": configMap("settings") });
    await world.applications.create({ name: "manual", repoURL: url, path: "app", automated: false });
    await world.applications.until("manual", "OutOfSync", (a) => a.status?.sync?.status === "OutOfSync");
    expect(await kubectl(world, "get", "namespace", "manual", "--ignore-not-found")).toBe("");
    await world.applications.patch("manual", {
      operation: { initiatedBy: { username: "somebody" }, sync: { syncOptions: ["CreateNamespace=true"] } },
    });
    const app = await world.applications.synced("manual", sha);
    const done = await world.applications.until(
      "manual",
      "operation over",
      (a) => a.status?.operationState?.phase === "Succeeded" && a.operation === undefined,
    );
    expect(done.status?.operationState?.operation?.initiatedBy).toEqual({ username: "somebody" });
    expect(app.status?.history?.length ?? 0).toBeGreaterThanOrEqual(0);
    expect(await kubectl(world, "get", "-n", "manual", "configmap", "settings", "-o", "name")).toContain("settings");
  });

  test("an operation that asks for what is not built ends with an error that names the field", async () => {
    const { world } = use;
    const { url } = await world.git.createRepository("unbuilt", { "app/cm.yaml": configMap("settings") });
    await world.applications.create({ name: "unbuilt", repoURL: url, path: "app", automated: false });
    await world.applications.until("unbuilt", "OutOfSync", (a) => a.status?.sync?.status === "OutOfSync");
    await world.applications.patch("unbuilt", {
      operation: { sync: { syncOptions: ["Novelty=true"] } },
    });
    const app = await world.applications.until("unbuilt", "Error", (a) => a.status?.operationState?.phase === "Error");
    expect(app.status?.operationState?.message).toContain("UNSUPPORTED_FIELD");
    expect(app.status?.operationState?.message).toContain("operation.sync.syncOptions[Novelty=true]");
  });
});
