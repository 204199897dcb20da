// DESIGN §3 proven: of many Applications of one repository a push renders exactly those that a render of everything
// would find changed. What that set is, the engine itself says, given the whole repository before and after.
import { connectBus, type Bus } from "@driftless/bus/connect";
import { follow, on, type Consumption } from "@driftless/bus/consume";
import { SourceChanged, SourceUnchanged } from "@driftless/contracts/pipeline/1-refresh";
import { ManifestsRendered, RenderFailed } from "@driftless/contracts/pipeline/3-render";
import { DiffComputed } from "@driftless/contracts/pipeline/4-diff";
import { STREAMS } from "@driftless/contracts/streams";
import { subject } from "@driftless/contracts/subject";
import { systemClock as clock } from "@driftless/process/clock";
import { createLogger } from "@driftless/process/telemetry";
import { buildRenderEngine } from "@driftless/render-engine/build";
import { createEngine, type Engine } from "@driftless/render-engine/engine";
import type { RenderJob } from "@driftless/render-engine/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { configMap, deployment, eventually, push, useWorld } from "../harness/story.ts";

const use = useWorld({ settings: { "timeout.reconciliation": "0s" } });

type Options = Pick<RenderJob, "directory" | "helm" | "kustomize">;
interface App {
  name: string;
  path: string;
  options: Options;
}

const apps: App[] = [];
const files: Record<string, string> = { "README.md": "a monorepo\n", "lib/app.libsonnet": lib("one") };

function lib(key: string): string {
  return `{ configMap(name):: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: name }, data: { key: '${key}' } } }`;
}
function add(name: string, path: string, options: Options, own: Record<string, string>): void {
  apps.push({ name, path, options });
  for (const [file, text] of Object.entries(own)) files[`${path}/${file}`] = text;
}
const numbers = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

for (const n of numbers(18)) {
  add(`plain-${n}`, `plain/${n}`, n % 2 === 0 ? {} : { directory: { recurse: true } }, {
    "cm.yaml": configMap(`plain-${n}`),
    "more/cm.yaml": configMap(`plain-${n}-more`),
    "README.md": "nobody renders this\n",
  });
}
for (const n of numbers(16)) {
  add(`helm-${n}`, "charts/web", { helm: { valueFiles: [`values-${n % 4}.yaml`], ignoreMissingValueFiles: true } }, {});
}
Object.assign(files, {
  "charts/web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n",
  "charts/web/values.yaml": "tag: one\n",
  "charts/web/values-0.yaml": "tag: zero\n",
  "charts/web/values-1.yaml": "other: 1\n",
  "charts/web/values-2.yaml": "other: 2\n",
  "charts/web/README.md": "nobody renders this\n",
  "charts/web/templates/web.yaml": deployment("{{ .Release.Name }}", {
    image: "web:{{ .Values.tag }}-{{ .Values.other }}",
  }),
});
for (const n of numbers(18)) {
  add(
    `overlay-${n}`,
    `overlays/${n}`,
    {},
    {
      "kustomization.yaml": `resources: [../../bases/${n % 3}]\nnamePrefix: o${n}-\n`,
    },
  );
}
for (const n of numbers(3)) {
  files[`bases/${n}/kustomization.yaml`] = `resources: [web.yaml${n === 2 ? ", ../common" : ""}]\n`;
  files[`bases/${n}/web.yaml`] = deployment(`base-${n}`);
  files[`bases/${n}/README.md`] = "nobody renders this\n";
}
files["bases/common/kustomization.yaml"] = "resources: [cm.yaml]\n";
files["bases/common/cm.yaml"] = configMap("common");
for (const n of numbers(8)) {
  const text =
    n % 2 === 0
      ? `(import 'app.libsonnet').configMap('jsonnet-${n}')`
      : `(import '../../lib/app.libsonnet').configMap('jsonnet-${n}')`;
  add(
    `jsonnet-${n}`,
    `jsonnet/${n}`,
    { directory: { jsonnet: n % 2 === 0 ? { libs: ["lib"] } : {} } },
    {
      "app.jsonnet": text,
    },
  );
}

let bus: Bus;
let engine: Engine;
let heard: Consumption[];
let url: string;
const uids = new Map<string, string>();
let rendered: string[] = [];
let compared: string[] = [];
let told: { revision?: string; apps: readonly string[] }[] = [];
let untouched: { revision: string; count: number }[] = [];

beforeAll(async () => {
  engine = createEngine({ binary: await buildRenderEngine(), children: 1 });
  const logger = createLogger({ service: "test", level: "silent" });
  bus = await connectBus({ servers: use.world.local.natsUrl!, name: "test", clock, logger });
  heard = [
    await follow(bus, {
      stream: STREAMS.results,
      filters: [subject("res", ">")],
      from: "all",
      handlers: [
        on(ManifestsRendered, async ({ app }) => void rendered.push(app.name)),
        on(RenderFailed, async ({ app }) => void rendered.push(app.name)),
        on(DiffComputed, async ({ app }) => void compared.push(app.name)),
      ],
    }),
    await follow(bus, {
      stream: STREAMS.facts,
      filters: [subject("fact", ">")],
      from: "all",
      handlers: [
        on(SourceChanged, async (fact) => void told.push(fact)),
        on(SourceUnchanged, async (fact) => void untouched.push(fact)),
      ],
    }),
  ];
}, 900_000);

afterAll(async () => {
  for (const one of heard) await one.stop();
  await bus.close();
  await engine.close();
});

/** What every Application is, rendered from the whole repository. */
async function everything(tree: Readonly<Record<string, string>>): Promise<Map<string, string>> {
  const entries = Object.entries(tree).map(([path, text]) => ({ path, bytes: Buffer.from(text) }));
  const texts = apps.map(async ({ name, path, options }): Promise<[string, string]> => {
    const outcome = await engine.render({
      path,
      appName: name,
      ...options,
      environment: { namespace: name, project: "default" },
      entries,
      complete: [""],
    });
    return [name, JSON.stringify(outcome.kind === "rendered" ? outcome.manifests : outcome)];
  });
  return new Map(await Promise.all(texts));
}

test("all are compared once", async () => {
  const { world } = use;
  ({ url } = await world.git.createRepository("mono", files));
  for (const { name, path, options } of apps) {
    await world.applications.create({
      name,
      repoURL: url,
      path,
      automated: false,
      source: options as Record<string, unknown>,
    });
  }
  for (const { name } of apps) {
    const app = await world.applications.until(name, "OutOfSync", (one) => one.status?.sync?.status === "OutOfSync");
    uids.set(app.metadata.uid, name);
  }
  expect(new Set(rendered).size).toBe(apps.length);
});

test.each<[string, Record<string, string>, number]>([
  ["one app's file", { "plain/4/cm.yaml": configMap("plain-4", { key: "new" }) }, 1],
  ["a directory that only some follow below", { "plain/7/more/cm.yaml": configMap("new") }, 1],
  ["the same where nobody does", { "plain/8/more/cm.yaml": configMap("new") }, 0],
  ["texts that nobody renders", { "README.md": "b\n", "plain/3/README.md": "b\n", "bases/1/README.md": "b\n" }, 0],
  ["the README of a chart", { "charts/web/README.md": "b\n" }, 0],
  ["a shared base", { "bases/1/web.yaml": deployment("base-1", { replicas: 3 }) }, 6],
  ["the base of a base", { "bases/common/cm.yaml": configMap("common", { key: "new" }) }, 6],
  ["a chart's values", { "charts/web/values.yaml": "tag: two\nother: none\n" }, 16],
  ["a value file that some name", { "charts/web/values-1.yaml": "other: one\n" }, 4],
  ["a value file that some name and that was missing", { "charts/web/values-3.yaml": "other: three\n" }, 4],
  ["a template of a chart", { "charts/web/templates/cm.yaml": configMap("{{ .Release.Name }}") }, 16],
  ["a library that some import by path and some look for", { "lib/app.libsonnet": lib("two") }, 8],
  ["a file that hides that library", { "jsonnet/2/app.libsonnet": lib("hidden") }, 1],
  ["a new file in a listed directory", { "plain/9/more/new.yaml": configMap("new") }, 1],
  ["options that were looked for", { "charts/web/.argocd-source-helm-5.yaml": "helm: {releaseName: other}\n" }, 1],
  [
    "a kind of source that was looked for",
    { "plain/6/kustomization.yaml": "resources: [cm.yaml]\nnamePrefix: k-\n" },
    1,
  ],
  [
    "several at once",
    { "plain/1/cm.yaml": configMap("one"), "overlays/5/kustomization.yaml": "resources: [../../bases/0]\n" },
    2,
  ],
])("%s: what is rendered is what changes", async (_title, change, count) => {
  const { world } = use;
  const before = await everything(files);
  Object.assign(files, change);
  const after = await everything(files);
  const changed = [...after.keys()].filter((name) => after.get(name) !== before.get(name)).toSorted();
  expect(changed).toHaveLength(count);

  rendered = [];
  compared = [];
  told = [];
  untouched = [];
  const revision = await world.git.commitFiles("mono", change, "change");
  await push(world, url);
  const of = <T extends { revision?: string }>(facts: T[]) => facts.filter((fact) => fact.revision === revision);
  const namesTold = () => of(told).flatMap((fact) => fact.apps.map((uid) => uids.get(uid)!));
  await eventually("every source is accounted for", () => {
    const unchanged = of(untouched).reduce((sum, fact) => sum + fact.count, 0);
    return namesTold().length + unchanged >= apps.length;
  });
  expect(namesTold().toSorted()).toEqual(changed);
  await eventually("all that changed are rendered", () => changed.every((name) => rendered.includes(name)));
  // From then on the fetcher knows what they read now.
  await eventually("all that changed are compared", () => changed.every((name) => compared.includes(name)));
  expect(rendered.toSorted()).toEqual(changed);
});
