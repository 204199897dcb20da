import { expect, test } from "vitest";
import { apiVersionOf, groupOf, keyForPeople, keyText, parseKey, versionOf } from "./resource-key.ts";

test.each([
  "apps/Deployment/n/d",
  "/ConfigMap/n/c",
  "/Namespace//n",
  "rbac.authorization.k8s.io/ClusterRole//system:x",
])("%s is read back as it was written", (text) => {
  expect(keyText(parseKey(text)!)).toBe(text);
});

test.each(["", "apps/Deployment/n", "a/b/c/d/e", "apps//n/d", "apps/Deployment/n/"])("%j is no key", (text) => {
  expect(parseKey(text)).toBeUndefined();
});

test("apiVersion falls into group and version", () => {
  expect([groupOf("v1"), versionOf("v1"), groupOf("apps/v1"), versionOf("apps/v1")]).toEqual(["", "v1", "apps", "v1"]);
  expect([apiVersionOf("", "v1"), apiVersionOf("apps", "v1")]).toEqual(["v1", "apps/v1"]);
  expect(keyForPeople(parseKey("apps/Deployment/n/d")!)).toBe("apps/Deployment n/d");
});
