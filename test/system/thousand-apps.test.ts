// DESIGN §3 at the size it is for: a repository of 1,000 Applications, through the fetcher's Git core and the real engine.
// A push tells exactly those whose render it changes; which these are, a render of everything before and after says,
// each app given all that the repository shares. And what was told is enough: everybody's last render is then the newest.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startGitServer, type GitServer } from "@driftless/local/git-server";
import { BundleFiles, type Bundle } from "@driftless/manifests/bundle";
import { systemClock } from "@driftless/process/clock";
import { buildRenderEngine } from "@driftless/render-engine/build";
import { createEngine, type Engine } from "@driftless/render-engine/engine";
import type { BundleEntry, RenderJob, RenderOutcome } from "@driftless/render-engine/protocol";
import { inputsOf } from "@driftless/renderer/inputs";
import type { Outcome } from "@driftless/repo-fetcher/git-failure";
import { RemoteObjects } from "@driftless/repo-fetcher/objects";
import { Repository } from "@driftless/repo-fetcher/repository";
import { afterAll, beforeAll, expect, test } from "vitest";
import { configMap, deployment } from "../harness/story.ts";

interface App {
  id: string;
  path: string;
  options: Pick<RenderJob, "directory" | "helm" | "kustomize">;
  /** What the engine asked for outside the path, as the controller keeps it. */
  extra: string[];
}

const cause = { kind: "user" as const, at: "2026-01-01T00:00:00Z" };
const numbers = (count: number): number[] => Array.from({ length: count }, (_, n) => n);
const apps: App[] = [];
const files: Record<string, string> = { "README.md": "a monorepo\n" };

function add(id: string, path: string, options: App["options"], own: Record<string, string>): void {
  apps.push({ id, path, options, extra: [] });
  for (const [file, text] of Object.entries(own)) files[`${path}/${file}`] = text;
}

const library = (key: string) =>
  `{ configMap(name):: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: name }, data: { key: '${key}' } } }`;

for (const n of numbers(400)) {
  add(`plain-${n}`, `apps/team-${n % 20}/plain-${n}`, n % 2 === 0 ? {} : { directory: { recurse: true } }, {
    "cm.yaml": configMap(`plain-${n}`),
    "more/cm.yaml": configMap(`plain-${n}-more`),
    "README.md": "nobody renders this\n",
  });
}
for (const n of numbers(250)) {
  const valueFiles = [`../../values/${n % 25}.yaml`, `../../values/only-${n}.yaml`];
  add(`helm-${n}`, `charts/${n % 5}`, { helm: { valueFiles, ignoreMissingValueFiles: true } }, {});
}
for (const n of numbers(25)) files[`values/${n}.yaml`] = `replicas: ${n}\n`;
for (const n of numbers(5)) {
  Object.assign(files, {
    [`charts/${n}/Chart.yaml`]: `apiVersion: v2\nname: chart-${n}\nversion: 1.0.0\n${n === 0 ? "dependencies: [{name: parts, version: 1.x, repository: 'file://../../parts'}]\n" : ""}`,
    [`charts/${n}/values.yaml`]: "tag: one\n",
    [`charts/${n}/README.md`]: "nobody renders this\n",
    [`charts/${n}/templates/web.yaml`]: deployment("{{ .Release.Name }}", { image: "web:{{ .Values.tag }}" }),
  });
}
files["parts/Chart.yaml"] = "apiVersion: v2\nname: parts\nversion: 1.2.0\n";
files["parts/templates/cm.yaml"] = configMap("{{ .Release.Name }}-parts");
for (const n of numbers(250)) {
  const kustomization = `resources: [../../bases/${n % 10}]\nnamePrefix: o${n}-\nimages: [{name: web, newTag: "${n}"}]\n`;
  add(`overlay-${n}`, `overlays/${n}`, {}, { "kustomization.yaml": kustomization });
}
for (const n of numbers(10)) {
  files[`bases/${n}/kustomization.yaml`] = `resources: [web.yaml${n === 9 ? ", ../common" : ""}]\n`;
  files[`bases/${n}/web.yaml`] = deployment(`base-${n}`, { image: "web:base" });
  files[`bases/${n}/README.md`] = "nobody renders this\n";
}
files["bases/common/kustomization.yaml"] = "resources: [cm.yaml]\n";
files["bases/common/cm.yaml"] = configMap("common");
for (const n of numbers(100)) {
  const options = n % 2 === 0 ? { directory: { jsonnet: { libs: ["lib"] } } } : {};
  const from = n % 2 === 0 ? "app.libsonnet" : "../../lib/app.libsonnet";
  add(`jsonnet-${n}`, `jsonnet/${n}`, options, { "app.jsonnet": `(import '${from}').configMap('jsonnet-${n}')` });
}
files["lib/app.libsonnet"] = library("one");

const SHARED = /^(?:charts|parts|values|bases|lib)\//;
const jobOf = ({ id, path, options }: App, rest: Pick<RenderJob, "entries" | "complete" | "absent">): RenderJob => ({
  path,
  appName: id,
  ...options,
  environment: { namespace: id, project: "default" },
  ...rest,
});
const textOf = (outcome: RenderOutcome): string =>
  JSON.stringify(outcome.kind === "rendered" ? outcome.manifests : outcome);

let dir: string;
let server: GitServer;
let engine: Engine;
let remote: RemoteObjects;
let repository: Repository;
let told: string[] = [];
let oracle: Map<string, string>;
/** What each app's own last render gave. */
const rendered = new Map<string, string>();

/** Every app, rendered from all that the repository shares and its own directory. */
async function everything(): Promise<Map<string, string>> {
  const entries = Object.entries(files).map(([path, text]): BundleEntry => ({ path, bytes: Buffer.from(text) }));
  const shared = entries.filter(({ path }) => SHARED.test(path));
  const own = Map.groupBy(
    entries.filter(({ path }) => !SHARED.test(path)),
    ({ path }) => apps.find((app) => path.startsWith(`${app.path}/`))?.path,
  );
  const texts = apps.map(async (app): Promise<[string, string]> => {
    const all = [...shared, ...(own.get(app.path) ?? [])];
    return [app.id, textOf(await engine.render(jobOf(app, { entries: all, complete: [""] })))];
  });
  return new Map(await Promise.all(texts));
}

const value = <T>(result: Outcome<T>): T => {
  if (result.kind === "ok") return result.value;
  throw new Error(`${result.failure.code}: ${result.failure.message}`);
};

function jobOfBundle(app: App, bundle: Bundle): RenderJob {
  const entries = [...bundle.entries].map(([path, { bytes }]): BundleEntry => ({ path, bytes }));
  return jobOf(app, { entries, complete: bundle.complete, absent: bundle.absent });
}

/** As the hops do it: fetch, render, fetch what is needed, render; then say what was read. */
async function look(app: App, revision: string): Promise<void> {
  for (;;) {
    const { bundle } = value(await repository.bundle(revision, app.path, app.extra));
    const outcome = await engine.render(jobOfBundle(app, bundle));
    if (outcome.kind === "need") {
      app.extra = [...app.extra, ...outcome.paths];
      continue;
    }
    if (outcome.kind === "plugin") throw new Error("no plugin is asked for");
    const inputs = outcome.reads && inputsOf(new BundleFiles(bundle), outcome.reads);
    repository.watch({ id: app.id, targetRevision: "main", inputs, revision }, cause);
    rendered.set(app.id, textOf(outcome));
    return;
  }
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "driftless-thousand-"));
  server = await startGitServer({ dir, port: 0 });
  engine = createEngine({ binary: await buildRenderEngine(), children: 2 });
  const { url } = await server.createRepository("mono", files);
  remote = new RemoteObjects({ url, clock: systemClock });
  repository = new Repository({
    remote,
    clock: systemClock,
    pollMs: 0,
    matchConstraint: () => undefined,
    events: {
      onPolled: () => undefined,
      onSourcesChanged: ({ ids }) => void told.push(...ids),
      onSourcesUnchanged: () => undefined,
      onFailed: (failure) => expect.unreachable(failure.message),
    },
  });
}, 900_000);

afterAll(async () => {
  repository?.close();
  await engine?.close();
  await server?.stop();
  await rm(dir, { recursive: true, force: true, maxRetries: 5 });
});

test("1,000 apps are rendered from their bundles as from the whole repository, and a look without a push tells nobody", async () => {
  expect(apps).toHaveLength(1_000);
  const { commit } = value(await repository.resolve("main", "latest", cause));
  await Promise.all(apps.map((app) => look(app, commit)));
  oracle = await everything();
  expect([...rendered.values()].filter((text) => !text.startsWith("["))).toEqual([]);
  expect(apps.filter(({ id }) => rendered.get(id) !== oracle.get(id))).toEqual([]);
  value(await repository.nudge(cause));
  told = [];
  value(await repository.nudge(cause));
  expect(told).toEqual([]);
});

test.each<[string, Record<string, string>, number]>([
  ["one app's file", { "apps/team-4/plain-4/cm.yaml": configMap("plain-4", { key: "new" }) }, 1],
  ["texts that nobody renders", { "README.md": "b\n", "charts/3/README.md": "b\n", "bases/1/README.md": "b\n" }, 0],
  ["a file below a directory that is not followed", { "apps/team-8/plain-8/more/cm.yaml": configMap("new") }, 0],
  ["a shared base", { "bases/1/web.yaml": deployment("base-1", { replicas: 3 }) }, 25],
  ["the base of a base", { "bases/common/cm.yaml": configMap("common", { key: "new" }) }, 25],
  ["a chart's values", { "charts/2/values.yaml": "tag: two\n" }, 50],
  ["a chart that another depends on", { "parts/templates/cm.yaml": configMap("{{ .Release.Name }}-other") }, 50],
  ["a new file in a listed directory", { "apps/team-9/plain-9/more/new.yaml": configMap("new") }, 1],
  ["a file that was looked for and did not exist", { "values/only-7.yaml": "tag: seven\n" }, 1],
  [
    "a kind of source that was looked for",
    { "apps/team-0/plain-20/kustomization.yaml": "resources: [cm.yaml]\nnamePrefix: k-\n" },
    1,
  ],
  ["a library", { "lib/app.libsonnet": library("two") }, 100],
  [
    "two at once",
    {
      "overlays/5/kustomization.yaml": "resources: [../../bases/0]\n",
      "charts/4/templates/cm.yaml": configMap("{{ .Release.Name }}"),
    },
    51,
  ],
])("%s: who is told is who renders otherwise", async (_title, change, count) => {
  Object.assign(files, change);
  const after = await everything();
  const changed = [...after.keys()].filter((id) => after.get(id) !== oracle.get(id)).toSorted();
  expect(changed).toHaveLength(count);
  oracle = after;

  told = [];
  const revision = await server.commitFiles("mono", change, "change");
  value(await repository.nudge(cause));
  expect(told.toSorted()).toEqual(changed);
  await Promise.all(apps.filter(({ id }) => told.includes(id)).map((app) => look(app, revision)));
  expect(apps.filter(({ id }) => rendered.get(id) !== oracle.get(id))).toEqual([]);
});
