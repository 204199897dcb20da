// Losing nothing whatever is killed: NATS restarted or wiped, the API server away, the services killed at random moments.
import { expect, test } from "vitest";
import { systemClock } from "@driftless/process/clock";
import { configMap, deployment, eventually, kubectl, kubectlJson, push, useWorld } from "../harness/story.ts";

const use = useWorld();

async function app(name: string) {
  const { world } = use;
  const { url } = await world.git.createRepository(name, { "app/cm.yaml": configMap("settings", { key: "0" }) });
  await world.applications.create({ name, repoURL: url, path: "app" });
  await world.applications.synced(name);
  let n = 0;
  return {
    world,
    url,
    async change() {
      n += 1;
      return await world.git.commitFiles(
        name,
        { "app/cm.yaml": configMap("settings", { key: String(n) }) },
        `change ${n}`,
      );
    },
    value: async () => await kubectl(world, "get", "-n", name, "configmap", "settings", "-o", "jsonpath={.data.key}"),
  };
}

test("nats-server killed and started again: services reconnect and a push converges", async () => {
  const { world, url, change, value } = await app("nats-restart");
  await world.local.nats!.kill();
  const sha = await change();
  await world.restartNats();
  await world.services.ready();
  await push(world, url);
  await world.applications.synced("nats-restart", sha, 60_000);
  expect(await value()).toBe("1");
});

test("NATS wiped: streams are provisioned again and the next push converges", async () => {
  const { world, url, change, value } = await app("nats-wiped");
  await world.restartNats({ wipe: true });
  await world.services.ready();
  const sha = await change();
  await push(world, url);
  await world.applications.synced("nats-wiped", sha, 60_000);
  expect(await value()).toBe("1");
});

test("with NATS away a webhook is answered 503, never a false 2xx", async () => {
  const { world, url } = await app("nats-away");
  await world.local.nats!.kill();
  const answer = await fetch(`${world.services.apiUrl}/api/webhook`, {
    method: "POST",
    body: JSON.stringify({ repoURL: url }),
  });
  expect(answer.status).toBe(503);
  await world.restartNats();
  await world.services.ready();
});

test("the API server away for a while: drift made after it came back is healed", async () => {
  const { world, change, url } = await app("apiserver");
  await world.restartApiServer();
  const sha = await change();
  await eventually(
    "the webhook is taken",
    async () =>
      await push(world, url).then(
        () => true,
        () => false,
      ),
  );
  await world.applications.synced("apiserver", sha, 90_000);
  await kubectl(
    world,
    "patch",
    "-n",
    "apiserver",
    "configmap",
    "settings",
    "--type=merge",
    "-p",
    '{"data":{"key":"drifted"}}',
  );
  await eventually(
    "healed",
    async () =>
      (await kubectl(world, "get", "-n", "apiserver", "configmap", "settings", "-o", "jsonpath={.data.key}")) === "1",
    60_000,
  );
});

test("services killed with -9 at random moments of a sync: the next start converges, nothing is left half done", async () => {
  const { world } = use;
  const { url } = await world.git.createRepository("killed", {
    "app/web.yaml": deployment("web", { image: "registry.example.com/web:0" }),
    "app/cm.yaml": configMap("settings", { key: "0" }),
  });
  await world.applications.create({ name: "killed", repoURL: url, path: "app" });
  await world.applications.synced("killed");
  // Fixed delays over the length of one pass: each run kills at other points of it, all runs together cover it.
  for (const [n, delayMs] of [0, 4, 9, 15, 22, 30, 40, 55].entries()) {
    const sha = await world.git.commitFiles(
      "killed",
      {
        "app/web.yaml": deployment("web", { image: `registry.example.com/web:${n + 1}` }),
        "app/cm.yaml": configMap("settings", { key: String(n + 1) }),
        [`app/extra-${n}.yaml`]: configMap(`extra-${n}`),
        ...(n > 0 ? { [`app/extra-${n - 1}.yaml`]: null } : {}),
      },
      `change ${n + 1}`,
    );
    await push(world, url);
    await systemClock.sleep(delayMs);
    await world.services.kill();
    await world.services.start();
    await world.services.ready();
    await world.applications.until(
      "killed",
      `Synced to ${sha} after kill -9 at ${delayMs} ms`,
      (a) =>
        a.status?.sync?.status === "Synced" &&
        a.status.sync.revision === sha &&
        a.status.operationState?.phase === "Succeeded",
      90_000,
    );
    const live = await kubectlJson(world, "get", "-n", "killed", "deployment,configmap");
    const names = (live.items as any[])
      .map((item) => item.metadata.name as string)
      .filter((name) => name.startsWith("extra-"));
    expect(names).toEqual([`extra-${n}`]);
  }
}, 300_000);

test("a restart with everything in sync compares all and writes to no target object", async () => {
  const { world } = await app("restart");
  const versions = async () => {
    const list = await kubectlJson(world, "get", "configmap,deployment", "-A");
    return Object.fromEntries(
      (list.items as any[]).map((o) => [
        `${o.kind}/${o.metadata.namespace}/${o.metadata.name}`,
        o.metadata.generation ?? o.metadata.resourceVersion,
      ]),
    );
  };
  const before = await versions();
  await world.services.kill();
  await world.services.start();
  await world.services.ready();
  const marker = await app("restart-marker");
  expect(await marker.value()).toBe("0");
  const after = await versions();
  for (const [key, version] of Object.entries(before)) expect(after[key], key).toBe(version);
});
