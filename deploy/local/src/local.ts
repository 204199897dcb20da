// Starts the real parts of local mode side by side: nats-server, a Kubernetes control plane, a Git server.
import type { BuildProgress } from "./build.ts";
import { startControlPlane, type ControlPlane, type ControlPlaneOptions } from "./control-plane.ts";
import { startGitServer, type GitRequest, type GitServer } from "./git-server.ts";
import { startNats, type Nats } from "./nats.ts";
import type { Part } from "./part.ts";
import type { PartFailed } from "./part-failed.ts";
import { freePort } from "./ports.ts";
import { requirePrograms, type Programs } from "./programs.ts";
import { reviving, type Revival } from "./revival.ts";
import { claimState, type State } from "./state.ts";

export interface LocalOptions {
  /** The state directory; `.driftless/` of this clone or DRIFTLESS_HOME when not given. */
  home?: string;
  /** False leaves a part out: the user has one of his own, or a test needs none. */
  nats?: boolean;
  cluster?: boolean;
  git?: boolean;
  /** See GitServerOptions. */
  gitCreateOnPush?: boolean;
  /** Begins with nothing: empty cluster, empty streams, no repositories. */
  fresh?: boolean;
  /** Any free ports rather than the usual ones: a test that restarts a part must not lose its port to a neighbour. */
  anyPorts?: boolean;
  /** See ControlPlaneOptions; for tests and bench. */
  unsafeNoFsync?: boolean;
  onProgress?: (progress: BuildProgress) => void;
  /** Each request to the Git server, for tests. */
  onGitRequest?: (request: GitRequest) => void;
  /**
   * A part ended by itself. Nothing is stopped for it: that is the caller's to decide. With `onRevival` only once it has
   * ended so often that it is not started again.
   */
  onFailure?: (failure: PartFailed) => void;
  /** Asks to start parts again that end by themselves, on their port and with their data; told before each attempt. */
  onRevival?: (failure: PartFailed) => void;
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
  const gitOptions = { port: ports[2], createOnPush: options.gitCreateOnPush, onRequest: options.onGitRequest };
  const [nats, cluster, git] = await Promise.allSettled([
    options.nats === false ? undefined : startNats(state, programs, { port: ports[1] }),
    options.cluster === false ? undefined : startControlPlane(state, programs, clusterOptions),
    options.git === false ? undefined : startGitServer({ ...gitOptions, dir: state.git, stateFile: state.gitJson }),
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

  // Those that have been replaced, or are about to be, have nothing more to say.
  const watched = { nats: [] as Part[], cluster: [] as Part[] };
  const revivals: { nats?: Revival; cluster?: Revival } = {};
  const watch = (which: "nats" | "cluster", parts: Part[]) => {
    watched[which] = parts;
    for (const part of parts) {
      void part.failed.then((failure) => {
        if (!watched[which].includes(part)) return;
        const revival = revivals[which];
        if (revival) revival.ended(failure);
        else options.onFailure?.(failure);
      });
    }
  };
  const replaceNats = (replacement: Nats) => {
    running.nats = replacement;
    watch("nats", [replacement]);
  };
  const replaceCluster = (replacement: ControlPlane) => {
    running.cluster = replacement;
    watch("cluster", replacement.parts);
  };
  const { onRevival, onFailure } = options;
  if (onRevival) {
    const tell = { onRevival, onGivenUp: (failure: PartFailed) => onFailure?.(failure) };
    revivals.nats = reviving({
      ...tell,
      async start() {
        watched.nats = [];
        const { port } = running.nats!;
        await running.nats!.kill();
        replaceNats(await startNats(state, programs, { port }));
      },
    });
    // The whole of it: its parts wait for one another when they start, and are not made for losing one of the others.
    revivals.cluster = reviving({
      ...tell,
      async start() {
        watched.cluster = [];
        const { port } = running.cluster!;
        await running.cluster!.kill();
        replaceCluster(await startControlPlane(state, programs, { ...clusterOptions, port }));
      },
    });
  }
  if (running.nats) watch("nats", [running.nats]);
  if (running.cluster) watch("cluster", running.cluster.parts);

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
    stop: () => (stopping ??= Promise.all([revivals.nats?.stop(), revivals.cluster?.stop()]).then(stopAll)),
    replaceNats,
    replaceCluster,
  };
}
