// What an AppProject inherits from global projects and from clusters of its own.
import type { AppProject } from "@driftless/contracts/project";
import { expect, test } from "vitest";
import { readGlobalProjects } from "./global-projects.ts";
import { effectiveProject } from "./projects.ts";

const project = (name: string, spec: AppProject["spec"], labels?: Record<string, string>): AppProject =>
  ({ metadata: { name, namespace: "argocd", uid: "", resourceVersion: "", labels }, spec }) as AppProject;

const GLOBALS = readGlobalProjects(`
- projectName: company
  labelSelector:
    matchExpressions: [{key: tier, operator: In, values: [prod, test]}]
`)!;

const company = project("company", {
  sourceRepos: ["!https://h/secret/*"],
  namespaceResourceBlacklist: [{ group: "", kind: "Secret" }],
  syncWindows: [{ kind: "deny", schedule: "0 0 * * *", duration: "1h" }],
});
const inheriting = (own: AppProject, clusters: { server: string; name: string; project?: string }[] = []) =>
  effectiveProject(own, new Map([company, own].map((one) => [one.metadata.name, one])), GLOBALS, clusters);

test("a project that the selector selects has the lists of both; others have their own", () => {
  const own = project("shop", { sourceRepos: ["*"], description: "own" }, { tier: "prod" });
  expect(inheriting(own)).toEqual({
    spec: { ...own.spec, ...company.spec, sourceRepos: ["*", "!https://h/secret/*"] },
  });
  expect(inheriting(project("shop", { sourceRepos: ["*"] })).spec).toEqual({ sourceRepos: ["*"] });
  expect(inheriting(company).spec).toEqual(company.spec);
});

test("an absent white list stays absent unless something is inherited", () => {
  const own = project("shop", {}, { tier: "prod" });
  expect(inheriting(own).spec?.namespaceResourceWhitelist).toBeUndefined();
});

test("a global project that is not there blocks those that inherit from it", () => {
  const own = project("shop", {}, { tier: "prod" });
  expect(effectiveProject(own, new Map(), GLOBALS, []).failures).toMatchObject([{ code: "PROJECT_NOT_FOUND" }]);
});

test("clusters that belong to a project are destinations of it", () => {
  const clusters = [
    { server: "https://a", name: "a", project: "shop" },
    { server: "https://b", name: "b", project: "other" },
  ];
  const own = project("shop", { destinations: [{ server: "https://c", namespace: "shop" }] });
  expect(inheriting(own, clusters).spec?.destinations).toEqual([
    { server: "https://c", namespace: "shop" },
    { server: "https://a", namespace: "*" },
  ]);
});

test.each(["- 1", "projectName: x", "- labelSelector: {}", "[", "- {projectName: x, labelSelector: {matchLabels: 1}}"])(
  "%s cannot be read",
  (text) => {
    expect(readGlobalProjects(text)).toBeUndefined();
  },
);
