import { expect, test } from "vitest";
import { settingsOf } from "./settings.ts";

const configMap = (data: Record<string, string>) => ({ data }) as never;

test("without argocd-cm the defaults are Argo CD's", () => {
  const { settings, problems } = settingsOf(undefined, "argocd");
  expect(settings).toEqual({
    controlPlaneNamespace: "argocd",
    tracking: { trackingMethod: "annotation" },
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
    tracking: { trackingMethod: "label" },
  });
});

test("how objects are marked, and which kinds are left alone, is read", () => {
  const data = {
    "application.instanceLabelKey": "example.com/app",
    installationID: "one",
    "resource.exclusions": "- apiGroups: ['*.cilium.io']\n  kinds: [CiliumIdentity]\n",
  };
  const { settings, problems } = settingsOf(configMap(data), "argocd");
  expect(settings).toMatchObject({
    tracking: { instanceLabelKey: "example.com/app", installationId: "one" },
    resourceFilter: { exclusions: [{ apiGroups: ["*.cilium.io"], kinds: ["CiliumIdentity"], clusters: [] }] },
  });
  expect(problems).toEqual([]);
});

test("keys of Argo CD's front end are passed over in silence, those of reconciliation are told when wrong", () => {
  const data = {
    "oidc.config": "x",
    "accounts.alice": "login",
    "resource.customizations.actions.apps_Deployment": "x",
    "application.instanceLabelKey": "no label key",
    "resource.respectRBAC": "loose",
    "resource.compareoptions": "ignoreResourceStatusField: crd",
  };
  expect(settingsOf(configMap(data), "argocd").problems).toEqual([
    expect.stringContaining("resource.compareoptions: ignoreResourceStatusField"),
    expect.stringContaining("application.instanceLabelKey:"),
    expect.stringContaining("resource.respectRBAC:"),
  ]);
});

test("what cannot be read is told and the default taken; a key that is not honoured yet is told by name", () => {
  const { settings, problems } = settingsOf(
    configMap({ "timeout.reconciliation": "soon", "kustomize.path.v4": "/x" }),
    "argocd",
  );
  expect(settings.pollIntervalMs).toBe(120_000);
  expect(problems).toEqual(['timeout.reconciliation: "soon" is no duration', "kustomize.path.v4: not honoured yet"]);
});

test("what may forbid and cannot be read, or asks for other rights than ours, refuses every Application", () => {
  const refusedBy = (data: Record<string, string>) => settingsOf(configMap(data), "argocd").settings.refused;
  expect(refusedBy({ globalProjects: "[{projectName: company}]" })).toBeUndefined();
  expect(refusedBy({ globalProjects: "projectName: company" })).toMatchObject([
    { code: "PROJECT_INVALID", path: "data.globalProjects" },
  ]);
  expect(refusedBy({ "application.sync.impersonation.enabled": "true" })).toMatchObject([
    { code: "UNSUPPORTED_FIELD", path: "data[application.sync.impersonation.enabled]" },
  ]);
  expect(refusedBy({ "application.sync.impersonation.enabled": "false" })).toBeUndefined();
});
