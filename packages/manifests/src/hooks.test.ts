import { expect, test } from "vitest";
import { generatedName, hookWish } from "./hooks.ts";

const hook = (hook: string, more: Record<string, string> = {}) =>
  hookWish({ "argocd.argoproj.io/hook": hook, ...more });

test("phases are read from a comma-separated list, and BeforeHookCreation is the default policy", () => {
  expect(hook("PreSync, PostSync")).toEqual({
    kind: "hook",
    phases: ["PreSync", "PostSync"],
    deletePolicies: ["BeforeHookCreation"],
  });
  expect(hook("Sync", { "argocd.argoproj.io/hook-delete-policy": "HookSucceeded,HookFailed" })).toMatchObject({
    deletePolicies: ["HookSucceeded", "HookFailed"],
  });
});

test("Skip counts only alone; a value that nobody knows is neither hook nor applied", () => {
  expect(hook("Skip")).toEqual({ kind: "skip" });
  expect(hook("Skip,Sync")).toMatchObject({ phases: ["Sync"] });
  expect(hook("MidSync")).toEqual({ kind: "skip" });
  expect(hookWish({})).toEqual({ kind: "none" });
});

test("Helm's hooks are mapped where Argo CD's are absent", () => {
  const helm = (text: string, more: Record<string, string> = {}) => hookWish({ "helm.sh/hook": text, ...more });
  expect(helm("pre-install,pre-upgrade")).toMatchObject({ phases: ["PreSync"] });
  expect(helm("post-upgrade", { "helm.sh/hook-delete-policy": "hook-succeeded" })).toMatchObject({
    phases: ["PostSync"],
    deletePolicies: ["HookSucceeded"],
  });
  expect(helm("crd-install")).toEqual({ kind: "none" });
  expect(helm("test")).toEqual({ kind: "skip" });
  expect(helm("pre-install", { "argocd.argoproj.io/hook": "PostSync" })).toMatchObject({ phases: ["PostSync"] });
});

test("a generated name is the same for a run and another for the next", () => {
  const name = generatedName("migrate-", "0123456789abcdef", "PreSync", "op-1.0.PreSync");
  expect(name).toMatch(/^migrate-0123456-presync-[0-9a-f]{10}$/);
  expect(generatedName("migrate-", "0123456789abcdef", "PreSync", "op-1.0.PreSync")).toBe(name);
  expect(generatedName("migrate-", "0123456789abcdef", "PreSync", "op-1.1.PreSync")).not.toBe(name);
});
