// AppProject rules: literals and `*`; everything else is refused.
import { expect, test } from "vitest";
import { destinationAllowed, objectAllowed, projectDenies, unsupportedInProject } from "./project.ts";

const IN_CLUSTER = { server: "https://kubernetes.default.svc" };
const key = (group: string, kind: string, namespace: string, name = "x") => ({
  group,
  version: "v1",
  kind,
  namespace,
  name,
});

test.each([
  [["*"], "https://h/team/app", true],
  [["https://h/team/app.git"], "http://user@H/team/app", true],
  [["https://h/team/other"], "https://h/team/app", false],
  [[], "https://h/team/app", false],
])("source repositories %j and %s: %s", (sourceRepos, repoURL, allowed) => {
  const spec = { sourceRepos, destinations: [{ server: "*", namespace: "*" }] };
  expect(projectDenies("p", spec, { repoURL, destination: IN_CLUSTER }).length === 0).toBe(allowed);
});

test.each([
  [{ server: IN_CLUSTER.server, namespace: "shop" }, IN_CLUSTER, "shop", true],
  [{ server: IN_CLUSTER.server, namespace: "shop" }, IN_CLUSTER, "other", false],
  [{ server: "https://other", namespace: "*" }, IN_CLUSTER, "shop", false],
  [{ name: "prod", namespace: "*" }, { name: "prod" }, "shop", true],
  [{ name: "prod", namespace: "*" }, { name: "test" }, "shop", false],
  [{ name: "prod", namespace: "*" }, IN_CLUSTER, "shop", false],
  [{ server: "*", namespace: "shop" }, { name: "prod" }, "shop", true],
])("destination rule %j for %j, namespace %s: %s", (rule, cluster, namespace, allowed) => {
  expect(destinationAllowed({ destinations: [rule] }, cluster, namespace)).toBe(allowed);
});

const everywhere = { destinations: [{ server: "*", namespace: "*" }] };

test.each([
  ["no list: namespaced kinds pass", {}, key("apps", "Deployment", "shop"), true],
  ["no list: cluster-scoped kinds do not", {}, key("", "Namespace", ""), false],
  [
    "a listed cluster-scoped kind passes",
    { clusterResourceWhitelist: [{ group: "", kind: "Namespace" }] },
    key("", "Namespace", ""),
    true,
  ],
  [
    "a name narrows it",
    { clusterResourceWhitelist: [{ group: "", kind: "Namespace", name: "a" }] },
    key("", "Namespace", "", "b"),
    false,
  ],
  [
    "the black list beats the white one",
    {
      clusterResourceWhitelist: [{ group: "*", kind: "*" }],
      clusterResourceBlacklist: [{ group: "", kind: "Namespace" }],
    },
    key("", "Namespace", ""),
    false,
  ],
  [
    "an empty namespaced white list lets nothing through",
    { namespaceResourceWhitelist: [] },
    key("", "ConfigMap", "shop"),
    false,
  ],
  [
    "a black-listed namespaced kind does not pass",
    { namespaceResourceBlacklist: [{ group: "", kind: "Secret" }] },
    key("", "Secret", "shop"),
    false,
  ],
])("%s", (_title, lists, object, allowed) => {
  expect(objectAllowed({ ...everywhere, ...lists }, object, IN_CLUSTER)).toBe(allowed);
});

test("an object in a namespace that the project does not have is denied, whatever the Application's own", () => {
  const spec = { destinations: [{ server: "*", namespace: "shop" }] };
  expect(objectAllowed(spec, key("", "ConfigMap", "kube-system"), IN_CLUSTER)).toBe(false);
});

test("patterns, denials and rules that are not built are named by their path", () => {
  const found = unsupportedInProject("p", {
    sourceRepos: ["*", "https://h/*", "!https://h/x"],
    destinations: [{ server: "*", namespace: "team-*" }],
    clusterResourceWhitelist: [{ group: "*.example.com", kind: "*" }],
    syncWindows: [{ kind: "deny" }],
  });
  expect(found.map((one) => one.path)).toEqual([
    "spec.syncWindows",
    "spec.sourceRepos[1]",
    "spec.sourceRepos[2]",
    "spec.destinations[0].namespace",
    "spec.clusterResourceWhitelist[0].group",
  ]);
  expect(found.every((one) => one.code === "UNSUPPORTED_FIELD")).toBe(true);
});
