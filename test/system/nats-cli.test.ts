// What a person does with the stock NATS CLI, with the real binary.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { configMap, eventually, kubectl, run, useWorld } from "../harness/story.ts";

const use = useWorld();
const nats = (...args: string[]) =>
  run(join(use.world.local.binDir, "nats"), ["--server", use.world.local.natsUrl!, ...args]);

test("nats sub shows readable transitions while an Application is deployed", async () => {
  const { world } = use;
  const child = spawn(
    join(world.local.binDir, "nats"),
    ["--server", world.local.natsUrl!, "sub", "driftless.v1.app.>"],
    {
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let out = "";
  child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (out += chunk.toString()));
  try {
    await eventually("nats sub has subscribed", () => out.includes("Subscribing"));
    const { url } = await world.git.createRepository("guestbook", { "guestbook/cm.yaml": configMap("settings") });
    await world.applications.create({ name: "guestbook", repoURL: url, path: "guestbook" });
    await world.applications.synced("guestbook");
    await eventually("the Synced transition is shown", () =>
      out.includes("driftless.v1.app.default.argocd.guestbook.synced"),
    );
  } finally {
    child.kill("SIGTERM");
  }
  expect(out).toContain("driftless.v1.app.default.argocd.guestbook.outofsync");
  expect(out).toContain("driftless.v1.app.default.argocd.guestbook.syncing");
  const bodies = out
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Record<string, any>);
  const synced = bodies.find((body) => body.to === "Synced")!;
  expect(synced.from).toBe("Syncing");
  expect(synced.app.name).toBe("guestbook");
  expect(synced.revision).toMatch(/^[0-9a-f]{40}$/);
  expect(synced.causes.length).toBeGreaterThan(0);
  expect(synced.timings.totalMs).toBeGreaterThan(0);
});

test("nats req on the refresh subject says that it was stored, and the Application is looked at again", async () => {
  const { world } = use;
  await kubectl(world, "get", "application", "guestbook", "-n", "argocd");
  const sha = await world.git.commitFiles(
    "guestbook",
    { "guestbook/cm.yaml": configMap("settings", { key: "asked for" }) },
    "change",
  );
  const answer = await nats("req", "driftless.v1.refresh.argocd.guestbook", "");
  expect(answer.code).toBe(0);
  expect(`${answer.stdout}${answer.stderr}`).toContain('"stream":"TRIGGERS"');
  await world.applications.synced("guestbook", sha);
});

test("nats req on refresh._all refreshes every Application", async () => {
  const { world } = use;
  const sha = await world.git.commitFiles(
    "guestbook",
    { "guestbook/cm.yaml": configMap("settings", { key: "all" }) },
    "change",
  );
  expect((await nats("req", "driftless.v1.refresh._all", "")).code).toBe(0);
  await world.applications.synced("guestbook", sha);
});

test("any job can publish a push as plain JSON", async () => {
  const { world } = use;
  const sha = await world.git.commitFiles(
    "guestbook",
    { "guestbook/cm.yaml": configMap("settings", { key: "job" }) },
    "change",
  );
  expect(
    (await nats("req", "driftless.v1.push", JSON.stringify({ repoURL: world.git.repositoryUrl("guestbook") }))).code,
  ).toBe(0);
  await world.applications.synced("guestbook", sha);
});

test("history can be replayed from APP_TRANSITIONS", async () => {
  const { world } = use;
  const view = await run("script", [
    "-qec",
    `${join(world.local.binDir, "nats")} --server ${world.local.natsUrl} stream view APP_TRANSITIONS --raw`,
    "/dev/null",
  ]);
  expect(view.stdout).toContain('"guestbook"');
  const replay = await nats("sub", "--stream", "APP_TRANSITIONS", "--all", "--count", "3", "--raw");
  expect(replay.stdout.split("\n").filter((line) => line.startsWith("{")).length).toBeGreaterThanOrEqual(3);
});

test("nats consumer info shows the lag of each hop", async () => {
  for (const consumer of ["render-now", "render-bulk", "diff-now", "diff-bulk", "sync-now", "sync-bulk"]) {
    const info = await nats("consumer", "info", "COMMANDS", consumer, "--json");
    expect(info.code, consumer).toBe(0);
    expect(JSON.parse(info.stdout)).toHaveProperty("num_pending");
  }
  const list = await nats("consumer", "ls", "COMMANDS", "--names");
  expect(list.stdout).toContain("fetch-0");
});
