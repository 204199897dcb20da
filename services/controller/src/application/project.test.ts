// AppProject rules as Argo CD reads them: what each list lets through, what a `!` denies, and what is refused.
import { expect, test } from "vitest";
import {
  destinationAllowed,
  inNamespaces,
  objectAllowed,
  projectDenies,
  sourceAllowed,
  unsupportedInProject,
  wrongInProject,
} from "./project.ts";

const IN_CLUSTER = { server: "https://kubernetes.default.svc", name: "in-cluster" };
const PROD = { server: "https://prod.example.com", name: "prod" };
const key = (group: string, kind: string, namespace: string, name = "x") => ({
  group,
  version: "v1",
  kind,
  namespace,
  name,
});

test.each([
  [["*"], "https://h/team/app", true],
  [[], "https://h/team/app", false],
  [["https://h/team/app.git"], "https://H/Team/app", true],
  [["https://h/team/app"], "http://h/team/app", false],
  [["https://h/team/app"], "https://user@h/team/app", false],
  [["https://h/team/other"], "https://h/team/app", false],
  // `*` stops at a slash, `**` does not.
  [["https://h/*"], "https://h/team", true],
  [["https://h/*"], "https://h/team/app", false],
  [["https://h/*/app"], "https://h/team/app", true],
  [["https://h/**"], "https://h/team/app", true],
  [["https://*.h/**"], "https://git.h/team/app", true],
  [["https://h/team-[a-c]/*"], "https://h/team-b/app", true],
  [["git@h:team/*"], "ssh://git@h/team/app.git", true],
  [["git@h:team/*"], "https://h/team/app", false],
  [["oci://h/charts/*"], "oci://h/charts/web", true],
  // A denial wins wherever it stands; alone it lets through what it does not deny.
  [["*", "!https://h/secret/*"], "https://h/secret/app", false],
  [["!https://h/secret/*", "*"], "https://h/secret/app", false],
  [["*", "!https://h/secret/*"], "https://h/team/app", true],
  [["!https://h/secret/*"], "https://h/team/app", true],
])("source repositories %j and %s: %s", (sourceRepos, repoURL, allowed) => {
  expect(sourceAllowed({ sourceRepos }, repoURL)).toBe(allowed);
});

test.each([
  [[{ server: IN_CLUSTER.server, namespace: "shop" }], IN_CLUSTER, "shop", true],
  [[{ server: IN_CLUSTER.server, namespace: "shop" }], IN_CLUSTER, "other", false],
  [[{ server: "https://other", namespace: "*" }], IN_CLUSTER, "shop", false],
  [[{ server: "https://*.example.com", namespace: "shop-*" }], PROD, "shop-web", true],
  [[{ server: "https://*.example.com", namespace: "shop-*" }], PROD, "shop", false],
  // An Application that names the server is known by the cluster's name too, and the other way round.
  [[{ name: "prod", namespace: "*" }], PROD, "shop", true],
  [[{ name: "pro?", namespace: "{shop,web}" }], PROD, "web", true],
  [[{ name: "prod", namespace: "*" }], IN_CLUSTER, "shop", false],
  [[{ name: "prod", namespace: "*" }], { server: PROD.server }, "shop", false],
  [[{ server: "*", namespace: "*" }], {}, "shop", false],
  // Denials.
  [
    [
      { server: "*", namespace: "*" },
      { server: "*", namespace: "!kube-system" },
    ],
    IN_CLUSTER,
    "kube-system",
    false,
  ],
  [
    [
      { server: "*", namespace: "*" },
      { server: "*", namespace: "!kube-*" },
    ],
    IN_CLUSTER,
    "shop",
    true,
  ],
  [
    [
      { server: "!https://prod.*", namespace: "*" },
      { server: "*", namespace: "*" },
    ],
    PROD,
    "shop",
    false,
  ],
  [
    [
      { server: "!https://prod.*", namespace: "kube-system" },
      { server: "*", namespace: "*" },
    ],
    PROD,
    "shop",
    true,
  ],
  [
    [
      { name: "!prod", namespace: "*" },
      { server: "*", namespace: "*" },
    ],
    PROD,
    "shop",
    false,
  ],
  [[{ server: "*", namespace: "!kube-system" }], IN_CLUSTER, "shop", true],
])("destinations %j, cluster %j, namespace %s: %s", (destinations, cluster, namespace, allowed) => {
  expect(destinationAllowed("p", { destinations }, cluster, namespace)).toBe(allowed);
});

test("a project of its own clusters only has no others, whatever its destinations", () => {
  const spec = { destinations: [{ server: "*", namespace: "*" }], permitOnlyProjectScopedClusters: true };
  expect(destinationAllowed("p", spec, PROD, "shop")).toBe(false);
  expect(destinationAllowed("p", spec, { ...PROD, project: "other" }, "shop")).toBe(false);
  expect(destinationAllowed("p", spec, { ...PROD, project: "p" }, "shop")).toBe(true);
});

const everywhere = { destinations: [{ server: "*", namespace: "*" }] };
const NAMESPACE = { group: "", kind: "Namespace" };
const ALL = [{ group: "*", kind: "*" }];

test.each([
  ["no list: namespaced kinds pass", {}, key("apps", "Deployment", "shop"), true],
  ["no list: cluster-scoped kinds do not", {}, key("", "Namespace", ""), false],
  ["an empty list: cluster-scoped kinds do not", { clusterResourceWhitelist: [] }, key("", "Namespace", ""), false],
  ["a listed cluster-scoped kind", { clusterResourceWhitelist: [NAMESPACE] }, key("", "Namespace", ""), true],
  [
    "a name narrows it",
    { clusterResourceWhitelist: [{ ...NAMESPACE, name: "team-*" }] },
    key("", "Namespace", "", "b"),
    false,
  ],
  [
    "a pattern of a name",
    { clusterResourceWhitelist: [{ ...NAMESPACE, name: "team-*" }] },
    key("", "Namespace", "", "team-a"),
    true,
  ],
  [
    "patterns of group and kind",
    { clusterResourceWhitelist: [{ group: "*.k8s.io", kind: "Cluster*" }] },
    key("rbac.authorization.k8s.io", "ClusterRole", ""),
    true,
  ],
  [
    "braces are no pattern of kinds",
    { clusterResourceWhitelist: [{ group: "*", kind: "{Namespace,Node}" }] },
    key("", "Namespace", ""),
    false,
  ],
  [
    "black beats white",
    { clusterResourceWhitelist: ALL, clusterResourceBlacklist: [NAMESPACE] },
    key("", "Namespace", ""),
    false,
  ],
  [
    "black by name leaves the others",
    { clusterResourceWhitelist: ALL, clusterResourceBlacklist: [{ ...NAMESPACE, name: "kube-*" }] },
    key("", "Namespace", "", "shop"),
    true,
  ],
  [
    "an empty namespaced white list lets nothing through",
    { namespaceResourceWhitelist: [] },
    key("", "ConfigMap", "shop"),
    false,
  ],
  [
    "a namespaced white list",
    { namespaceResourceWhitelist: [{ group: "apps", kind: "*" }] },
    key("", "ConfigMap", "shop"),
    false,
  ],
  [
    "a namespaced black list",
    { namespaceResourceBlacklist: [{ group: "", kind: "Sec*" }] },
    key("", "Secret", "shop"),
    false,
  ],
  [
    "namespaced rules know no names",
    { namespaceResourceBlacklist: [{ group: "", kind: "Secret", name: "other" }] },
    key("", "Secret", "shop"),
    false,
  ],
])("%s", (_title, lists, object, allowed) => {
  expect(objectAllowed("p", { ...everywhere, ...lists }, object, IN_CLUSTER)).toBe(allowed);
});

test("an object in a namespace that the project does not have is denied, whatever the Application's own", () => {
  const spec = { destinations: [{ server: "*", namespace: "shop" }] };
  expect(objectAllowed("p", spec, key("", "ConfigMap", "kube-system"), IN_CLUSTER)).toBe(false);
});

test.each([
  [undefined, "evil", false],
  [["argocd-*"], "argocd-apps", true],
  [["argocd-*"], "argocd", false],
  [["argocd-*"], "xargocd-1", false],
  [["/^team-[0-9]+$/"], "team-12", true],
  [["/^team-[0-9]+$/"], "team-x", false],
  [["/(/", "apps"], "apps", true],
])("source namespaces %j and %s: %s", (patterns, namespace, allowed) => {
  expect(inNamespaces(patterns, namespace)).toBe(allowed);
});

test("what denies the Application is named by its path", () => {
  const spec = { sourceRepos: ["https://h/*"], destinations: [{ server: "*", namespace: "shop" }] };
  const app = {
    repoURL: "https://other/x",
    destination: { server: IN_CLUSTER.server, namespace: "web" },
    cluster: IN_CLUSTER,
  };
  expect(projectDenies("p", spec, app).map(({ code, path }) => [code, path])).toEqual([
    ["PROJECT_DENIED", "spec.source.repoURL"],
    ["PROJECT_DENIED", "spec.destination"],
  ]);
});

test("a pattern that Argo CD reads as another thing than what is written blocks the project's apps, by its path", () => {
  const wrong = wrongInProject("p", {
    sourceRepos: ["*", "!*", "https://h/{a,b}/*", "*://h/x", "https://h:*/x", "https://[ab].h/x", "https://h/[", "!["],
    destinations: [{ server: "[a", name: "!*", namespace: "team-*" }],
    clusterResourceWhitelist: [{ group: "*", kind: "[" }],
  });
  expect(wrong.map(({ path }) => path)).toEqual([
    ...[1, 2, 3, 4, 5, 6, 7].map((n) => `spec.sourceRepos[${n}]`),
    "spec.destinations[0].server",
    "spec.destinations[0].name",
    "spec.clusterResourceWhitelist[0].kind",
  ]);
  expect(wrong[1]).toMatchObject({ code: "PROJECT_INVALID", message: expect.stringContaining("https://h/{a,b}/*") });
});

test("rules that are not built are named by their path", () => {
  const found = unsupportedInProject("p", { signatureKeys: [{ keyID: "x" }], sourceIntegrity: { git: {} } });
  expect(found.map(({ code, path }) => [code, path])).toEqual([
    ["UNSUPPORTED_FIELD", "spec.signatureKeys"],
    ["UNSUPPORTED_FIELD", "spec.sourceIntegrity"],
  ]);
});
