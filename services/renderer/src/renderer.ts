// Hop 3, renderer: bundle + parameters → manifests, through the render engine. Holds nothing.
//
// R1  Only a complete render is answered with ManifestsRendered; everything else says what is missing or wrong (rule 7).
// R2  A failed render is never remembered: the next asking renders again.
import type { Bus } from "@driftless/bus/connect";
import { consumeWork, on } from "@driftless/bus/consume";
import { type Failure, failure } from "@driftless/contracts/failure";
import type { MessageOf } from "@driftless/contracts/message";
import type { ChartWanted } from "@driftless/contracts/pipeline/2-fetch";
import {
  ManifestsRendered,
  RenderFailed,
  RenderManifests,
  RenderNeedsFiles,
  usesCluster,
} from "@driftless/contracts/pipeline/3-render";
import { workDurable } from "@driftless/contracts/streams";
import { BundleFiles, decodeBundle } from "@driftless/manifests/bundle";
import { encodeInputs } from "@driftless/manifests/inputs";
import type { Manifest } from "@driftless/manifests/manifest";
import { encodeManifests } from "@driftless/manifests/manifests-blob";
import type { Clock } from "@driftless/process/clock";
import type { Config } from "@driftless/process/config";
import type { Service } from "@driftless/process/start";
import { Counter, Histogram, type Logger, type Registry } from "@driftless/process/telemetry";
import type { Engine } from "@driftless/render-engine/engine";
import type { RenderJob, RenderOutcome, RenderReads } from "@driftless/render-engine/protocol";
import { createApiVersions } from "./api-versions.ts";
import { followPlugins } from "./declared-plugins.ts";
import { contentless, readsWith } from "./contentless.ts";
import { inputsOf } from "./inputs.ts";
import { askPlugin, type PluginOutcome } from "./plugin.ts";
import { renderKey } from "./render-key.ts";

type Command = MessageOf<typeof RenderManifests>;

export interface RendererContext {
  bus: Bus;
  engine: Engine;
  clock: Clock;
  logger: Logger;
  metrics: Registry;
  config: Config;
}

export async function startRenderer(context: RendererContext): Promise<Service> {
  const { bus, engine, clock, logger, metrics, config } = context;
  const duration = new Histogram({
    name: "driftless_render_seconds",
    help: "Time from a render command to its answer",
    buckets: [0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30],
    registers: [metrics],
  });
  const failures = new Counter({
    name: "driftless_render_failures_total",
    help: "Renders that failed, by code",
    labelNames: ["code"],
    registers: [metrics],
  });

  const declared = await followPlugins(bus, logger);
  const apiVersions = createApiVersions(bus);

  async function render(command: Command): Promise<void> {
    const started = clock.monotonic();
    const answer = (outcome: Answer) => {
      const tookMs = clock.monotonic() - started;
      duration.observe(tookMs / 1000);
      const reply = { app: command.app, requestId: command.requestId, shard: command.shard, tookMs };
      switch (outcome.kind) {
        case "rendered":
          return bus.publish(ManifestsRendered, { ...reply, ...outcome.rendered });
        case "need":
          return bus.publish(RenderNeedsFiles, {
            ...reply,
            paths: outcome.paths,
            charts: outcome.charts,
            ...(outcome.cluster && { cluster: outcome.cluster }),
          });
        case "failed":
          failures.inc({ code: outcome.failure.code });
          return bus.publish(RenderFailed, { ...reply, failure: outcome.failure, inputsDigest: outcome.inputsDigest });
      }
    };
    if (command.deadlineAt < clock.now()) return; // Nobody waits for it any more; it will be asked again.
    const bytes = await bus.blobs.get(command.bundleDigest);
    if (!bytes) return await answer(gone(command.bundleDigest));
    await answer(await rendered(bytes, command));
  }

  async function rendered(bytes: Uint8Array, command: Command): Promise<Answer> {
    const files = new BundleFiles(decodeBundle(bytes));
    const cluster = await apiVersions.of(command.cluster);
    const job = {
      ...jobOf(files, command),
      ...cluster,
      asksCluster: true,
      plugins: declared.rules(),
      wasPlugin: command.wasPlugin,
    };
    const lacking = command.cluster ? ("gone" as const) : ("unknown" as const);
    let outcome = await engine.render(job);
    let plugin: Extract<PluginOutcome, { kind: "rendered" }> | undefined;
    if (outcome.kind === "plugin") {
      // What it will use of them, nobody can tell.
      if (!cluster) return { kind: "need", paths: [], charts: [], cluster: lacking };
      const { reads } = outcome;
      const asked = await askPlugin(bus, files, reads, outcome.plugin, { ...command, cluster });
      if (asked.kind === "failed") return await failedWith(asked.failure, files, reads);
      plugin = asked;
      outcome = await engine.render({ ...job, pluginOutput: asked.output });
    }
    const lacked = outcome.kind === "rendered" || outcome.kind === "failed" ? contentless(files, outcome) : undefined;
    if (lacked && "reads" in outcome)
      return await failedWith(lacked, files, outcome.reads && readsWith(outcome.reads, lacked));
    switch (outcome.kind) {
      case "plugin":
        throw new Error("the engine asks for a plugin's output that it has");
      case "need":
        return {
          kind: "need",
          paths: outcome.paths,
          charts: outcome.charts.map((chart) => ({ ...chart })),
          ...(outcome.cluster && { cluster: lacking }),
        };
      case "failed":
        return await failedWith(failure(outcome.code, outcome.message, whereOf(outcome)), files, outcome.reads);
      case "rendered": {
        const read = inputsOf(files, outcome.reads);
        // The engine cannot have read what the bundle does not know; were it so, the key would cover too little.
        if (!read) throw new Error("the engine reports inputs that its bundle does not hold");
        const inputs = encodeInputs(read);
        const manifests = outcome.manifests.map(toManifest);
        const uses = plugin ? { variables: plugin.variables } : outcome.uses;
        const [manifestsDigest, inputsDigest] = await Promise.all([
          bus.blobs.put(encodeManifests(manifests)),
          bus.blobs.put(inputs),
        ]);
        return {
          kind: "rendered",
          rendered: {
            renderKey: renderKey({
              inputsDigest,
              type: outcome.type,
              uses,
              refs: files.bundle.refs,
              plugin: plugin?.identity,
              ...command,
            }),
            manifestsDigest,
            inputsDigest,
            count: manifests.length,
            sourceType: outcome.type,
            variables: uses.variables,
            ...("apiVersions" in uses && { apiVersions: uses.apiVersions }),
            ...(usesCluster(uses.variables) && { cluster: command.cluster }),
            warnings: outcome.warnings.map((w) =>
              failure("MANIFEST_INVALID", w.message, { file: w.file, line: w.line }),
            ),
          },
        };
      }
    }
  }

  async function failedWith(failed: Failure, files: BundleFiles, reads?: RenderReads): Promise<Answer> {
    // What it read until then may mend it; where nothing is known, any move of the ref counts.
    const inputs = reads && inputsOf(files, reads);
    const inputsDigest = inputs && inputs.size > 0 ? await bus.blobs.put(encodeInputs(inputs)) : undefined;
    return { kind: "failed", failure: failed, inputsDigest };
  }

  const work = await consumeWork(bus, {
    durables: [workDurable("render", "now"), workDurable("render", "bulk")],
    handlers: [on(RenderManifests, render)],
    concurrency: config.concurrency,
    async onPoison(name, message) {
      if (name !== RenderManifests.name) return;
      const { app, requestId, shard } = message as Command;
      const poison = failure("POISON_MESSAGE", "Rendering this app failed five times without an answer.");
      await bus.publish(RenderFailed, { app, requestId, shard, tookMs: 0, failure: poison });
    },
  });

  return {
    notReady: () => (bus.connected ? undefined : "renderer: NATS is away"),
    async stop() {
      await work.stop();
      await declared.stop();
    },
  };
}

type Known = MessageOf<typeof ManifestsRendered>;
/** Spelled out, because Omit of an open object loses its keys. */
type Rendered = {
  [K in "renderKey" | "manifestsDigest" | "inputsDigest" | "count" | "sourceType" | "variables" | "warnings"]: Known[K];
} & { [K in "apiVersions" | "cluster"]?: Known[K] };
type Answer =
  | { kind: "rendered"; rendered: Rendered }
  | { kind: "need"; paths: string[]; charts: ChartWanted[]; cluster?: "unknown" | "gone" }
  | { kind: "failed"; failure: Failure; inputsDigest?: string };

const gone = (digest: string): Answer => ({
  kind: "failed",
  failure: failure("BLOB_GONE", `The files of this source (${digest.slice(0, 12)}) are no longer stored.`),
});

function jobOf(files: BundleFiles, command: Command): RenderJob {
  const { bundle } = files;
  return {
    path: command.path,
    appName: command.appName,
    ...command.options,
    environment: command.environment,
    buildOptions: command.buildOptions,
    refs: bundle.refs,
    charts: bundle.charts,
    complete: bundle.complete,
    absent: bundle.absent,
    entries: [...bundle.entries].map(([path, entry]) => ({
      path,
      bytes: entry.bytes,
      kind: entry.kind === "symlink" ? "link" : entry.kind === "submodule" ? "submodule" : "file",
    })),
  };
}

function toManifest(rendered: Extract<RenderOutcome, { kind: "rendered" }>["manifests"][number]): Manifest {
  return {
    apiVersion: rendered.apiVersion,
    kind: rendered.kind,
    metadata: JSON.parse(rendered.metadata) as Record<string, unknown>,
    body: rendered.body,
    images: rendered.images,
    file: rendered.file,
    line: rendered.line,
    warnings: rendered.warnings.map((warning) => warning.message),
  };
}

function whereOf(outcome: { file?: string; line?: number; path?: string }): {
  file?: string;
  line?: number;
  path?: string;
} {
  return { file: outcome.file, line: outcome.line, path: outcome.path };
}
