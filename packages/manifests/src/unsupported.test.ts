import { expect, test } from "vitest";
import { unsupportedIn } from "./unsupported.ts";

const paths = (annotations: Record<string, string>) =>
  unsupportedIn({ name: "x", annotations }).map(({ path }) => path.replace("metadata.annotations", ""));

test.each([
  ["argocd.argoproj.io/sync-options", "RespectIgnoreDifferences=true"],
  ["argocd.argoproj.io/sync-options", "Nonsense"],
  ["argocd.argoproj.io/compare-options", "Novelty=1"],
])("%s: %s is refused by name", (name, value) => {
  expect(paths({ [name]: value })).toEqual([`[${name}]=${value}`]);
});

test.each([
  ["argocd.argoproj.io/sync-options", "Prune=false, Delete=confirm,ServerSideApply=true"],
  [
    "argocd.argoproj.io/sync-options",
    "Replace=true,Force=true,Validate=false,SkipDryRunOnMissingResource=true,ServerSideApply=false,ClientSideApplyMigration=false",
  ],
  ["argocd.argoproj.io/client-side-apply-migration-manager", "old-operator"],
  ["argocd.argoproj.io/sync-wave", "-3"],
  ["argocd.argoproj.io/hook", "PreSync,SyncFail,PreDelete,PostDelete"],
  ["argocd.argoproj.io/hook-delete-policy", "HookSucceeded"],
  ["helm.sh/hook", "pre-install,test,post-delete"],
  ["helm.sh/hook-weight", "-5"],
  ["argocd.argoproj.io/compare-options", "ServerSideDiff=true"],
  ["argocd.argoproj.io/ignore-resource-updates", "true"],
  ["helm.sh/resource-policy", "keep"],
  ["argocd.argoproj.io/tracking-id", "x:/y:z/w"],
  ["example.com/hook", "PreSync"],
])("%s: %s is honoured, or nothing of Argo CD's", (name, value) => {
  expect(paths({ [name]: value })).toEqual([]);
});

test("each option of a list is judged alone", () => {
  expect(paths({ "argocd.argoproj.io/sync-options": "Prune=false,Force=yes,Novelty=true" })).toEqual([
    "[argocd.argoproj.io/sync-options]=Force=yes",
    "[argocd.argoproj.io/sync-options]=Novelty=true",
  ]);
});

test("a generated name would make another object with each apply", () => {
  expect(unsupportedIn({ generateName: "x-" })).toEqual([{ path: "metadata.generateName" }]);
  expect(unsupportedIn({ generateName: "x-", annotations: { "argocd.argoproj.io/hook": "Sync" } })).toEqual([]);
});
