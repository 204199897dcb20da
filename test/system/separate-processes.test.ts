// As in a deployment: every service a process of its own; workers join and die while work goes on.
import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freePort } from "../harness/services.ts";
import { configMap, eventually, kubectl, useWorld } from "../harness/story.ts";

const root = join(import.meta.dirname, "..", "..");
const use = useWorld();
const running = new Map<string, ChildProcess>();
let apiPort: number;

function start(name: string, service = name): ChildProcess {
  const { world } = use;
  const child = spawn(join(root, "node_modules/.bin/node"), [join(root, `services/${service}/src/main.ts`)], {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...process.env,
      DRIFTLESS_NATS_URL: world.local.natsUrl!,
      DRIFTLESS_KUBECONFIG: world.local.kubeconfigPath!,
      DRIFTLESS_API_PORT: String(apiPort),
      DRIFTLESS_REPLICA: name,
    },
  });
  const log = createWriteStream(join(world.home, "logs", `${name}.log`));
  child.stdout!.pipe(log);
  child.stderr!.pipe(log);
  running.set(name, child);
  return child;
}

async function end(name: string, signal: NodeJS.Signals): Promise<number | null> {
  const child = running.get(name)!;
  running.delete(name);
  const exited = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
  child.kill(signal);
  return await exited;
}

beforeAll(async () => {
  // The one-process services made the CRDs and the default project; from here on the six processes work alone.
  await use.world.services.stop();
  apiPort = await freePort();
  for (const name of ["api", "controller", "repo-fetcher", "renderer", "differ", "syncer"]) start(name);
  await eventually(
    "api is ready",
    async () => (await fetch(`http://127.0.0.1:${apiPort}/readyz`).catch(() => undefined))?.ok,
  );
}, 900_000);

afterAll(async () => {
  await Promise.all([...running.keys()].map((name) => end(name, "SIGTERM")));
}, 60_000);

test("six processes deploy an Application between them", async () => {
  const { world } = use;
  const { url } = await world.git.createRepository("apart", { "app/cm.yaml": configMap("settings") });
  await world.applications.create({ name: "apart", repoURL: url, path: "app" });
  await world.applications.synced("apart", undefined, 60_000);
  expect(await kubectl(world, "get", "-n", "apart", "configmap", "settings", "-o", "name")).toContain("settings");
});

test("a second renderer and syncer take over when the first are killed", async () => {
  const { world } = use;
  start("renderer-2", "renderer");
  start("syncer-2", "syncer");
  await end("renderer", "SIGKILL");
  await end("syncer", "SIGKILL");
  const sha = await world.git.commitFiles(
    "apart",
    { "app/cm.yaml": configMap("settings", { key: "second" }) },
    "change",
  );
  await fetch(`http://127.0.0.1:${apiPort}/api/webhook`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ repoURL: world.git.repositoryUrl("apart") }),
  });
  await world.applications.synced("apart", sha, 60_000);
});

test("another controller takes the Applications over when the first is killed", async () => {
  const { world } = use;
  start("controller-2", "controller");
  await end("controller", "SIGKILL");
  const sha = await world.git.commitFiles(
    "apart",
    { "app/cm.yaml": configMap("settings", { key: "third" }) },
    "change",
  );
  await eventually(
    "synced by the other controller",
    async () => {
      await fetch(`http://127.0.0.1:${apiPort}/api/webhook`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ repoURL: world.git.repositoryUrl("apart") }),
      });
      return (await world.applications.get("apart")).status?.sync?.revision === sha;
    },
    60_000,
  );
});

test("each process ends by itself on SIGTERM", async () => {
  for (const name of Array.from(running.keys())) expect(await end(name, "SIGTERM"), name).toBe(0);
});
