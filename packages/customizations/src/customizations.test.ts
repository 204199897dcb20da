// The watch of argocd-cm, against an API server that answers as the test says.
import { expect, test } from "vitest";
import { openCustomizations } from "./customizations.ts";

test("a start that waits for argocd-cm says why it cannot be read", async () => {
  const said: { why: string }[] = [];
  const forbidden = { code: "FORBIDDEN", message: "configmaps is forbidden", retryable: false };
  const client = {
    listPage: async () => ({ kind: "error", error: forbidden }),
    clock: { now: () => 0, monotonic: () => 0, random: () => 0, sleep: () => new Promise(() => {}) },
  };
  const logger = { warn: (about: { why: string }) => said.push(about) };
  void openCustomizations({ client, namespace: "argocd", engine: {}, logger } as never);
  await new Promise((resolve) => setImmediate(resolve));
  expect(said).toEqual([{ why: "configmaps is forbidden" }]);
});
