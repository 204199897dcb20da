// Hop 2, repo-fetcher: which commit a source means, its files there, and whose inputs a push changed.
//
// F1  One owner per repository (owners.ts, repository.ts): one poll and one question, whoever asks.
// F2  What is answered is at least as new as the question (`latest`), or the newest observation (`observed`).
// F3  A source that has been given a commit is told when another one comes, until what it reads is known; from then
//     on only when that changes. A failed source is told when its revision moves.
import type { Bus } from "@driftless/bus/connect";
import { consumeWork, type Consumption, follow, on } from "@driftless/bus/consume";
import { joinReplicas } from "@driftless/bus/replicas";
import { failure, failureText } from "@driftless/contracts/failure";
import type { Cause, Request } from "@driftless/contracts/identity";
import type { MessageOf } from "@driftless/contracts/message";
import {
  FetcherStarted,
  PushMatched,
  PushReceived,
  RevisionObserved,
  SourceChanged,
  SourceUnchanged,
} from "@driftless/contracts/pipeline/1-refresh";
import {
  FetchSource,
  ForgetSource,
  SourceFetched,
  SourceFetchFailed,
  WatchSource,
} from "@driftless/contracts/pipeline/2-fetch";
import { repositoryHash } from "@driftless/contracts/repository";
import { fetchDurable, STREAMS } from "@driftless/contracts/streams";
import { FETCH_PARTITION_COUNT, fetchPartitionOf } from "@driftless/contracts/subject";
import type { Clusters } from "@driftless/kube/clusters";
import { encodeBundle } from "@driftless/manifests/bundle";
import { decodeInputs, type Inputs } from "@driftless/manifests/inputs";
import type { Clock } from "@driftless/process/clock";
import type { Config } from "@driftless/process/config";
import type { Service } from "@driftless/process/start";
import { Counter, Histogram, type Logger, type Registry } from "@driftless/process/telemetry";
import type { Engine } from "@driftless/render-engine/engine";
import { contentless, fetchSource, watchSource } from "./fetch-source.ts";
import { appOf, Owners } from "./owners.ts";
import type { Outcome } from "./git-failure.ts";
import { whatCame } from "./push-outcome.ts";
import type { Followed, RepositoryEvents } from "./repository.ts";
import { watchRepositorySecrets } from "./secrets.ts";

/** Bundles wait for one shared request to the Git server, so many may wait at a time. */
const CONCURRENCY = 256;
const APPS_PER_FACT = 200;
const POLL_MS = 120_000;
const POLL_JITTER_MAX_MS = 60_000;

export interface RepoFetcherContext {
  bus: Bus;
  engine: Engine;
  clusters: Clusters;
  clock: Clock;
  logger: Logger;
  metrics: Registry;
  config: Config;
}

export async function startRepoFetcher(context: RepoFetcherContext): Promise<Service> {
  const { bus, engine, clusters, clock, logger, config } = context;
  const meters = metersOf(context.metrics);
  const secrets = watchRepositorySecrets({
    clusters,
    namespace: config.namespace,
    onChange: () => owners.credentialsChanged(),
  });
  const owners: Owners = new Owners({ clock, secrets, matchConstraint, events: eventsOf });
  const now = (): string => new Date(clock.now()).toISOString();

  async function matchConstraint(constraint: string, versions: readonly string[]): Promise<string | undefined> {
    const outcome = await engine.constraint({ constraint, versions });
    return outcome.kind === "match" || outcome.kind === "exact" ? outcome.version : undefined;
  }

  /** What a repository observes becomes facts; who publishes them late or not at all costs a poll interval. */
  function eventsOf(repository: string): RepositoryEvents {
    const tell = (telling: Promise<void>) =>
      void telling.catch((error: unknown) => logger.warn({ err: error, repository }, "a fact was not published"));
    return {
      onPolled: ({ observation, moved, cause }) =>
        tell(bus.publish(RevisionObserved, { repository, observation, moved, cause })),
      onSourcesChanged({ ids, observation, revision, cause }) {
        const uids = [...new Set(ids.map(appOf))];
        for (let n = 0; n < uids.length; n += APPS_PER_FACT) {
          const apps = uids.slice(n, n + APPS_PER_FACT);
          tell(bus.publish(SourceChanged, { repository, observation, revision, apps, cause }));
        }
      },
      onSourcesUnchanged: (rest) => tell(bus.publish(SourceUnchanged, { repository, ...rest })),
      onFailed(failed) {
        meters.failures.inc({ code: failed.code });
        logger.warn({ repository, failure: failureText(failed) }, "a look at a repository failed");
      },
    };
  }

  async function fetch(command: MessageOf<typeof FetchSource>): Promise<void> {
    const started = clock.monotonic();
    if (command.deadlineAt < clock.now()) return; // Nobody waits for it any more; it will be asked again.
    const { app, requestId, shard, source, freshness, inputsDigest } = command;
    const { commit, revisionOnly, extraPaths, refs, charts } = command;
    owners.meet(app);
    const reply = () => ({ app, requestId, shard, tookMs: clock.monotonic() - started });
    const inputs = await inputsOf(inputsDigest);
    const cause: Cause = { kind: "refresh", at: now() };
    const question = { app, source, freshness, commit, revisionOnly, inputs, extraPaths, refs, charts };
    const fetched = await fetchSource(owners, question, cause);
    const bundle = fetched.kind === "ok" ? fetched.value.bundle : undefined;
    const bundleDigest = bundle && (await bus.blobs.put(encodeBundle(bundle)));
    meters.seconds.observe((clock.monotonic() - started) / 1000);
    if (fetched.kind === "ok") {
      const { revision, observation, info, chartDigest, refRevisions, refObservations } = fetched.value;
      await bus.publish(SourceFetched, {
        ...reply(),
        revision,
        observation,
        chartDigest,
        ...(refs && { refRevisions, refObservations }),
        ...(bundle && contentless(bundle)),
        inputs: bundle === undefined ? "same" : "unknown",
        bundleDigest,
        author: info?.author,
        commitMessage: info?.message.slice(0, 512),
      });
    } else {
      meters.failures.inc({ code: fetched.failure.code });
      logger.debug({ repository: source.repository, app: app.uid, failure: fetched.failure.code }, "a fetch failed");
      await bus.publish(SourceFetchFailed, { ...reply(), failure: fetched.failure });
    }
  }

  async function inputsOf(digest: string | undefined): Promise<Inputs | undefined> {
    const bytes = digest === undefined ? undefined : await bus.blobs.get(digest);
    try {
      return bytes && decodeInputs(bytes);
    } catch {
      return undefined; // Written by another version: as good as not there.
    }
  }

  async function watch(command: MessageOf<typeof WatchSource>): Promise<void> {
    const { app, source, inputsDigest, revision, chartDigest, refs, refRevisions, pollIntervalMs = POLL_MS } = command;
    owners.meet(app);
    const jitterMs = command.pollJitterMs ?? Math.min(pollIntervalMs / 2, POLL_JITTER_MAX_MS);
    const inputs = await inputsOf(inputsDigest);
    const poll = { everyMs: pollIntervalMs, jitterMs };
    const cause: Cause = { kind: "start", at: now() };
    await watchSource(owners, { app, source, inputs, revision, chartDigest, refs, refRevisions, poll }, cause);
  }

  async function push(message: MessageOf<typeof PushReceived>): Promise<void> {
    const { repoURL, ref, after, tag, by, delivery } = message;
    const what = tag ?? ref?.replace(/^refs\/(heads|tags)\//, "");
    const detail = what === undefined ? "push" : `push ${tag === undefined ? "to" : "of"} ${what}`;
    const cause: Cause = { kind: "webhook", at: now(), by, detail, revision: after, delivery };
    const looks = owners.nudge(repoURL, cause);
    // Of a repository that nobody follows its partition's owner tells, so that one does.
    if (looks.length > 0 || replicas.owns(fetchPartitionOf(repositoryHash(repoURL))))
      tellWhatCame(message, looks).catch((error: unknown) => logger.warn({ err: error, delivery }, "a push not told"));
  }

  async function tellWhatCame(
    message: MessageOf<typeof PushReceived>,
    looks: readonly Promise<Outcome<Followed[]>>[],
  ): Promise<void> {
    const started = clock.monotonic();
    const looked = await Promise.all(looks);
    const told = whatCame({
      push: message,
      looked,
      nameOf: (id) => owners.nameOf(appOf(id)),
      urls: () => owners.urls(),
      at: now(),
      tookMs: clock.monotonic() - started,
    });
    const { delivery, repoURL, ref, outcome } = told;
    logger.info({ delivery, repoURL, ref, outcome }, `push: ${told.why}`);
    await bus.publish(PushMatched, told);
  }

  const replicas = await joinReplicas(bus, { role: "repo-fetcher", id: config.replica, clock, logger });
  const handlers = [
    on(FetchSource, fetch),
    on(WatchSource, watch),
    on(ForgetSource, async ({ app, source }) => owners.forgetSource(app.uid, source.key)),
  ];
  let work: Consumption | undefined;
  let owned = "";
  let changing = Promise.resolve();

  /** Pulls the partitions that are ours now, and asks the controllers to say what they watch there. */
  async function takePartitions(): Promise<void> {
    const partitions = Array.from({ length: FETCH_PARTITION_COUNT }, (_, n) => n).filter((n) => replicas.owns(n));
    if (partitions.join() === owned) return;
    owned = partitions.join();
    owners.keepOnly((hash) => partitions.includes(fetchPartitionOf(hash)));
    await work?.stop();
    work = await consumeWork(bus, {
      durables: partitions.map(fetchDurable),
      handlers,
      concurrency: CONCURRENCY,
      onPoison,
    });
    await bus.publish(FetcherStarted, { replica: replicas.id, partitions });
  }

  async function onPoison(name: string, message: unknown): Promise<void> {
    if (name !== FetchSource.name) return;
    const { app, requestId, shard } = message as Request;
    const poison = failure("POISON_MESSAGE", "Fetching this app's source failed five times without an answer.");
    await bus.publish(SourceFetchFailed, { app, requestId, shard, tookMs: 0, failure: poison });
  }

  const change = (): Promise<void> =>
    (changing = changing
      .then(takePartitions)
      .catch((error: unknown) => logger.error({ err: error }, "partitions not taken")));
  await secrets.synced;
  const pushes = await follow(bus, {
    stream: STREAMS.pushes,
    filters: STREAMS.pushes.subjects,
    handlers: [on(PushReceived, push)],
    from: "new",
  });
  const stopChanges = replicas.onChange(() => void change());
  await change();

  return {
    notReady: () => (bus.connected ? undefined : "NATS is away"),
    async stop() {
      stopChanges();
      await replicas.leave();
      await changing;
      await Promise.all([work?.stop(), pushes.stop()]);
      owners.close();
      secrets.stop();
    },
  };
}

function metersOf(metrics: Registry) {
  return {
    seconds: new Histogram({
      name: "driftless_fetch_seconds",
      help: "Time from a fetch command to its answer",
      buckets: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30, 60],
      registers: [metrics],
    }),
    failures: new Counter({
      name: "driftless_fetch_failures_total",
      help: "Fetches and looks at repositories that failed, by code",
      labelNames: ["code"],
      registers: [metrics],
    }),
  };
}
