// Everything that `driftless start` and `driftless up` run, started and ended in order:
//
// 1. a cluster of the user's own is looked at first: not beside Argo CD;
// 2. what is missing is built: nats-server and control plane, render engine;
// 3. local parts, as far as the user has none of his own;
// 4. the services, in one process, watched over;
// 5. ready (the api's /readyz says so for all of them): the example, in a local cluster.
import { whyNotBesideArgoCd } from "@driftless/kube/argo-cd";
import { createClient, type KubeClient } from "@driftless/kube/client";
import { loadConfig } from "@driftless/kube/config";
import { startLocal, type Local } from "@driftless/local/local";
import { freePort } from "@driftless/local/ports";
import { requirePrograms } from "@driftless/local/programs";
import { claimState, defaultHome, type State } from "@driftless/local/state";
import { systemClock } from "@driftless/process/clock";
import { buildRenderEngine } from "@driftless/render-engine/build";
import { CliError, usageError } from "./cli-error.ts";
import { createExample, createNamespace } from "./example.ts";
import { servePlugins } from "./plugins-process.ts";
import type { Progress } from "./progress.ts";
import { recordRun, runningHere, type RunRecord } from "./run-record.ts";
import { superviseServices, type ServicesProcess } from "./services-process.ts";

const USUAL_API_PORT = 8080;
const READY_DEADLINE_MS = 60_000;

export interface StackOptions {
  /** Of the user's own; a local one is started otherwise. */
  kubeconfig?: string;
  nats?: string;
  namespace: string;
  /** Beside Argo CD: compare and tell, write nothing. */
  observe: boolean;
  progress: Progress;
  /** Gives up starting. */
  signal: AbortSignal;
}

export interface Stack {
  readonly record: RunRecord;
  /** Fulfilled when a part is gone that is not started again any more. */
  readonly failed: Promise<Error>;
  /** With what failed, that stays to be read by `status`. */
  stop(failure?: Error): Promise<void>;
}

export async function startStack(options: StackOptions): Promise<Stack> {
  const { progress, signal, namespace } = options;
  const home = defaultHome();
  const endings: (() => Promise<void>)[] = [];
  const stop = async () => {
    for (const end of endings.splice(0).reverse()) await end();
  };
  const failure = Promise.withResolvers<Error>();
  let givenUp: Error | undefined;
  await requireNotRunning();
  try {
    const ownCluster = await openOwnCluster(options);
    if (ownCluster) endings.push(() => ownCluster.close());
    const renderEngine = await buildParts(options);
    signal.throwIfAborted();

    const parts = localParts(options);
    let local: Local | undefined;
    let state: State;
    progress.update("starting the local parts");
    if (parts.cluster || parts.nats) {
      local = await startLocal({
        home,
        ...parts,
        gitCreateOnPush: true,
        onRevival: ({ message }) => progress.say(`${message}\nIt is started again.`),
        onFailure(error) {
          givenUp = error;
          failure.resolve(error);
        },
      });
      const running = local;
      endings.push(() => running.stop());
      state = running.state;
    } else {
      state = await claimState(home);
      endings.push(() => state.release());
    }
    signal.throwIfAborted();
    const recorder = recordRun(state.home, { namespace, observe: options.observe });
    endings.push(() => (givenUp ? recorder.update({ phase: "failed", message: givenUp.message }) : recorder.remove()));

    const kubeconfig = options.kubeconfig ?? local?.kubeconfigPath;
    const natsUrl = options.nats ?? local?.natsUrl;
    if (!kubeconfig || !natsUrl) throw new Error("a local part did not say where it is");
    const cluster = ownCluster ?? (await clusterOf(kubeconfig, "local"));
    if (!ownCluster) {
      endings.push(() => cluster.close());
      await createNamespace(cluster, namespace);
    }

    const folder = process.env["DRIFTLESS_PLUGINS"];
    if (folder) {
      progress.update("starting the plugins");
      const plugins = await servePlugins({
        folder,
        natsUrl,
        state,
        onProgress: ({ what, done, total }) => progress.update(`building ${what}`, done, total),
        onRestart: (text) => progress.say(text),
      });
      endings.push(() => plugins.stop());
    }

    const apiPort = await freePort(USUAL_API_PORT);
    const apiUrl = `http://127.0.0.1:${apiPort}`;
    progress.update("starting the services");
    await recorder.update({ message: "starting the services", kubeconfig, natsUrl });
    const services = await superviseServices({
      state,
      env: {
        DRIFTLESS_KUBECONFIG: kubeconfig,
        DRIFTLESS_NATS_URL: natsUrl,
        DRIFTLESS_NAMESPACE: namespace,
        DRIFTLESS_API_HOST: "127.0.0.1",
        DRIFTLESS_API_PORT: String(apiPort),
        DRIFTLESS_OBSERVE: String(options.observe),
        DRIFTLESS_RENDER_ENGINE: renderEngine,
        // One name for life after life: a successor takes over at once instead of waiting for a dead one to expire.
        DRIFTLESS_REPLICA: "local",
      },
      onChange: (process) => void recorder.update({ services: process }),
      onRestart: (text) => progress.say(text),
    });
    endings.push(() => services.stop());
    await untilReady(apiUrl, () => givenUp ?? failureOf(services), services.logFile, progress, signal);
    if (local?.git) await createExample(cluster, { namespace, git: local.git, apiUrl });
    progress.clear();
    await recorder.update({
      phase: "ready",
      message: undefined,
      apiUrl,
      gitUrl: local?.git?.url,
      binDir: local?.binDir,
    });
    let stopping: Promise<void> | undefined;
    return {
      get record() {
        return recorder.record;
      },
      failed: failure.promise,
      stop(error) {
        givenUp ??= error;
        return (stopping ??= recorder.update({ phase: "stopping" }).then(stop));
      },
    };
  } catch (error) {
    progress.clear();
    await stop();
    throw error;
  }
}

const localParts = (options: Pick<StackOptions, "kubeconfig" | "nats">) => ({
  cluster: !options.kubeconfig,
  nats: !options.nats,
  git: !options.kubeconfig,
});

/** Undefined when a local one is to be started. Looked at before anything is built or started, which takes minutes. */
export async function openOwnCluster(
  options: Pick<StackOptions, "kubeconfig" | "namespace" | "observe">,
): Promise<KubeClient | undefined> {
  if (!options.kubeconfig) return undefined;
  const client = await clusterOf(options.kubeconfig, "own");
  if (options.observe) return client;
  const why = await whyNotBesideArgoCd(client, options.namespace);
  if (why === undefined) return client;
  await client.close();
  throw new CliError(why);
}

/** Builds what is missing, once per content; answers the render engine's program. */
export async function buildParts(options: Pick<StackOptions, "kubeconfig" | "nats" | "progress" | "signal">) {
  const { progress, signal } = options;
  const onProgress = ({ what, done, total }: { what: string; done: number; total: number }) =>
    progress.update(total && done >= total ? `building ${what} (linking)` : `building ${what}`, done, total);
  const parts = localParts(options);
  if (parts.cluster || parts.nats) await requirePrograms({ onProgress, signal });
  signal.throwIfAborted();
  return buildRenderEngine(onProgress);
}

export async function requireNotRunning(): Promise<void> {
  const running = await runningHere(defaultHome());
  if (running) {
    throw new CliError(
      `Driftless is running here already (process ${running.pid}). See \`npx driftless status\`, end it with ` +
        "`npx driftless down`, or set DRIFTLESS_HOME to another folder to run a second one.",
    );
  }
}

async function clusterOf(kubeconfig: string, whose: "own" | "local"): Promise<KubeClient> {
  const config = await loadConfig({ kind: "kubeconfig", path: kubeconfig });
  if (config.kind === "ok") return createClient(config.config, { clock: systemClock });
  throw whose === "own" ? usageError(config.error.message) : new CliError(config.error.message);
}

const failureOf = (services: ServicesProcess) => (services.failed ? new CliError(services.failed) : undefined);

async function untilReady(
  apiUrl: string,
  failed: () => Error | undefined,
  logFile: string,
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  const end = systemClock.monotonic() + READY_DEADLINE_MS;
  let lastWord = "nobody answers";
  for (;;) {
    signal.throwIfAborted();
    const failure = failed();
    if (failure) throw failure;
    try {
      const response = await fetch(`${apiUrl}/readyz`, { signal: AbortSignal.timeout(2_000) });
      const answer = (await response.json()) as { ready: boolean; services: Record<string, string> };
      if (answer.ready) return;
      const waiting = Object.entries(answer.services).filter(([, word]) => word !== "ready");
      lastWord = waiting.map(([name, word]) => `${name}: ${word}`).join("; ");
      progress.update(`waiting for the services (${lastWord})`);
    } catch {
      // Not listening yet, or just being started again.
    }
    if (systemClock.monotonic() > end) {
      throw new CliError(
        `the services are not ready after ${READY_DEADLINE_MS / 1000} s (${lastWord}); their log is ${logFile}`,
      );
    }
    await systemClock.sleep(50);
  }
}
