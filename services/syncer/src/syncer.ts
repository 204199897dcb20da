// Syncer, hop 5: consumes PredictStep and ApplyStep, asks and writes through the API server, publishes StepPredicted,
// StepApplied or StepFailed. The only service that writes to target clusters; the plan is made anew for each step from
// the manifests, so nothing is carried from step to step but what can be lost.
import type { Bus } from "@driftless/bus/connect";
import { consumeWork, on } from "@driftless/bus/consume";
import { failure, type Failure } from "@driftless/contracts/failure";
import { appText, type LiveIdentity, type ObjectKey, type Request } from "@driftless/contracts/identity";
import type { MessageOf } from "@driftless/contracts/message";
import type { Target } from "@driftless/contracts/pipeline/4-diff";
import {
  ApplyStep,
  PredictStep,
  StepApplied,
  StepFailed,
  StepPredicted,
  type AppliedHook,
  type Prediction,
} from "@driftless/contracts/pipeline/5-sync";
import { workDurable } from "@driftless/contracts/streams";
import { openCustomizations, type Customizations } from "@driftless/customizations/customizations";
import type { Clusters } from "@driftless/kube/clusters";
import { resolveDesired, type DesiredSet } from "@driftless/kube/desired-set";
import type { DecodedManifests } from "@driftless/manifests/manifests-blob";
import { readManifests } from "@driftless/manifests/of-sources";
import { keyForPeople, keyText } from "@driftless/manifests/resource-key";
import type { Clock } from "@driftless/process/clock";
import type { Config } from "@driftless/process/config";
import type { Engine } from "@driftless/render-engine/engine";
import { createLimit, type Limit } from "@driftless/process/limits";
import type { Service } from "@driftless/process/start";
import { Counter, Histogram, type Logger, type Registry } from "@driftless/process/telemetry";
import { actionHandlers } from "./actions.ts";
import { createNamespace, execute, type Executed } from "./execute.ts";
import type { Execution } from "./execution.ts";
import { predictHook, releaseHook } from "./hooks.ts";
import { withdrawn, type Claim } from "./operation.ts";
import { plan, planObjects, planPrune } from "./plan.ts";
import { predictObject } from "./predict-objects.ts";
import { clusterScoped } from "./send.ts";
import type { Step } from "./step.ts";

export interface SyncerContext {
  bus: Bus;
  clock: Clock;
  logger: Logger;
  metrics: Registry;
  config: Config;
  clusters: Clusters;
  engine: Pick<Engine, "jq" | "health" | "actions" | "action">;
}

type Predict = MessageOf<typeof PredictStep>;
type Apply = MessageOf<typeof ApplyStep>;
type Outcome<T> = { kind: "ok"; value: T } | { kind: "failed"; failure: Failure };

interface Syncer extends SyncerContext {
  customizations: Customizations;
  limit: Limit;
  predictions: Map<string, Prediction>;
}

/** Applies and dry runs of this process that are on their way; more only makes each of them later. */
const WRITES_MAX = 16;
/** Of these, for one step: an Application of thousands of objects must not make a heal of another wait for all. */
const STEP_WRITES_MAX = 12;
/** Time kept for answering, out of a command's deadline. */
const ANSWER_MS = 1_000;
const PREDICTIONS_MAX = 20_000;

export async function startSyncer(context: SyncerContext): Promise<Service> {
  const { bus, clock, logger, metrics, config } = context;
  const customizations = await openCustomizations({
    client: context.clusters.controlPlane.client,
    namespace: config.namespace,
    engine: context.engine,
    logger,
  });
  const syncer: Syncer = { ...context, customizations, limit: createLimit(WRITES_MAX), predictions: new Map() };
  const seconds = new Histogram({
    name: "driftless_step_seconds",
    help: "Time of one prediction or step",
    labelNames: ["step"],
    registers: [metrics],
    buckets: [0.005, 0.02, 0.1, 0.5, 2, 10, 30],
  });
  const objects = new Counter({
    name: "driftless_objects_total",
    help: "Objects predicted and applied, by outcome",
    labelNames: ["step", "outcome"],
    registers: [metrics],
  });

  const refuse = async ({ app, requestId, shard }: Request, why: Failure, tookMs = 0): Promise<void> => {
    logger.info({ app: appText(app), requestId, code: why.code }, "step failed");
    await bus.publish(StepFailed, { app, requestId, shard, tookMs, failure: why });
  };

  const predict = async (command: Predict): Promise<void> => {
    if (clock.now() >= command.deadlineAt) return;
    const began = clock.monotonic();
    const outcome = await predictStep(syncer, command);
    const tookMs = clock.monotonic() - began;
    seconds.observe({ step: "predict" }, tookMs / 1_000);
    if (outcome.kind === "failed") return refuse(command, outcome.failure, tookMs);
    for (const object of outcome.value.objects) objects.inc({ step: "predict", outcome: object.outcome });
    const { app, requestId, shard } = command;
    await bus.publish(StepPredicted, { app, requestId, shard, tookMs, ...outcome.value });
  };

  const apply = async (command: Apply): Promise<void> => {
    if (clock.now() >= command.deadlineAt) return;
    if (config.observe)
      return refuse(command, failure("APPLY_FORBIDDEN", "Driftless only observes (DRIFTLESS_OBSERVE)."));
    const began = clock.monotonic();
    const outcome = await applyStep(syncer, command);
    const tookMs = clock.monotonic() - began;
    seconds.observe({ step: "apply" }, tookMs / 1_000);
    if (outcome.kind === "failed") return refuse(command, outcome.failure, tookMs);
    for (const object of outcome.value.objects) objects.inc({ step: "apply", outcome: object.outcome });
    const { app, requestId, shard, operationId } = command;
    await bus.publish(StepApplied, { app, requestId, shard, tookMs, operationId, ...outcome.value });
  };

  const actions = actionHandlers({
    ...context,
    customizations,
    withStep: (command, perform) =>
      withStep(syncer, { ...command, purpose: "release" }, async (step) => ({
        kind: "ok",
        value: await perform(step),
      })),
  });
  const work = await consumeWork(bus, {
    durables: [workDurable("sync", "now"), workDurable("sync", "bulk")],
    handlers: [on(PredictStep, predict), on(ApplyStep, apply), ...actions],
    concurrency: config.concurrency,
    onPoison: async (name, message) => {
      const schema = name === ApplyStep.name ? ApplyStep.schema : PredictStep.schema;
      const command = schema.safeParse(message);
      if (!command.success) return;
      const text = `A step of ${appText(command.data.app)} failed again and again.`;
      await refuse(command.data, failure("POISON_MESSAGE", text));
    },
  });
  return {
    notReady: () => (bus.connected ? undefined : "NATS is not connected"),
    async stop() {
      await work.stop();
      customizations.stop();
    },
  };
}

async function predictStep(
  syncer: Syncer,
  command: Predict,
): Promise<Outcome<{ server: string; objects: Prediction[]; hookFailures?: Failure[] }>> {
  return withStep(syncer, command, async (step, set) => {
    const { items, absent } = planObjects(command.objects, set.objects);
    const namespaces = new Set(
      set.objects.map(({ prepared: { key } }) => (key.kind === "Namespace" && key.group === "" ? key.name : "")),
    );
    const options = { createsNamespace: command.createsNamespace, namespaces };
    const turns = createLimit(STEP_WRITES_MAX);
    const objects = await Promise.all(
      items.map(({ planned, desired }) => turns(() => predictObject(step, planned, desired, options))),
    );
    const hookFailures = await Promise.all(
      (command.hooks ?? []).map(async (hook) => {
        const desired = set.hooks.find(({ index }) => index === hook.index);
        const comesAlong = options.createsNamespace || namespaces.has(hook.namespace);
        return desired ? turns(() => predictHook(step, hook, desired, comesAlong)) : notInSet(hook);
      }),
    );
    for (const object of objects) rememberPrediction(syncer, step.cluster.server, object);
    const unresolved = absent.map((key): Prediction => {
      const why = whyAbsent(set, key);
      return { ...key, outcome: "failed", fields: [], managers: [], failure: why };
    });
    return {
      kind: "ok",
      value: {
        server: step.cluster.server,
        objects: [...objects, ...unresolved],
        ...(command.hooks && { hookFailures: hookFailures.filter((why) => why !== undefined) }),
      },
    };
  });
}

async function applyStep(
  syncer: Syncer,
  command: Apply,
): Promise<Outcome<{ server: string } & Pick<Executed & { kind: "done" }, "objects"> & { hooks?: AppliedHook[] }>> {
  const { app, operationId, epoch, purpose, target } = command;
  return withStep(syncer, command, async (step, set) => {
    const claim: Claim = { app, operationId, epoch, purpose };
    // A heal of what exists is fenced object by object, and must be quick.
    const fencedHeal = purpose === "heal" && command.prune.length === 0 && command.apply.every(({ live }) => live);
    const why = fencedHeal ? undefined : await withdrawn(step.controlPlane.client, claim);
    if (why) return { kind: "failed", failure: why };

    const { groups, absent, absentHooks } = plan(
      purpose === "delete" ? [] : command.apply,
      set.objects,
      command.hooks,
      set.hooks,
    );
    const namespace = target.destination.namespace ?? "";
    if (command.createNamespace && namespace !== "" && groups.length > 0) {
      const refused = await createNamespace(step, namespace);
      if (refused) return { kind: "failed", failure: refused };
    }
    const desired = new Set([...set.objects, ...set.hooks].map(({ prepared }) => keyText(prepared.key)));
    for (const key of set.skipped) desired.add(keyText(key));
    const { server } = step.cluster;
    const execution: Execution = {
      ...step,
      claim,
      propagation: command.propagation,
      ...(command.consents && { consents: command.consents }),
      approved: command.approved ?? false,
      predicted: (key, live) => recallPrediction(syncer, server, key, live),
      isDesired: (key) => desired.has(keyText(key)) || set.unresolved.some((other) => sameObject(other.key, key)),
    };
    const released = await Promise.all((command.releases ?? []).map((release) => releaseHook(execution, release)));
    const stuck = released.find((one) => one !== undefined);
    if (stuck) return { kind: "failed", failure: stuck };
    const executed = await execute(execution, groups, absent.length > 0 ? [] : planPrune(command.prune));
    if (executed.kind === "withdrawn") return { kind: "failed", failure: executed.failure };
    const unresolved = absent.map((key) => {
      const reason = whyAbsent(set, key);
      const { message } = reason;
      return { ...key, outcome: "failed" as const, message, failure: reason, takenFrom: [], fields: [], images: [] };
    });
    const hooks = [
      ...executed.hooks,
      ...absentHooks.map((hook): AppliedHook => {
        const why = notInSet(hook);
        const { group, version, kind, namespace, name, run } = hook;
        return { group, version, kind, namespace, name, run, outcome: "failed", message: why.message, failure: why };
      }),
    ];
    const objects = [...executed.objects, ...unresolved];
    return { kind: "ok", value: { server, objects, ...(command.hooks && { hooks }) } };
  });
}

/** What both kinds of step begin with: the blob, the cluster, the set, and an end to it all. */
async function withStep<T>(
  syncer: Syncer,
  command: Request & { target: Target; purpose?: Claim["purpose"]; hooks?: readonly unknown[] },
  work: (step: Step, set: DesiredSet) => Promise<Outcome<T>>,
): Promise<Outcome<T>> {
  const { bus, clock, clusters, customizations, engine } = syncer;
  const { app, target } = command;
  const own = createLimit(STEP_WRITES_MAX);
  const limit: Step["limit"] = (send) => own(() => syncer.limit(send));
  const failed = (why: Failure): Outcome<T> => ({ kind: "failed", failure: why });
  // What an Application takes along when it is deleted does not depend on what Git has.
  const needsNone = command.purpose === "release" || (command.purpose === "delete" && !command.hooks?.length);
  const decoded = needsNone ? NOTHING : await readManifests(target.manifestsDigest, (digest) => bus.blobs.get(digest));
  if (decoded.kind === "error") return failed(failure("BLOB_GONE", `The rendered manifests are ${decoded.reason}.`));
  const lookup = await clusters.find(target.destination);
  if (lookup.kind === "error") return failed(lookup.failure);
  const { cluster } = lookup;
  const set = await resolveDesired({
    manifests: decoded.manifests,
    app,
    target,
    discovery: cluster.discovery,
    server: cluster.server,
  });
  if (set.failures[0]) return failed(set.failures[0]);

  const end = new AbortController();
  const cancel = clock.setTimer(Math.max(0, command.deadlineAt - clock.now() - ANSWER_MS), () =>
    end.abort(new Error("the step's time is up")),
  );
  try {
    const { controlPlane } = clusters;
    return await work(
      {
        app,
        target,
        cluster,
        controlPlane,
        blobs: bus.blobs,
        engine,
        customizations,
        clock,
        limit,
        signal: end.signal,
      },
      set,
    );
  } finally {
    cancel();
  }
}

const NOTHING: DecodedManifests = { kind: "ok", manifests: [] };

function whyAbsent({ unresolved, objects }: DesiredSet, key: ObjectKey): Failure {
  const known = unresolved.find((other) => sameObject(other.key, key))?.failure;
  if (known) return known;
  // Its scope was a guess, and has become known since.
  const isMoved = objects.some(({ prepared }) =>
    sameObject({ ...prepared.key, version: key.version }, { ...key, namespace: "" }),
  );
  return isMoved ? clusterScoped(key) : notInSet(key);
}

function notInSet(key: ObjectKey): Failure {
  return failure("INTERNAL", `${keyForPeople(key)} is not in the set that was to be applied.`);
}

/** The key of an unresolved object has a guessed namespace. */
const sameObject = (a: ObjectKey, b: ObjectKey): boolean =>
  a.group === b.group && a.kind === b.kind && a.name === b.name && (a.namespace === b.namespace || b.namespace === "");

// What a prediction found is told again with the step that follows it within moments, without reading each object
// once more. Lost with the process: the step then says less about who was overruled.
function rememberPrediction({ predictions }: Syncer, server: string, prediction: Prediction): void {
  if (prediction.outcome !== "differs" || !prediction.live) return;
  if (predictions.size >= PREDICTIONS_MAX) predictions.delete(predictions.keys().next().value!);
  predictions.set(`${server} ${keyText(prediction)}`, prediction);
}

function recallPrediction({ predictions }: Syncer, server: string, key: ObjectKey, live: LiveIdentity) {
  const id = `${server} ${keyText(key)}`;
  const prediction = predictions.get(id);
  predictions.delete(id);
  return prediction?.live?.resourceVersion === live.resourceVersion ? prediction : undefined;
}
