// What a repository may write to make a render reach out (threats of Argo CD, Flux and Helm by their advisories), through
// the real engine: whatever it names, no file is opened, no program started and no connection made. A file that was opened
// is a pipe nobody writes to, so that the job would hang; a program leaves a mark; a connection is counted.
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { buildRenderEngine } from "./build.ts";
import { createEngine, type Engine } from "./engine.ts";
import type { RenderJob, RenderOutcome } from "./protocol.ts";

const folder = mkdtempSync(join(tmpdir(), "driftless-malicious-"));
const pipe = join(folder, "pipe");
const evil = join(folder, "evil");
const mark = join(folder, "started");
const lost: unknown[] = [];
let engine: Engine;
let listener: Server;
let connections = 0;
let url = "";

beforeAll(async () => {
  execFileSync("sh", ["-c", `mkfifo "${pipe}"`]);
  writeFileSync(evil, `#!/bin/sh\ntouch ${mark}\n`);
  chmodSync(evil, 0o755);
  listener = createServer((socket) => {
    connections += 1;
    socket.destroy();
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(listener.address() as AddressInfo).port}`;
  const binary = await buildRenderEngine();
  engine = createEngine({ binary, children: 1, jobTimeoutMs: 5_000, onChildLost: (loss) => lost.push(loss) });
}, 600_000);

afterAll(async () => {
  await engine?.close();
  listener?.close();
  rmSync(folder, { recursive: true, force: true });
});

type Case = [
  title: string,
  files: () => Record<string, string>,
  code: string | RegExp,
  more?: () => Partial<RenderJob>,
];

const kustomization =
  (text: () => string, more: () => Record<string, string> = () => ({})) =>
  () => ({
    "app/kustomization.yaml": text(),
    ...more(),
  });
const chart =
  (template: string, more: () => Record<string, string> = () => ({})) =>
  () => ({
    "app/Chart.yaml": "apiVersion: v2\nname: demo\nversion: 1.0.0\n",
    "app/templates/a.yaml": template,
    ...more(),
  });
const jsonnet = (text: () => string) => () => ({ "app/a.jsonnet": text() });
const configMap = (value: string) => `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {v: ${value}}\n`;
const helm = (options: () => RenderJob["helm"]) => () => ({ helm: options() });

const [remote, path, plugin, invalid] = [
  "RENDER_REMOTE_BASE_DENIED",
  "RENDER_PATH_DENIED",
  "RENDER_PLUGIN_DENIED",
  "MANIFEST_INVALID",
];

const cases: Case[] = [
  // GHSA-9v9p-x54c-58gc
  ["a base with a Git option", kustomization(() => `resources: ["${url}/r//b?ref=--upload-pack=${evil}"]`), remote],
  ["a base with an SSH option", kustomization(() => `resources: ["${url}/r//b?ref=-oProxyCommand=${evil}"]`), remote],
  ["a base with submodules", kustomization(() => `resources: ["${url}/r//b?submodules=true"]`), remote],
  ["a base over Git's own transport", kustomization(() => `resources: ["ext::sh -c ${evil}"]`), /DENIED|INVALID/],
  ["a base of the disk as a repository", kustomization(() => `resources: ["file://${folder}//b"]`), remote],
  // GHSA-fw5c-w8rc-j7fx
  [
    "a Helm home with a plugin in the repository",
    kustomization(
      () => "helmGlobals: {configHome: ./h}\nhelmCharts: [{name: x}]",
      () => ({ "app/h/plugins/x/plugin.yaml": `name: x\ncommand: ${evil}\nhooks: {install: ${evil}}\n` }),
    ),
    plugin,
  ],
  [
    "a Helm program of its own",
    kustomization(() => `helmChartInflationGenerator: [{chartName: a, helmBin: ${evil}}]`),
    plugin,
  ],
  [
    "a function that is executed",
    kustomization(
      () => "transformers: [f.yaml]",
      () => ({
        "app/f.yaml": `apiVersion: a/v1\nkind: X\nmetadata:\n  name: x\n  annotations:\n    config.kubernetes.io/function: |\n      exec: {path: ${evil}}\n`,
      }),
    ),
    plugin,
  ],
  [
    "a function in Starlark",
    kustomization(
      () => "transformers: [f.yaml]",
      () => ({
        "app/f.yaml": `apiVersion: a/v1\nkind: X\nmetadata:\n  name: x\n  annotations:\n    config.kubernetes.io/function: |\n      starlark: {path: ${pipe}, url: ${url}}\n`,
      }),
    ),
    plugin,
  ],
  // GHSA-j77r-2fxf-5jrw
  ["a generator that reads the disk", kustomization(() => `configMapGenerator: [{name: a, files: [${pipe}]}]`), path],
  ["an environment file of the disk", kustomization(() => `secretGenerator: [{name: a, envs: [${pipe}]}]`), path],
  ["a patch of the disk", kustomization(() => `patches: [{path: ${pipe}}]`), path],
  ["a schema of the disk", kustomization(() => `openapi: {path: ${pipe}}`), path],
  ["configurations of the disk", kustomization(() => `configurations: [${pipe}]`), path],
  ["a link to the disk", kustomization(() => "resources: [l.yaml]"), path, () => ({})],
  ["a generator's URL", kustomization(() => `configMapGenerator: [{name: a, files: ["x=${url}/"]}]`), remote],
  // GHSA-63qx-x74g-jcr7 and those after it
  ["a value file of the disk", chart(configMap("x")), "PATH_NOT_FOUND", helm(() => ({ valueFiles: [pipe] }))],
  ["a value file above the repository", chart(configMap("x")), path, helm(() => ({ valueFiles: [`../../..${pipe}`] }))],
  ["a value file by URL", chart(configMap("x")), remote, helm(() => ({ valueFiles: [`${url}/v.yaml`] }))],
  [
    "a file parameter of the disk",
    chart(configMap("x")),
    path,
    helm(() => ({ fileParameters: [{ name: "a", path: `../../..${pipe}` }] })),
  ],
  [
    "a schema by a file URL",
    chart(configMap("x"), () => ({ "app/values.schema.json": `{"$ref":"file://${pipe}"}` })),
    path,
  ],
  [
    "a schema by URL",
    chart(configMap("x"), () => ({ "app/values.schema.json": `{"$ref":"${url}/s.json"}` })),
    "rendered",
  ],
  // CVE-2023-25165, CVE-2020-11013
  ["a name that is looked up", chart(configMap(`{{ getHostByName "127.0.0.1.example.com" | quote }}`)), "rendered"],
  ["a question to the cluster", chart(configMap(`{{ lookup "v1" "Secret" "" "" | toJson | quote }}`)), "rendered"],
  ["the environment", chart(configMap(`{{ env "PATH" }}{{ expandenv "$HOME" }}`)), invalid],
  ["a file outside the chart", chart(configMap(`{{ .Files.Get "../../etc/passwd" | quote }}`)), "rendered"],
  [
    "plugins beside the chart",
    chart(configMap("x"), () => ({ "app/plugins/x/plugin.yaml": `name: x\ncommand: ${evil}\n` })),
    "rendered",
  ],
  [
    "a dependency of the disk",
    chart(configMap("x"), () => ({
      "app/Chart.yaml": `apiVersion: v2\nname: demo\nversion: 1.0.0\ndependencies: [{name: d, version: 1.x, repository: "file://${folder}"}]\n`,
    })),
    path,
  ],
  // GHSA-m3vr-7329-44ww
  ["an import of the disk", jsonnet(() => `importstr '${pipe}'`), path],
  ["an import above", jsonnet(() => `importstr '../../..${pipe}'`), path],
  ["an import by URL", jsonnet(() => `importstr '${url}/x'`), remote],
  ["a library path above", jsonnet(() => "{}"), path, () => ({ directory: { jsonnet: { libs: ["../.."] } } })],
  ["a source's path above", () => ({ "app/a.yaml": configMap("x") }), "SPEC_INVALID", () => ({ path: "../.." })],
];

it.each(cases)("%s is refused or without effect", async (title, files, code, more) => {
  const entries: RenderJob["entries"] = [
    ...Object.entries(files()).map(([at, text]) => ({ path: at, bytes: Buffer.from(text) })),
    ...(title === "a link to the disk"
      ? [{ path: "app/l.yaml", bytes: Buffer.from(pipe), kind: "link" as const }]
      : []),
  ];
  const job: RenderJob = { path: "app", appName: "a", entries, complete: [""], ...more?.() };
  const outcome = await engine.render(job);
  const got = outcome.kind === "failed" ? outcome.code : outcome.kind;
  expect(got, JSON.stringify(outcome)).toMatch(code);
  expect(JSON.stringify(outcome)).not.toContain("root:x:");
  expect(lost).toEqual([]);
  expect(existsSync(mark)).toBe(false);
  expect(connections).toBe(0);
});

it.each<[string, (target: string) => [Record<string, string>, Partial<RenderJob>]]>([
  ["a Jsonnet import", (target) => [{ "app/a.jsonnet": `importstr '${target}'` }, {}]],
  ["a value file", (target) => [chart(configMap("x"))(), { helm: { valueFiles: [`../../..${target}`] } }]],
  [
    "a generator's file",
    (target) => [{ "app/kustomization.yaml": `configMapGenerator: [{name: a, files: [${target}]}]` }, {}],
  ],
])("%s outside answers the same whether its target is there or not", async (_title, of) => {
  const answers: RenderOutcome[] = [];
  for (const target of ["/etc/passwd", "/etc/nobody"]) {
    const [files, more] = of(target);
    const entries = Object.entries(files).map(([at, text]) => ({ path: at, bytes: Buffer.from(text) }));
    answers.push(await engine.render({ path: "app", appName: "a", entries, complete: [""], ...more }));
  }
  expect(answers[0]).toMatchObject({ kind: "failed" });
  expect(JSON.stringify(answers[1]).replaceAll("nobody", "passwd")).toBe(JSON.stringify(answers[0]));
});

// What is only malformed, or only large: the job fails or renders, and the child lives.
it.each<[string, Record<string, string>, string | RegExp, Partial<RenderJob>?]>([
  [
    "a JavaScript tag",
    { "app/a.yaml": `${configMap("x")}f: !!js/function 'function () {}'\n` },
    /rendered|MANIFEST_INVALID/,
  ],
  [
    "members of every object",
    { "app/a.yaml": `${configMap("x")}__proto__: {polluted: 1}\nconstructor: {prototype: {polluted: 1}}\n` },
    "rendered",
  ],
  [
    "a List in a List, 1,000 deep",
    { "app/a.yaml": `${"{apiVersion: v1, kind: List, items: [".repeat(1_000)}${"]}".repeat(1_000)}` },
    /RENDER_LIMIT|MANIFEST_INVALID/,
  ],
  [
    "a hundred thousand documents",
    { "app/a.yaml": "---\na: 1\n".repeat(100_000) },
    /RENDER_LIMIT|MANIFEST_INVALID|rendered/,
  ],
  [
    "an index of a parameter without end",
    chart(configMap("x"))(),
    /SPEC_INVALID|MANIFEST_INVALID/,
    { helm: { parameters: [{ name: "a[99999999999]", value: "1" }] } },
  ],
  [
    "a parameter a hundred thousand deep",
    chart(configMap("x"))(),
    /SPEC_INVALID|MANIFEST_INVALID/,
    { helm: { parameters: [{ name: `${"a.".repeat(100_000)}b`, value: "1" }] } },
  ],
  [
    "a chart without values or templates",
    { "app/Chart.yaml": "apiVersion: v2\nname: demo\nversion: 1.0.0\n", "app/values.yaml": "" },
    "rendered",
  ],
  ["a chart that is null", { "app/Chart.yaml": "null\n" }, "MANIFEST_INVALID"],
  [
    "a dependency that is null",
    { "app/Chart.yaml": "apiVersion: v2\nname: demo\nversion: 1.0.0\ndependencies: [null]\n" },
    /MANIFEST_INVALID|RENDER_FAILED/,
  ],
  [
    "lines of an empty file",
    chart(configMap(`{{ .Files.Lines "e" | len }}`), () => ({ "app/e": "" }))(),
    /rendered|MANIFEST_INVALID/,
  ],
  [
    "a schema that refers to itself",
    chart(configMap("x"), () => ({ "app/values.schema.json": '{"$ref":"#"}' }))(),
    /MANIFEST_INVALID|rendered/,
  ],
  [
    "a lock of no dependencies",
    { "app/Chart.yaml": "apiVersion: v2\nname: demo\nversion: 1.0.0\n", "app/Chart.lock": "digest: x\n" },
    "rendered",
  ],
])("%s costs its own job only", async (_title, files, code, more) => {
  const entries = Object.entries(files).map(([at, text]) => ({ path: at, bytes: Buffer.from(text) }));
  const outcome = await engine.render({ path: "app", appName: "a", entries, complete: [""], ...more });
  expect(outcome.kind === "failed" ? outcome.code : outcome.kind, JSON.stringify(outcome).slice(0, 500)).toMatch(code);
  expect(({} as { polluted?: number }).polluted).toBeUndefined();
  expect(lost).toEqual([]);
});

it("a job that has to be killed costs its neighbours in the queue nothing, and the next child answers within a second", async () => {
  const good: RenderJob = {
    path: "app",
    appName: "a",
    entries: [{ path: "app/a.yaml", bytes: Buffer.from(configMap("x")) }],
    complete: [""],
  };
  const endless = chart("{{ range until 1000000000 }}x{{ end }}")();
  const entries = Object.entries(endless).map(([at, text]) => ({ path: at, bytes: Buffer.from(text) }));
  const order: [string, number][] = [];
  const note = (name: string) => (outcome: RenderOutcome) => void (order.push([name, performance.now()]), outcome);
  const bad = engine.render({ path: "app", appName: "a", entries, complete: [""] });
  const queued = Array.from({ length: 20 }, () => engine.render(good));
  await Promise.all([bad.then(note("bad")), queued[0]!.then(note("first"))]);
  expect(await bad).toMatchObject({ kind: "failed", code: "RENDER_LIMIT" });
  expect((await Promise.all(queued)).every(({ kind }) => kind === "rendered")).toBe(true);
  const at = Object.fromEntries(order) as Record<string, number>;
  expect(at["first"]! - at["bad"]!).toBeLessThan(1_000);
});
