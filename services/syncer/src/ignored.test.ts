import { matchesGlob } from "@driftless/manifests/glob";
import type { IgnoreRule } from "@driftless/contracts/pipeline/4-diff";
import type { KubeObject } from "@driftless/kube/resource";
import { buildRenderEngine } from "@driftless/render-engine/build";
import { createEngine, type Engine } from "@driftless/render-engine/engine";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ignoredIn } from "./ignored.ts";

let engine: Engine;
beforeAll(async () => {
  engine = createEngine({ binary: await buildRenderEngine(), children: 1, memoryLimitBytes: 256 << 20 });
}, 600_000);
afterAll(() => engine.close());

const rule = (more: Partial<IgnoreRule>): IgnoreRule => ({
  group: "apps",
  kind: "Deployment",
  jsonPointers: [],
  jqPathExpressions: [],
  managedFieldsManagers: [],
  origin: "spec.ignoreDifferences[0]",
  ...more,
});

const object = (containers: string[], replicas = 1): KubeObject =>
  ({
    metadata: { name: "web", uid: "u", resourceVersion: "1" },
    spec: { replicas, containers: containers.map((name) => ({ name, image: "i" })) },
  }) as unknown as KubeObject;

test("a condition is settled in each object by itself", async () => {
  const rules = [rule({ jqPathExpressions: ['.spec.containers[] | select(.name == "mesh")'] })];
  const ignored = await ignoredIn(
    engine,
    { rules },
    { live: object(["mesh", "web"]), answer: object(["web", "mesh"]) },
  );
  expect(ignored).toEqual({ kind: "ok", live: [["spec", "containers", 0]], answer: [["spec", "containers", 1]] });
});

test("what goes with its parent is not taken out once more", async () => {
  const rules = [
    rule({ jsonPointers: ["/spec/containers/0/image", "/spec/containers"], jqPathExpressions: [".spec"] }),
  ];
  const live = object(["web"]);
  expect(await ignoredIn(engine, { rules }, { live, answer: live })).toMatchObject({ live: [["spec"]] });
});

test.each([
  [".spec[", "DIFF_EXPR_INVALID"],
  ["[range(1e12)] | .[0]", "DIFF_EXPR_LIMIT"],
  ['[range(1e9) | "x" * 10000] | .[0]', "DIFF_EXPR_LIMIT"],
])("the expression %s is refused by its place in the Application", async (expression, code) => {
  const rules = [rule({ jqPathExpressions: [".spec.replicas", expression] })];
  const live = object(["web"]);
  const outcome = await ignoredIn(engine, { rules }, { live, answer: live });
  expect(outcome).toMatchObject({ kind: "failed", failure: { code } });
  expect(outcome?.kind === "failed" && outcome.failure.path).toMatch(
    /^spec\.ignoreDifferences\[0\]\.jqPathExpressions/,
  );
});

test("globs of rules mean what the library's mean", async () => {
  const values = [
    "",
    "apps",
    "Deployment",
    "networking.k8s.io",
    "s3.aws.upbound.io",
    "a{b}",
    "a*b",
    "StatefulSet",
    "é",
  ];
  const patterns = [
    "*",
    "",
    "app?",
    "*.upbound.io",
    "**.io",
    "{Deployment,Stateful*}",
    "[A-S]*",
    "[!A-S]*",
    "a\\*b",
    "[ap]*",
  ];
  for (const pattern of [...patterns, "a\\{b\\}", "{apps,}", "*{io,s}", "[!ad]*", "{Dep{loyment,x},y}", "é?"]) {
    const theirs = await engine.globs({ pattern, values });
    const ours = values.map((value) => matchesGlob(pattern, value));
    expect({ pattern, matches: ours }).toEqual({ pattern, matches: theirs.kind === "matches" ? theirs.matches : [] });
  }
});

test("and so do generated ones, with separators or without", async () => {
  const parts = ["a", "b", "/", "*", "**", "?", "[ab]", "[!ab]", "[a-c]", "{a,b}", "\\*", "x.y", "-"];
  const letters = ["a", "b", "c", "/", "*", "x.y", "-"];
  let seed = 7;
  const draw = (from: string[], least: number): string => {
    const drawn: string[] = [];
    for (let n = least + (next() % 5); n > 0; n--) drawn.push(from[next() % from.length]!);
    return drawn.join("");
  };
  const next = () => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) >> 8;
  for (let round = 0; round < 400; round++) {
    // The library itself trips over three stars in a row.
    const pattern = draw(parts, 1).replace(/\*{3,}/g, "**");
    const values = Array.from({ length: 20 }, () => draw(letters, 1));
    for (const separators of ["", "/"]) {
      const theirs = await engine.globs({ pattern, values, separators });
      const ours = values.map((value) => matchesGlob(pattern, value, separators));
      expect({ pattern, values, ours }).toEqual({
        pattern,
        values,
        ours: theirs.kind === "matches" ? theirs.matches : [],
      });
    }
  }
});
