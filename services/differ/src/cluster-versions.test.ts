// Following of clusters, against an API server and a store that answer as the test says.
import { expect, test } from "vitest";
import { createVersions } from "./cluster-versions.ts";

test("what cannot be stored while NATS is away is told by the next look", async () => {
  const timers: (() => void)[] = [];
  const told: string[] = [];
  let names = ["v1"];
  let isAway = false;
  const client = {
    request: async () => ({ kind: "ok", object: { gitVersion: "v1.36.3" } }),
    listPage: async () => ({ kind: "ok", object: { items: [], resourceVersion: "1", continue: "" } }),
    stream: () => new Promise(() => {}),
    clock: { setTimer: () => () => {}, sleep: () => new Promise(() => {}), monotonic: () => 0, random: () => 0 },
  };
  const discovery = { apiVersions: async () => ({ kind: "ok", names }), invalidate: () => {} };
  const versions = createVersions({
    blobs: {
      put: async (bytes) => {
        if (isAway) throw new Error("NATS is away");
        return Buffer.from(bytes).toString();
      },
    },
    clock: { setTimer: (_delayMs: number, look: () => void) => (timers.push(look), () => {}) } as never,
    changed: ({ apiVersionsDigest }) => void told.push(apiVersionsDigest),
  });
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  const looked = async () => {
    timers.splice(0).at(-1)?.();
    await settled();
  };
  await versions.describe({ server: "https://one", client, discovery } as never);
  await settled();
  names = ["v1", "x/v1"];
  isAway = true;
  await looked();
  isAway = false;
  await looked();
  expect(told).toEqual(["v1\nx/v1"]);
  versions.stop();
});
