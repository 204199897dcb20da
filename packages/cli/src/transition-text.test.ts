import { stripVTControlCharacters } from "node:util";
import { expect, test } from "vitest";
import { ApplicationChanged } from "@driftless/contracts/pipeline/6-application";
import { transitionText, type Transition } from "./transition-text.ts";

const transition = (change: Partial<Transition> = {}): Transition => ({
  app: { uid: "u", namespace: "argocd", name: "guestbook", project: "default" },
  from: "Synced",
  to: "OutOfSync",
  at: "2026-11-24T10:00:00.250Z",
  revision: "a".repeat(40),
  causes: [],
  resources: [],
  resourcesTotal: 0,
  conditions: [],
  timings: { totalMs: 42 },
  ...change,
});
const text = (change?: Partial<Transition>) =>
  stripVTControlCharacters(transitionText(transition(change), { namespace: "argocd" }));

test("one line says when, which Application, from where to where, at which commit", () => {
  expect(text().split("\n")[0]).toMatch(/^\d\d:\d\d:00\.250 {2}guestbook {2}Synced → OutOfSync {2}at aaaaaaa$/);
});

test("of several sources all commits are shown", () => {
  expect(text({ revision: undefined, revisions: ["a".repeat(40), "1.2.3"] })).toContain("at aaaaaaa 1.2.3\n");
});

test("an Application of another namespace is named with it", () => {
  expect(text({ app: { uid: "u", namespace: "team-a", name: "web", project: "p" } })).toContain("  team-a/web  ");
});

test("the cause chain, each field with its live and desired value, and who it was taken from are shown", () => {
  const shown = text({
    causes: [
      { kind: "drift", at: "", by: "kubectl", detail: "spec.replicas changed" },
      { kind: "operation", at: "", revision: "b".repeat(40) },
    ],
    resources: [
      {
        group: "apps",
        version: "v1",
        kind: "Deployment",
        namespace: "shop",
        name: "web",
        status: "OutOfSync",
        fields: [
          { path: "spec.replicas", live: "5", desired: "3" },
          { path: "metadata.labels.x", live: '"y"' },
        ],
        takenFrom: ["kubectl"],
      },
    ],
    resourcesTotal: 1,
    timings: { fetchMs: 12.4, applyMs: 3.25, totalMs: 42 },
  });
  expect(shown).toContain("because spec.replicas changed by kubectl, then operation (bbbbbbb)");
  expect(shown).toContain("Deployment/web (shop): OutOfSync, taken from kubectl");
  expect(shown).toContain("spec.replicas: 5 → 3");
  expect(shown).toContain('metadata.labels.x: "y" → (absent)');
  expect(shown).toContain("fetch 12 ms · apply 3.3 ms · 42 ms in all");
});

test("what is left out of a long list is counted", () => {
  const object = {
    group: "",
    version: "v1",
    kind: "ConfigMap",
    namespace: "n",
    status: "OutOfSync",
    fields: [],
    takenFrom: [],
  };
  const resources = Array.from({ length: 100 }, (_, n) => ({ ...object, name: `c${n}` }));
  const shown = text({ resources, resourcesTotal: 250 });
  expect(shown.match(/ConfigMap\//g)).toHaveLength(10);
  expect(shown).toContain("… and 240 more objects");
});

test("conditions are shown with their code", () => {
  expect(text({ conditions: [{ type: "ComparisonError", message: "[PATH_NOT_FOUND] no such path" }] })).toContain(
    "ComparisonError: [PATH_NOT_FOUND] no such path",
  );
});

test("what the contract lets through can be shown", () => {
  expect(() => transitionText(ApplicationChanged.schema.parse(transition()), { namespace: "argocd" })).not.toThrow();
});
