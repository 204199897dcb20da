// Many Applications of one repository: one poll and one question for all, and a push costs only those whose files it touches.
import { systemClock } from "@driftless/process/clock";
import { expect, test } from "vitest";
import { configMap, eventually, push, useWorld } from "../harness/story.ts";

const APPS = 20;
const use = useWorld({ settings: { "timeout.reconciliation": "2s", "timeout.reconciliation.jitter": "0s" } });
const names = Array.from({ length: APPS }, (_, n) => `mono-${n}`);
let url: string;

test("all Applications of one repository become Synced", async () => {
  const { world } = use;
  const files = Object.fromEntries(names.map((name) => [`apps/${name}/cm.yaml`, configMap(name)]));
  ({ url } = await world.git.createRepository("mono", files));
  for (const name of names) {
    await world.applications.create({ name, repoURL: url, path: `apps/${name}`, destinationNamespace: "mono" });
  }
  for (const name of names) await world.applications.synced(name);
});

test("one poll asks for all of them, and at rest nothing is written", async () => {
  const { world } = use;
  const versions = async () =>
    await Promise.all(names.map(async (name) => (await world.applications.get(name)).metadata.resourceVersion));
  // The outcome of a sync is written at once, what health adds a moment later: wait until two looks agree.
  let before = await versions();
  await eventually("writes come to rest", async () => {
    const now = await versions();
    const rested = now.join() === before.join();
    before = now;
    if (!rested) await systemClock.sleep(1_500);
    return rested;
  });
  world.git.resetStats();
  const started = systemClock.monotonic();
  // Two polls of one question each, seen at the server.
  await eventually("two polls", () => world.git.stats().requests >= 2, 20_000);
  expect(systemClock.monotonic() - started).toBeGreaterThan(1_500);
  expect(world.git.stats().requests).toBeLessThan(APPS / 2);
  expect((await versions()).join()).toBe(before.join());
});

test("a push to one of them is synced by the poll alone, and none of the others is written or rendered", async () => {
  const { world } = use;
  const metric = async (): Promise<number> => {
    const text = await (await fetch(`${world.services.apiUrl}/metrics`)).text();
    return Number(/^driftless_render_seconds_count (\d+)/m.exec(text)?.[1] ?? Number.NaN);
  };
  const rendered = await metric();
  const before = new Map(
    await Promise.all(
      names.map(async (name) => [name, (await world.applications.get(name)).status?.history?.length] as const),
    ),
  );
  const sha = await world.git.commitFiles(
    "mono",
    { "apps/mono-7/cm.yaml": configMap("mono-7", { key: "changed" }) },
    "change one",
  );
  await world.applications.synced("mono-7", sha, 20_000);
  expect((await metric()) - rendered).toBe(1);
  for (const name of names.filter((other) => other !== "mono-7")) {
    expect((await world.applications.get(name)).status?.history?.length, name).toBe(before.get(name));
  }
});

test("a burst of webhooks for one repository is a handful of questions to its server", async () => {
  const { world } = use;
  world.git.resetStats();
  await Promise.all(Array.from({ length: 50 }, () => push(world, url)));
  const sha = await world.git.commitFiles(
    "mono",
    { "apps/mono-3/cm.yaml": configMap("mono-3", { key: "burst" }) },
    "burst",
  );
  await push(world, url);
  await world.applications.synced("mono-3", sha);
  expect(world.git.stats().requests).toBeLessThan(25);
});

test("a webhook that lies about where the branch went changes nothing: refs are read, messages are not believed", async () => {
  const { world } = use;
  const elsewhere = await world.git.commitFiles(
    "mono",
    { "apps/mono-5/cm.yaml": configMap("mono-5", { key: "never merged" }) },
    "not on main",
    { branch: "proposal" },
  );
  const answer = await fetch(`${world.services.apiUrl}/api/webhook`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ repoURL: url, ref: "refs/heads/main", after: elsewhere }),
  });
  expect(answer.status).toBe(202);
  const sha = await world.git.commitFiles(
    "mono",
    { "apps/mono-5/cm.yaml": configMap("mono-5", { key: "merged" }) },
    "on main",
  );
  await push(world, url);
  const app = await world.applications.synced("mono-5", sha);
  expect(app.status?.history?.map((entry) => entry.revision)).not.toContain(elsewhere);
});

test("a repository that no Application names any more is asked no more", async () => {
  const { world } = use;
  await world.git.createRepository("left", { "app/cm.yaml": configMap("left") });
  await world.applications.create({ name: "moving", repoURL: world.git.repositoryUrl("left"), path: "app" });
  await world.applications.synced("moving");
  const { url: next } = await world.git.createRepository("next", { "app/cm.yaml": configMap("next") });
  await world.applications.patch("moving", { spec: { source: { repoURL: next } } });
  await world.applications.until("moving", "synced from the other repository", (app) =>
    (app.status?.resources ?? []).some((resource) => resource.name === "next" && resource.status === "Synced"),
  );
  // The other repositories go on being polled (every 2 s here): three of their polls without one of the left one.
  const asked = (): number => world.requests.filter((request) => request.repository === "left").length;
  const polls = (): number => world.requests.filter((request) => request.repository === "next").length;
  await eventually("the new repository is polled", () => polls() > 0);
  const [before, from] = [asked(), polls()];
  await eventually("three more polls of the new repository", () => polls() >= from + 3, 20_000);
  expect(asked()).toBe(before);
});
