import { OPERATION_INFO } from "@driftless/contracts/pipeline/5-sync";
import type { KubeObject } from "@driftless/kube/resource";
import { expect, test } from "vitest";
import { withdrawnFrom, type Claim } from "./operation.ts";

const claim: Claim = {
  app: { uid: "u", namespace: "argocd", name: "shop", project: "default" },
  operationId: "op",
  epoch: 3,
  purpose: "sync",
};
const application = (id = "op", epoch = "3", phase = "Running", metadata: object = {}): KubeObject => ({
  apiVersion: "argoproj.io/v1alpha1",
  kind: "Application",
  metadata: { name: "shop", uid: "u", resourceVersion: "1", ...metadata },
  status: {
    operationState: {
      phase,
      operation: {
        info: [
          { name: "theirs", value: "x" },
          { name: OPERATION_INFO.operationId, value: id },
          { name: OPERATION_INFO.epoch, value: epoch },
        ],
      },
    },
  },
});
const deleting = { deletionTimestamp: "2026-01-01T00:00:00Z" };

test("a sync goes on while its operation runs under its own epoch", () => {
  expect(withdrawnFrom(application(), claim)).toBeUndefined();
});

test.each<[string, KubeObject]>([
  ["another operation runs", application("other")],
  ["another owner took over", application("op", "4")],
  ["it was terminated", application("op", "3", "Terminating")],
  ["the Application is being deleted", application("op", "3", "Running", deleting)],
  ["the Application was made anew", application("op", "3", "Running", { uid: "v" })],
  ["there is no operation", { ...application(), status: {} }],
])("a sync ends when %s", (_title, object) => {
  expect(withdrawnFrom(object, claim)?.code).toBe("OPERATION_SUPERSEDED");
});

test("a heal needs no operation, but an Application that is not being deleted", () => {
  const heal: Claim = { ...claim, purpose: "heal" };
  expect(withdrawnFrom({ ...application(), status: {} }, heal)).toBeUndefined();
  expect(withdrawnFrom(application("op", "3", "Running", deleting), heal)).toBeDefined();
});

test("a delete needs an Application that is being deleted", () => {
  const del: Claim = { ...claim, purpose: "delete" };
  expect(withdrawnFrom(application("op", "3", "Running", deleting), del)).toBeUndefined();
  expect(withdrawnFrom(application(), del)).toBeDefined();
});
