// Bad input: a condition with a stable code and a sentence to act on; the last good state stays, nothing is pruned,
// and no other Application notices.
import { expect, test } from "vitest";
import { configMap, eventually, kubectl, push, useWorld } from "../harness/story.ts";

const use = useWorld();

async function good(name: string) {
  const { world } = use;
  const { url } = await world.git.createRepository(name, { "app/cm.yaml": configMap("settings", { key: "good" }) });
  await world.applications.create({ name, repoURL: url, path: "app" });
  await world.applications.synced(name);
  return { world, url };
}

const value = async (namespace: string) =>
  await kubectl(use.world, "get", "-n", namespace, "configmap", "settings", "-o", "jsonpath={.data.key}");

test("an unknown repository is REPO_NOT_FOUND, and the message names it", async () => {
  const { world } = use;
  await world.applications.create({ name: "norepo", repoURL: world.git.repositoryUrl("does-not-exist"), path: "app" });
  const app = await world.applications.condition("norepo", "REPO_NOT_FOUND");
  expect(app.status?.conditions?.[0]?.message).toContain("does-not-exist");
  expect(app.status?.sync?.status).toBe("Unknown");
});

test("a URL that is not http(s) is REPO_URL_DENIED before anything is asked", async () => {
  const { world } = use;
  await world.applications.create({ name: "denied", repoURL: "http://169.254.169.254/latest", path: "app" });
  await world.applications.condition("denied", "REPO_URL_DENIED");
});

test("a missing branch is REVISION_NOT_FOUND, and pushing the branch cures it", async () => {
  const { world } = use;
  const { url } = await world.git.createRepository("nobranch", { "app/cm.yaml": configMap("settings") });
  await world.applications.create({ name: "nobranch", repoURL: url, path: "app", targetRevision: "later" });
  await world.applications.condition("nobranch", "REVISION_NOT_FOUND");
  await world.git.commitFiles("nobranch", { "app/cm.yaml": configMap("settings") }, "later", { branch: "later" });
  await push(world, url, "refs/heads/later");
  const app = await world.applications.synced("nobranch");
  expect(app.status?.conditions ?? []).toEqual([]);
});

test("a missing path is PATH_NOT_FOUND", async () => {
  const { world } = use;
  const { url } = await world.git.createRepository("nopath", { "app/cm.yaml": configMap("settings") });
  await world.applications.create({ name: "nopath", repoURL: url, path: "apps/typo" });
  const app = await world.applications.condition("nopath", "PATH_NOT_FOUND");
  expect(app.status?.conditions?.[0]?.message).toContain("apps/typo");
});

test("YAML that cannot be parsed is MANIFEST_INVALID with file and line; what was live stays; the repair is synced", async () => {
  const { world, url } = await good("broken");
  await world.git.commitFiles(
    "broken",
    { "app/bad.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: [unclosed\n" },
    "break",
  );
  await push(world, url);
  const app = await world.applications.condition("broken", "MANIFEST_INVALID");
  expect(app.status?.conditions?.[0]?.message).toMatch(/app\/bad\.yaml:\d+/);
  expect(await value("broken")).toBe("good");
  const sha = await world.git.commitFiles(
    "broken",
    { "app/bad.yaml": null, "app/cm.yaml": configMap("settings", { key: "better" }) },
    "repair",
  );
  await push(world, url);
  await world.applications.synced("broken", sha);
  expect(await value("broken")).toBe("better");
});

test("an unknown kind is KIND_UNKNOWN and nothing of the app is applied", async () => {
  const { world } = use;
  const { url } = await world.git.createRepository("nokind", {
    "app/cm.yaml": configMap("settings"),
    "app/thing.yaml": "apiVersion: things.example.com/v1\nkind: Thing\nmetadata: {name: one}\n",
  });
  await world.applications.create({ name: "nokind", repoURL: url, path: "app" });
  const app = await world.applications.condition("nokind", "KIND_UNKNOWN");
  expect(app.status?.conditions?.[0]?.message).toContain("Thing");
  expect(await kubectl(world, "get", "namespace", "nokind", "--ignore-not-found")).toBe("");
});

test("an object that the API server refuses fails the dry run: nothing is applied, the message names it", async () => {
  const { world } = use;
  const { url } = await world.git.createRepository("invalid", {
    "app/cm.yaml": configMap("settings"),
    "app/service.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 99999}]}\n",
  });
  await kubectl(world, "create", "namespace", "invalid");
  await world.applications.create({ name: "invalid", repoURL: url, path: "app" });
  const app = await world.applications.until("invalid", "Failed", (a) => a.status?.operationState?.phase === "Failed");
  expect(app.status?.operationState?.message).toContain("one or more objects failed to apply (dry run)");
  expect(JSON.stringify(app.status?.operationState?.syncResult)).toContain("99999");
  expect(await kubectl(world, "get", "-n", "invalid", "configmap", "settings", "--ignore-not-found")).toBe("");
});

test("an object that another Application tracks is RESOURCE_OWNED_BY_OTHER and stays as it is", async () => {
  const { world } = await good("owner");
  const { url } = await world.git.createRepository("thief", {
    "app/cm.yaml": configMap("settings", { key: "stolen" }),
  });
  await world.applications.create({ name: "thief", repoURL: url, path: "app", destinationNamespace: "owner" });
  await world.applications.condition("thief", "RESOURCE_OWNED_BY_OTHER");
  expect(await value("owner")).toBe("good");
});

test("a field that is not built yet is refused by name, and nothing is written for the app", async () => {
  const { world } = use;
  const { url } = await world.git.createRepository("unbuilt", { "app/cm.yaml": configMap("settings") });
  await world.applications.create({
    name: "unbuilt",
    repoURL: url,
    path: "app",
    spec: { source: { repoURL: url, path: "app", targetRevision: "main", kustomize: { version: "v4" } } },
  });
  const app = await world.applications.condition("unbuilt", "UNSUPPORTED_FIELD");
  expect(app.status?.conditions?.[0]?.message).toContain("spec.source.kustomize.version");
  expect(await kubectl(world, "get", "namespace", "unbuilt", "--ignore-not-found")).toBe("");
});

test("an unknown destination and an unknown project are named in a condition", async () => {
  const { world } = use;
  const { url } = await world.git.createRepository("lost", { "app/cm.yaml": configMap("settings") });
  await world.applications.create({
    name: "lost",
    repoURL: url,
    path: "app",
    spec: { destination: { server: "https://nowhere.example.com", namespace: "lost" } },
  });
  await world.applications.condition("lost", "DESTINATION_UNKNOWN");
  await world.applications.create({ name: "projectless", repoURL: url, path: "app", project: "no-such-project" });
  await world.applications.condition("projectless", "PROJECT_NOT_FOUND");
});

test("credentials: 401 is GIT_AUTH_FAILED; a repository Secret cures it; the password is shown nowhere", async () => {
  const { world } = use;
  const { url } = await world.git.createRepository("private", { "app/cm.yaml": configMap("settings") });
  world.git.setCredentials("private", { username: "reader", password: "CANARY-7f3" });
  await world.applications.create({ name: "private", repoURL: url, path: "app" });
  await world.applications.condition("private", "GIT_AUTH_FAILED");
  await kubectl(
    world,
    "create",
    "secret",
    "generic",
    "private-repo",
    "-n",
    "argocd",
    `--from-literal=url=${url}`,
    "--from-literal=username=reader",
    "--from-literal=password=CANARY-7f3",
  );
  await kubectl(world, "label", "secret", "private-repo", "-n", "argocd", "argocd.argoproj.io/secret-type=repository");
  const app = await world.applications.synced("private");
  expect(JSON.stringify(app)).not.toContain("CANARY");
});

test("a malformed Application has a condition with the field path; its neighbours are synced as ever", async () => {
  const { world } = use;
  await kubectl(world, "patch", "crd", "applications.argoproj.io", "--type=json", "-p", "[]").catch(() => "");
  await world.applications.create({
    name: "malformed",
    repoURL: "https://example.com/x.git",
    path: "app",
    spec: { syncPolicy: { automated: {}, retry: { limit: 3, backoff: { duration: "1y" } } } },
  });
  await world.applications.condition("malformed", "SPEC_INVALID");
  await good("neighbour");
});

test("skip-reconcile stops all work for the app until it is taken away", async () => {
  const { world } = use;
  const { url } = await world.git.createRepository("skipped", { "app/cm.yaml": configMap("settings") });
  await world.applications.create({
    name: "skipped",
    repoURL: url,
    path: "app",
    annotations: { "argocd.argoproj.io/skip-reconcile": "true" },
  });
  await good("after-skipped");
  expect((await world.applications.get("skipped")).status).toBeUndefined();
  await world.applications.patch("skipped", {
    metadata: { annotations: { "argocd.argoproj.io/skip-reconcile": null } },
  });
  await world.applications.synced("skipped");
});

test("a broken message on a trigger subject is set aside; refreshes go on", async () => {
  const { world } = await good("survivor");
  const nats = `${world.local.binDir}/nats`;
  const { run } = await import("../harness/story.ts");
  await run(nats, ["--server", world.local.natsUrl!, "pub", "driftless.v1.refresh.argocd.survivor", "{not json"]);
  await run(nats, ["--server", world.local.natsUrl!, "pub", "driftless.v1.cmd.render.now", "random bytes"]);
  await run(nats, ["--server", world.local.natsUrl!, "pub", "driftless.v1.push", '{"repoURL": 7}']);
  await eventually("the broken command is in the quarantine", async () => {
    const info = await run(nats, ["--server", world.local.natsUrl!, "stream", "info", "QUARANTINE", "--json"]);
    return info.code === 0 && (JSON.parse(info.stdout) as { state: { messages: number } }).state.messages >= 1;
  });
  await good("after-broken-message");
});
