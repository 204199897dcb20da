// Dependencies between Applications (A#3454, A#7978): what is new is synced once those that `driftless.io/depends-on`
// names are Synced and Healthy. Until then it is told who is waited for, and it goes on by itself.
import { expect, test } from "vitest";
import type { ApplicationObject } from "../harness/applications.ts";
import { configMap, deployment, eventually, kubectl, kubectlJson, push, useWorld } from "../harness/story.ts";
import { operate } from "./sync.ts";

const use = useWorld();
const dependingOn = (others: string) => ({ "driftless.io/depends-on": others });

/** Never healthy, for want of a node, until it is scaled to nothing; applied anew it is shut again. */
const gate = (image: string) =>
  deployment("gate", { image: `registry.example.com/web:${image}`, extra: "      nodeSelector: {nowhere: really}\n" });
const openGate = (namespace: string) =>
  kubectl(use.world, "scale", "-n", namespace, "deployment", "gate", "--replicas=0");
const valueOf = async (namespace: string) =>
  (await kubectlJson(use.world, "get", "-n", namespace, "configmap", "settings")).data.key as string;

const told = (app: ApplicationObject, text: string): boolean =>
  app.status?.conditions?.some(({ message }) => message.includes(text)) ?? false;
const until = (name: string, text: string) => use.world.applications.until(name, text, (app) => told(app, text));
const waitsFor = (name: string, blocker: string) =>
  until(name, `[DEPENDENCY_NOT_READY] waiting for Application argocd/${blocker}`);

async function alone(name: string, others: string): Promise<void> {
  const { world } = use;
  const { url } = await world.git.createRepository(name, { "app/settings.yaml": configMap("settings") });
  await world.applications.create({ name, repoURL: url, path: "app", annotations: dependingOn(others) });
}

test("a chain of three comes up in its order, and goes on in it with one commit to all of them", async () => {
  const { world } = use;
  const files = (key: string) => ({
    "db/gate.yaml": gate(key),
    "api/gate.yaml": gate(key),
    "api/settings.yaml": configMap("settings", { key }),
    "web/settings.yaml": configMap("settings", { key }),
  });
  const { url } = await world.git.createRepository("chain", files("one"));
  // The last of the chain first.
  for (const [name, other] of [["web", "api"], ["api", "db"], ["db"]]) {
    await world.applications.create({
      name: name!,
      repoURL: url,
      path: name!,
      annotations: other === undefined ? undefined : dependingOn(other),
      spec: { ignoreDifferences: [{ group: "apps", kind: "Deployment", jsonPointers: ["/spec/replicas"] }] },
    });
  }
  await waitsFor("api", "db (Synced, Progressing)");
  const waiting = await waitsFor("web", "api (OutOfSync, Missing)");
  expect(waiting.status?.operationState).toBeUndefined();
  expect((await world.applications.get("api")).status?.operationState).toBeUndefined();
  await openGate("db");
  await waitsFor("web", "api (Synced, Progressing)");
  await openGate("api");
  const synced = await world.applications.synced("web");
  expect(synced.status?.conditions ?? []).toEqual([]);

  const sha = await world.git.commitFiles("chain", files("two"), "two");
  await push(world, url);
  await world.applications.synced("db", sha);
  await waitsFor("api", "db (Synced, Progressing)");
  await until("web", "[DEPENDENCY_NOT_READY]");
  expect([await valueOf("api"), await valueOf("web")]).toEqual(["one", "one"]);
  await openGate("db");
  await world.applications.synced("api", sha);
  await waitsFor("web", "api (Synced, Progressing)");
  expect(await valueOf("web")).toBe("one");
  await openGate("api");
  await eventually("the last of them is there", async () => (await valueOf("web")) === "two");

  // What their statuses say after a start is of before it.
  await world.services.kill();
  const { "db/gate.yaml": _unchanged, ...changed } = files("three");
  await world.git.commitFiles("chain", changed, "three");
  await world.services.start();
  await world.services.ready();
  await waitsFor("web", "api (Synced, Progressing)");
  expect(await valueOf("web")).toBe("two");
  await openGate("api");
  await eventually("the restart is got over", async () => (await valueOf("web")) === "three");
});

test("one that is not there is named and waited for; a sync by hand does not wait", async () => {
  const { world } = use;
  await alone("shop", "later");
  await alone("asked", "later");
  await waitsFor("shop", "later (not there)");
  await waitsFor("asked", "later (not there)");
  expect((await operate(world, "asked")).status?.operationState?.phase).toBe("Succeeded");
  expect((await world.applications.get("shop")).status?.operationState).toBeUndefined();
  await alone("later", "");
  await world.applications.synced("shop");
});

test("one that this controller leaves alone is ready when its status says so", async () => {
  const { world } = use;
  const { url } = await world.git.createRepository("theirs", { "app/settings.yaml": configMap("settings") });
  const annotations = { "argocd.argoproj.io/skip-reconcile": "true" };
  await world.applications.create({ name: "theirs", repoURL: url, path: "app", annotations });
  await alone("ours", "theirs");
  await waitsFor("ours", "theirs (Unknown, Unknown)");
  const { source, destination } = (await world.applications.get("theirs")).spec;
  const sync = { status: "Synced", comparedTo: { source, destination } };
  await world.applications.patch("theirs", { status: { sync, health: { status: "Progressing" } } });
  await waitsFor("ours", "theirs (Synced, Progressing)");
  await world.applications.patch("theirs", { status: { health: { status: "Healthy" } } });
  await world.applications.synced("ours");
});

test("a cycle is told to all that are in it with their names, and they go on when it is broken", async () => {
  const { world } = use;
  await alone("hen", "chick");
  await alone("egg", "argocd/hen");
  await alone("chick", "nobody");
  await waitsFor("hen", "chick (OutOfSync, Missing)");
  await waitsFor("egg", "hen (OutOfSync, Missing)");
  const link = (...change: string[]) => kubectl(world, "annotate", "-n", "argocd", "application", "chick", ...change);
  await link("--overwrite", "driftless.io/depends-on=egg");
  await until("egg", "[DEPENDENCY_CYCLE] argocd/egg → argocd/hen → argocd/chick → argocd/egg");
  await until("chick", "[DEPENDENCY_CYCLE] argocd/chick → argocd/egg → argocd/hen → argocd/chick");
  const hen = await until("hen", "[DEPENDENCY_CYCLE] argocd/hen → argocd/chick → argocd/egg → argocd/hen");
  expect(hen.status?.sync?.status).toBe("OutOfSync");
  expect(hen.status?.operationState).toBeUndefined();
  await link("driftless.io/depends-on-");
  const egg = await world.applications.synced("egg");
  expect(egg.status?.conditions ?? []).toEqual([]);
});

test("what cannot be read is refused with the path of the annotation", async () => {
  await alone("wrong", "db, Not A Name");
  const app = await use.world.applications.condition("wrong", "SPEC_INVALID");
  const told = app.status?.conditions?.[0]?.message;
  expect(told).toContain('"Not A Name"');
  expect(told).toContain("(metadata.annotations[driftless.io/depends-on])");
});
