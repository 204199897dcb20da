import { expect, test } from "vitest";
import { systemIgnoreRules } from "./customizations.ts";

test("ignore rules of the system come from their keys and from the older single map", () => {
  const { rules, problems } = systemIgnoreRules({
    "resource.customizations": `
apps/Deployment:
  ignoreDifferences: |
    jsonPointers: [/spec/replicas]
"*.upbound.io/*":
  health.lua: "return nil"
  ignoreDifferences: "jqPathExpressions: ['.spec.x']"`,
    "resource.customizations.ignoreDifferences.all": "managedFieldsManagers: [kube-controller-manager]",
    "resource.customizations.ignoreDifferences.admissionregistration.k8s.io_MutatingWebhookConfiguration":
      "jqPathExpressions:\n- '.webhooks[]?.clientConfig.caBundle'",
    "resource.customizations.ignoreDifferences.ConfigMap": "jsonPointers: [/data/x]",
    "resource.customizations.health.Pod": "return {}",
  });
  expect(problems).toEqual([]);
  expect(rules.map(({ group, kind }) => `${group}/${kind}`)).toEqual([
    "apps/Deployment",
    "*.upbound.io/*",
    "*/*",
    "admissionregistration.k8s.io/MutatingWebhookConfiguration",
    "/ConfigMap",
  ]);
  expect(rules[0]).toMatchObject({
    jsonPointers: ["/spec/replicas"],
    origin: "argocd-cm resource.customizations[apps/Deployment].ignoreDifferences",
  });
});

test("an unreadable entry is told by its key, and the others count", () => {
  const { rules, problems } = systemIgnoreRules({
    "resource.customizations": "[not: a map",
    "resource.customizations.ignoreDifferences.apps_Deployment": "jsonPointers: /spec/replicas",
    "resource.customizations.ignoreDifferences.apps_StatefulSet": "jsonPointers: [/spec/replicas]",
  });
  expect(rules.map(({ kind }) => kind)).toEqual(["StatefulSet"]);
  expect(problems).toEqual([
    expect.stringContaining("resource.customizations: "),
    expect.stringContaining("resource.customizations.ignoreDifferences.apps_Deployment: jsonPointers"),
  ]);
});

test("rules of aggregated ClusterRoles are left out only where that is asked for", () => {
  expect(systemIgnoreRules({}).rules).toEqual([]);
  const { rules } = systemIgnoreRules({ "resource.compareoptions": "ignoreAggregatedRoles: true" });
  expect(rules.map(({ kind }) => kind)).toEqual(["ClusterRole"]);
});
