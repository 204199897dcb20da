import { expect, test } from "vitest";
import { systemClock } from "@driftless/process/clock";
import type { KubeClient } from "./client.ts";
import { createDiscovery } from "./discovery.ts";

test("whoever asks while what is no longer so is being read anew waits for that", async () => {
  const kinds = new Set(["Old"]);
  const resource = (kind: string) => ({ resource: kind, responseKind: { kind }, scope: "Namespaced" });
  const client = {
    server: "s",
    clock: systemClock,
    request: async ({ path }: { path: string }) => {
      await systemClock.sleep(1);
      const versions = [{ version: "v1", resources: [...kinds].map(resource) }];
      const items = path === "/apis" ? [{ metadata: { name: "example.com" }, versions }] : [];
      return { kind: "ok", object: { items }, created: false };
    },
  } as unknown as KubeClient;
  const discovery = createDiscovery(client);
  expect(await discovery.resourceFor("example.com", "New")).toEqual({ kind: "absent" });
  kinds.add("New");
  discovery.invalidate();
  const found = await Promise.all(["Old", "New"].map((kind) => discovery.resourceFor("example.com", kind)));
  expect(found.map(({ kind }) => kind)).toEqual(["ok", "ok"]);
});
