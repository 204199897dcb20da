// Actions as they are performed, against an API server that answers as the test says.
import { expect, test } from "vitest";
import { PerformAction } from "@driftless/contracts/actions";
import { actionHandlers } from "./actions.ts";

const WEB = { group: "apps", version: "v1", kind: "Deployment", namespace: "shop", name: "web" };
const app = { uid: "a", namespace: "argocd", name: "shop", project: "default" };

/** The object is at version 7 by the time that an action planned at 5 is done; `generation`: what it is then. */
async function performed(generation: number | undefined) {
  const now = {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: {
      name: "web",
      namespace: "shop",
      uid: "u",
      resourceVersion: "7",
      generation,
      annotations: { "argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/web" },
    },
  };
  const patches: { metadata: Record<string, unknown> }[] = [];
  const request = async ({ method, body }: { method: string; body?: string }) => {
    if (method === "GET") return { kind: "ok", object: now };
    const patch = JSON.parse(body!) as (typeof patches)[number];
    patches.push(patch);
    return patch.metadata["resourceVersion"] === "7"
      ? { kind: "ok", object: now }
      : { kind: "error", error: { code: "CONFLICT", message: "it has been changed" } };
  };
  const resource = { group: "apps", version: "v1", kind: "Deployment", plural: "deployments", namespaced: true };
  const step = {
    app,
    target: { trackingMethod: "annotation", controlPlaneNamespace: "argocd" },
    cluster: { client: { request }, discovery: { resourceFor: async () => ({ kind: "ok", resource }) } },
    blobs: { get: async () => Buffer.from(JSON.stringify([{ spec: { paused: true } }])) },
  };
  const ended: { changed: unknown[]; failure?: { code: string } }[] = [];
  const handlers = actionHandlers({
    bus: { publish: async (_definition: unknown, message: never) => void ended.push(message) },
    clock: { now: () => 0, monotonic: () => 0 },
    config: { observe: false },
    withStep: async (_command: unknown, perform: (step: never) => Promise<unknown>) => ({
      kind: "ok",
      value: await perform(step as never),
    }),
  } as never);
  await handlers
    .find(({ definition }) => definition === PerformAction)!
    .handle({
      app,
      deadlineAt: 1,
      asked: { action: "pause" },
      object: { ...WEB, live: { uid: "u", resourceVersion: "5", ...(generation !== undefined && { generation: 3 }) } },
      changes: [{ ...WEB, operation: "patch" }],
      bodiesDigest: "bodies",
    } as never);
  return { patches, ended: ended[0]! };
}

test("what only its status was changed of is still the object that was decided about", async () => {
  const { patches, ended } = await performed(3);
  expect(patches.map(({ metadata }) => metadata)).toEqual([
    { uid: "u", resourceVersion: "5" },
    { uid: "u", resourceVersion: "7" },
  ]);
  expect(ended).toMatchObject({ changed: [WEB] });
});

test.each([4, undefined])("what else was changed since (generation %o) is left alone", async (generation) => {
  const { patches, ended } = await performed(generation);
  expect(patches).toHaveLength(1);
  expect(ended).toMatchObject({ changed: [], failure: { code: "APPLY_CONFLICT" } });
});
