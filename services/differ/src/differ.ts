// Differ, hop 4: consumes ComputeDiff, compares by hashes what is desired with what is live, publishes DiffComputed or
// DiffFailed; and tells what changes in the cluster by itself. Read-only.
//
// D1  Only a whole, readable set is compared: a blob that is gone or damaged is a failure, never an empty set (rule 7).
// D2  A kind that cannot be read makes its own objects Unknown and nothing else (rule 9).
// D3  What is remembered is a cache: whatever is missing makes a Suspect, never a Synced.
import { digestOf } from "@driftless/bus/blobs";
import type { Bus } from "@driftless/bus/connect";
import { consumeWork, follow, on } from "@driftless/bus/consume";
import { failure, type Failure } from "@driftless/contracts/failure";
import { appText, type ObjectKey } from "@driftless/contracts/identity";
import type { MessageOf } from "@driftless/contracts/message";
import {
  ClusterChanged,
  ClusterDescribed,
  ComputeDiff,
  DescribeCluster,
  DiffComputed,
  DiffFailed,
  ApplicationForgotten,
  LiveChanged,
  LiveStateReset,
  type AwaitedObject,
  type DesiredHook as Hook,
} from "@driftless/contracts/pipeline/4-diff";
import { StepApplied, StepPredicted } from "@driftless/contracts/pipeline/5-sync";
import { STREAMS, workDurable } from "@driftless/contracts/streams";
import { subject } from "@driftless/contracts/subject";
import { openCustomizations } from "@driftless/customizations/customizations";
import type { Cluster, Clusters } from "@driftless/kube/clusters";
import { resolveDesired, type DesiredHook, type DesiredSet, type ExcludedObject } from "@driftless/kube/desired-set";
import { clusterFailure } from "@driftless/kube/cluster-failure";
import { NAMESPACES, type ApiResource } from "@driftless/kube/resource";
import { encodeManifests } from "@driftless/manifests/manifests-blob";
import { readManifests } from "@driftless/manifests/of-sources";
import { keyText } from "@driftless/manifests/resource-key";
import { isExcluded } from "@driftless/manifests/resource-filter";
import { trackingName } from "@driftless/manifests/tracking";
import type { Clock } from "@driftless/process/clock";
import type { Config } from "@driftless/process/config";
import type { Service } from "@driftless/process/start";
import type { Engine } from "@driftless/render-engine/engine";
import { Histogram, type Logger, type Registry } from "@driftless/process/telemetry";
import { createVersions } from "./cluster-versions.ts";
import { compare, type KindView } from "./compare.ts";
import { createLiveState, type KindUse, type LiveChange, type LiveState } from "./live-state.ts";
import { createSurveyor, orphansIn, type Surveyor } from "./orphans.ts";
import { openRecordBook, type RecordBook } from "./record-book.ts";
import { objectId } from "./seen.ts";

export interface DifferContext {
  bus: Bus;
  clock: Clock;
  logger: Logger;
  metrics: Registry;
  config: Config;
  clusters: Clusters;
  engine: Pick<Engine, "health">;
}

type Command = MessageOf<typeof ComputeDiff>;
type Computed = Pick<
  MessageOf<typeof DiffComputed>,
  "server" | "objects" | "hooks" | "awaited" | "namespaceMissing" | "images" | "orphans" | "warnings"
>;
type Outcome = { kind: "computed"; diff: Computed } | { kind: "failed"; failures: [Failure, ...Failure[]] };

interface Differ extends DifferContext {
  live: LiveState;
  records: RecordBook;
  surveyor: Surveyor;
}

/** Time kept for comparing and answering, out of a command's deadline. */
const ANSWER_MS = 2_000;
const EXCLUDED_TOLD_MAX = 10;
const ORPHANS_TOLD_MAX = 500;

export async function startDiffer(context: DifferContext): Promise<Service> {
  const { bus, clock, logger, metrics, config } = context;
  const seconds = new Histogram({
    name: "driftless_diff_seconds",
    help: "Time to compare one Application",
    registers: [metrics],
    buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 30],
  });
  const records = await openRecordBook({ bus, clock, logger });
  const apps = new Map<string, { namespace: string; name: string; shard: number }>();
  let factsLost = false;

  const tell = (uid: string, change: LiveChange): void => {
    const app = apps.get(uid);
    if (!app) return;
    const { shard, namespace, name } = app;
    const fact = { ...change, shard, app: { uid, namespace, name }, observedAt: clock.now() };
    bus.publish(LiveChanged, fact).catch((error: unknown) => {
      factsLost = true;
      logger.warn({ err: error, app: appText(app) }, "a change could not be told; all are compared again");
    });
  };
  const customizations = await openCustomizations({
    client: context.clusters.controlPlane.client,
    namespace: config.namespace,
    engine: context.engine,
    logger,
  });
  const live = createLiveState({ clock, logger, records, customizations, tell });
  const versions = createVersions({
    blobs: bus.blobs,
    clock,
    changed: (cluster) =>
      void bus.publish(ClusterChanged, { cluster }).catch(() => {
        factsLost = true;
      }),
  });
  const forgetKinds = async (server: string): Promise<void> => {
    const lookup = await context.clusters.find({ server });
    if (lookup.kind === "ok") lookup.cluster.discovery.invalidate();
  };
  const surveyor = createSurveyor(context.clusters.controlPlane, config.namespace);
  const differ: Differ = { ...context, live, records, surveyor };

  const results = await follow(bus, {
    stream: STREAMS.results,
    filters: [subject("res", "*", "sync")],
    from: "all",
    handlers: [
      on(StepApplied, async ({ app, server, objects }) => {
        for (const object of objects) {
          if (object.kind === "CustomResourceDefinition") await forgetKinds(server);
          if (object.outcome === "pruned") {
            records.forget(app.uid, server, object);
            live.pruned(app.uid, server, object);
          } else if (object.record && (await records.remember(app.uid, server, object, object.record))) {
            live.recorded(server, object, { health: object.health });
          }
        }
      }),
      on(StepPredicted, async ({ app, server, objects }) => {
        for (const object of objects) {
          if (object.record && (await records.remember(app.uid, server, object, object.record))) {
            live.recorded(server, object);
          }
        }
      }),
    ],
  });
  const forgotten = await follow(bus, {
    stream: STREAMS.facts,
    filters: [subject("fact", "application-forgotten")],
    from: "new",
    handlers: [
      on(ApplicationForgotten, async ({ uid }) => {
        live.forgetApplication(uid);
        records.forgetApplication(uid);
        apps.delete(uid);
      }),
    ],
  });

  const answer = async (command: Command): Promise<void> => {
    const began = clock.monotonic();
    const { app, requestId, shard } = command;
    if (clock.now() >= command.deadlineAt) return;
    apps.set(app.uid, { namespace: app.namespace, name: app.name, shard });
    const outcome = await computeDiff(differ, command);
    const tookMs = clock.monotonic() - began;
    seconds.observe(tookMs / 1_000);
    const reply = { app, requestId, shard, tookMs };
    if (outcome.kind === "computed") {
      const { manifestsDigest } = command.target;
      await bus.publish(DiffComputed, { ...reply, ...outcome.diff, manifestsDigest });
    } else {
      const [first, ...others] = outcome.failures;
      await bus.publish(DiffFailed, { ...reply, failure: first, failures: [first, ...others] });
    }
  };
  const describe = async (command: MessageOf<typeof DescribeCluster>): Promise<void> => {
    const began = clock.monotonic();
    const { app, requestId, shard, destination } = command;
    if (clock.now() >= command.deadlineAt) return;
    const lookup = await context.clusters.find(destination);
    const outcome =
      lookup.kind === "ok"
        ? await versions.describe(lookup.cluster)
        : ({ kind: "failed", failure: lookup.failure } as const);
    const reply = { app, requestId, shard, tookMs: clock.monotonic() - began, destination };
    await bus.publish(ClusterDescribed, {
      ...reply,
      ...(outcome.kind === "failed" ? { failure: outcome.failure } : { cluster: outcome.cluster }),
    });
  };
  const work = await consumeWork(bus, {
    durables: [workDurable("diff", "now"), workDurable("diff", "bulk")],
    handlers: [on(ComputeDiff, answer), on(DescribeCluster, describe)],
    concurrency: config.concurrency,
    // Not for the app in question alone: whoever waits for an answer gets one.
    onPoison: async (_name, message) => {
      const command = ComputeDiff.schema.safeParse(message);
      if (!command.success) return;
      const { app, requestId, shard } = command.data;
      const why = failure("POISON_MESSAGE", `Comparing ${appText(app)} failed again and again.`);
      await bus.publish(DiffFailed, { app, requestId, shard, tookMs: 0, failure: why, failures: [why] });
    },
  });

  const reset = (reason: string): void => {
    bus.publish(LiveStateReset, { reason }).catch(() => {
      factsLost = true;
    });
  };
  reset("a differ started");
  const offReady = bus.onReady(() => {
    if (!factsLost) return;
    factsLost = false;
    reset("changes could not be told while NATS was away");
  });

  return {
    notReady: () => (bus.connected ? undefined : "NATS is not connected"),
    async stop() {
      offReady();
      await work.stop();
      live.stop();
      versions.stop();
      customizations.stop();
      await Promise.all([results.stop(), forgotten.stop()]);
      await records.close();
    },
  };
}

/** Of objects that are rendered more than once; where they are many, they have one reason. */
const REPEATED_TOLD_MAX = 10;

/** What a deletion compares with, which may take longer than any body is stored. */
const NOTHING = encodeManifests([]);
const NOTHING_DIGEST = digestOf(NOTHING);

async function computeDiff(differ: Differ, command: Command): Promise<Outcome> {
  const { bus, clusters, live, records, clock } = differ;
  const { app, target } = command;
  const bodyOf = async (digest: string) => (digest === NOTHING_DIGEST ? NOTHING : await bus.blobs.get(digest));
  const decoded = await readManifests(target.manifestsDigest, bodyOf);
  if (decoded.kind === "error") return failed(failure("BLOB_GONE", `The rendered manifests are ${decoded.reason}.`)); // D1
  const lookup = await clusters.find(target.destination);
  if (lookup.kind === "error") return failed(lookup.failure);
  const { cluster } = lookup;

  const desired = await resolveDesired({
    manifests: decoded.manifests,
    app,
    target,
    discovery: cluster.discovery,
    server: cluster.server,
  });
  const [first, ...others] = desired.failures;
  if (first) return { kind: "failed", failures: [first, ...others] };

  const { resourceFilter, instanceLabelKey } = target;
  const inventory = await inventoryKinds(
    cluster,
    command.inventory.filter((key) => !isExcluded(key, cluster.server, resourceFilter)),
  );
  if (instanceLabelKey !== undefined) live.readLabel(instanceLabelKey);
  const namespace = target.destination.namespace ?? "";
  const needsNamespace =
    namespace !== "" &&
    [...desired.objects, ...desired.hooks].some(({ prepared }) => prepared.key.namespace === namespace);
  const awaited = await inventoryKinds(cluster, command.awaited ?? []);
  const uses = kindUses(cluster, desired, { inventory, awaited, needsNamespace });
  await live.use(app.uid, uses, Math.max(0, command.deadlineAt - clock.now() - ANSWER_MS));

  const ofApp = { name: app.name, namespace: app.namespace, controlPlaneNamespace: target.controlPlaneNamespace };
  const objects = compare({
    desired,
    inventory: inventory.flatMap(({ key, found }) => {
      if (found.kind === "absent") return []; // Its kind is gone, so the object is.
      const view: KindView =
        found.kind === "ok" ? live.view(cluster, found.resource) : { kind: "unreadable", failure: found.failure };
      return [{ key, view }];
    }),
    view: (resource) => live.view(cluster, resource),
    record: (key) => {
      const record = records.of(cluster.server, key);
      return record?.app === app.uid ? record : undefined;
    },
    app: { uid: app.uid, trackingName: trackingName(ofApp), namespace: app.namespace, name: app.name },
    tracking: target,
  });

  const orphans =
    command.orphans && namespace !== "" ? await orphansOf(differ, command, { cluster, desired }) : undefined;
  const namespaces = needsNamespace ? live.view(cluster, NAMESPACES) : undefined;
  const brought = desired.objects.some(({ prepared: { key } }) => key.kind === "Namespace" && key.name === namespace);
  return {
    kind: "computed",
    diff: {
      server: cluster.server,
      objects,
      ...(desired.hooks.length > 0 && { hooks: desired.hooks.map(hookOf) }),
      ...(awaited.length > 0 && {
        awaited: awaited.flatMap(({ key, found }) => awaitedObject(key, found, (kind) => live.view(cluster, kind))),
      }),
      namespaceMissing: namespaces?.kind === "listed" && !brought && !namespaces.get("", namespace),
      ...(orphans && { orphans: orphans.slice(0, ORPHANS_TOLD_MAX) }),
      images: [...new Set(desired.objects.flatMap(({ prepared }) => prepared.images))].toSorted(),
      warnings: [
        ...desired.repeated.slice(0, REPEATED_TOLD_MAX),
        ...desired.objects.flatMap(({ prepared: { warnings, file, line } }) =>
          warnings.map((text) => failure("MANIFEST_INVALID", text, { file, line })),
        ),
        ...desired.excluded.slice(0, EXCLUDED_TOLD_MAX).map(excludedWarning),
      ],
    },
  };
}

async function orphansOf(
  { surveyor }: Differ,
  { lane, target, inventory, orphans }: Command,
  { cluster, desired }: { cluster: Cluster; desired: DesiredSet },
): Promise<ObjectKey[] | undefined> {
  const survey = await surveyor.survey(cluster, target.destination.namespace ?? "", { fresh: lane === "now" });
  if (!survey) return undefined;
  const own = [...inventory, ...[...desired.objects, ...desired.hooks].map(({ prepared }) => prepared.key)];
  return orphansIn(survey, {
    tracking: target,
    own: new Set([...own, ...desired.skipped].map(keyText)),
    ignore: orphans?.ignore ?? [],
    server: cluster.server,
    resourceFilter: target.resourceFilter,
  });
}

const excludedWarning = ({ key, file, line }: ExcludedObject): Failure =>
  failure("EXCLUDED_RESOURCE", `Resource ${key.group}/${key.kind} ${key.name} is excluded in the settings`, {
    file,
    line,
  });

const hookOf = (hook: DesiredHook): Hook => ({
  ...hook.prepared.key,
  version: hook.resource.version,
  index: hook.index,
  ...(hook.generateName !== undefined && { generateName: hook.generateName }),
  phases: hook.phases,
  wave: hook.wave,
  ...(hook.prepared.annotations.healthTimeout !== undefined && {
    healthTimeout: hook.prepared.annotations.healthTimeout,
  }),
  deletePolicies: hook.deletePolicies,
});

/** As it is now, or nothing where its kind cannot be read: then nothing may be concluded. */
function awaitedObject(key: ObjectKey, found: InventoryKind, view: (kind: ApiResource) => KindView): AwaitedObject[] {
  if (found.kind === "absent") return [key];
  if (found.kind === "failed") return [];
  const kind = view(found.resource);
  if (kind.kind === "unreadable") return [];
  const seen = kind.get(key.namespace, key.name);
  if (!seen) return [key];
  const { uid, resourceVersion, health, deleting } = seen;
  return [{ ...key, live: { uid, resourceVersion }, ...(health && { health }), ...(deleting && { deleting: true }) }];
}

const failed = (why: Failure): Outcome => ({ kind: "failed", failures: [why] });

type InventoryKind = { kind: "ok"; resource: ApiResource } | { kind: "absent" } | { kind: "failed"; failure: Failure };

interface KnownKind {
  key: ObjectKey;
  found: InventoryKind;
}

/** The version of an inventory key may be served no more; the object then still answers under another one. */
async function inventoryKinds(cluster: Cluster, inventory: readonly ObjectKey[]): Promise<KnownKind[]> {
  const kinds = new Map<string, Promise<InventoryKind>>();
  const find = async ({ group, kind, version }: ObjectKey): Promise<InventoryKind> => {
    const exact = await cluster.discovery.resourceFor(group, kind, version);
    const lookup = exact.kind === "absent" ? await cluster.discovery.resourceFor(group, kind) : exact;
    if (lookup.kind !== "error") return lookup;
    return { kind: "failed", failure: clusterFailure(lookup.error, `${kind} (${group || "core"})`) };
  };
  return Promise.all(
    inventory.map(async (key) => {
      const id = `${key.group}/${key.version}/${key.kind}`;
      const found = kinds.get(id) ?? find(key);
      kinds.set(id, found);
      const kind = await found;
      return { key: kind.kind === "ok" ? { ...key, version: kind.resource.version } : key, found: kind };
    }),
  );
}

function kindUses(
  cluster: Cluster,
  desired: DesiredSet,
  more: { inventory: readonly KnownKind[]; awaited: readonly KnownKind[]; needsNamespace: boolean },
): KindUse[] {
  const uses = new Map<string, KindUse>();
  const use = (resource: ApiResource): KindUse => {
    const id = `${resource.group}/${resource.version}/${resource.kind}`;
    const known = uses.get(id) ?? { cluster, resource, desired: new Set(), inventory: new Set() };
    uses.set(id, known);
    return known;
  };
  for (const { prepared, resource, kindPending } of desired.objects) {
    if (!kindPending) use(resource).desired.add(objectId(prepared.key.namespace, prepared.key.name));
  }
  for (const { key, found } of more.inventory) {
    if (found.kind === "ok") use(found.resource).inventory.add(objectId(key.namespace, key.name));
  }
  for (const { key, found } of more.awaited) {
    if (found.kind === "ok") (use(found.resource).awaited ??= new Set()).add(objectId(key.namespace, key.name));
  }
  // Before the first of them is made, so that what becomes of it is seen at once.
  for (const { resource, kindPending } of desired.hooks) if (!kindPending) use(resource);
  if (more.needsNamespace) use(NAMESPACES);
  return [...uses.values()];
}
