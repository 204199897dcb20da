// Rows of hop 3: one small Helm and one small Kustomize app through the engine and from their key, against starting the
// real programs for the same files in the same run.
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { startGitServer } from "@driftless/local/git-server";
import { systemClock } from "@driftless/process/clock";
import { buildRenderEngine } from "@driftless/render-engine/build";
import { createEngine } from "@driftless/render-engine/engine";
import type { BundleEntry, RenderJob } from "@driftless/render-engine/protocol";
import { fileInput, listInput } from "@driftless/manifests/inputs";
import { readInputs } from "@driftless/repo-fetcher/inputs";
import { RemoteObjects } from "@driftless/repo-fetcher/objects";
import { Repository } from "@driftless/repo-fetcher/repository";
import { appObjects } from "./apps.ts";
import { unwrap } from "./git-fetch.ts";
import { percentile } from "./meter.ts";
import type { BenchRow } from "./rows.ts";

const exec = promisify(execFile);
const ENGINE = join(import.meta.dirname, "../../packages/render-engine");
const CHEAPER = 30;
const WARM_UP = 30;
/** So many renders for each start of a real program. */
const RENDERS = 10;

/** The bench's four objects (DESIGN §9) as a chart: image and name are values. */
export function chartFiles(path: string, image: string): Record<string, string> {
  const files: Record<string, string> = {
    [`${path}/Chart.yaml`]: "apiVersion: v2\nname: web\nversion: 1.0.0\n",
    [`${path}/values.yaml`]: `image: ${image}\nreplicas: 0\n`,
  };
  for (const { file, object } of appObjects(0, "IMAGE")) {
    const text = JSON.stringify(object, null, 2)
      .replaceAll("app-00000", "{{ .Release.Name }}")
      .replaceAll("IMAGE", "{{ .Values.image }}")
      .replaceAll('"replicas": 0', '"replicas": {{ .Values.replicas }}');
    files[`${path}/templates/${file}`] = `${text}\n`;
  }
  return files;
}

/** The same as an overlay of a base. */
export function overlayFiles(path: string, base: string, name: string, image: string): Record<string, string> {
  const [repository, tag] = image.split(":");
  const up = "../".repeat(path.split("/").length);
  return {
    [`${path}/kustomization.yaml`]: `resources: [${up}${base}]\nnamePrefix: ${name}-\nlabels:\n- pairs: {team: a}\nimages:\n- {name: ${repository}, newTag: "${tag}"}\n`,
  };
}

export function baseFiles(path: string, image: string): Record<string, string> {
  const objects = appObjects(0, image);
  const files: Record<string, string> = {
    [`${path}/kustomization.yaml`]: `resources: [${objects.map(({ file }) => file).join(", ")}]\n`,
  };
  for (const { file, object } of objects) {
    files[`${path}/${file}`] = `${JSON.stringify(object, null, 2)}\n`.replaceAll("app-00000", "web");
  }
  return files;
}

async function program(name: string): Promise<string> {
  const env = { ...process.env, GOTOOLCHAIN: "local" };
  return (await exec("go", ["tool", "-n", name], { cwd: ENGINE, env })).stdout.trim();
}

export async function render(options: {
  samples: number;
  progress(what: string, done: number, total: number): void;
}): Promise<BenchRow[]> {
  const image = "registry.example.com/web:1.0.0";
  const cases = [
    {
      what: "Helm",
      files: chartFiles("app", image),
      program: "helm",
      args: ["template", "app", "--name-template", "app-1", "--include-crds", "--kube-version", "1.36.3"],
    },
    {
      what: "Kustomize",
      files: { ...baseFiles("base", image), ...overlayFiles("app", "base", "app-1", image) },
      program: "kustomize",
      args: ["build", "app"],
    },
  ];
  const dir = await mkdtemp(join(tmpdir(), "driftless-bench-render-"));
  const engine = createEngine({ binary: await buildRenderEngine(), children: 1 });
  const server = await startGitServer({ dir: join(dir, "repos"), port: 0 });
  try {
    const rows: BenchRow[] = [];
    for (const one of cases) {
      const what = `a small ${one.what} app`;
      options.progress(`render: building ${one.program}`, 0, 1);
      const binary = await program(one.program);
      const tree = join(dir, one.program);
      for (const [path, text] of Object.entries(one.files)) {
        await mkdir(dirname(join(tree, path)), { recursive: true });
        await writeFile(join(tree, path), text);
      }
      const entries = Object.entries(one.files).map(([path, text]): BundleEntry => ({
        path,
        bytes: Buffer.from(text),
      }));
      const job: RenderJob = { path: "app", appName: "app-1", kubeVersion: "1.36.3", entries, complete: [""] };
      const { url } = await server.createRepository(one.program, one.files);
      const remote = new RemoteObjects({ url, clock: systemClock });
      const none = () => undefined;
      const events = { onPolled: none, onSourcesChanged: none, onSourcesUnchanged: none, onFailed: none };
      const repository = new Repository({ remote, clock: systemClock, pollMs: 0, matchConstraint: none, events });
      const { commit } = unwrap(await repository.resolve("main", "latest", { kind: "user", at: "" }));
      unwrap(await repository.bundle(commit, "app"));
      const outcome = await engine.render(job);
      if (outcome.kind !== "rendered" || outcome.manifests.length !== 4) throw new Error(JSON.stringify(outcome));
      const { files, missed, listings } = outcome.reads;
      const keys = [...files, ...missed].map(fileInput).concat(listings.map(listInput));
      const inputs = readInputs(keys, remote.readTree, remote.rootTree(commit)!);

      const [cold, fromKey, real]: [number[], number[], number[]] = [[], [], []];
      const timed = async (into: number[], work: () => Promise<unknown>) => {
        const start = performance.now();
        await work();
        into.push(performance.now() - start);
      };
      for (let n = 0; n < WARM_UP; n++) await engine.render(job);
      for (let n = 0; n < options.samples; n++) {
        const env = { HOME: dir, PATH: "" };
        await timed(real, async () => {
          const { stdout } = await exec(binary, one.args, { cwd: tree, env });
          if (stdout.length < 1_000) throw new Error(`${one.program} prints ${stdout}`);
        });
        for (let m = 0; m < RENDERS; m++) {
          await timed(cold, () => engine.render(job));
          await timed(fromKey, async () => {
            if (!unwrap(await repository.sameInputs(inputs, commit))) throw new Error("equal inputs differ");
          });
        }
        options.progress(`render: ${one.what}`, n + 1, options.samples);
      }
      repository.close();
      rows.push(
        cheaper(`${what}: rendered, against starting ${one.program}`, cold, real),
        cheaper(`${what}: from its key, against starting ${one.program}`, fromKey, real),
      );
    }
    return rows;
  } finally {
    await engine.close();
    await server.stop();
    await rm(dir, { recursive: true, force: true, maxRetries: 5 });
  }
}

function cheaper(row: string, ours: number[], bare: number[]): BenchRow {
  const [p50, p99, bareP50, bareP99] = [
    percentile(ours, 50),
    percentile(ours, 99),
    percentile(bare, 50),
    percentile(bare, 99),
  ];
  const times = bareP50 / p50;
  return {
    row,
    unit: "ms",
    p50,
    p99,
    bareP50,
    bareP99,
    ratio: p50 / bareP50,
    goal: `≥ ${CHEAPER} × cheaper`,
    met: times >= CHEAPER,
    notes: `${times.toFixed(0)} × cheaper`,
  };
}
