import { expect, test } from "vitest";
import { masked } from "./plugin.ts";
import { pluginEnvironment, variablesNamed } from "./plugin-environment.ts";

const parts = {
  path: "apps/web",
  appName: "web",
  environment: { namespace: "shop", project: "default", revision: "abcdef1234", repoURL: "u", targetRevision: "main" },
  cluster: { kubeVersion: "v1.36.3", apiVersions: ["v1", "v1/Pod"] },
};

test("a plugin gets its variables as Argo CD's plugins do", () => {
  const parameters = [
    { name: "image-tag", string: "v1" },
    { name: "hosts", array: ["a", "b"] },
    { name: "labels", map: { "app.kind": "x" } },
  ];
  const plugin = { name: "p", env: [{ name: "SHORT", value: "${ARGOCD_APP_REVISION_SHORT}-$$x" }], parameters };
  expect(pluginEnvironment(plugin, parts)).toMatchObject({
    ARGOCD_APP_NAME: "web",
    ARGOCD_APP_NAMESPACE: "shop",
    ARGOCD_APP_SOURCE_PATH: "apps/web",
    KUBE_VERSION: "1.36.3",
    KUBE_API_VERSIONS: "v1,v1/Pod",
    ARGOCD_ENV_SHORT: "abcdef1-$x",
    ARGOCD_APP_PARAMETERS: JSON.stringify(parameters),
    PARAM_IMAGE_TAG: "v1",
    PARAM_HOSTS_0: "a",
    PARAM_HOSTS_1: "b",
    PARAM_LABELS_APP_KIND: "x",
  });
  expect(variablesNamed(plugin, parts)).toEqual(["ARGOCD_APP_REVISION_SHORT"]);
});

test.each([
  ["cannot clone https://user:hunter2@host/x", "hunter2"],
  ["Authorization: Bearer hunter2", "hunter2"],
  ['DB_PASSWORD="hunter2" is wrong', "hunter2"],
  ["token: hunter2", "hunter2"],
  ["-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----", "hunter2"],
])("%s is shown without what is secret", (text, secret) => {
  expect(masked(text)).not.toContain(secret);
});

test("of long words the end is shown", () => {
  const shown = masked(`${"x".repeat(100_000)} at the end`);
  expect(shown.length).toBeLessThan(1_100);
  expect(shown).toMatch(/at the end$/);
});
