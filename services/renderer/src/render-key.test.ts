import { expect, test } from "vitest";
import { renderKey, type RenderKeyParts } from "./render-key.ts";

const parts: RenderKeyParts = {
  inputsDigest: "a",
  type: "Directory",
  path: "app",
  appName: "guestbook",
  options: { directory: { recurse: false } },
  environment: {
    namespace: "shop",
    project: "default",
    revision: "1".repeat(40),
    repoURL: "u",
    targetRevision: "main",
  },
  uses: { variables: [] },
};
const environment = (over: object) => ({ environment: { ...parts.environment, ...over } });
const cluster = (kubeVersion: string, apiVersionsDigest: string) => ({
  cluster: { server: "https://s", kubeVersion, apiVersionsDigest },
});
const helm: RenderKeyParts = { ...parts, type: "Helm", options: {} };

test("the same inputs and parameters have the same key", () => {
  expect(renderKey(parts)).toBe(renderKey(structuredClone(parts)));
});

test.each<[string, RenderKeyParts, Partial<RenderKeyParts>]>([
  ["inputs", parts, { inputsDigest: "b" }],
  ["type", parts, { type: "Kustomize" }],
  ["path", parts, { path: "other" }],
  ["a directory's option", parts, { options: { directory: { recurse: true } } }],
  ["Helm's options", helm, { options: { helm: { values: "a: 1" } } }],
  ["the app's name, of Helm", helm, { appName: "other" }],
  ["the namespace, of Helm", helm, environment({ namespace: "other" })],
  ["the build options, of Kustomize", { ...parts, type: "Kustomize" }, { buildOptions: "--enable-helm" }],
  ["the plugin's version", { ...parts, type: "Plugin", plugin: ["p", "1"] }, { plugin: ["p", "2"] }],
  ["the place of another source", helm, { refs: { values: "" } }],
  [
    "a revision that was substituted",
    { ...parts, uses: { variables: ["ARGOCD_APP_REVISION_SHORT"] } },
    environment({ revision: "2" }),
  ],
  [
    "a project that was substituted",
    { ...parts, uses: { variables: ["ARGOCD_APP_PROJECT_NAME"] } },
    environment({ project: "2" }),
  ],
  [
    "the cluster's version",
    { ...helm, uses: { variables: ["KUBE_VERSION"] }, ...cluster("v1.36.3", "a") },
    cluster("v2", "a"),
  ],
  [
    "all API versions",
    { ...helm, uses: { variables: ["KUBE_API_VERSIONS"] }, ...cluster("v1", "a") },
    cluster("v1", "b"),
  ],
  [
    "an API version that was asked for",
    { ...helm, uses: { variables: ["KUBE_API_VERSIONS"], apiVersions: { "x/v1": false } } },
    { uses: { variables: ["KUBE_API_VERSIONS"], apiVersions: { "x/v1": true } } },
  ],
])("another value of %s gives another key", (_, one, other) => {
  expect(renderKey({ ...one, ...other })).not.toBe(renderKey(one));
});

test.each<[string, RenderKeyParts, Partial<RenderKeyParts>]>([
  ["the app's name, of a directory", parts, { appName: "other" }],
  ["the revision, where nothing names it", helm, environment({ revision: "2" })],
  ["the project, where nothing names it", helm, environment({ project: "2" })],
  ["the cluster's versions, where nothing asks for them", { ...helm, ...cluster("v1", "a") }, cluster("v2", "b")],
  [
    "API versions that nobody asked for",
    { ...helm, uses: { variables: ["KUBE_API_VERSIONS"], apiVersions: { "x/v1": true } }, ...cluster("v1", "a") },
    cluster("v2", "b"),
  ],
])("another value of %s is the same key", (_, one, other) => {
  expect(renderKey({ ...one, ...other })).toBe(renderKey(one));
});
