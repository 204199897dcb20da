// What the commands about Applications ask for, before anything is sent.
import { describe, expect, test } from "vitest";
import type { Application } from "@driftless/contracts/application";
import { CliError } from "../cli-error.ts";
import { finalizersFor, whatGoes } from "./app-delete.ts";
import { entryOf } from "./app-rollback.ts";
import { operationOf, resourceOf } from "./app-sync.ts";

const application = (over: object = {}): Application =>
  ({ metadata: { name: "web", namespace: "argocd" }, ...over }) as unknown as Application;

const exitCode = (act: () => unknown): number => {
  try {
    act();
  } catch (error) {
    if (error instanceof CliError) return error.exitCode;
    throw error;
  }
  return 0;
};

describe("sync", () => {
  const policy = { syncOptions: ["CreateNamespace=true"], retry: { limit: 3 } };
  const app = application({ spec: { syncPolicy: policy } });

  test("brings the Application's own options along, unless others are named", () => {
    expect(operationOf(app, {})).toEqual({ sync: { syncOptions: policy.syncOptions }, retry: policy.retry });
    expect(operationOf(app, { syncOption: ["Prune=false"], retryLimit: 0, retryBackoffDuration: "1s" })).toEqual({
      sync: { syncOptions: ["Prune=false"] },
      retry: { limit: 0, backoff: { duration: "1s" } },
    });
  });

  test("strategy and force are Argo CD's", () => {
    const strategy = (options: object) => operationOf(application(), options).sync!.syncStrategy;
    expect(strategy({})).toBeUndefined();
    expect(strategy({ strategy: "apply" })).toEqual({ apply: {} });
    expect(strategy({ strategy: "hook", force: true })).toEqual({ hook: { force: true } });
    expect(strategy({ force: true })).toEqual({ hook: { force: true } });
  });

  test("an object is named as in Argo CD, and anything else is wrong usage", () => {
    expect(resourceOf("apps:Deployment:web")).toEqual({ group: "apps", kind: "Deployment", name: "web" });
    expect(resourceOf(":Service:shop/web")).toEqual({ group: "", kind: "Service", name: "web", namespace: "shop" });
    for (const text of [
      "web",
      "Deployment:web",
      "a:b:c:d",
      "::x",
      ":Service:",
      ":Service:shop/",
      "!apps:Deployment:web",
    ])
      expect(
        exitCode(() => resourceOf(text)),
        text,
      ).toBe(2);
  });
});

describe("rollback", () => {
  const entry = (id: number) => ({ id, revision: `r${id}`, source: { repoURL: "u" } });
  const app = application({ status: { history: [entry(1), entry(2), entry(3)] } });

  test("goes to the entry named, else to the one before the newest", () => {
    expect(entryOf(app, 1).revision).toBe("r1");
    expect(entryOf(app, undefined).revision).toBe("r2");
    const several = { id: 4, revisions: ["a", "b"], sources: [{ repoURL: "u" }, { repoURL: "v" }] };
    expect(entryOf(application({ status: { history: [several] } }), 4)).toBe(several);
  });

  test("says which entries there are when there is none such", () => {
    expect(() => entryOf(app, 9)).toThrow(/no entry 9 .*it has 1, 2, 3/);
    expect(() => entryOf(application(), undefined)).toThrow(/nothing was deployed before/);
  });
});

describe("delete", () => {
  const ours = "resources-finalizer.argocd.argoproj.io";

  test("says by finalizers whether and how the objects go, and leaves those of others", () => {
    expect(finalizersFor(["other"], "foreground")).toEqual(["other", ours]);
    expect(finalizersFor([ours, "other"], "background")).toEqual(["other", `${ours}/background`]);
    expect(finalizersFor([`${ours}/foreground`, "other"], "false")).toEqual(["other"]);
  });

  test("names every object that would go, and that none goes without cascade", () => {
    const resources = [
      { kind: "ConfigMap", namespace: "n", name: "c", requiresDeletionConfirmation: true },
      { kind: "Job", name: "hook", hook: true },
    ];
    const app = application({ status: { resources } });
    expect(whatGoes(app, "foreground").join("\n")).toMatch(/ConfigMap\/c \(n\) .*Delete=confirm/);
    expect(whatGoes(app, "foreground")).toHaveLength(2);
    expect(whatGoes(app, "false")).toEqual(["Application argocd/web goes; its 1 objects stay in the cluster."]);
  });
});
