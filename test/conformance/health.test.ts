// Health: by scripts of argocd-cm, as waves are gated by it, and what of it is the Application's (contract §7).
import { beforeAll, expect, test } from "vitest";
import { configMap, deployment, eventually, kubectl, kubectlJson, useWorld } from "../harness/story.ts";
import { annotated, manualIn, operate } from "./sync.ts";

const WIDGETS = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: widgets.example.com
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Widget, plural: widgets, singular: widget}
  versions:
    - name: v1
      served: true
      storage: true
      subresources: {status: {}}
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`;
const WIDGET_HEALTH = `
hs = { status = "Progressing", message = "no phase yet" }
if obj.status ~= nil and obj.status.phase ~= nil then
  hs.status = obj.status.phase
  hs.message = "phase of " .. obj.metadata.name
end
return hs`;
/** As Argo CD's documentation has it for apps of apps. */
const APPLICATION_HEALTH = `
hs = {}
hs.status = "Progressing"
hs.message = ""
if obj.status ~= nil then
  if obj.status.health ~= nil then
    hs.status = obj.status.health.status
    if obj.status.health.message ~= nil then
      hs.message = obj.status.health.message
    end
  end
end
return hs`;

const use = useWorld({
  settings: {
    "resource.customizations.health.example.com_Widget": WIDGET_HEALTH,
    "resource.customizations.health.argoproj.io_Application": APPLICATION_HEALTH,
  },
});
const manual = manualIn(use);

beforeAll(async () => {
  const path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
  const contentType = "application/yaml";
  const made = await use.world.client.request({ method: "POST", path, body: WIDGETS, contentType });
  if (made.kind === "error") throw new Error(made.error.message);
  await kubectl(use.world, "wait", "--for=condition=Established", "crd/widgets.example.com");
});

const widget = (name: string, spec: Record<string, unknown> = {}): string =>
  `apiVersion: example.com/v1\nkind: Widget\nmetadata:\n  name: ${name}\nspec: ${JSON.stringify({ size: 1, ...spec })}\n`;

const wave = (text: string, number: number) => annotated(text, { "argocd.argoproj.io/sync-wave": String(number) });

async function say(namespace: string, name: string, status: Record<string, unknown>): Promise<void> {
  const patch = JSON.stringify({ status });
  await eventually(`Widget ${name} is there`, () =>
    kubectl(
      use.world,
      "patch",
      "-n",
      namespace,
      "widget",
      name,
      "--subresource=status",
      "--type=merge",
      "-p",
      patch,
    ).catch(() => undefined),
  );
}

const setting = (key: string, value: string | null) =>
  kubectl(
    use.world,
    "patch",
    "-n",
    "argocd",
    "configmap",
    "argocd-cm",
    "--type=merge",
    "-p",
    JSON.stringify({ data: { [key]: value } }),
  );

const healthy = (name: string, status: string, message?: string) =>
  use.world.applications.until(
    name,
    `${status} ${message ?? ""}`,
    ({ status: { health } = {} }) => health?.status === status && (message === undefined || health.message === message),
  );

test("a script of argocd-cm says the health of its kind, and another one judges anew at once what is there", async () => {
  const { world } = await manual("scripted", { "a.yaml": widget("a"), "b.yaml": configMap("b") });
  await operate(world, "scripted");
  await healthy("scripted", "Progressing", "Widget a: no phase yet");
  await say("scripted", "a", { phase: "Degraded" });
  await healthy("scripted", "Degraded", "Widget a: phase of a");

  const key = "resource.customizations.health.example.com_Widget";
  await setting(key, 'return { status = "Suspended", message = string.upper("told") }');
  const failing = await healthy("scripted", "Unknown");
  expect(failing.status?.health?.message).toContain("attempt to index a non-table object(nil) with key 'upper'");
  await setting("resource.customizations.useOpenLibs.example.com_Widget", "true");
  await healthy("scripted", "Suspended", "Widget a: TOLD");
  await setting(key, "while true do end");
  await healthy("scripted", "Unknown", "Widget a: the Lua script took longer than 1s");
  await setting(key, "return nil");
  await healthy("scripted", "Healthy");
  await setting(key, WIDGET_HEALTH);
  await healthy("scripted", "Degraded");
});

test("a wave waits for what a script says, and not on what it says of the spec before", async () => {
  const files = { "a.yaml": widget("a"), "after.yaml": wave(configMap("after", { of: "1" }), 1) };
  const { world, commit } = await manual("observed", files);
  const blocked = "waiting for healthy state of example.com/Widget/a";
  await operate(world, "observed", {}, ({ message }) => message === blocked);
  await say("observed", "a", { phase: "Healthy", observedGeneration: 1 });
  await world.applications.until("observed", "done", (app) => app.status?.operationState?.phase === "Succeeded");

  await commit({ "app/a.yaml": widget("a", { size: 2 }), "app/after.yaml": wave(configMap("after", { of: "2" }), 1) });
  await operate(world, "observed", {}, ({ message }) => message === blocked);
  const after = () => kubectlJson(world, "get", "-n", "observed", "configmap", "after");
  expect((await after()).data.of).toBe("1");
  await say("observed", "a", { phase: "Healthy", observedGeneration: 2 });
  await world.applications.until("observed", "done", (app) => app.status?.operationState?.phase === "Succeeded");
  expect((await after()).data.of).toBe("2");
});

test("Degraded for a moment after it was made does not fail a sync, Degraded for long does", async () => {
  const files = { "a.yaml": widget("a"), "after.yaml": wave(configMap("after"), 1) };
  const { world, exists } = await manual("flapping", files);
  const { world: other } = await manual("degraded", files);
  const operations = [operate(world, "flapping"), operate(other, "degraded")];
  await say("flapping", "a", { phase: "Degraded" });
  await say("degraded", "a", { phase: "Degraded" });
  await healthy("flapping", "Degraded");
  await say("flapping", "a", { phase: "Healthy" });
  const [passed, failed] = await Promise.all(operations);
  expect(passed?.status?.operationState?.phase).toBe("Succeeded");
  expect(await exists("configmap/after")).toBe(true);
  expect(failed?.status?.operationState?.message).toContain("example.com/Widget/a: phase of a");
});

test("an app of apps brings up one child after the other, and waits until a changed one was compared anew", async () => {
  const { world } = use;
  const urls = new Map<string, string>();
  for (const name of ["first", "second"])
    urls.set(name, (await world.git.createRepository(name, { "app/cm.yaml": configMap(name) })).url);
  const child = (name: string, number: number, targetRevision: string) => {
    const object = world.applications.object({ name, repoURL: urls.get(name)!, path: "app", targetRevision });
    const metadata = { name, namespace: "argocd", annotations: { "argocd.argoproj.io/sync-wave": String(number) } };
    return JSON.stringify({ ...object, metadata });
  };
  const files = { "first.json": child("first", 0, "nowhere"), "second.json": child("second", 1, "main") };
  const { commit } = await manual("parent", files);
  const blocked = "waiting for healthy state of argoproj.io/Application/first";
  await operate(world, "parent", {}, ({ message }) => message === blocked);
  await world.applications.condition("first", "REVISION_NOT_FOUND");
  expect(await kubectl(world, "get", "-n", "argocd", "application", "second", "--ignore-not-found")).toBe("");

  await world.applications.patch("parent", { status: { operationState: { phase: "Terminating" } } });
  await world.applications.until("parent", "ended", (app) => app.status?.operationState?.phase === "Failed");
  await commit({ "app/first.json": child("first", 0, "main") });
  const app = await operate(world, "parent");
  expect(app.status?.operationState?.phase).toBe("Succeeded");
  await world.applications.synced("second");
});

test("an object that asks for it has no part in the Application's health", async () => {
  const gate = deployment("web", { extra: "      nodeSelector: {nowhere: really}\n" });
  const { world, commit } = await manual("ignoring", { "web.yaml": gate });
  await operate(world, "ignoring");
  await healthy("ignoring", "Progressing");
  await commit({ "app/web.yaml": annotated(gate, { "argocd.argoproj.io/ignore-healthcheck": "true" }) });
  await operate(world, "ignoring");
  await healthy("ignoring", "Healthy");
});
