// Controller, hop 6: watches Applications, gives each of this replica's an actor, brings to it what concerns it, and
// carries out what it decides: commands to the workers, and writes of the Application, whose one writer it is.
//
// C1 What is heard only says "look"; facts that are lost while nobody listened are made up for by a look at the start.
// C2 Another replica's Applications are left alone; who owns what is a hint, the fences are in Kubernetes.
// C3 Whatever is wrong with one Application stays with it.
import type { Bus } from "@driftless/bus/connect";
import { consumeWork, follow, on, type Consumption } from "@driftless/bus/consume";
import { joinReplicas, type Replicas } from "@driftless/bus/replicas";
import { Application, readLeniently } from "@driftless/contracts/application";
import { appText, type Cause, type Destination } from "@driftless/contracts/identity";
import type { MessageDefinition, MessageOf } from "@driftless/contracts/message";
import {
  FetcherStarted,
  RefreshAllRequested,
  RefreshRequested,
  RevisionObserved,
  SourceChanged,
} from "@driftless/contracts/pipeline/1-refresh";
import { ForgetSource, SourceFetchFailed, SourceFetched } from "@driftless/contracts/pipeline/2-fetch";
import {
  ManifestsRendered,
  RenderFailed,
  RenderManifests,
  RenderNeedsFiles,
  type ClusterVersions,
} from "@driftless/contracts/pipeline/3-render";
import {
  ClusterChanged,
  ClusterDescribed,
  DescribeCluster,
  DiffComputed,
  DiffFailed,
  ApplicationForgotten,
  LiveChanged,
  LiveStateReset,
} from "@driftless/contracts/pipeline/4-diff";
import { StepApplied, StepFailed, StepPredicted } from "@driftless/contracts/pipeline/5-sync";
import { ApplicationObserved } from "@driftless/contracts/pipeline/6-application";
import { AppProject } from "@driftless/contracts/project";
import { STREAMS } from "@driftless/contracts/streams";
import { fetchPartitionOf, shardOf, subject } from "@driftless/contracts/subject";
import { whyNotBesideArgoCd } from "@driftless/kube/argo-cd";
import type { Clusters } from "@driftless/kube/clusters";
import { APPLICATIONS, CONFIG_MAPS, type KubeObject } from "@driftless/kube/resource";
import { watchResource, type Watch } from "@driftless/kube/watch";
import { encodeManifests } from "@driftless/manifests/manifests-blob";
import type { Clock } from "@driftless/process/clock";
import { ConfigError, type Config } from "@driftless/process/config";
import type { Service } from "@driftless/process/start";
import type { Logger, Registry } from "@driftless/process/telemetry";
import { createActions } from "./actions.ts";
import { createAdmission } from "./admission.ts";
import { createClusterBook, stillHolds } from "./cluster-book.ts";
import { dependsOn, ownState, toldState } from "./application/depends-on.ts";
import type { Effect } from "./application/effects.ts";
import type { Wish } from "./application/events.ts";
import { wish } from "./application/look.ts";
import { asksForOrphans } from "./application/orphans.ts";
import { operationEntries } from "./application/operation-writer.ts";
import { inNamespaces } from "./application/project.ts";
import { POLICY_USUAL, type Policy } from "./application/policy.ts";
import { followed, rendered } from "./application/sources.ts";
import { conditionsOf } from "./application/status.ts";
import { doneByArgoCd, observed, withoutRequests } from "./application/observation.ts";
import { viewOf, type AppView, type Settings } from "./application/view.ts";
import { ensureCrds, ensureDefaultProject, requireCrds } from "./crds.ts";
import { createDependencies } from "./dependencies.ts";
import { createHost, type Sent } from "./host.ts";
import { createObserver } from "./observer.ts";
import { controllerMetrics } from "./metrics.ts";
import { PROJECTS } from "./resources.ts";
import { PARAMETERS_CONFIG_MAP, parametersOf } from "./command-parameters.ts";
import { SETTINGS_CONFIG_MAP, settingsOf } from "./settings.ts";
import { FACT_FILTERS, liveChangedFilters, ownedShards, resultFilters, triggerDurables } from "./shards.ts";
import { createProjects } from "./projects.ts";
import { createWriter } from "./writer.ts";

export interface ControllerContext {
  bus: Bus;
  clock: Clock;
  logger: Logger;
  metrics: Registry;
  config: Config;
  clusters: Clusters;
}

/** Actors with requests outstanding at a time. */
const ACTIVE_MAX = 400;
/** Every request has been answered or given up long before. */
const STUCK_MS = 3 * 60_000;
const ORPHANS_MS = 120_000;
const FORGET_DEADLINE_MS = 60_000;
/** So many poll intervals without a look at a repository mean that its fetcher does not poll. */
const SILENT_INTERVALS = 3;
const ANSWERS = [
  SourceFetched,
  SourceFetchFailed,
  ManifestsRendered,
  RenderNeedsFiles,
  RenderFailed,
  DiffComputed,
  DiffFailed,
  StepPredicted,
  StepApplied,
  StepFailed,
] as const;

export async function startController(context: ControllerContext): Promise<Service> {
  const controller = new Controller(context);
  await controller.start();
  return controller;
}

class Controller implements Service {
  private readonly context: ControllerContext;
  /** What the watch told of each Application, by uid; without managedFields but for who wrote `operation`. */
  private readonly objects = new Map<string, KubeObject>();
  private readonly uids = new Map<string, string>();
  private readonly silentSince = new Map<string, number>();
  private settings: Settings;
  private policy: Policy = POLICY_USUAL;
  private applicationNamespaces: readonly string[] = [];
  private foreignApplications?: Watch;
  private cancelHard?: () => void;
  private cancelOrphans?: (() => void) | undefined;
  private readonly problemsTold = new Set<string>();
  private shards: readonly number[] = [];
  private emptyManifestsDigest = "";
  private replicas!: Replicas;
  private watches: Watch[] = [];
  private facts: Consumption[] = [];
  private listening: Consumption[] = [];
  /** Changes of what is listened to happen one after another. */
  private relisten: Promise<void> = Promise.resolve();
  private readonly unsubscribe: (() => void)[] = [];
  private stopped = false;
  private started = false;
  private readonly host;
  private readonly actions;
  private readonly writer;
  private readonly projects;
  private readonly admission;
  private readonly dependencies;
  private readonly clusters;
  private readonly meter;

  constructor(context: ControllerContext) {
    this.context = context;
    const { clock, logger, clusters, metrics } = context;
    this.settings = settingsOf(undefined, context.config.namespace).settings;
    this.projects = createProjects({
      globals: () => this.settings.globalProjects ?? [],
      clusters: () => clusters.known(),
    });
    this.host = createHost({
      clock,
      logger,
      perform: (uid, effect) => this.perform(uid, effect),
      onBusy: (uid, busy) => this.admission.busy(uid, busy),
      onSettled: (uid) => this.dependencyChanged(uid),
    });
    this.dependencies = createDependencies((name) => this.dependencyState(name));
    this.admission = createAdmission<Sent>(ACTIVE_MAX, (uid, event) => void this.host.send(uid, event));
    this.clusters = createClusterBook({
      now: clock.now,
      publish: (command) => this.publish(DescribeCluster, command),
      answer: (uid, message) => void this.host.send(uid, { type: "ClusterDescribed", message }),
    });
    const contextOf = (uid: string) => this.host.contextOf(uid);
    this.writer = context.config.observe
      ? createObserver({ clock, contextOf, tell: (observation) => this.publish(ApplicationObserved, observation) })
      : createWriter({
          client: clusters.controlPlane.client,
          clock,
          logger,
          contextOf,
          send: (uid, event) => void this.host.send(uid, event),
          onRead: (object) => this.told(object, true),
          onWrite: (outcome) => this.meter.write(outcome),
        });
    this.actions = createActions({
      clock,
      contextOf: ({ namespace, name }) => {
        const uid = this.uids.get(appText({ namespace, name }));
        return uid === undefined ? undefined : this.host.contextOf(uid);
      },
      publish: (definition, message) => this.publish(definition, message),
    });
    this.meter = controllerMetrics(metrics, {
      apps: () => this.host.uids().length,
      active: () => this.admission.active,
      waiting: () => this.admission.waiting,
      conditionCodes: () => this.conditionCodes(),
    });
  }

  async start(): Promise<void> {
    const { bus, clock, logger, config, clusters } = this.context;
    const { client } = clusters.controlPlane;
    if (config.observe) await requireCrds(client);
    else await this.prepareCluster();
    this.emptyManifestsDigest = await bus.blobs.put(encodeManifests([]));
    this.replicas = await joinReplicas(bus, { role: "controller", id: config.replica, clock, logger });
    this.shards = ownedShards(this.replicas);
    this.facts = [
      await follow(bus, { stream: STREAMS.facts, filters: FACT_FILTERS, handlers: this.factHandlers(), from: "new" }),
      await follow(bus, {
        stream: STREAMS.actions,
        filters: [subject("action", "*", "*", "requested")],
        handlers: this.actions.requests,
        from: "new",
      }),
    ];
    await this.listen();
    this.unsubscribe.push(this.replicas.onChange(() => this.ownershipChanged()));
    this.watch();
    await Promise.all([clusters.ready(), ...this.watches.map((watch) => watch.synced)]);
    this.started = true;
    for (const object of this.objects.values()) this.follow(object);
    this.afterReconnect();
    this.watchdog();
    this.lookForOrphans();
  }

  /** What every writing start makes sure of: that nobody else is in charge here, and that there is what is watched. */
  private async prepareCluster(): Promise<void> {
    const { logger, config, clusters } = this.context;
    const { client } = clusters.controlPlane;
    const why = await whyNotBesideArgoCd(client, config.namespace);
    if (why !== undefined) throw new ConfigError(why);
    const crds = await ensureCrds(client);
    if (crds.kind === "error") throw new Error(`the CRDs cannot be made sure of: ${crds.error.message}`);
    if (crds.created.length > 0) logger.info({ created: crds.created }, "CRDs created");
    const project = await ensureDefaultProject(client, config.namespace);
    if (project.kind === "error") logger.warn({ why: project.error.message }, "AppProject default not created");
  }

  notReady(): string | undefined {
    if (!this.started) return "starting";
    if (!this.context.bus.connected) return "NATS is not connected";
    const failing = this.watches.map((watch) => watch.status()).find((status) => status.kind === "failing");
    return failing?.kind === "failing" ? `the API server cannot be watched: ${failing.error.message}` : undefined;
  }

  async stop(): Promise<void> {
    this.stopped = true;
    for (const unsubscribe of this.unsubscribe) unsubscribe();
    this.cancelHard?.();
    this.foreignApplications?.stop();
    this.cancelOrphans?.();
    for (const watch of this.watches) watch.stop();
    await this.relisten;
    await Promise.all([...this.facts, ...this.listening].map((consumption) => consumption.stop()));
    for (const uid of this.host.uids()) this.host.stop(uid);
    await this.writer.settled();
    await this.replicas.leave();
  }

  // What comes from Kubernetes

  private watch(): void {
    const { clusters, config, logger } = this.context;
    const common = {
      client: clusters.controlPlane.client,
      namespace: config.namespace,
      onProblem: (cause: unknown) => logger.error({ err: cause }, "a watch event could not be handled"),
    };
    this.watches = [
      watchResource<KubeObject>({
        ...common,
        resource: CONFIG_MAPS,
        fieldSelector: `metadata.name=${SETTINGS_CONFIG_MAP}`,
        select: (object) => object,
        onState: ({ objects }) => this.settingsTold(objects[0]),
        onEvent: ({ type, object }) => this.settingsTold(type === "DELETED" ? undefined : object),
      }),
      watchResource<KubeObject>({
        ...common,
        resource: CONFIG_MAPS,
        fieldSelector: `metadata.name=${PARAMETERS_CONFIG_MAP}`,
        select: (object) => object,
        onState: ({ objects }) => this.parametersTold(objects[0]),
        onEvent: ({ type, object }) => this.parametersTold(type === "DELETED" ? undefined : object),
      }),
      watchResource<AppProject>({
        ...common,
        resource: PROJECTS,
        select: (object) => {
          const reading = readLeniently(AppProject, object);
          return reading.kind === "ok" ? reading.value : undefined;
        },
        onState: ({ objects }) => {
          this.projects.replace(objects);
          this.viewsChanged();
        },
        onEvent: ({ type, object }) => {
          const { name } = object.metadata;
          if (type === "DELETED") this.projects.delete(name);
          else this.projects.set(object);
          this.viewsChanged(this.projects.areShared ? undefined : name);
        },
      }),
      watchResource<KubeObject>({
        ...common,
        resource: APPLICATIONS,
        select: withoutManagedFields,
        onState: ({ objects }) => this.allTold(objects, (namespace) => namespace === config.namespace),
        onEvent: ({ type, object }) => (type === "DELETED" ? this.gone(object) : this.told(object)),
      }),
    ];
    this.unsubscribe.push(
      clusters.onChange(() => {
        this.projects.forget();
        this.viewsChanged();
        // A cluster may be skipped now, or no longer.
        if (this.started) for (const object of this.objects.values()) this.follow(object);
      }),
    );
  }

  /** `application.namespaces`: Applications of other namespaces are there as far as these allow them. */
  private watchForeign(): void {
    this.foreignApplications?.stop();
    this.foreignApplications = undefined;
    const { clusters, config, logger } = this.context;
    const isForeign = (namespace: string) => namespace !== config.namespace;
    const isAllowed = ({ metadata: { namespace = "" } }: KubeObject) =>
      isForeign(namespace) && inNamespaces(this.applicationNamespaces, namespace);
    for (const object of this.objects.values()) {
      if (isForeign(object.metadata.namespace ?? "") && !isAllowed(object)) this.gone(object);
    }
    if (this.applicationNamespaces.length === 0) return;
    this.foreignApplications = watchResource<KubeObject>({
      client: clusters.controlPlane.client,
      onProblem: (cause: unknown) => logger.error({ err: cause }, "a watch event could not be handled"),
      resource: APPLICATIONS,
      select: (object) => (isAllowed(object) ? withoutManagedFields(object) : undefined),
      onState: ({ objects }) => this.allTold(objects, isForeign),
      onEvent: ({ type, object }) => (type === "DELETED" ? this.gone(object) : this.told(object)),
    });
  }

  /** All that there are of those namespaces. */
  private allTold(objects: readonly KubeObject[], isOfThem: (namespace: string) => boolean): void {
    const there = new Set(objects.map((object) => object.metadata.uid));
    for (const [uid, object] of this.objects) {
      if (isOfThem(object.metadata.namespace ?? "") && !there.has(uid)) this.gone(object);
    }
    for (const object of objects) this.told(object);
  }

  private settingsTold(configMap: KubeObject | undefined): void {
    const { settings, problems } = settingsOf(configMap, this.context.config.namespace);
    this.tellProblems(SETTINGS_CONFIG_MAP, problems);
    if (JSON.stringify(settings) === JSON.stringify(this.settings)) return;
    const hardChanged = settings.hardIntervalMs !== this.settings.hardIntervalMs;
    this.settings = settings;
    this.projects.forget();
    this.viewsChanged();
    if (hardChanged) this.lookHard();
  }

  private parametersTold(configMap: KubeObject | undefined): void {
    const { policy, applicationNamespaces, problems } = parametersOf(configMap);
    this.tellProblems(PARAMETERS_CONFIG_MAP, problems);
    if (applicationNamespaces.join() !== this.applicationNamespaces.join()) {
      this.applicationNamespaces = applicationNamespaces;
      this.watchForeign();
    }
    if (JSON.stringify(policy) === JSON.stringify(this.policy)) return;
    this.policy = policy;
    this.viewsChanged();
  }

  /** Once each, however often the ConfigMap is written. */
  private tellProblems(configMap: string, problems: readonly string[]): void {
    for (const problem of problems) {
      if (this.problemsTold.has(problem)) continue;
      this.problemsTold.add(problem);
      this.context.logger.warn({ problem }, `${configMap} has a value that is not understood or not honoured`);
    }
  }

  private viewsChanged(project?: string): void {
    if (!this.started) return;
    for (const uid of this.host.uids()) {
      const view = this.viewOf(this.objects.get(uid));
      if (view && (project === undefined || view.ref.project === project)) this.updated(uid, view);
    }
  }

  private updated(uid: string, view: AppView): void {
    const before = this.host.contextOf(uid)?.view;
    this.host.send(uid, { type: "ApplicationUpdated", view });
    // The interval is the fetcher's to know, though nothing else follows from it for the app.
    if (before && (before.pollIntervalMs !== view.pollIntervalMs || before.pollJitterMs !== view.pollJitterMs))
      this.host.send(uid, { type: "FetcherStarted" });
  }

  private viewOf(object: KubeObject | undefined): AppView | undefined {
    if (!object) return undefined;
    const { observe } = this.context.config;
    const view = viewOf(
      observe ? withoutRequests(object) : object,
      (name) => this.projects.of(name),
      { ...this.settings, policy: this.policy },
      (destination) => this.context.clusters.identify(destination),
    );
    if (!view) this.context.logger.error({ app: object.metadata.name }, "an Application cannot be read");
    if (!view) return undefined;
    const awaited = this.dependencies.of(appText(view.ref));
    return { ...(observe ? observed(view) : view), ...(awaited && { awaited }) };
  }

  // Applications that others depend on

  private dependencyState(name: string): string | undefined {
    const uid = this.uids.get(name);
    const object = this.objects.get(uid ?? "");
    if (uid === undefined || !object) return "not there";
    const context = this.host.contextOf(uid);
    if (context) return ownState(context, this.host.isBusy(uid) || this.admission.isWaiting(uid));
    const reading = readLeniently(Application, object);
    return reading.kind === "ok" ? toldState(reading.value) : "refused";
  }

  private dependencyChanged(uid: string): void {
    const ref = this.objects.get(uid)?.metadata;
    if (ref) this.tellDependents(appText({ namespace: ref.namespace ?? "", name: ref.name }));
  }

  private tellDependents(name: string): void {
    if (!this.dependencies.refresh(name)) return;
    for (const dependent of this.dependencies.dependentsOf(name)) this.othersChanged(dependent);
  }

  private othersChanged(dependent: string): void {
    const uid = this.uids.get(dependent) ?? "";
    const view = this.host.has(uid) ? this.viewOf(this.objects.get(uid)) : undefined;
    if (view) this.updated(uid, view);
  }

  /** A cycle may be there now, or be gone, for any of those that depend on something. */
  private othersLinked(): void {
    for (const dependent of this.dependencies.dependents()) this.othersChanged(dependent);
  }

  private told(object: KubeObject, read = false): void {
    const { uid, namespace = "", name } = object.metadata;
    const index = appText({ namespace, name });
    const former = this.uids.get(index);
    // Deleted and made anew while nobody watched.
    if (former !== undefined && former !== uid) this.gone(this.objects.get(former)!);
    this.uids.set(index, uid);
    this.objects.set(uid, object);
    const relinked = this.dependencies.set(index, dependsOn(object.metadata.annotations ?? {}, namespace).names);
    if (this.started) this.follow(object, read);
    this.tellDependents(index);
    if (relinked) this.othersLinked();
  }

  private follow(object: KubeObject, read = false): void {
    const { uid, namespace = "", name } = object.metadata;
    const mine = this.shards.includes(shardOf(namespace, name));
    const view = mine ? this.viewOf(object) : undefined;
    if (!view || view.skipReconcile || this.context.clusters.isSkipped(destinationOf(object))) return this.leave(uid);
    const news = this.writer.observe(uid, object);
    const begun = this.host.contextOf(uid)?.view;
    // Of what it did itself an actor knows; what Argo CD did, it learns by beginning anew.
    if (view.observed && begun && doneByArgoCd(begun.status) !== doneByArgoCd(view.status)) this.host.stop(uid);
    if (!this.host.has(uid)) return this.begin(view);
    const { view: before, takenOperationHash } = this.host.contextOf(uid)!;
    // What was asked for while something else ran: after that one's last write nobody else may tell of it.
    const isAsked = view.operationHash !== "" && view.operationHash !== takenOperationHash;
    // What we wrote ourselves is no news; what the writer read after a conflict is, though the writer knows it already.
    if (news || read || isAsked || before.operationHash !== view.operationHash) this.updated(uid, view);
  }

  private begin(view: AppView, cause: Cause["kind"] = "start"): void {
    const { uid } = view.ref;
    const { clock } = this.context;
    this.host.start({
      view,
      nonce: Math.floor(clock.random() * 2 ** 40).toString(36),
      epoch: this.replicas.epoch(),
      emptyManifestsDigest: this.emptyManifestsDigest,
    });
    const hard = view.refresh?.startsWith("hard") ?? false;
    this.look(uid, wish(cause, clock.now(), {}, { freshness: "latest", hard, lane: "bulk" }));
    // An `operation` may have been written while nobody watched, and a refresh of what cannot be looked at.
    this.host.send(uid, { type: "ApplicationUpdated", view });
  }

  private leave(uid: string): void {
    if (!this.host.has(uid)) return;
    this.host.stop(uid);
    this.writer.forget(uid);
    this.admission.forget(uid);
    this.dependencyChanged(uid);
  }

  private gone(object: KubeObject): void {
    const { uid, namespace = "", name } = object.metadata;
    const context = this.host.contextOf(uid);
    this.leave(uid);
    this.objects.delete(uid);
    const index = appText({ namespace, name });
    if (this.uids.get(index) === uid) {
      this.uids.delete(index);
      const relinked = this.dependencies.set(index, []);
      this.tellDependents(index);
      if (relinked) this.othersLinked();
    }
    if (!context) return;
    this.publish(ApplicationForgotten, { uid, namespace, name });
    const { view } = context;
    for (const source of context.asked.length > 0 ? context.asked : rendered(view.desired?.sources ?? [])) {
      this.publish(ForgetSource, {
        app: view.ref,
        requestId: `${context.nonce}-forget${source.key ?? ""}`,
        shard: view.shard,
        lane: "bulk",
        deadlineAt: this.context.clock.now() + FORGET_DEADLINE_MS,
        source,
      });
    }
  }

  // What comes by messages

  private async listen(): Promise<void> {
    const { bus, config } = this.context;
    const { shards } = this;
    if (shards.length === 0) {
      this.listening = [];
      return;
    }
    this.listening = await Promise.all([
      follow(bus, {
        stream: STREAMS.results,
        filters: resultFilters(shards),
        handlers: [
          ...ANSWERS.map((definition) => this.answerHandler(definition)),
          ...this.actions.answers,
          on(ClusterDescribed, async (message) => {
            const changed = message.cluster && this.clusters.changed(message.cluster);
            this.clusters.answered(message);
            if (changed) await this.clusterChanged(message.cluster!);
          }),
        ],
        from: "new",
      }),
      follow(bus, {
        stream: STREAMS.facts,
        filters: liveChangedFilters(shards),
        handlers: [
          on(LiveChanged, async (message) => {
            this.host.send(message.app.uid, { type: "LiveChanged", message });
          }),
        ],
        from: "new",
      }),
      consumeWork(bus, {
        durables: triggerDurables(shards),
        handlers: [on(RefreshRequested, (message) => this.refreshRequested(message))],
        concurrency: config.concurrency,
      }),
    ]);
  }

  private answerHandler(definition: (typeof ANSWERS)[number]) {
    return on(definition as MessageDefinition, async (message) => {
      const answer = message as { app: { uid: string } };
      this.host.send(answer.app.uid, { type: definition.name, message: answer } as unknown as Sent);
    });
  }

  private factHandlers() {
    const { clock } = this.context;
    return [
      on(RevisionObserved, async ({ repository }) => {
        this.silentSince.set(repository, clock.monotonic());
      }),
      on(SourceChanged, async (message) => {
        for (const uid of message.apps) {
          this.admission.admit(uid, { type: "SourceChanged", message });
          this.dependencyChanged(uid);
        }
      }),
      on(FetcherStarted, async ({ partitions }) => {
        for (const uid of this.host.uids()) {
          const sources = rendered(this.host.contextOf(uid)?.view.desired?.sources ?? []);
          if (sources.some(({ repository }) => partitions.includes(fetchPartitionOf(repository)))) {
            this.host.send(uid, { type: "FetcherStarted" });
          }
        }
      }),
      on(ClusterChanged, async ({ cluster }) => {
        if (this.clusters.changed(cluster)) await this.clusterChanged(cluster);
      }),
      on(LiveStateReset, async ({ server, reason }) => {
        this.clusters.askAgain(server);
        for (const uid of this.host.uids()) {
          const known = this.host.contextOf(uid);
          if (server && known?.comparison && known.comparison.server !== server) continue;
          this.look(uid, wish("start", clock.now(), { detail: reason }, { from: "diff", lane: "bulk" }));
        }
      }),
      on(RefreshAllRequested, async ({ namespace, mode, reason }) => {
        const asked = wish(
          "refresh",
          clock.now(),
          { detail: reason ?? "refresh of all" },
          {
            freshness: "latest",
            hard: mode === "hard",
            lane: "bulk",
          },
        );
        for (const uid of this.host.uids()) {
          if (namespace && this.host.contextOf(uid)?.view.ref.namespace !== namespace) continue;
          this.look(uid, asked);
        }
      }),
    ];
  }

  /** Renders that the cluster as it is now would answer otherwise are done anew, and those that failed are tried. */
  private async clusterChanged(cluster: ClusterVersions): Promise<void> {
    const { bus, clock, logger } = this.context;
    const names = await bus.blobs.get(cluster.apiVersionsDigest);
    // Whoever renders next hears that they are gone, and asks.
    if (!names) return logger.warn({ server: cluster.server }, "what a cluster serves now is stored no more");
    const served = new Set(Buffer.from(names).toString("utf8").split("\n"));
    const asked = wish("dependency", clock.now(), { detail: "the cluster serves other APIs" }, { hard: true });
    for (const uid of this.host.uids()) {
      const context = this.host.contextOf(uid)!;
      const refused =
        context.failed?.failures.some(({ code }) => code === "MANIFEST_INVALID") &&
        context.view.desired &&
        this.clusters.serverOf(context.view.desired.destination) === cluster.server;
      const holds = context.render?.sources.every((source) => stillHolds(source, cluster, (name) => served.has(name)));
      if (refused || holds === false) this.look(uid, asked);
    }
  }

  private async refreshRequested(request: {
    namespace: string;
    name: string;
    mode: "normal" | "hard";
    reason?: string;
  }): Promise<void> {
    const { namespace, name, mode, reason } = request;
    if (namespace === "_all" || name === "_all") {
      await this.context.bus.publish(RefreshAllRequested, {
        ...(namespace === "_all" ? {} : { namespace }),
        mode,
        reason,
      });
      return;
    }
    const uid = this.uids.get(appText({ namespace, name }));
    if (uid === undefined) return;
    const detail = reason ?? `refresh requested${mode === "hard" ? " (hard)" : ""}`;
    const asked = wish("refresh", this.context.clock.now(), { detail }, { freshness: "latest", hard: mode === "hard" });
    this.host.send(uid, { type: "Look", wish: asked });
  }

  private look(uid: string, wished: Wish): void {
    this.admission.admit(uid, { type: "Look", wish: wished });
  }

  // What changes around it

  private ownershipChanged(): void {
    this.relisten = this.relisten
      .then(async () => {
        if (this.stopped) return;
        const shards = ownedShards(this.replicas);
        if (shards.join() === this.shards.join()) return;
        const before = this.listening;
        this.shards = shards;
        this.context.logger.info({ shards: shards.length }, "shards changed");
        await Promise.all(before.map((consumption) => consumption.stop()));
        await this.listen();
        for (const object of this.objects.values()) this.follow(object);
      })
      .catch((error: unknown) => this.context.logger.error({ err: error }, "new shards could not be taken over"));
  }

  /** NATS was away, perhaps wiped: commands and facts may be lost, so what is outstanding is begun anew and all look. */
  private afterReconnect(): void {
    const { bus, clock, logger } = this.context;
    let lost = false;
    this.unsubscribe.push(
      bus.onDisconnect(() => {
        lost = true;
      }),
      bus.onReady(() => {
        if (!lost || this.stopped) return;
        lost = false;
        logger.info({ apps: this.host.uids().length }, "NATS is back; looking at every Application");
        bus.blobs.put(encodeManifests([])).catch((error: unknown) => logger.warn({ err: error }, "blob not stored"));
        for (const uid of this.host.uids()) {
          const view = this.viewOf(this.objects.get(uid));
          if (this.host.isBusy(uid) && view) {
            this.host.stop(uid);
            this.begin(view);
          } else {
            this.host.send(uid, { type: "FetcherStarted" });
            this.look(uid, wish("start", clock.now(), { detail: "NATS was away" }, { lane: "bulk" }));
          }
        }
      }),
    );
  }

  /** What is stuck although everything has its deadline began in a fault of ours: it is told, and begun anew. */
  private restartStuck(): void {
    const { clock, logger } = this.context;
    for (const uid of this.host.stuck(STUCK_MS)) {
      const object = this.objects.get(uid);
      const view = this.viewOf(object);
      if (!object || !view) continue;
      logger.error({ app: appText(view.ref), uid }, "an Application was stuck past every deadline; it is begun anew");
      this.leave(uid);
      this.writer.observe(uid, object);
      this.begin(view);
      this.look(uid, wish("retry", clock.now(), { detail: "watchdog" }, { freshness: "latest" }));
    }
  }

  /** Polling is the fetcher's; only when nobody has looked at a repository for long do its apps ask by themselves. */
  private watchdog(): void {
    const { clock, logger } = this.context;
    const { pollIntervalMs } = this.settings;
    const cancel = clock.setTimer(Math.min(60_000, Math.max(1_000, pollIntervalMs || 60_000)), () => {
      if (this.stopped) return;
      this.restartStuck();
      const now = clock.monotonic();
      const interval = this.settings.pollIntervalMs;
      const silent = new Set<string>();
      for (const uid of interval > 0 ? this.host.uids() : []) {
        const repositories = followed(this.host.contextOf(uid)?.view.desired?.sources ?? []);
        for (const { repository } of repositories) {
          const since = this.silentSince.get(repository);
          if (since === undefined) this.silentSince.set(repository, now);
          // The fetcher spreads its polls over half an interval more.
          else if (now - since > interval * 1.5 * SILENT_INTERVALS) silent.add(repository);
        }
        if (!repositories.some(({ repository }) => silent.has(repository))) continue;
        this.look(uid, wish("poll", clock.now(), { detail: "watchdog" }, { freshness: "latest", lane: "bulk" }));
      }
      for (const repository of silent) this.silentSince.set(repository, now);
      if (silent.size > 0)
        logger.warn({ repositories: silent.size }, "repositories are not polled; apps look themselves");
      this.watchdog();
    });
    this.unsubscribe.push(cancel);
  }

  /** No event tells of what belongs to nobody; where an AppProject asks for it, the namespaces are surveyed now and then. */
  private lookForOrphans(): void {
    const { clock } = this.context;
    const cancel = clock.setTimer(Math.max(1_000, this.settings.pollIntervalMs || ORPHANS_MS), () => {
      if (this.stopped) return;
      const asked = wish("poll", clock.now(), { detail: "orphaned resources" }, { from: "diff", lane: "bulk" });
      for (const uid of this.host.uids()) if (asksForOrphans(this.host.contextOf(uid)!)) this.look(uid, asked);
      this.cancelOrphans = undefined;
      this.lookForOrphans();
    });
    this.cancelOrphans = cancel;
  }

  /** `timeout.hard.reconciliation`: every so often nothing that is kept counts. */
  private lookHard(): void {
    this.cancelHard?.();
    const { hardIntervalMs } = this.settings;
    if (!hardIntervalMs || this.stopped) return;
    const { clock } = this.context;
    this.cancelHard = clock.setTimer(Math.max(1_000, hardIntervalMs), () => {
      const detail = "timeout.hard.reconciliation";
      const asked = wish("poll", clock.now(), { detail }, { freshness: "latest", hard: true, lane: "bulk" });
      for (const uid of this.host.uids()) this.look(uid, asked);
      this.lookHard();
    });
  }

  // What is decided

  private perform(uid: string, effect: Effect): void {
    switch (effect.kind) {
      case "publish": {
        if (effect.definition.name === "ApplicationChanged") {
          const { from, to } = effect.message as { from: string; to: string };
          this.meter.transition(from, to);
        }
        if (effect.definition === DescribeCluster) {
          this.clusters.ask(uid, effect.message as MessageOf<typeof DescribeCluster>);
        } else if (effect.bundle)
          void this.publishWithBundle(effect.definition, this.completed(uid, effect), effect.bundle);
        else this.publish(effect.definition, this.completed(uid, effect));
        return;
      }
      case "write":
        this.writer.request(uid, effect.urgency);
        return;
      case "measure":
        this.meter.measure(effect);
    }
  }

  private completed(uid: string, { definition, message }: Extract<Effect, { kind: "publish" }>): unknown {
    const destination = this.host.contextOf(uid)?.view.desired?.destination;
    if (definition !== RenderManifests || !destination) return message;
    return this.clusters.completed(message as MessageOf<typeof RenderManifests>, destination);
  }

  private async publishWithBundle(definition: MessageDefinition, message: unknown, bundle: Uint8Array): Promise<void> {
    try {
      const bundleDigest = await this.context.bus.blobs.put(bundle);
      this.publish(definition, { ...(message as object), bundleDigest });
    } catch (error) {
      if (!this.stopped) this.context.logger.warn({ err: error, message: definition.name }, "a bundle was not stored");
    }
  }

  private publish(definition: MessageDefinition, message: unknown): void {
    // Lost commands are asked for again at their deadline.
    this.context.bus.publish(definition, message).catch((error: unknown) => {
      if (!this.stopped) this.context.logger.warn({ err: error, message: definition.name }, "not published");
    });
  }

  private conditionCodes(): Map<string, number> {
    const codes = new Map<string, number>();
    for (const uid of this.host.uids()) {
      for (const { type, message } of conditionsOf(this.host.contextOf(uid)!)) {
        const code = /^\[([A-Z_]+)\]/.exec(message ?? "")?.[1] ?? type ?? "";
        codes.set(code, (codes.get(code) ?? 0) + 1);
      }
    }
    return codes;
  }
}

const destinationOf = (application: KubeObject): Destination =>
  (application["spec"] as { destination?: Destination } | undefined)?.destination ?? {};

/** But for who wrote `operation`. */
const withoutManagedFields = (object: KubeObject): KubeObject => ({
  ...object,
  metadata: { ...object.metadata, managedFields: operationEntries(object) },
});
