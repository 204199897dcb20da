// What is said while an operation runs: by phase and wave, each thing once, with what is waited for.
import { expect, test } from "vitest";
import type { Application } from "@driftless/contracts/application";
import { progressOf } from "./operations.ts";

const key = (kind: string, name: string) => ({ group: "", version: "v1", kind, namespace: "n", name });
const running = (message: string, ...results: object[]): Application =>
  ({
    metadata: { name: "web", namespace: "argocd" },
    status: {
      resources: [{ ...key("ConfigMap", "late"), syncWave: 5 }, key("ConfigMap", "first")],
      operationState: { phase: "Running", message, syncResult: { resources: results } },
    },
  }) as unknown as Application;

test("progress goes by phase and wave, says each thing once, and names what is waited for", () => {
  const said: string[] = [];
  const progress = progressOf((text) => said.push(text));
  const hook = {
    ...key("Job", "migrate"),
    hookType: "PreSync",
    syncPhase: "PreSync",
    hookPhase: "Running",
    message: "",
  };
  const first = { ...key("ConfigMap", "first"), syncPhase: "Sync", message: "created" };
  const late = { ...key("ConfigMap", "late"), syncPhase: "Sync" };
  const waiting = "waiting for completion of hook batch/Job/migrate";
  progress(running(waiting, late, hook));
  progress(running(waiting, late, hook));
  progress(running("", late, first, { ...hook, hookPhase: "Succeeded", message: "completed" }));
  progress(running("", { ...late, message: "created" }, first, hook));
  expect(said).toEqual([
    "PreSync:",
    "  Job/migrate  Running",
    `Running: ${waiting}`,
    "  Job/migrate  completed",
    "Sync:",
    "  ConfigMap/first  created",
    "Running",
    "Sync wave 5:",
    "  ConfigMap/late  created",
  ]);
});

test("what is over is no progress", () => {
  const said: string[] = [];
  const app = running("done");
  app.status!.operationState!.phase = "Succeeded";
  progressOf((text) => said.push(text))(app);
  expect(said).toEqual([]);
});
