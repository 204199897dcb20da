// Drives hops 4 and 5 as the controller does, by their messages alone: the differ and the syncer run in this process
// over a real nats-server against a real API server, so that what they send there can be counted.
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { connectBus, type Bus } from "@driftless/bus/connect";
import { follow, on, type Consumption } from "@driftless/bus/consume";
import { crdText, applicationCrd } from "@driftless/contracts/crd";
import type { AppRef, LiveIdentity, ObjectKey } from "@driftless/contracts/identity";
import type { MessageDefinition, MessageOf } from "@driftless/contracts/message";
import {
  ComputeDiff,
  DiffComputed,
  DiffFailed,
  LiveChanged,
  LiveStateReset,
  type ComparedObject,
  type Target,
} from "@driftless/contracts/pipeline/4-diff";
import {
  ApplyStep,
  OPERATION_INFO,
  PredictStep,
  StepApplied,
  StepFailed,
  StepPredicted,
  type PlannedObject,
} from "@driftless/contracts/pipeline/5-sync";
import { STREAMS } from "@driftless/contracts/streams";
import { shardOf, subject } from "@driftless/contracts/subject";
import { mergePatch } from "@driftless/kube/apply";
import type { KubeClient, KubeRequest } from "@driftless/kube/client";
import { openControlPlane } from "@driftless/kube/clusters";
import { APPLICATIONS } from "@driftless/kube/resource";
import { startControlPlane } from "@driftless/local/control-plane";
import { startLocal, type Local } from "@driftless/local/local";
import { startNats } from "@driftless/local/nats";
import { encodeManifests } from "@driftless/manifests/manifests-blob";
import type { Manifest } from "@driftless/manifests/manifest";
import { readConfig } from "@driftless/process/config";
import { systemClock as clock } from "@driftless/process/clock";
import type { Service } from "@driftless/process/start";
import { buildRenderEngine } from "@driftless/render-engine/build";
import { createEngine } from "@driftless/render-engine/engine";
import { createLogger, Registry } from "@driftless/process/telemetry";
import { startDiffer } from "../../services/differ/src/differ.ts";
import { startSyncer } from "../../services/syncer/src/syncer.ts";
import { kubeClient } from "./world.ts";

export type Source = { apiVersion: string; kind: string; metadata: Record<string, unknown>; [member: string]: unknown };
type Diff = MessageOf<typeof DiffComputed>;
type Applied = MessageOf<typeof StepApplied>;
type Change = MessageOf<typeof LiveChanged>;

export const DEADLINE_MS = 20_000;

export interface AppOptions {
  namespace?: string;
  destinationNamespace?: string;
  /** Destination by server; the control plane's own cluster without it. */
  server?: string;
  tracking?: Partial<Pick<Target, "trackingMethod" | "instanceLabelKey" | "installationId">>;
}

export interface SentRequest extends KubeRequest {
  refused: boolean;
}

export interface Hops extends AsyncDisposable {
  local: Local;
  /** The tests' own. */
  client: KubeClient;
  /** What the syncer sends. */
  syncerRequests: SentRequest[];
  differRequests: SentRequest[];
  /** Called before each request of the syncer goes out, until it returns true: what happens right then, happens. */
  beforeSyncer?: ((request: KubeRequest) => Promise<boolean>) | undefined;
  changes: Change[];
  resets: MessageOf<typeof LiveStateReset>[];
  /** Everything that went over NATS to or from the two, as text. */
  said: string[];
  app(name: string, options?: AppOptions): Promise<App>;
  kubectl(args: string[], stdin?: string): Promise<string>;
  nats(args: string[]): Promise<string>;
  /** `meanwhile`: while there is none. */
  restartDiffer(meanwhile?: () => Promise<unknown>): Promise<void>;
  restartNats(options: { wipe: boolean }): Promise<void>;
  restartApiServer(): Promise<void>;
}

async function run(program: string, args: string[], stdin?: string): Promise<string> {
  const child = promisify(execFile)(program, args);
  if (stdin !== undefined) child.child.stdin!.end(stdin);
  return (await child).stdout.trim();
}

export async function startHops(): Promise<Hops> {
  const home = await mkdtemp(join(tmpdir(), "driftless-hops-"));
  const local = await startLocal({ home, fresh: true, git: false, unsafeNoFsync: true });
  const config = readConfig({ DRIFTLESS_NATS_URL: local.natsUrl, DRIFTLESS_KUBECONFIG: local.kubeconfigPath });
  const logger = createLogger({ service: "hops", level: process.env["HOPS_LOG_LEVEL"] ?? "warn" });
  const client = await kubeClient(local.kubeconfigPath!);
  const kubectl = (args: string[], stdin?: string) =>
    run(local.programs.kubectl, [`--kubeconfig=${local.kubeconfigPath}`, ...args], stdin);
  await kubectl(["create", "namespace", "argocd"]);
  await kubectl(["create", "-f", "-"], crdText(applicationCrd()));
  await kubectl(["wait", "--for=condition=Established", "crd/applications.argoproj.io"]);

  const connect = (name: string): Promise<Bus> =>
    connectBus({ servers: local.natsUrl!, name, clock, logger: logger.child({ name }) });
  const bus = await connect("test");
  const answers = new Answers();
  const changes: Change[] = [];
  const resets: MessageOf<typeof LiveStateReset>[] = [];
  const said: string[] = [];
  const hear = (definition: MessageDefinition) =>
    on(definition, async (message) => {
      answers.heard(definition, message as { requestId?: string });
      said.push(JSON.stringify(message));
    });
  const followed: Consumption[] = [
    await follow(bus, {
      stream: STREAMS.results,
      filters: [subject("res", ">")],
      from: "all",
      handlers: [DiffComputed, DiffFailed, StepApplied, StepFailed, StepPredicted].map(hear),
    }),
    await follow(bus, {
      stream: STREAMS.facts,
      filters: [subject("fact", ">")],
      from: "all",
      handlers: [
        on(LiveChanged, async (change) => {
          changes.push(change);
          said.push(JSON.stringify(change));
        }),
        on(LiveStateReset, async (reset) => {
          resets.push(reset);
        }),
      ],
    }),
  ];

  const counted = async (requests: SentRequest[], name: string, before?: (asked: KubeRequest) => Promise<void>) => {
    const clusters = await openControlPlane({ config, clock, userAgent: name });
    const kube = clusters.controlPlane.client;
    const request = kube.request.bind(kube);
    kube.request = async <T>(asked: KubeRequest) => {
      const sent: SentRequest = { ...asked, refused: false };
      requests.push(sent);
      await before?.(asked);
      const outcome = await request<T>(asked);
      sent.refused = outcome.kind === "error";
      return outcome;
    };
    return clusters;
  };
  const syncerRequests: SentRequest[] = [];
  const differRequests: SentRequest[] = [];
  const differClusters = await counted(differRequests, "differ");
  const syncerClusters = await counted(syncerRequests, "syncer", async (asked) => {
    const { beforeSyncer } = hops;
    if (beforeSyncer && (await beforeSyncer(asked))) hops.beforeSyncer = undefined;
  });
  const [differBus, syncerBus] = await Promise.all(["differ", "syncer"].map(connect));
  const context = (name: string) => ({ clock, logger: logger.child({ name }), metrics: new Registry(), config });
  const engine = createEngine({ binary: await buildRenderEngine(), children: 1 });
  const differing = { bus: differBus!, clusters: differClusters, engine };
  let differ: Service = await startDiffer({ ...context("differ"), ...differing });
  const syncer = await startSyncer({ ...context("syncer"), bus: syncerBus!, clusters: syncerClusters, engine });

  const hops: Hops = {
    local,
    client,
    syncerRequests,
    differRequests,
    changes,
    resets,
    said,
    kubectl,
    async app(name, options = {}) {
      const app = new App(bus, client, answers, name, options);
      await app.create();
      return app;
    },
    nats: (args) => run(join(local.binDir, "nats"), ["--server", local.natsUrl!, ...args]),
    async restartDiffer(meanwhile) {
      await differ.stop();
      await meanwhile?.();
      differ = await startDiffer({ ...context("differ"), ...differing });
    },
    async restartNats({ wipe }) {
      const { port } = local.nats!;
      await local.nats!.kill();
      local.replaceNats(await startNats(local.state, local.programs, { port, fresh: wipe }));
    },
    async restartApiServer() {
      const { port } = local.cluster!;
      await local.cluster!.stop();
      local.replaceCluster(await startControlPlane(local.state, local.programs, { port, unsafeNoFsync: true }));
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([differ.stop(), syncer.stop(), ...followed.map((f) => f.stop())]);
      await engine.close();
      await Promise.all([bus, differBus!, syncerBus!].map((b) => b.close()));
      await Promise.all([client.close(), differClusters.close(), syncerClusters.close()]);
      await local.stop();
      await rm(home, { recursive: true, force: true, maxRetries: 5 });
    },
  };
  return hops;
}

type Answer = { name: string; message: never };

/** Answers by request; whoever waits for one is woken by it, so that hundreds may wait at a time. */
class Answers {
  readonly #come = new Map<string, Answer>();
  readonly #waiting = new Map<string, (answer: Answer) => void>();

  heard(definition: MessageDefinition, message: { requestId?: string }): void {
    const requestId = message.requestId ?? "";
    const answer = { name: definition.name, message: message as never };
    this.#come.set(requestId, answer);
    this.#waiting.get(requestId)?.(answer);
  }

  to(requestId: string): Promise<Answer> {
    const come = this.#come.get(requestId);
    if (come) return Promise.resolve(come);
    return new Promise((resolve, reject) => {
      const late = () => reject(new Error(`no answer to ${requestId} within ${DEADLINE_MS} ms`));
      const cancel = clock.setTimer(DEADLINE_MS, late);
      this.#waiting.set(requestId, (answer) => {
        cancel();
        resolve(answer);
      });
    });
  }
}

/** One Application, commanded as its actor would. */
export class App {
  readonly #bus: Bus;
  readonly #client: KubeClient;
  readonly #answers: Answers;
  readonly #namespace: string;
  readonly destinationNamespace: string;
  readonly #server: string;
  readonly #tracking: AppOptions["tracking"];
  readonly name: string;
  ref!: AppRef;
  inventory: ObjectKey[] = [];
  manifestsDigest = "";
  #requests = 0;
  #operations = 0;

  constructor(bus: Bus, client: KubeClient, answers: Answers, name: string, options: AppOptions) {
    this.#bus = bus;
    this.#client = client;
    this.#answers = answers;
    this.name = name;
    this.#namespace = options.namespace ?? "argocd";
    this.destinationNamespace = options.destinationNamespace ?? name;
    this.#tracking = options.tracking;
    this.#server = options.server ?? "https://kubernetes.default.svc";
  }

  async create(): Promise<void> {
    const outcome = await this.#client.create(
      APPLICATIONS,
      this.#namespace,
      JSON.stringify({
        apiVersion: "argoproj.io/v1alpha1",
        kind: "Application",
        metadata: { name: this.name },
        spec: {
          project: "default",
          source: { repoURL: "https://example.org/x.git", path: "." },
          destination: { server: this.#server, namespace: this.destinationNamespace },
        },
      }),
    );
    if (outcome.kind === "error") throw new Error(outcome.error.message);
    const { uid } = outcome.object.metadata;
    this.ref = { uid, namespace: this.#namespace, name: this.name, project: "default" };
  }

  get target(): Target {
    return {
      destination: { server: this.#server, namespace: this.destinationNamespace },
      manifestsDigest: this.manifestsDigest,
      trackingMethod: "annotation",
      controlPlaneNamespace: "argocd",
      ...this.#tracking,
    };
  }

  async render(sources: readonly Source[]): Promise<void> {
    const manifests = sources.map(({ apiVersion, kind, metadata, ...rest }, index): Manifest => {
      const body = JSON.stringify(rest).slice(1, -1);
      return { apiVersion, kind, metadata, body, images: [], file: "all.yaml", line: index + 1, warnings: [] };
    });
    this.manifestsDigest = await this.#bus.blobs.put(encodeManifests(manifests));
  }

  request() {
    const requestId = `${this.ref.uid}-${++this.#requests}`;
    const shard = shardOf(this.#namespace, this.name);
    return { app: this.ref, requestId, shard, lane: "now" as const, deadlineAt: clock.now() + DEADLINE_MS };
  }

  async ask<D extends MessageDefinition>(command: D, message: MessageOf<D>): Promise<{ name: string; message: never }> {
    await this.#bus.publish(command, message);
    return this.#answers.to((message as { requestId: string }).requestId);
  }

  async tryDiff() {
    return this.ask(ComputeDiff, { ...this.request(), target: this.target, inventory: this.inventory });
  }

  async diff(): Promise<Diff> {
    const { name, message } = await this.tryDiff();
    if (name !== DiffComputed.name) throw new Error(`${name}: ${JSON.stringify(message)}`);
    return message;
  }

  async predict(objects: PlannedObject[], createsNamespace = false) {
    const { name, message } = await this.ask(PredictStep, {
      ...this.request(),
      target: this.target,
      objects,
      createsNamespace,
    });
    if (name !== StepPredicted.name) throw new Error(`${name}: ${JSON.stringify(message)}`);
    return message as MessageOf<typeof StepPredicted>;
  }

  /** Writes the operation record, as the controller does before a step. */
  async begin(): Promise<{ operationId: string; epoch: number }> {
    const operationId = `${this.name}-op-${++this.#operations}`;
    await this.record(operationId, 7, "Running");
    return { operationId, epoch: 7 };
  }

  async record(operationId: string, epoch: number, phase: string): Promise<void> {
    const info = [
      { name: OPERATION_INFO.operationId, value: operationId },
      { name: OPERATION_INFO.epoch, value: String(epoch) },
    ];
    const startedAt = new Date(clock.now()).toISOString();
    const operationState = { phase, startedAt, operation: { info, sync: {} } };
    const patch = { status: { operationState } };
    const key = { namespace: this.#namespace, name: this.name };
    const outcome = await mergePatch({ client: this.#client, resource: APPLICATIONS, key, patch });
    if (outcome.kind === "error") throw new Error(outcome.error.message);
  }

  async tryApply(step: Partial<MessageOf<typeof ApplyStep>>) {
    return this.ask(ApplyStep, {
      ...this.request(),
      operationId: "none",
      epoch: 7,
      phase: "Sync",
      wave: 0,
      target: this.target,
      purpose: "sync",
      apply: [],
      prune: [],
      createNamespace: false,
      propagation: "Background",
      ...step,
    });
  }

  async apply(step: Partial<MessageOf<typeof ApplyStep>>): Promise<Applied> {
    const { name, message } = await this.tryApply(step);
    if (name !== StepApplied.name) throw new Error(`${name}: ${JSON.stringify(message)}`);
    return message;
  }

  /** A whole pass: diff, predict what is Suspect or Missing, apply what differs, prune what is extra. */
  async sync(options: { prune?: boolean } = {}): Promise<{ diff: Diff; applied?: Applied; predicted: number }> {
    const diff = await this.diff();
    const open = diff.objects.filter(({ verdict }) => verdict === "Missing" || verdict === "Suspect").map(planned);
    const predictions = open.length > 0 ? (await this.predict(open, true)).objects : [];
    const apply = predictions.filter(({ outcome }) => outcome !== "same").map(planned);
    const prune = options.prune ? diff.objects.filter(({ verdict }) => verdict === "Extra").map(planned) : [];
    if (apply.length + prune.length === 0) return { diff, predicted: predictions.length };
    const operation = await this.begin();
    const applied = await this.apply({ ...operation, apply, prune, createNamespace: diff.namespaceMissing });
    this.inventory = diff.objects.filter(({ verdict }) => verdict !== "Extra" || !options.prune).map(keyOf);
    return { diff, applied, predicted: predictions.length };
  }
}

export const keyOf = ({ group, version, kind, namespace, name }: ObjectKey): ObjectKey => ({
  group,
  version,
  kind,
  namespace,
  name,
});
export const planned = (object: ObjectKey & { live?: LiveIdentity }): PlannedObject => ({
  ...keyOf(object),
  ...(object.live && { live: object.live }),
});
/** `Deployment/web: Synced`, sorted. */
export const verdicts = (objects: readonly ComparedObject[]): string[] =>
  objects.map(({ kind, name, verdict }) => `${kind}/${name}: ${verdict}`).toSorted();
export const outcomes = (objects: readonly { kind: string; name: string; outcome: string }[]): string[] =>
  objects.map(({ kind, name, outcome }) => `${kind}/${name}: ${outcome}`).toSorted();
