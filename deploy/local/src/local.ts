// Starts the real parts of local mode side by side: nats-server, a Kubernetes control plane, a Git server.
import type { BuildProgress } from "./build.ts";
import { startControlPlane, type ControlPlane, type ControlPlaneOptions } from "./control-plane.ts";
import { startGitServer, type GitRequest, type GitServer } from "./git-server.ts";
import { startNats, type Nats } from "./nats.ts";
import type { Part } from "./part.ts";
import type { PartFailed } from "./part-failed.ts";
import { freePort } from "./ports.ts";
import { requirePrograms, type Programs } from "./programs.ts";
import { claimState, type State } from "./state.ts";

export interface LocalOptions {
  /** The state directory; `.driftless/` of this clone or DRIFTLESS_HOME when not given. */
  home?: string;
  /** False leaves a part out: the user has one of his own, or a test needs none. */
  nats?: boolean;
  cluster?: boolean;
  git?: boolean;
  /** Begins with nothing: empty cluster, empty streams, no repositories. */
  fresh?: boolean;
  /** Any free ports rather than the usual ones: a test that restarts a part must not lose its port to a neighbour. */
  anyPorts?: boolean;
  /** See ControlPlaneOptions; for tests and bench. */
  unsafeNoFsync?: boolean;
  onProgress?: (progress: BuildProgress) => void;
  /** Each request to the Git server, for tests. */
  onGitRequest?: (request: GitRequest) => void;
  /** A part ended by itself. Nothing is stopped or restarted for it: that is the caller's to decide. */
  onFailure?: (failure: PartFailed) => void;
}

export interface Local {
  state: State;
  programs: Programs;
  /** Folder of `nats` and `kubectl`. */
  binDir: string;
  nats?: Nats;
  natsUrl?: string;
  cluster?: ControlPlane;
  kubeconfigPath?: string;
  git?: GitServer;
  /** Ends everything and leaves the data. May be called again. */
  stop(): Promise<void>;
  /** A part killed and started anew by a test: stop() then ends this one. */
  replaceNats(nats: Nats): void;
  replaceCluster(cluster: ControlPlane): void;
}

export async function startLocal(options: LocalOptions = {}): Promise<Local> {
  const programs = await requirePrograms({ onProgress: options.onProgress });
  const state = await claimState(options.home, { fresh: options.fresh });
  const ports = options.anyPorts ? [await freePort(), await freePort(), await freePort()] : [];
  const clusterOptions: ControlPlaneOptions = { unsafeNoFsync: options.unsafeNoFsync, port: ports[0] };
  const [nats, cluster, git] = await Promise.allSettled([
    options.nats === false ? undefined : startNats(state, programs, { port: ports[1] }),
    options.cluster === false ? undefined : startControlPlane(state, programs, clusterOptions),
    options.git === false
      ? undefined
      : startGitServer({ dir: state.git, stateFile: state.gitJson, port: ports[2], onRequest: options.onGitRequest }),
  ]);
  const running = {
    nats: nats.status === "fulfilled" ? nats.value : undefined,
    cluster: cluster.status === "fulfilled" ? cluster.value : undefined,
    git: git.status === "fulfilled" ? git.value : undefined,
  };
  const stopAll = async () => {
    await Promise.all([running.nats?.stop(), running.cluster?.stop(), running.git?.stop()]);
    await state.release();
  };
  for (const outcome of [nats, cluster, git]) {
    if (outcome.status === "fulfilled") continue;
    await stopAll();
    throw outcome.reason;
  }

  const watch = (parts: Part[]) => {
    for (const part of parts) void part.failed.then((failure) => options.onFailure?.(failure));
  };
  watch([...(running.nats ? [running.nats] : []), ...(running.cluster?.parts ?? [])]);

  let stopping: Promise<void> | undefined;
  return {
    state,
    programs,
    binDir: programs.binDir,
    get nats() {
      return running.nats;
    },
    get cluster() {
      return running.cluster;
    },
    git: running.git,
    natsUrl: running.nats?.url,
    kubeconfigPath: running.cluster?.kubeconfigPath,
    stop: () => (stopping ??= stopAll()),
    replaceNats(replacement) {
      running.nats = replacement;
      watch([replacement]);
    },
    replaceCluster(replacement) {
      running.cluster = replacement;
      watch(replacement.parts);
    },
  };
}
