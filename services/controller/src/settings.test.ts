import { expect, test } from "vitest";
import { settingsOf } from "./settings.ts";

const configMap = (data: Record<string, string>) => ({ data }) as never;

test("without argocd-cm the defaults are Argo CD's", () => {
  const { settings, problems } = settingsOf(undefined, "argocd");
  expect(settings).toEqual({
    controlPlaneNamespace: "argocd",
    trackingMethod: "annotation",
    pollIntervalMs: 120_000,
    pollJitterMs: undefined,
    ignoreRules: [],
  });
  expect(problems).toEqual([]);
});

test("interval, jitter and tracking method are read", () => {
  const data = {
    "timeout.reconciliation": "3m",
    "timeout.reconciliation.jitter": "0s",
    "application.resourceTrackingMethod": "label",
  };
  expect(settingsOf(configMap(data), "argocd").settings).toMatchObject({
    pollIntervalMs: 180_000,
    pollJitterMs: 0,
    trackingMethod: "label",
  });
});

test("what cannot be read is told and the default taken; a key that is not honoured yet is told by name", () => {
  const { settings, problems } = settingsOf(
    configMap({ "timeout.reconciliation": "soon", "resource.exclusions": "[]" }),
    "argocd",
  );
  expect(settings.pollIntervalMs).toBe(120_000);
  expect(problems).toEqual(['timeout.reconciliation: "soon" is no duration', "resource.exclusions: not honoured yet"]);
});
