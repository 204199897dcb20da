// What is not built is refused by its path; what has no effect is not.
import { expect, test } from "vitest";
import { unsupportedInApplication, unsupportedInOperation } from "./unsupported.ts";

const metadata = { name: "a", namespace: "argocd", uid: "u", resourceVersion: "1" };
const source = { repoURL: "https://h/r", path: "." };

test.each([
  ["spec.sourceHydrator", { sourceHydrator: { drySource: {} } }],
  ["spec.source.kustomize.version", { source: { ...source, kustomize: { version: "v4" } } }],
  ["spec.sources[1].kustomize.version", { sources: [source, { ...source, kustomize: { version: "v4" } }] }],
  [
    "spec.syncPolicy.syncOptions[Replace=maybe]",
    { syncPolicy: { syncOptions: ["CreateNamespace=true", "Replace=maybe"] } },
  ],
  ["spec.syncPolicy.syncOptions[Novelty=1]", { syncPolicy: { syncOptions: ["Novelty=1"] } }],
])("%s", (path, spec) => {
  expect(unsupportedInApplication({ metadata, spec: { source, ...spec } })).toEqual([path]);
});

test.each([
  [{ helm: { releaseName: "x", valueFiles: ["a.yaml"] } }],
  [{ kustomize: { namePrefix: "x" } }],
  [{ directory: { jsonnet: { libs: ["x"] }, disableExtensionFilter: true } }],
  [{ plugin: { name: "x", env: [{ name: "A", value: "b" }] } }],
  [{ tagPrefix: "web-" }],
  [{ repoURL: "https://h/charts", chart: "x", targetRevision: "1.x" }],
  [{ repoURL: "oci://h/r" }],
])("%o of a source is honoured", (over) => {
  expect(unsupportedInApplication({ metadata, spec: { source: { ...source, ...over } } })).toEqual([]);
});

test("empty members and options that change nothing pass", () => {
  const spec = {
    source: { ...source, helm: {}, directory: { recurse: true, jsonnet: {} } },
    sources: [],
    ignoreDifferences: [{ kind: "Deployment", jsonPointers: ["/spec/replicas"] }],
    syncPolicy: {
      syncOptions: ["ServerSideApply=true", "CreateNamespace=true", "Prune=false", "ApplyOutOfSyncOnly=true"],
      retry: { limit: 2 },
    },
  };
  expect(unsupportedInApplication({ metadata, spec })).toEqual([]);
});

test("annotations and finalizers that ask for more are refused too", () => {
  const found = unsupportedInApplication({
    metadata: {
      ...metadata,
      annotations: { "argocd.argoproj.io/compare-options": "ServerSideDiff=false,Novelty=1" },
    },
    spec: { source },
  });
  expect(found).toEqual(["metadata.annotations[argocd.argoproj.io/compare-options]=Novelty=1"]);
});

test("a plain operation is not refused", () => {
  expect(unsupportedInOperation({ sync: { prune: true, syncStrategy: { hook: {} } }, retry: { limit: 3 } })).toEqual(
    [],
  );
});
