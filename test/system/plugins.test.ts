// Plugins on real parts: workers on NATS, in another language than ours, render what is in Git.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { buildGo } from "@driftless/local/build";
import { afterEach, beforeAll, expect, test } from "vitest";
import { eventually, kubectl, push, useWorld } from "../harness/story.ts";

const use = useWorld({ settings: { "timeout.reconciliation": "0s" } });
let programs: string;
const workers: ChildProcess[] = [];

beforeAll(async () => {
  const { binDir } = await buildGo({
    moduleDir: join(import.meta.dirname, "../../deploy/plugins"),
    outputs: [{ pkg: "./example", name: "plugin-example" }],
    what: "the example plugin",
  });
  programs = binDir;
}, 600_000);
afterEach(async () => {
  for (const worker of workers.splice(0)) await end(worker);
});

function startWorker(): ChildProcess {
  const env = { NATS_URL: use.world.local.natsUrl! };
  const worker = spawn(join(programs, "plugin-example"), { env, stdio: ["ignore", "inherit", "inherit"] });
  workers.push(worker);
  return worker;
}

async function end(worker: ChildProcess): Promise<void> {
  if (worker.exitCode !== null || worker.signalCode !== null) return;
  worker.kill("SIGKILL");
  await once(worker, "exit");
}

const greeting = (namespace: string, name: string) =>
  kubectl(
    use.world,
    "get",
    "-n",
    namespace,
    "configmap",
    name,
    "--ignore-not-found",
    "-o",
    "jsonpath={.data.greeting}",
  );

async function commit(repository: string, url: string, files: Record<string, string>): Promise<string> {
  const sha = await use.world.git.commitFiles(repository, files, "change");
  await push(use.world, url);
  return sha;
}

const plugin = (name: string, more: Record<string, unknown> = {}) => ({ source: { plugin: { name, ...more } } });

test("nobody serves the plugin: the condition says so; a worker starts, and it heals by itself", async () => {
  const { world } = use;
  const { url, sha } = await world.git.createRepository("greetings", {
    "app/hello.greeting": "Hello\n",
    "other/x.greeting": "X\n",
  });
  const parameters = [{ name: "punctuation", string: "!" }];
  await world.applications.create({
    name: "greetings",
    repoURL: url,
    path: "app",
    ...plugin("greetings", { parameters }),
  });
  const waiting = await world.applications.condition("greetings", "PLUGIN_UNAVAILABLE");
  expect(waiting.status?.conditions?.[0]?.message).toContain("driftless.v1.plugin.greetings");

  startWorker();
  const app = await world.applications.synced("greetings", sha, 120_000);
  expect((app.status as { sourceType?: string }).sourceType).toBe("Plugin");
  expect(await greeting("greetings", "hello")).toBe("Hello!");

  await commit("greetings", url, { "app/bye.greeting": "Bye\n" });
  await eventually("the new file's object", async () => (await greeting("greetings", "bye")) === "Bye!");

  await world.applications.patch("greetings", {
    spec: { source: { plugin: { parameters: [{ name: "punctuation", string: "?" }] } } },
  });
  await eventually("the new parameter", async () => (await greeting("greetings", "bye")) === "Bye?");

  await commit("greetings", url, { "app/bye.greeting": "\n" });
  const failed = await world.applications.condition("greetings", "PLUGIN_FAILED");
  expect(failed.status?.conditions?.[0]?.message).toContain("app/bye.greeting greets nobody");
  expect(await greeting("greetings", "bye")).toBe("Bye?");
  const mended = await commit("greetings", url, { "app/bye.greeting": "Ciao\n" });
  await world.applications.synced("greetings", mended);
  expect(await greeting("greetings", "bye")).toBe("Ciao?");
});

test("another type beside the plugin is refused", async () => {
  const { world } = use;
  const { url } = await world.git.createRepository("two-types", { "app/a.greeting": "A\n" });
  await world.applications.create({
    name: "two-types",
    repoURL: url,
    path: "app",
    source: { plugin: { name: "greetings" }, helm: { releaseName: "x" } },
  });
  const app = await world.applications.condition("two-types", "SPEC_INVALID");
  expect(app.status?.conditions?.[0]?.message).toContain("Helm, Plugin");
});
