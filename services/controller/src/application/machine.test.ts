// The machine, event by event, through XState's pure transition.
import { initialTransition, transition, type SnapshotFrom } from "xstate";
import { describe, expect, test } from "vitest";
import type { AppliedObject, Prediction } from "@driftless/contracts/pipeline/5-sync";
import type { ComparedObject } from "@driftless/contracts/pipeline/4-diff";
import { repositoryHash } from "@driftless/contracts/repository";
import { isFieldOfRunning } from "./operation-record.ts";
import { machineDiagram } from "./diagram.ts";
import type { EffectName } from "./effect-names.ts";
import { EFFECTS, type Effect } from "./effects.ts";
import type { AppEvent, Wish } from "./events.ts";
import { wish } from "./look.ts";
import { applicationMachine } from "./machine.ts";
import { applicationPatch, statusOf } from "./status.ts";
import { viewOf, type AppView } from "./view.ts";

type Raw = { metadata: Record<string, unknown>; spec: Record<string, unknown>; [member: string]: unknown };

const PROJECT = {
  metadata: { name: "default", namespace: "argocd", uid: "p", resourceVersion: "1" },
  spec: {
    sourceRepos: ["*"],
    destinations: [{ server: "*", namespace: "*" }],
    clusterResourceWhitelist: [{ group: "*", kind: "*" }],
  },
};

const SETTINGS = {
  controlPlaneNamespace: "argocd",
  tracking: { trackingMethod: "annotation" as const },
  pollIntervalMs: 120_000,
  ignoreRules: [],
};

function application(automated?: Record<string, unknown>, over: Partial<Raw> = {}): Raw {
  return {
    metadata: { name: "shop", namespace: "argocd", uid: "uid-1", resourceVersion: "1" },
    spec: {
      project: "default",
      source: { repoURL: "https://git.example.com/team/shop", path: "deploy", targetRevision: "main" },
      destination: { server: "https://kubernetes.default.svc", namespace: "shop" },
      ...(automated ? { syncPolicy: { automated } } : {}),
    },
    ...over,
  };
}

const view = (raw: unknown, projects = [PROJECT]): AppView =>
  viewOf(raw, (name) => projects.find((project) => project.metadata.name === name), SETTINGS)!;

const WEB = { group: "apps", version: "v1", kind: "Deployment", namespace: "shop", name: "web" };
const CONFIG = { group: "", version: "v1", kind: "ConfigMap", namespace: "shop", name: "settings" };
const live = (resourceVersion = "10") => ({ uid: "o-1", resourceVersion });

const REPOSITORY = repositoryHash("https://git.example.com/team/shop");

type Told = { name: string; message: Record<string, any> };

/** Plays the host: time, effects, and timers that the test lets fire. */
class Play {
  snapshot: SnapshotFrom<typeof applicationMachine>;
  told: Told[] = [];
  writes = 0;
  timers = new Map<string, { delay: number; event: unknown }>();
  now = 1_000_000;

  constructor(raw: unknown, projects = [PROJECT]) {
    const [snapshot, actions] = initialTransition(applicationMachine, {
      view: view(raw, projects),
      nonce: "life",
      epoch: 7,
      emptyManifestsDigest: "empty",
      now: this.now,
    });
    this.snapshot = snapshot;
    this.perform(actions as never);
  }

  send(event: Record<string, unknown>): this {
    this.now += 10;
    const [snapshot, actions] = transition(applicationMachine, this.snapshot, { at: this.now, ...event } as AppEvent);
    this.snapshot = snapshot;
    this.perform(actions as never);
    return this;
  }

  private perform(actions: { type: string; params: any; info: any }[]): void {
    for (const action of actions) {
      if (action.type === "xstate.raise" && action.params.delay !== undefined)
        this.timers.set(action.params.id, action.params);
      if (action.type === "xstate.cancel") this.timers.delete(action.params.sendId);
      const effect = EFFECTS[action.type as EffectName];
      for (const done of effect?.(action.info.context, action.info.event, this.now) ?? []) this.take(done);
    }
  }

  private take(effect: Effect): void {
    if (effect.kind === "publish") {
      effect.definition.schema.parse(effect.message);
      this.told.push({ name: effect.definition.name, message: effect.message as Told["message"] });
    }
    if (effect.kind === "write") this.writes++;
  }

  fire(name: string): this {
    const [id, timer] = [...this.timers].find(([key]) => key.includes(`.${name}.`))!;
    this.timers.delete(id);
    this.now += timer.delay;
    return this.send(timer.event as Record<string, unknown>);
  }

  delay(name: string): number | undefined {
    return [...this.timers].find(([key]) => key.includes(`.${name}.`))?.[1].delay;
  }

  get context() {
    return this.snapshot.context;
  }

  get sync(): string {
    const { sync } = this.snapshot.value as { sync: string | Record<string, unknown> };
    return typeof sync === "string" ? sync : Object.keys(sync)[0]!;
  }

  get transitions(): string[] {
    return this.told
      .filter(({ name }) => name === "ApplicationChanged")
      .map(({ message }) => `${message["from"]}>${message["to"]}`);
  }

  last(name: string): Record<string, any> {
    const found = this.told.findLast((told) => told.name === name);
    if (!found) throw new Error(`no ${name} among ${this.told.map((told) => told.name).join(" ")}`);
    return found.message;
  }

  count(name: string): number {
    return this.told.filter((told) => told.name === name).length;
  }

  answer(command: string, type: string, message: Record<string, unknown>): this {
    const { app, requestId, shard } = this.last(command);
    return this.send({ type, message: { app, requestId, shard, tookMs: 1, ...message } });
  }

  look(over: Partial<Wish> = {}): this {
    return this.send({ type: "Look", wish: wish("start", this.now, {}, { freshness: "latest", ...over }) });
  }

  fetched(over: Record<string, unknown> = {}): this {
    return this.answer("FetchSource", "SourceFetched", {
      revision: "a".repeat(40),
      observation: 1,
      inputs: "unknown",
      bundleDigest: "bundle",
      ...over,
    });
  }

  rendered(over: Record<string, unknown> = {}): this {
    return this.answer("RenderManifests", "ManifestsRendered", {
      renderKey: "key-1",
      manifestsDigest: "manifests-1",
      inputsDigest: "inputs-1",
      count: 2,
      sourceType: "Directory",
      variables: [],
      warnings: [],
      ...over,
    });
  }

  compared(objects: ComparedObject[], over: Record<string, unknown> = {}): this {
    return this.answer("ComputeDiff", "DiffComputed", {
      manifestsDigest: "manifests-1",
      server: "https://kubernetes.default.svc",
      objects,
      namespaceMissing: false,
      images: ["nginx:1"],
      warnings: [],
      ...over,
    });
  }

  predicted(objects: Partial<Prediction>[]): this {
    return this.answer("PredictStep", "StepPredicted", {
      server: "s",
      objects: objects.map((object) => ({ fields: [], managers: [], ...object })),
    });
  }

  recorded(): this {
    return this.send({ type: "OperationRecorded", operationId: this.context.operation!.id });
  }

  applied(objects: Partial<AppliedObject>[]): this {
    return this.answer("ApplyStep", "StepApplied", {
      operationId: this.last("ApplyStep")["operationId"],
      server: "s",
      objects: objects.map((object) => ({
        outcome: "configured",
        message: "done",
        takenFrom: [],
        fields: [],
        images: [],
        live: live("20"),
        ...object,
      })),
    });
  }

  passTo(objects: ComparedObject[]): this {
    return this.look().fetched().rendered().compared(objects);
  }

  status(): Record<string, any> {
    return statusOf(this.context, this.context.view.status, this.now);
  }

  /** Brings an app to Synced through its first automated sync. */
  static synced(automated?: Record<string, unknown>): Play {
    const play = new Play(application(automated));
    play.passTo([{ ...WEB, verdict: "Missing" }]);
    if (!automated) return new Play(application()).passTo([{ ...WEB, verdict: "Synced", live: live() }]);
    play
      .predicted([{ ...WEB, outcome: "creates" }])
      .recorded()
      .applied([{ ...WEB, outcome: "created", live: live() }]);
    play.told = [];
    return play;
  }

  liveChanged(over: Record<string, unknown> = {}): this {
    return this.send({
      type: "LiveChanged",
      message: {
        shard: 1,
        app: { uid: "uid-1", namespace: "argocd", name: "shop" },
        object: WEB,
        change: "suspect",
        live: live("30"),
        by: "kubectl",
        observedAt: this.now,
        ...over,
      },
    });
  }
}

describe("a render that depends on the cluster", () => {
  const cluster = { server: "https://kubernetes.default.svc", kubeVersion: "v1.36.3", apiVersionsDigest: "apis" };

  test("it waits for the cluster's description, and is done anew after a restart", () => {
    const play = new Play(application({})).look().fetched();
    play.answer("RenderManifests", "RenderNeedsFiles", { paths: [], charts: [], cluster: "unknown" });
    expect(play.last("DescribeCluster")["destination"]).toEqual({
      server: "https://kubernetes.default.svc",
      namespace: "shop",
    });
    expect(play.count("RenderManifests")).toBe(1);
    play.answer("DescribeCluster", "ClusterDescribed", { destination: {}, cluster });
    expect(play.count("RenderManifests")).toBe(2);
    play.rendered({ variables: ["KUBE_API_VERSIONS"], cluster, apiVersions: { "x/v1": true } });
    expect(play.context.pass?.render?.sources[0]).toMatchObject({ cluster, apiVersions: { "x/v1": true } });
  });

  test("a cluster that cannot be described is the app's failure", () => {
    const play = new Play(application({})).look().fetched();
    play.answer("RenderManifests", "RenderNeedsFiles", { paths: [], charts: [], cluster: "unknown" });
    const away = { code: "CLUSTER_UNREACHABLE", message: "away" };
    play.answer("DescribeCluster", "ClusterDescribed", { destination: {}, failure: away });
    expect(play.context.failed?.failures).toEqual([away]);
  });

  test("what is asked for again and again ends the pass", () => {
    const play = new Play(application({})).look().fetched();
    for (let n = 0; n <= 20; n++) {
      play.answer("RenderManifests", "RenderNeedsFiles", { paths: [], charts: [], cluster: "gone" });
      if (n < 20) play.answer("DescribeCluster", "ClusterDescribed", { destination: {}, cluster });
    }
    expect(play.last("DescribeCluster")["gone"]).toBe(true);
    expect(play.context.failed?.failures[0]?.code).toBe("RENDER_LIMIT");
  });
});

describe("a look", () => {
  test("fetches, renders, compares, and publishes what it found", () => {
    const play = new Play(application()).look();
    expect(play.last("FetchSource")).toMatchObject({
      freshness: "latest",
      source: { path: "deploy", targetRevision: "main" },
    });
    play.fetched();
    expect(play.last("RenderManifests")).toMatchObject({ bundleDigest: "bundle", path: "deploy" });
    play.rendered().compared([{ ...WEB, verdict: "Synced", live: live() }]);
    expect(play.sync).toBe("Synced");
    expect(play.transitions).toEqual(["Unknown>Synced"]);
    expect(play.last("WatchSource")).toMatchObject({ inputsDigest: "inputs-1", pollIntervalMs: 120_000 });
  });

  test("skips the render when the inputs are the same", () => {
    const play = Play.synced();
    play.told = [];
    play.look().fetched({ inputs: "same", bundleDigest: undefined, revision: "b".repeat(40), observation: 2 });
    expect(play.last("FetchSource")["inputsDigest"]).toBe("inputs-1");
    expect(play.count("RenderManifests")).toBe(0);
    expect(play.last("ComputeDiff")["target"]["manifestsDigest"]).toBe("manifests-1");
    play.compared([{ ...WEB, verdict: "Synced", live: live() }]);
    expect(play.transitions).toEqual([]);
    expect(play.count("WatchSource")).toBe(0);
  });

  test("renders again when the parameters changed, though the files are the same", () => {
    const play = Play.synced();
    const raw = application();
    (raw.spec["source"] as Record<string, unknown>)["directory"] = { recurse: true };
    play.send({ type: "ApplicationUpdated", view: view(raw) });
    expect(play.last("FetchSource")["inputsDigest"]).toBeUndefined();
  });

  test("that is asked for during another one comes after it, once", () => {
    const play = new Play(application()).look();
    play.look().look({ hard: true });
    expect(play.count("FetchSource")).toBe(1);
    play.fetched().rendered().compared([]);
    expect(play.count("FetchSource")).toBe(2);
    expect(play.last("FetchSource")["inputsDigest"]).toBeUndefined();
    play.fetched().rendered().compared([]);
    expect(play.count("FetchSource")).toBe(2);
  });

  test("drops answers to other requests", () => {
    const play = new Play(application()).look();
    const { app, shard } = play.last("FetchSource");
    play.send({
      type: "SourceFetched",
      message: {
        app,
        shard,
        requestId: "other",
        tookMs: 1,
        revision: "x",
        observation: 9,
        inputs: "unknown",
        bundleDigest: "b",
      },
    });
    expect(play.count("RenderManifests")).toBe(0);
  });

  test("asks once more when the answer is older than an observation already seen", () => {
    const play = Play.synced();
    play.send({
      type: "SourceChanged",
      message: {
        repository: REPOSITORY,
        observation: 5,
        revision: "b".repeat(40),
        apps: ["uid-1"],
        cause: { kind: "webhook", at: "2026-01-01T00:00:00Z" },
      },
    });
    play.fetched({ observation: 3 });
    expect(play.last("FetchSource")["freshness"]).toBe("latest");
    play.fetched({ observation: 3 });
    expect(play.count("RenderManifests")).toBeGreaterThan(0);
  });

  test("goes one hop back when a body is gone, and gives up when it is gone again and again", () => {
    const play = Play.synced();
    play.look({ from: "diff" });
    for (let n = 0; n < 5; n++) {
      play.answer("ComputeDiff", "DiffFailed", { failure: { code: "BLOB_GONE", message: "gone" }, failures: [] });
      expect(play.last("FetchSource")["inputsDigest"]).toBeUndefined();
      play.fetched().rendered();
    }
    play.answer("ComputeDiff", "DiffFailed", { failure: { code: "BLOB_GONE", message: "gone" }, failures: [] });
    expect(play.context.failed?.failures[0]?.code).toBe("BLOB_GONE");
  });

  test("fetches more files when the engine asks for them", () => {
    const play = new Play(application()).look().fetched();
    play.answer("RenderManifests", "RenderNeedsFiles", { paths: ["base/x.yaml"], charts: [] });
    expect(play.last("FetchSource")["extraPaths"]).toEqual(["base/x.yaml"]);
    expect(play.last("FetchSource")["inputsDigest"]).toBeUndefined();
    play
      .fetched()
      .rendered()
      .compared([{ ...WEB, verdict: "Synced", live: live() }]);
    play.look();
    expect(play.last("FetchSource")).toMatchObject({ extraPaths: ["base/x.yaml"], inputsDigest: "inputs-1" });
  });

  test("renders every commit anew when the last render used the revision, and says so to the fetcher", () => {
    const play = new Play(application())
      .look()
      .fetched()
      .rendered({ variables: ["ARGOCD_APP_REVISION_SHORT"] });
    play.compared([{ ...WEB, verdict: "Synced", live: live() }]);
    expect(play.last("WatchSource")["inputsDigest"]).toBeUndefined();
    play.look();
    expect(play.last("FetchSource")["inputsDigest"]).toBeUndefined();
  });

  test("that is not answered in time says so and is repeated", () => {
    const play = new Play(application()).look();
    expect(play.delay("fetchDeadline")).toBe(60_000);
    play.fire("fetchDeadline");
    expect(play.context.failed?.failures[0]?.code).toBe("DEADLINE_EXCEEDED");
    play.fire("lookAgainDelay");
    expect(play.count("FetchSource")).toBe(2);
  });

  test("that fails for good keeps the resources, shows the code and prunes nothing", () => {
    const play = Play.synced({ prune: true });
    play.look().fetched({ revision: "b".repeat(40), observation: 2 });
    play.answer("RenderManifests", "RenderFailed", {
      failure: { code: "MANIFEST_INVALID", message: "bad", file: "a.yaml", line: 3 },
    });
    expect(play.sync).toBe("Unknown");
    expect(play.status()["conditions"][0]).toMatchObject({
      type: "ComparisonError",
      message: "[MANIFEST_INVALID] bad (a.yaml:3)",
    });
    expect(play.status()["resources"]).toHaveLength(1);
    expect(play.delay("lookAgainDelay")).toBeUndefined();
    expect(play.last("WatchSource")["inputsDigest"]).toBeUndefined();
    expect(play.count("ApplyStep")).toBe(0);
  });

  describe("whose render failed for good", () => {
    const BROKEN = { code: "MANIFEST_INVALID", message: "bad", file: "a.yaml", line: 3 };
    const broken = (failure: Record<string, unknown> = BROKEN) => {
      const play = Play.synced({ prune: true, selfHeal: true });
      play.look().fetched({ revision: "b".repeat(40), observation: 2 });
      return play.answer("RenderManifests", "RenderFailed", { failure, inputsDigest: "inputs-2" });
    };
    const renders = (play: Play) => play.count("RenderManifests");

    test("is not rendered again for the same inputs, and the error stays", () => {
      const play = broken();
      const before = renders(play);
      play.look();
      expect(play.last("FetchSource")["inputsDigest"]).toBe("inputs-2");
      play.fetched({ revision: "c".repeat(40), observation: 3, inputs: "same", bundleDigest: undefined });
      expect(renders(play)).toBe(before);
      expect(play.sync).toBe("Unknown");
      expect(play.status()["conditions"][0]).toMatchObject({ message: "[MANIFEST_INVALID] bad (a.yaml:3)" });
      expect(play.last("WatchSource")).toMatchObject({ inputsDigest: "inputs-2", revision: "c".repeat(40) });
    });

    test("is rendered again for other inputs, and when a hard refresh asks for it", () => {
      const play = broken();
      play.look({ hard: true });
      expect(play.last("FetchSource")["inputsDigest"]).toBeUndefined();
      play.fetched({ observation: 3 });
      play.answer("RenderManifests", "RenderFailed", { failure: BROKEN, inputsDigest: "inputs-2" });
      const before = renders(play);
      play.look().fetched({ observation: 4 });
      expect(renders(play)).toBe(before + 1);
      play.rendered().compared([{ ...WEB, verdict: "Synced", live: live() }]);
      expect(play.sync).toBe("Synced");
      play.look();
      expect(play.last("FetchSource")["inputsDigest"]).toBe("inputs-1");
    });

    test.each(["RENDER_FAILED", "PLUGIN_FAILED", "RENDER_LIMIT"])("but not when it was %s, which may pass", (code) => {
      const play = broken({ code, message: "no" }).look();
      expect(play.last("FetchSource")["inputsDigest"]).not.toBe("inputs-2");
    });

    test("is not forgotten over a change in the cluster: what was rendered last is no longer what is desired", () => {
      const play = broken();
      const compared = play.count("ComputeDiff");
      play.liveChanged();
      expect(play.count("ComputeDiff")).toBe(compared);
      play.fetched({ observation: 3, inputs: "same", bundleDigest: undefined });
      expect(play.status()["conditions"]).toHaveLength(1);
      expect(play.count("ApplyStep")).toBe(0);
    });
  });

  test("after one that could not reach Git asks Git itself, whatever was observed before", () => {
    const play = Play.synced().look();
    play.answer("FetchSource", "SourceFetchFailed", { failure: { code: "GIT_UNREACHABLE", message: "no answer" } });
    play.look({ freshness: "observed" });
    expect(play.last("FetchSource")).toMatchObject({ freshness: "latest" });
  });

  test("that could not reach Git still puts drift right, and goes on asking", () => {
    const play = Play.synced({ prune: true, selfHeal: true });
    play.look();
    play.answer("FetchSource", "SourceFetchFailed", { failure: { code: "GIT_UNREACHABLE", message: "no answer" } });
    play
      .liveChanged()
      .compared([{ ...WEB, verdict: "Suspect", live: live("30") }])
      .predicted([{ ...WEB, outcome: "differs", live: live("30"), fields: [{ path: "spec.replicas" }] }]);
    expect(play.sync).toBe("Syncing");
    expect(play.status()["conditions"][0]).toMatchObject({ message: expect.stringContaining("GIT_UNREACHABLE") });
    expect(play.delay("lookAgainDelay")).toBeDefined();
  });

  test("that fails before anything is known says Unknown at once", () => {
    const play = new Play(application()).look();
    play.answer("FetchSource", "SourceFetchFailed", { failure: { code: "REPO_NOT_FOUND", message: "no such" } });
    expect(play.status()["sync"]).toEqual({ status: "Unknown" });
  });

  test("that cannot reach Git leaves the status alone for a while and is repeated ever more slowly", () => {
    const play = Play.synced();
    const delays: number[] = [];
    play.look();
    for (let n = 0; n < 12 && play.sync === "Synced"; n++) {
      play.answer("FetchSource", "SourceFetchFailed", { failure: { code: "GIT_UNREACHABLE", message: "no answer" } });
      delays.push(play.delay("lookAgainDelay")!);
      if (play.sync === "Synced") play.fire("lookAgainDelay");
    }
    expect(play.sync).toBe("Unknown");
    expect(delays.length).toBeGreaterThan(3);
    expect(delays.at(-1)!).toBeGreaterThan(delays[0]! * 4);
    expect(Math.max(...delays)).toBeLessThanOrEqual(270_000);
  });

  test("asks the API server about suspects only, and a formatting change is no difference", () => {
    const play = Play.synced({ selfHeal: true });
    play.look({ from: "diff" }).compared([
      { ...WEB, verdict: "Suspect", live: live(), reason: "desired changed" },
      { ...CONFIG, verdict: "Synced", live: live() },
    ]);
    expect(play.last("PredictStep")["objects"]).toEqual([{ ...WEB, live: live() }]);
    play.predicted([{ ...WEB, outcome: "same", live: live() }]);
    expect(play.sync).toBe("Synced");
    expect(play.transitions).toEqual([]);
  });
});

describe("an automated sync", () => {
  test("records and predicts side by side, applies after both, and is told with its causes and times", () => {
    const play = new Play(application({}));
    play.passTo([
      { ...WEB, verdict: "Missing" },
      { ...CONFIG, verdict: "Suspect", live: live() },
    ]);
    expect(play.sync).toBe("Syncing");
    expect(play.last("PredictStep")["objects"]).toHaveLength(2);
    expect(play.status()["operationState"]).toMatchObject({
      phase: "Running",
      operation: { initiatedBy: { automated: true }, retry: { limit: 5 } },
    });
    expect(play.status()["operationState"].syncResult.resources).toHaveLength(2);
    play.predicted([
      { ...WEB, outcome: "creates" },
      { ...CONFIG, outcome: "same", live: live() },
    ]);
    expect(play.count("ApplyStep")).toBe(0);
    play.recorded();
    expect(play.last("ApplyStep")).toMatchObject({ purpose: "sync", epoch: 7, apply: [WEB], prune: [] });
    play.applied([{ ...WEB, outcome: "created", message: "deployment.apps/web created" }]);
    expect(play.transitions).toEqual(["Unknown>OutOfSync", "OutOfSync>Syncing", "Syncing>Synced"]);
    const changed = play.last("ApplicationChanged");
    expect(changed["causes"][0]["kind"]).toBe("start");
    expect(Object.keys(changed["timings"])).toEqual(
      expect.arrayContaining(["fetchMs", "renderMs", "diffMs", "predictMs", "applyMs", "totalMs"]),
    );
    const status = play.status();
    expect(status["operationState"]).toMatchObject({
      phase: "Succeeded",
      message: "successfully synced (all tasks run)",
    });
    expect(status["history"]).toHaveLength(1);
    expect(status["sync"]).toMatchObject({ status: "Synced", revision: "a".repeat(40) });
    expect(status["operationState"].operation.info.map((entry: { name: string }) => entry.name)).toContain(
      "driftless.io/render-key",
    );
  });

  test("applies nothing when one object is refused by the dry run, and is not tried again on this state", () => {
    const play = new Play(application({ selfHeal: true }));
    play.passTo([{ ...WEB, verdict: "Missing" }]);
    play.recorded().predicted([{ ...WEB, outcome: "failed", failure: { code: "APPLY_INVALID", message: "no image" } }]);
    expect(play.count("ApplyStep")).toBe(0);
    expect(play.sync).toBe("OutOfSync");
    expect(play.status()["operationState"]).toMatchObject({ phase: "Failed" });
    expect(play.status()["operationState"].message).toContain("one or more objects failed to apply (dry run)");
    expect(play.status()["operationState"].syncResult.resources[0]).toMatchObject({
      status: "SyncFailed",
      message: "[APPLY_INVALID] no image",
    });
    // The look that follows a failed operation finds the same.
    play.compared([{ ...WEB, verdict: "Missing" }]);
    expect(play.sync).toBe("OutOfSync");
    expect(play.count("ApplyStep")).toBe(0);
    expect(play.status()["conditions"][0].message).toMatch(/^\[APPLY_INVALID\] Failed last sync attempt to/);
    // A new desired state is tried.
    play
      .look()
      .fetched({ revision: "c".repeat(40), observation: 4 })
      .rendered({ renderKey: "key-2", manifestsDigest: "manifests-2" })
      .compared([{ ...WEB, verdict: "Missing" }]);
    expect(play.sync).toBe("Syncing");
  });

  test("retries what may succeed later, visibly, and gives up at the limit", () => {
    const raw = application({});
    (raw.spec["syncPolicy"] as Record<string, unknown>)["retry"] = { limit: 1, backoff: { duration: "5s" } };
    const play = new Play(raw).passTo([{ ...WEB, verdict: "Missing" }]);
    const failed = { ...WEB, outcome: "failed" as const, failure: { code: "APPLY_FAILED" as const, message: "503" } };
    play
      .predicted([{ ...WEB, outcome: "creates" }])
      .recorded()
      .applied([failed]);
    expect(play.snapshot.value).toMatchObject({ sync: { Syncing: "retrying" } });
    expect(play.status()["operationState"]).toMatchObject({ phase: "Running", retryCount: 1 });
    expect(play.status()["operationState"].message).toMatch(/Retrying attempt #1 at \d{4}-/);
    expect(play.delay("retryDelay")).toBe(5_000);
    const first = play.context.operation!.id;
    play
      .fire("retryDelay")
      .compared([{ ...WEB, verdict: "Missing" }])
      .predicted([{ ...WEB, outcome: "creates" }])
      .recorded()
      .applied([failed]);
    expect(play.context.lastOperationId).toBe(first);
    expect(play.sync).toBe("OutOfSync");
    expect(play.status()["operationState"]).toMatchObject({ phase: "Failed", retryCount: 1 });
  });

  test("is superseded between its steps by a newer observation, and the newer one is synced", () => {
    const play = new Play(application({})).passTo([{ ...WEB, verdict: "Missing" }]);
    play.predicted([{ ...WEB, outcome: "creates" }]);
    play.send({
      type: "SourceChanged",
      message: {
        repository: REPOSITORY,
        observation: 2,
        revision: "b".repeat(40),
        apps: ["uid-1"],
        cause: { kind: "webhook", at: "2026-01-01T00:00:00Z" },
      },
    });
    play.recorded();
    expect(play.count("ApplyStep")).toBe(0);
    expect(play.status()["operationState"]).toMatchObject({
      phase: "Failed",
      message: `superseded by ${"b".repeat(40)}`,
    });
    play
      .fetched({ revision: "b".repeat(40), observation: 2 })
      .rendered({ renderKey: "key-2", manifestsDigest: "manifests-2" })
      .compared([{ ...WEB, verdict: "Missing" }]);
    expect(play.sync).toBe("Syncing");
    expect(play.context.operation?.retryCount).toBe(0);
  });

  test.each([
    [
      "prune off and only something to prune",
      { selfHeal: true },
      [
        { ...WEB, verdict: "Extra" as const, live: live() },
        { ...CONFIG, verdict: "Synced" as const, live: live() },
      ],
      "OutOfSync",
    ],
    ["everything would be pruned", { prune: true }, [{ ...WEB, verdict: "Extra" as const, live: live() }], "OutOfSync"],
    [
      "what is to be pruned asks to be kept",
      { prune: true },
      [
        { ...WEB, verdict: "Extra" as const, live: live(), keep: "has the sync option Prune=false" },
        { ...CONFIG, verdict: "Synced" as const, live: live() },
      ],
      "OutOfSync",
    ],
    ["automation switched off", { enabled: false }, [{ ...WEB, verdict: "Missing" as const }], "OutOfSync"],
    [
      "an object whose kind nobody knows",
      {},
      [
        { ...WEB, verdict: "Unknown" as const, failure: { code: "KIND_UNKNOWN" as const, message: "no CRD" } },
        { ...CONFIG, verdict: "Missing" as const },
      ],
      "OutOfSync",
    ],
  ])("does not begin: %s", (_why, automated, objects, state) => {
    const play = new Play(application(automated)).passTo(objects);
    expect(play.sync).toBe(state);
    expect(play.count("ApplyStep") + play.count("PredictStep")).toBe(0);
  });

  test("that would wipe everything says WIPE_REFUSED, and allowEmpty allows it", () => {
    const objects: ComparedObject[] = [{ ...WEB, verdict: "Extra", live: live() }];
    const refused = new Play(application({ prune: true })).passTo(objects);
    expect(refused.status()["conditions"][0].message).toContain("[WIPE_REFUSED]");
    const allowed = new Play(application({ prune: true, allowEmpty: true })).passTo(objects).recorded();
    expect(allowed.last("ApplyStep")["prune"]).toEqual([{ ...WEB, live: live() }]);
  });

  test("does not touch kinds that the project denies, nor anything beside them", () => {
    const project = {
      ...PROJECT,
      spec: { ...PROJECT.spec, namespaceResourceBlacklist: [{ group: "apps", kind: "Deployment" }] },
    };
    const play = new Play(application({}), [project]).passTo([
      { ...WEB, verdict: "Missing" },
      { ...CONFIG, verdict: "Missing" },
    ]);
    expect(play.count("PredictStep") + play.count("ApplyStep")).toBe(0);
    expect(play.status()["conditions"][0].message).toContain("[PROJECT_DENIED]");
  });

  const messages = (play: Play): string =>
    (play.status()["conditions"] as { message: string }[]).map((one) => one.message).join();

  test("keeps to what it applied when the same inputs rendered differently", () => {
    const play = Play.synced({ selfHeal: true });
    play.look({ hard: true }).fetched({ observation: 2 }).rendered({ manifestsDigest: "random" });
    expect(play.last("ComputeDiff")["target"].manifestsDigest).toBe("manifests-1");
    play.compared([{ ...WEB, verdict: "Synced", live: live() }]);
    expect(play.sync).toBe("Synced");
    expect(messages(play)).toContain("[NONDETERMINISTIC_RENDER]");
  });

  test("holds back when the same inputs rendered differently and what it applied is no longer stored", () => {
    const play = Play.synced({ selfHeal: true });
    play.look({ hard: true }).fetched({ observation: 2 }).rendered({ manifestsDigest: "random" });
    play.answer("ComputeDiff", "DiffFailed", { failure: { code: "BLOB_GONE", message: "gone" }, failures: [] });
    play.fetched({ observation: 2 }).rendered({ manifestsDigest: "random" });
    play.compared([{ ...WEB, verdict: "Suspect", live: live() }]);
    play.predicted([{ ...WEB, outcome: "differs", live: live() }]);
    expect(play.sync).toBe("OutOfSync");
    expect(messages(play)).toContain("[NONDETERMINISTIC_RENDER]");
  });
});

describe("drift", () => {
  test("of an app that heals itself is put right at once and told as OutOfSync, Syncing, Synced", () => {
    const play = Play.synced({ selfHeal: true }).liveChanged();
    expect(play.last("ApplyStep")).toMatchObject({ purpose: "heal", apply: [{ ...WEB, live: live("30") }], prune: [] });
    const writes = play.writes;
    play.applied([
      {
        ...WEB,
        live: live("31"),
        takenFrom: ["kubectl"],
        fields: [{ path: "spec.replicas", desired: "3", live: "5" }],
      },
    ]);
    expect(play.transitions).toEqual(["Synced>OutOfSync", "OutOfSync>Syncing", "Syncing>Synced"]);
    expect(play.last("ApplicationChanged")["causes"][0]).toMatchObject({ kind: "drift", by: "kubectl" });
    expect(play.writes - writes).toBe(1);
    expect(play.status()["operationState"].operation.sync.autoHealAttemptsCount).toBe(1);
    expect(play.status()["history"]).toHaveLength(1);
  });

  test("that was none tells nothing and writes nothing", () => {
    const play = Play.synced({ selfHeal: true });
    const writes = play.writes;
    play.liveChanged().applied([{ ...WEB, outcome: "unchanged", live: live("30") }]);
    expect(play.transitions).toEqual([]);
    expect(play.writes).toBe(writes);
    expect(play.sync).toBe("Synced");
  });

  test("comes back soon: the second heal waits 2 seconds, the third 6", () => {
    const play = Play.synced({ selfHeal: true });
    play.liveChanged().applied([{ ...WEB, live: live("31") }]);
    play.liveChanged({ live: live("40") });
    expect(play.count("ApplyStep")).toBe(1);
    play
      .compared([{ ...WEB, verdict: "Suspect", live: live("40") }])
      .predicted([{ ...WEB, outcome: "differs", live: live("40") }]);
    expect(play.sync).toBe("OutOfSync");
    expect(play.delay("pause")).toBeGreaterThan(1_800);
    expect(play.delay("pause")).toBeLessThanOrEqual(2_000);
    play
      .fire("pause")
      .compared([{ ...WEB, verdict: "Suspect", live: live("40") }])
      .predicted([{ ...WEB, outcome: "differs", live: live("40") }]);
    play.recorded();
    expect(play.count("ApplyStep")).toBe(2);
    play.applied([{ ...WEB, live: live("41") }]);
    expect(play.sync).toBe("Synced");
    expect(play.context.heal.attempts).toBe(2);
  });

  test("of an app that does not heal itself is predicted and shown with the field, and stays", () => {
    const play = Play.synced({}).liveChanged();
    expect(play.count("ApplyStep")).toBe(0);
    play.compared([{ ...WEB, verdict: "Suspect", live: live("30") }]);
    play.predicted([
      {
        ...WEB,
        outcome: "differs",
        live: live("30"),
        fields: [{ path: "spec.replicas", desired: "3", live: "5" }],
        managers: ["kubectl"],
      },
    ]);
    expect(play.sync).toBe("OutOfSync");
    expect(play.last("ApplicationChanged")["resources"][0]["fields"][0]["path"]).toBe("spec.replicas");
    expect(play.count("ApplyStep")).toBe(0);
  });

  test("by deletion takes the long way: compared, recorded, created", () => {
    const play = Play.synced({ selfHeal: true }).liveChanged({ change: "deleted", live: undefined });
    play
      .compared([{ ...WEB, verdict: "Missing" }])
      .predicted([{ ...WEB, outcome: "creates" }])
      .recorded();
    expect(play.last("ApplyStep")).toMatchObject({ purpose: "sync", apply: [WEB] });
  });

  test("seen while our own apply runs is no drift when that apply made it", () => {
    const play = new Play(application({ selfHeal: true })).passTo([{ ...WEB, verdict: "Missing" }]);
    play.predicted([{ ...WEB, outcome: "creates" }]).recorded();
    play.liveChanged({ live: live("20") });
    play.applied([{ ...WEB, outcome: "created", live: live("20") }]);
    expect(play.sync).toBe("Synced");
    expect(play.count("ApplyStep")).toBe(1);
    expect(play.count("ComputeDiff")).toBe(1);
  });

  test("of health alone is written a little later and looks at nothing", () => {
    const play = Play.synced({ selfHeal: true }).liveChanged({
      change: "health",
      health: { status: "Degraded", message: "crash" },
    });
    expect(play.status()["health"]).toMatchObject({ status: "Degraded", message: "Deployment web: crash" });
    expect(play.count("ComputeDiff") + play.count("ApplyStep")).toBe(0);
  });
});

describe("an operation that somebody asks for", () => {
  const asked = (operation: Record<string, unknown>, automated?: Record<string, unknown>) => {
    const play = Play.synced(automated);
    play.told = [];
    play.send({ type: "ApplicationUpdated", view: view(application(automated, { operation, status: play.status() })) });
    return play;
  };

  test("looks at Git first, then syncs whatever it found, and takes the operation away with its outcome", () => {
    const play = asked({ sync: { prune: true }, initiatedBy: { username: "ada" } });
    expect(play.last("FetchSource")["freshness"]).toBe("latest");
    expect(
      applicationPatch(play.context, application(undefined, { operation: {} }) as never, play.now)?.patch,
    ).not.toHaveProperty("operation");
    play
      .fetched()
      .rendered()
      .compared([{ ...WEB, verdict: "Missing" }]);
    expect(play.sync).toBe("Syncing");
    const patch = () =>
      applicationPatch(play.context, application(undefined, { operation: {} }) as never, play.now)?.patch;
    // Argo CD's clients end an operation only where they see its field.
    expect(patch()).toMatchObject({ status: { operationState: { phase: "Running" } } });
    expect(patch()).not.toHaveProperty("operation");
    play
      .predicted([{ ...WEB, outcome: "creates" }])
      .recorded()
      .applied([{ ...WEB, outcome: "created" }]);
    expect(play.sync).toBe("Synced");
    expect(patch()).toMatchObject({ operation: null, status: { operationState: { phase: "Succeeded" } } });
    expect(play.status()["operationState"].operation).toMatchObject({ initiatedBy: { username: "ada" } });
    expect(play.status()["history"].at(-1).initiatedBy).toEqual({ username: "ada" });
  });

  describe("by itself", () => {
    const syncing = () => new Play(application({})).passTo([{ ...WEB, verdict: "Missing" }]);
    const recorded = (play: Play) => application({}, { operation: play.status()["operationState"].operation });
    const seen = (play: Play, over: Partial<Raw>) =>
      play.send({ type: "ApplicationUpdated", view: view(application({}, { status: play.status(), ...over })) });

    test("stands in the Application while it runs; what a watch tells of it late is no request", () => {
      const play = syncing();
      const { operation } = applicationPatch(play.context, application({}) as never, play.now)!.patch;
      expect(operation).toMatchObject({ initiatedBy: { automated: true } });
      expect(applicationPatch(play.context, recorded(play) as never, play.now)?.patch).not.toHaveProperty("operation");
      const late = { operation: operation as Raw, status: play.status() };
      play
        .predicted([{ ...WEB, outcome: "creates" }])
        .recorded()
        .applied([{ ...WEB, outcome: "created" }]);
      const written = application({}, late);
      expect(applicationPatch(play.context, written as never, play.now)?.patch).toHaveProperty("operation", null);
      seen(play, late);
      expect(play.context.request).toBeUndefined();
      expect(play.sync).toBe("Synced");
    });

    test("that somebody writes over while it runs is followed by what he asks for", () => {
      const play = syncing();
      const { operation } = applicationPatch(play.context, application({}) as never, play.now)!.patch;
      seen(play, { operation: operation as Raw });
      seen(play, { operation: { ...(operation as Raw), initiatedBy: { username: "ada" } } });
      play
        .predicted([{ ...WEB, outcome: "creates" }])
        .recorded()
        .applied([{ ...WEB, outcome: "created" }]);
      expect(play.context.request?.field.initiatedBy).toEqual({ username: "ada" });
    });
  });

  test("of an app in sync succeeds without applying anything", () => {
    const play = asked({ sync: {} })
      .fetched()
      .rendered()
      .compared([{ ...WEB, verdict: "Synced", live: live() }])
      .recorded();
    expect(play.count("ApplyStep")).toBe(0);
    expect(play.status()["operationState"].phase).toBe("Succeeded");
    expect(play.transitions).toEqual(["Synced>Syncing", "Syncing>Synced"]);
  });

  test("with dryRun asks the API server and applies nothing", () => {
    const play = asked({ sync: { dryRun: true } })
      .fetched()
      .rendered()
      .compared([{ ...WEB, verdict: "Missing" }]);
    play.predicted([{ ...WEB, outcome: "creates" }]).recorded();
    expect(play.count("ApplyStep")).toBe(0);
    expect(play.sync).toBe("OutOfSync");
    expect(play.status()["operationState"].phase).toBe("Succeeded");
    expect(play.status()["history"] ?? []).toHaveLength(0);
  });

  test("of a revision of its own fetches that one and looks at the followed one afterwards", () => {
    const play = asked({ sync: { revision: "v1" } });
    expect(play.last("FetchSource")["source"]["targetRevision"]).toBe("v1");
    play
      .fetched({ revision: "1".repeat(40), observation: 3 })
      .rendered({ manifestsDigest: "m-v1", renderKey: "k-v1" })
      .compared([{ ...WEB, verdict: "Missing" }]);
    expect(play.count("WatchSource")).toBe(0);
    play
      .predicted([{ ...WEB, outcome: "creates" }])
      .recorded()
      .applied([{ ...WEB, outcome: "created" }]);
    expect(play.last("FetchSource")["source"]["targetRevision"]).toBe("main");
  });

  test("that comes while a look is under way waits for a look of its own", () => {
    const play = Play.synced({ selfHeal: true })
      .look()
      .fetched({ observation: 2, revision: "b".repeat(40) });
    play.send({
      type: "ApplicationUpdated",
      view: view(application({ selfHeal: true }, { operation: { sync: { revision: "v1" } } })),
    });
    play.rendered({ manifestsDigest: "m-2", renderKey: "k-2" }).compared([{ ...WEB, verdict: "Synced", live: live() }]);
    expect(play.sync).toBe("Synced");
    expect(play.last("FetchSource")["source"]["targetRevision"]).toBe("v1");
    play
      .fetched({ revision: "1".repeat(40), observation: 3 })
      .rendered({ manifestsDigest: "m-v1", renderKey: "k-v1" })
      .compared([{ ...WEB, verdict: "Missing" }]);
    expect(play.context.operation?.render.manifestsDigest).toBe("m-v1");
  });

  test.each([["an unknown option", { sync: { syncOptions: ["Novelty=1"] } }, "operation.sync.syncOptions[Novelty=1]"]])(
    "with %s ends at once with the field's name",
    (_what, operation, path) => {
      const play = asked(operation);
      expect(play.count("FetchSource")).toBe(0);
      expect(play.status()["operationState"]).toMatchObject({ phase: "Error" });
      expect(play.status()["operationState"].message).toContain(`[UNSUPPORTED_FIELD] ${path}`);
      expect(
        applicationPatch(play.context, application(undefined, { operation: {} }) as never, play.now)?.patch,
      ).toMatchObject({ operation: null });
    },
  );

  test("ends with the reason when the look fails", () => {
    const play = asked({ sync: {} });
    play.answer("FetchSource", "SourceFetchFailed", { failure: { code: "GIT_UNREACHABLE", message: "no answer" } });
    expect(play.status()["operationState"]).toMatchObject({ phase: "Error", message: "[GIT_UNREACHABLE] no answer" });
  });

  test("is never superseded", () => {
    const play = asked({ sync: {} })
      .fetched()
      .rendered()
      .compared([{ ...WEB, verdict: "Missing" }])
      .predicted([{ ...WEB, outcome: "creates" }]);
    play.send({
      type: "SourceChanged",
      message: {
        repository: REPOSITORY,
        observation: 9,
        revision: "b".repeat(40),
        apps: ["uid-1"],
        cause: { kind: "webhook", at: "2026-01-01T00:00:00Z" },
      },
    });
    play.recorded();
    expect(play.last("ApplyStep")["purpose"]).toBe("sync");
  });

  test("is ended by Terminating", () => {
    const play = asked({ sync: {} })
      .fetched()
      .rendered()
      .compared([{ ...WEB, verdict: "Missing" }]);
    const status = { ...play.status(), operationState: { ...play.status()["operationState"], phase: "Terminating" } };
    play.send({ type: "ApplicationUpdated", view: view(application(undefined, { status })) });
    expect(play.status()["operationState"]).toMatchObject({ phase: "Failed", message: "Operation terminated" });
    expect(play.sync).toBe("OutOfSync");
  });

  const missing = [{ ...WEB, verdict: "Missing" as const }];
  const job = { group: "batch", version: "v1", kind: "Job", namespace: "shop", name: "pre" };
  const hooks = [{ ...job, index: 1, phases: ["PreSync"], wave: 0, deletePolicies: [] }];
  const begun = (field: Record<string, unknown> = {}, more = {}) =>
    asked({ sync: {}, ...field })
      .fetched()
      .rendered()
      .compared(missing, more);
  const hookRan = (play: Play) => {
    const {
      operationId,
      hooks: [{ run }],
    } = play.last("ApplyStep") as { operationId: string; hooks: [{ run: string }] };
    const hook = { ...job, run, outcome: "created", message: "", live: live(), health: { status: "Progressing" } };
    return play.answer("ApplyStep", "StepApplied", { operationId, server: "s", objects: [], hooks: [hook] });
  };
  const letGo = (play: Play) =>
    play.answer("ApplyStep", "StepApplied", {
      operationId: play.last("ApplyStep")["operationId"],
      server: "s",
      objects: [],
    });

  test.each<[string, () => Play, (play: Play) => unknown]>([
    ["predicting", () => begun({}, { hooks }), () => undefined],
    [
      "applying",
      () =>
        begun()
          .predicted([{ ...WEB, outcome: "creates" }])
          .recorded(),
      (play) => play.applied([{ ...WEB, outcome: "created" }]),
    ],
    ["waiting", () => hookRan(begun({}, { hooks }).predicted([]).recorded()), (play) => letGo(play.recorded())],
    [
      "retrying",
      () =>
        begun({ retry: { limit: 3 } })
          .predicted([{ ...WEB, outcome: "creates" }])
          .recorded()
          .applied([{ ...WEB, outcome: "failed", message: "no" }]),
      () => undefined,
    ],
  ])("is terminated while %s, and hooks that it had begun are taken away", (state, drive, after) => {
    const play = drive();
    expect((play.snapshot.value as { sync: { Syncing: string } }).sync.Syncing).toBe(state);
    const status = { ...play.status(), operationState: { ...play.status()["operationState"], phase: "Terminating" } };
    play.send({ type: "ApplicationUpdated", view: view(application(undefined, { status })) });
    after(play);
    expect(play.status()["operationState"]).toMatchObject({ phase: "Failed", message: "Operation terminated" });
    expect(play.sync).not.toBe("Syncing");
    const releases = play.told.flatMap(({ message }) => message["releases"] ?? []);
    expect(releases.map(({ remove }: { remove: boolean }) => remove)).toEqual(state === "waiting" ? [true] : []);
  });

  test("that asks for nothing ends with Argo CD's words, and is told though it never began", () => {
    const play = new Play(application()).passTo([{ ...WEB, verdict: "Synced", live: live() }]);
    const managedFields = [{ manager: "curl", time: "t", fieldsV1: { "f:operation": {} } }];
    const raw = application(undefined, { operation: { initiatedBy: { username: "ann" } } });
    play.send({ type: "ApplicationUpdated", view: view({ ...raw, metadata: { ...raw.metadata, managedFields } }) });
    const message = expect.stringContaining("Invalid operation request: no operation specified");
    expect(play.status()["operationState"]).toMatchObject({ phase: "Error", message });
    expect(play.last("ApplicationChanged")).toMatchObject({
      from: "Synced",
      to: "Synced",
      operation: { phase: "Error", username: "ann", requestedBy: "curl", message },
    });
  });

  test("may be asked for twice with the same words", () => {
    const play = asked({ sync: {} })
      .fetched()
      .rendered()
      .compared([{ ...WEB, verdict: "Synced", live: live() }])
      .recorded();
    const { status } = { status: play.status() };
    play.send({ type: "ApplicationUpdated", view: view(application(undefined, { status })) });
    const before = play.count("FetchSource");
    play.send({ type: "ApplicationUpdated", view: view(application(undefined, { status, operation: { sync: {} } })) });
    expect(play.count("FetchSource")).toBe(before + 1);
  });
});

test("an object that is Degraded for a moment is looked at once more before its wave fails", () => {
  const pvc = { ...WEB, group: "", kind: "PersistentVolumeClaim", name: "data" };
  const play = new Play(application({})).passTo([
    { ...pvc, verdict: "Missing", wave: -1 },
    { ...WEB, verdict: "Missing" },
  ]);
  play.predicted([pvc, WEB].map((key) => ({ ...key, outcome: "creates" as const }))).recorded();
  const health = { status: "Degraded" as const, message: "lost" };
  play.applied([{ ...pvc, outcome: "created", live: live(), health }]);
  const looks = play.count("ComputeDiff");
  play.fire("awaitedLook");
  expect(play.count("ComputeDiff")).toBe(looks + 1);
  expect(play.context.operation?.next?.kind).toBe("wait");
  const there = { ...pvc, verdict: "Synced" as const, live: live(), wave: -1 };
  play.compared(
    [
      { ...there, health: { status: "Healthy" } },
      { ...WEB, verdict: "Missing" },
    ],
    { awaited: [] },
  );
  play.recorded();
  expect(play.last("ApplyStep")["apply"]).toMatchObject([WEB]);
});

describe("a sync window", () => {
  // Play begins at 00:16:40.
  const closedFor = (duration: string) => [
    {
      ...PROJECT,
      spec: {
        ...PROJECT.spec,
        syncWindows: [{ kind: "deny", schedule: "0 0 * * *", duration, applications: ["*"] }],
      },
    },
  ];
  const missing = [{ ...WEB, verdict: "Missing" as const }];

  test("is waited for as long as the last verdict says, and then looked at anew", () => {
    const play = new Play(application({}), closedFor("1h"));
    play.passTo(missing);
    expect(play.sync).toBe("OutOfSync");
    expect(play.delay("windowDelay")).toBe(3_600_000 - play.now);
    expect(play.status()["conditions"]).toMatchObject([
      { type: "SyncWindowWarning", message: expect.stringContaining("until 1970-01-01T01:00:00Z") },
    ]);
    play.send({ type: "ApplicationUpdated", view: view(application({}), closedFor("30m")) });
    play.fetched().rendered().compared(missing);
    expect(play.delay("windowDelay")).toBe(1_800_000 - play.now);
    play.fire("windowDelay");
    expect(play.sync).toBe("OutOfSync");
    play.compared(missing);
    expect(play.sync).toBe("Syncing");
    expect(play.context.syncCondition).toBeUndefined();
  });

  test("holds what somebody asks for even where nothing differs, as a running operation", () => {
    const play = Play.synced({});
    const operation = { sync: {}, initiatedBy: { username: "ada" } };
    const raw = application({}, { operation, status: play.status() });
    play.send({ type: "ApplicationUpdated", view: view(raw, closedFor("30m")) });
    play
      .fetched()
      .rendered()
      .compared([{ ...WEB, verdict: "Synced", live: live() }]);
    expect(play.sync).toBe("Synced");
    expect(play.status()["operationState"]).toMatchObject({ phase: "Running", operation });
    play.fire("windowDelay");
    play
      .fetched()
      .rendered()
      .compared([{ ...WEB, verdict: "Synced", live: live() }]);
    expect(play.sync).toBe("Syncing");
    expect(Date.parse(play.context.operation!.startedAt)).toBeGreaterThanOrEqual(1_800_000);
  });

  test("that opens later than it did is waited for by the running operation until then", () => {
    const waves = [
      { ...CONFIG, verdict: "Missing" as const, wave: -1 },
      { ...WEB, verdict: "Missing" as const },
    ];
    const play = new Play(application({})).passTo(waves);
    play.predicted([CONFIG, WEB].map((key) => ({ ...key, outcome: "creates" as const }))).recorded();
    const raw = application({}, { status: play.status() });
    play.send({ type: "ApplicationUpdated", view: view(raw, closedFor("30m")) });
    play.applied([{ ...CONFIG, outcome: "created", live: live() }]);
    expect(play.delay("awaitedLook")).toBe(1_800_000 - play.now);
    play.send({ type: "ApplicationUpdated", view: view(raw, closedFor("1h")) }).fire("awaitedLook");
    expect(play.delay("awaitedLook")).toBe(3_600_000 - play.now);
    expect(play.status()["operationState"].message).toContain("until 1970-01-01T01:00:00Z");
    play.fire("awaitedLook").recorded();
    expect(play.last("ApplyStep")["apply"]).toMatchObject([WEB]);
  });

  test("stops the drift of an app that heals itself from being put right at once", () => {
    const play = Play.synced({ selfHeal: true });
    const raw = application({ selfHeal: true }, { status: play.status() });
    play.send({ type: "ApplicationUpdated", view: view(raw, closedFor("30m")) });
    play
      .fetched()
      .rendered()
      .compared([{ ...WEB, verdict: "Synced", live: live("20") }]);
    play.told = [];
    play.liveChanged();
    expect(play.count("ApplyStep")).toBe(0);
    play.compared([{ ...WEB, verdict: "Suspect", live: live("30") }]);
    play.predicted([{ ...WEB, outcome: "differs", live: live("30") }]);
    expect(play.sync).toBe("OutOfSync");
    expect(play.delay("windowDelay")).toBe(1_800_000 - play.now);
  });
});

test("an attempt that takes a newer revision is still the operation of its field, and ends with it", () => {
  const retry = { limit: 2, refresh: true };
  const spec = { ...application().spec, syncPolicy: { automated: {}, retry } };
  const play = new Play(application(undefined, { spec }));
  play.passTo([{ ...WEB, verdict: "Missing" }]);
  const raw = application({}, { spec, status: play.status() });
  const written = { ...raw, operation: applicationPatch(play.context, raw as never, play.now)!.patch["operation"] };
  play.predicted([{ ...WEB, outcome: "creates" }]).recorded();
  play.applied([{ ...WEB, outcome: "failed", failure: { code: "APPLY_FAILED", message: "no" } }]).fire("retryDelay");
  play.fetched({ revision: "b".repeat(40), observation: 2 }).rendered({ renderKey: "k-2", manifestsDigest: "m-2" });
  play.compared([{ ...WEB, verdict: "Missing" }]);
  const again = { ...written, status: play.status() };
  expect(isFieldOfRunning(again as never)).toBe(true);
  play.send({ type: "ApplicationUpdated", view: view(again) });
  play.predicted([{ ...WEB, outcome: "creates" }]).recorded();
  play.applied([{ ...WEB, outcome: "created", live: live() }]);
  expect(play.context.operationState).toMatchObject({ phase: "Succeeded" });
  expect(play.context.request).toBeUndefined();
});

describe("Applications that it depends on", () => {
  const missing = [{ ...WEB, verdict: "Missing" as const }];
  const differs = [{ ...WEB, verdict: "Suspect" as const, live: live("30") }];
  const differently = [{ ...WEB, outcome: "differs" as const, live: live("30") }];
  const waiting = (automated: Record<string, unknown>, awaited: AppView["awaited"], over: Partial<Raw> = {}) => ({
    ...view(application(automated, over)),
    awaited,
  });
  const db = { blockers: ["argocd/db (OutOfSync, Progressing)"] };
  const told = (play: Play) => play.status()["conditions"];

  test("are waited for with their names, and the moment they are ready it goes on", () => {
    const play = new Play(application({}));
    play.send({ type: "ApplicationUpdated", view: waiting({}, db) });
    play.passTo(missing);
    expect(play.sync).toBe("OutOfSync");
    const message = "[DEPENDENCY_NOT_READY] waiting for Application argocd/db (OutOfSync, Progressing)";
    expect(told(play)).toMatchObject([{ type: "DependencyWarning", message }]);
    const looks = play.count("ComputeDiff");
    play.send({ type: "ApplicationUpdated", view: waiting({}, db) });
    expect(play.count("ComputeDiff")).toBe(looks);
    play.send({ type: "ApplicationUpdated", view: waiting({}, { blockers: [] }) });
    expect(play.count("ComputeDiff")).toBe(looks + 1);
    play.compared(missing);
    expect(play.sync).toBe("Syncing");
    expect(play.context.syncCondition).toBeUndefined();
  });

  test("do not concern it while nothing is to be synced", () => {
    const play = Play.synced({});
    const looks = play.count("ComputeDiff");
    play.send({ type: "ApplicationUpdated", view: waiting({}, db) });
    play.send({ type: "ApplicationUpdated", view: waiting({}, { blockers: [] }) });
    expect(play.count("ComputeDiff")).toBe(looks);
  });

  test("hold neither heals nor what somebody asks for", () => {
    const healing = Play.synced({ selfHeal: true });
    const raw = { status: healing.status() };
    healing.send({ type: "ApplicationUpdated", view: waiting({ selfHeal: true }, db, raw) });
    healing.look({ from: "diff" }).compared(differs).predicted(differently);
    expect(healing.sync).toBe("Syncing");
    const asked = Play.synced({});
    const operation = { sync: {}, initiatedBy: { username: "ada" } };
    asked.send({ type: "ApplicationUpdated", view: waiting({}, db, { operation, status: asked.status() }) });
    asked.fetched().rendered().compared(missing);
    expect(asked.sync).toBe("Syncing");
  });

  test("a cycle is told even while everything is in sync, and holds until it is broken", () => {
    const play = Play.synced({});
    const cycle = { blockers: [], cycle: ["argocd/shop", "argocd/db", "argocd/shop"] };
    const synced = [{ ...WEB, verdict: "Synced" as const, live: live() }];
    play.send({ type: "ApplicationUpdated", view: waiting({}, cycle, { status: play.status() }) }).compared(synced);
    const message = expect.stringMatching(/^\[DEPENDENCY_CYCLE\] argocd\/shop → argocd\/db → argocd\/shop: /);
    expect(told(play)).toMatchObject([{ type: "DependencyWarning", message }]);
    play.look().fetched().rendered({ renderKey: "key-2", manifestsDigest: "manifests-2" }).compared(missing);
    expect(play.sync).toBe("OutOfSync");
    expect(told(play)).toMatchObject([{ type: "DependencyWarning", message }]);
    play.send({ type: "ApplicationUpdated", view: waiting({}, { blockers: [] }) }).compared(missing);
    expect(play.sync).toBe("Syncing");
  });
});

describe("a restart", () => {
  const running = (over: Record<string, unknown> = {}) =>
    application(
      {},
      {
        status: {
          resources: [{ ...CONFIG, status: "Synced" }],
          operationState: {
            phase: "Running",
            startedAt: "2026-01-01T00:00:00Z",
            operation: {
              initiatedBy: { automated: true },
              retry: { limit: 5 },
              sync: { revision: "d".repeat(40) },
              info: [{ name: "driftless.io/operation-id", value: "op-9" }],
            },
            syncResult: { revision: "d".repeat(40), resources: [{ ...WEB }] },
            ...over,
          },
        },
      },
    );

  test("goes on with a running operation under its own id and revision, knowing what it had planned", () => {
    const play = new Play(running()).look();
    expect(play.last("FetchSource")["source"]["targetRevision"]).toBe("d".repeat(40));
    play.fetched().rendered();
    expect(play.last("ComputeDiff")["inventory"]).toEqual([CONFIG, WEB]);
    play
      .compared([{ ...WEB, verdict: "Missing" }])
      .predicted([{ ...WEB, outcome: "creates" }])
      .recorded();
    expect(play.last("ApplyStep")).toMatchObject({ operationId: "op-9", epoch: 7 });
  });

  test("makes anew what every sync makes anew, but for what its record says is done", () => {
    const syncResult = { revision: "d".repeat(40), resources: [{ ...WEB, status: "Synced" }, { ...CONFIG }] };
    const remade = { verdict: "Synced" as const, live: live(), remade: true };
    const play = new Play(running({ syncResult }))
      .passTo([
        { ...WEB, ...remade },
        { ...CONFIG, ...remade },
      ])
      .recorded();
    expect(play.last("ApplyStep")["apply"]).toEqual([{ ...CONFIG, live: live(), again: true }]);
  });

  test("waits for the rest of the pause before the next attempt", () => {
    const finishedAt = new Date(1_000_000).toISOString();
    const play = new Play(running({ retryCount: 1, finishedAt })).passTo([{ ...WEB, verdict: "Missing" }]);
    expect(play.sync).toBe("OutOfSync");
    expect(play.delay("pause")).toBeLessThan(5_000);
    play
      .fire("pause")
      .fetched()
      .rendered()
      .compared([{ ...WEB, verdict: "Missing" }]);
    expect(play.context.operation).toMatchObject({ id: "op-9", retryCount: 1 });
  });

  test("ends at once in that pause when somebody terminates it, whatever becomes of the look, and is told", () => {
    const finishedAt = new Date(1_000_000).toISOString();
    const paused = running({ retryCount: 1, finishedAt });
    const play = new Play(paused).passTo([{ ...WEB, verdict: "Missing" }]);
    const { operationState } = paused["status"] as { operationState: object };
    const status = { operationState: { ...operationState, phase: "Terminating" } };
    play.send({ type: "ApplicationUpdated", view: view({ ...paused, status }) });
    expect(play.status()["operationState"]).toMatchObject({ phase: "Failed", message: "Operation terminated" });
    expect(play.last("ApplicationChanged")).toMatchObject({ operation: { id: "op-9", phase: "Failed" } });
  });

  test.each([{ revision: "release" }, { revision: "" }])(
    "does not take the request of what runs for another one, asked for with %o",
    (sync) => {
      const operation = { sync };
      const begun = Play.synced({});
      begun.send({ type: "ApplicationUpdated", view: view(application({}, { operation, status: begun.status() })) });
      begun
        .fetched()
        .rendered({ manifestsDigest: "m-2" })
        .compared([{ ...WEB, verdict: "Missing" }]);
      const raw = application({}, { operation, status: begun.status() });
      expect(raw["status"]).toMatchObject({ operationState: { operation: { sync: { revision: "a".repeat(40) } } } });
      const play = new Play(raw).look();
      play.send({ type: "ApplicationUpdated", view: view(raw) });
      play.fetched().rendered();
      play
        .compared([{ ...WEB, verdict: "Missing" }])
        .predicted([{ ...WEB, outcome: "creates" }])
        .recorded();
      play.applied([{ ...WEB, outcome: "created", live: live() }]);
      expect(play.context.operationState?.phase).toBe("Succeeded");
      expect(play.context.request).toBeUndefined();
      expect(applicationPatch(play.context, raw as never, play.now)?.patch["operation"]).toBeNull();
    },
  );

  test("of an app in sync writes nothing", () => {
    const before = Play.synced({ selfHeal: true });
    const status = before.status();
    const play = new Play(application({ selfHeal: true }, { status })).look();
    expect(play.last("FetchSource")["inputsDigest"]).toBe("inputs-1");
    play
      .fetched({ inputs: "same", bundleDigest: undefined, revision: "e".repeat(40), observation: 9 })
      .compared([{ ...WEB, verdict: "Synced", live: live("77") }], { images: status["summary"].images });
    expect(play.sync).toBe("Synced");
    expect(
      applicationPatch(play.context, { metadata: application().metadata, status } as never, play.now),
    ).toBeUndefined();
  });
});

describe("several sources", () => {
  const sourceOf = (name: string, more: Record<string, unknown> = {}) => ({
    repoURL: `https://git.example.com/team/${name}`,
    path: "deploy",
    targetRevision: "main",
    ...more,
  });
  const values = { repoURL: "https://git.example.com/team/values", targetRevision: "main", ref: "values" };
  const reads = { helm: { valueFiles: ["$values/prod.yaml"] } };
  const of = (...sources: Record<string, unknown>[]) => {
    const raw = application({});
    return { ...raw, spec: { ...raw.spec, source: undefined, sources } };
  };
  const first = { renderKey: "k1", manifestsDigest: "m1", inputsDigest: "i1" };
  const second = { renderKey: "k2", manifestsDigest: "m2", inputsDigest: "i2" };
  const same = { inputs: "same", bundleDigest: undefined };
  const synced = () => {
    const play = new Play(of(sourceOf("one"), sourceOf("two")));
    play.look().fetched({ revision: "1" }).rendered(first).fetched({ revision: "2" }).rendered(second);
    play
      .compared([{ ...WEB, verdict: "Missing" }])
      .predicted([{ ...WEB, outcome: "creates" }])
      .recorded()
      .applied([{ ...WEB, outcome: "created", live: live() }]);
    return play;
  };
  const asked = (play: Play, name: string) =>
    play.told.filter((told) => told.name === name).map(({ message }) => message);
  const changed = (repository: string, observation: number) => ({
    type: "SourceChanged",
    message: {
      repository: repositoryHash(`https://git.example.com/team/${repository}`),
      observation,
      revision: "b".repeat(40),
      apps: ["uid-1"],
      cause: { kind: "webhook", at: "2026-01-01T00:00:00Z" },
    },
  });

  test("are fetched and rendered one after the other, and compared, recorded and watched as one", () => {
    const play = synced();
    expect(asked(play, "FetchSource").map(({ source }) => [source.repoURL.at(-1), source.key])).toEqual([
      ["e", undefined],
      ["o", "1"],
    ]);
    expect(play.last("ComputeDiff")["target"]["manifestsDigest"]).toBe("m1+m2");
    expect(play.last("ApplyStep")["target"]["manifestsDigest"]).toBe("m1+m2");
    expect(asked(play, "WatchSource").map(({ inputsDigest, revision }) => [inputsDigest, revision])).toEqual([
      ["i1", "1"],
      ["i2", "2"],
    ]);
    expect(play.status()).toMatchObject({
      sync: { revisions: ["1", "2"], comparedTo: { sources: [sourceOf("one"), sourceOf("two")] } },
      sourceTypes: ["Directory", "Directory"],
      sourceType: null,
      history: [{ revisions: ["1", "2"], sources: [sourceOf("one"), sourceOf("two")] }],
      operationState: {
        operation: { sync: { revisions: ["1", "2"] } },
        syncResult: { revision: "", revisions: ["1", "2"] },
      },
    });
    expect(play.last("ApplicationChanged")["revisions"]).toEqual(["1", "2"]);
  });

  test("cost the one that changed: what is known of the others is taken as it is", () => {
    const play = synced();
    play.told = [];
    play.send(changed("two", 2)).fetched({ revision: "3", ...same });
    expect(asked(play, "FetchSource").map(({ inputsDigest }) => inputsDigest)).toEqual(["i1", "i2"]);
    play.fetched({ revision: "4", observation: 2 }).rendered({ ...second, renderKey: "k3", manifestsDigest: "m3" });
    expect(play.count("RenderManifests")).toBe(1);
    expect(play.last("ComputeDiff")["target"]["manifestsDigest"]).toBe("m1+m3");
    play.compared([{ ...WEB, verdict: "Synced", live: live() }]);
    expect(play.status()["sync"].revisions).toEqual(["3", "4"]);
    expect(asked(play, "WatchSource").map(({ source }) => source.key)).toEqual(["1"]);
  });

  test.each([[undefined], [["1", "2"]], [["", "2"]]])(
    "their operation is known by its field, with revisions %o",
    (revisions) => {
      const { operationState } = synced().status();
      const { info: _info, sync, ...rest } = operationState.operation;
      const operation = { ...rest, sync: { ...sync, revisions } };
      const status = { operationState: { ...operationState, phase: "Running" } };
      expect(isFieldOfRunning({ operation, status })).toBe(true);
      expect(isFieldOfRunning({ operation: { ...operation, sync: { revisions: ["2", "1"] } }, status })).toBe(false);
    },
  );

  test("are known again after a restart from what the last operation wrote down", () => {
    const before = synced();
    const { operationState } = before.status();
    const again = new Play({ ...of(sourceOf("one"), sourceOf("two")), status: { operationState } }).look();
    again.fetched({ revision: "1", ...same }).fetched({ revision: "2", ...same });
    expect(asked(again, "FetchSource").map(({ inputsDigest }) => inputsDigest)).toEqual(["i1", "i2"]);
    expect(again.last("ComputeDiff")["target"]["manifestsDigest"]).toBe("m1+m2");
    expect(again.count("RenderManifests")).toBe(0);
  });

  test("of one repository are resolved once, what is only read is not asked for, and its moves are watched", () => {
    const web = sourceOf("charts", reads);
    const play = new Play(of(values, web, sourceOf("charts", { path: "other", ...reads }), sourceOf("values"))).look();
    expect(play.last("FetchSource")).toMatchObject({
      source: { repoURL: web.repoURL },
      refs: [{ name: "values", source: { repoURL: values.repoURL, targetRevision: "main" } }],
    });
    expect(play.last("FetchSource")).not.toHaveProperty("commit");
    const refs = { refRevisions: { values: "v" }, refObservations: { values: 7 } };
    play.fetched({ revision: "c", ...refs }).rendered(first);
    expect(play.last("FetchSource")).toMatchObject({ commit: "c", refs: [{ name: "values", commit: "v" }] });
    play.fetched({ revision: "c", ...refs }).rendered(second);
    expect(play.last("FetchSource")).toMatchObject({ commit: "v", source: { repoURL: values.repoURL, key: "2" } });
    play.fetched({ revision: "v", observation: 8 }).rendered({ ...second, manifestsDigest: "m3" });
    expect(play.count("FetchSource")).toBe(3);
    expect(play.last("ComputeDiff")["target"]["manifestsDigest"]).toBe("+m1+m2+m3");
    play.compared([{ ...WEB, verdict: "Synced", live: live() }]);
    expect(play.status()["sync"].revisions).toEqual(["v", "c", "c", "v"]);
    expect(asked(play, "WatchSource").map(({ refRevisions }) => refRevisions)).toEqual([
      { values: "v" },
      { values: "v" },
      undefined,
    ]);
    // Seven is what the render is made of, and no news; eight is.
    play.send(changed("values", 7));
    expect(play.count("FetchSource")).toBe(3);
    play.send(changed("values", 8));
    expect(play.count("FetchSource")).toBe(4);
  });

  test("that nobody reads are asked for their revision only", () => {
    const play = new Play(of(values, sourceOf("one"))).look().fetched({ revision: "1" }).rendered(first);
    expect(play.last("FetchSource")).toMatchObject({ revisionOnly: true, source: { repoURL: values.repoURL } });
    play.fetched({ revision: "v", ...same }).compared([{ ...WEB, verdict: "Synced", live: live() }]);
    expect(play.status()["sync"].revisions).toEqual(["v", "1"]);
    expect(play.status()["sourceTypes"]).toEqual(["", "Directory"]);
    expect(play.count("WatchSource")).toBe(1);
  });

  test("that go are forgotten, also when they go in the middle of a look", () => {
    const play = synced();
    play.told = [];
    play.look().send({ type: "ApplicationUpdated", view: view(of(sourceOf("one"))) });
    play.fetched({ revision: "1" }).rendered(first).fetched({ revision: "2" }).rendered(second);
    play.compared([{ ...WEB, verdict: "Synced", live: live() }]);
    expect(play.count("ForgetSource")).toBe(0);
    play
      .fetched({ revision: "1" })
      .rendered(first)
      .compared([{ ...WEB, verdict: "Synced", live: live() }]);
    expect(play.last("ForgetSource")["source"]).toMatchObject({ key: "1", repoURL: sourceOf("two").repoURL });
    expect(play.status()["sync"].revisions).toEqual(["1"]);
    play
      .look()
      .fetched({ revision: "1", ...same })
      .compared([{ ...WEB, verdict: "Synced", live: live() }]);
    expect(play.count("ForgetSource")).toBe(1);
  });

  test("are all fetched and rendered again when a body of any is gone", () => {
    const play = synced();
    play.told = [];
    play
      .look()
      .fetched({ revision: "1", ...same })
      .fetched({ revision: "2", ...same });
    play.answer("ComputeDiff", "DiffFailed", { failure: { code: "BLOB_GONE", message: "gone" }, failures: [] });
    play.fetched({ revision: "1" }).rendered(first).fetched({ revision: "2" }).rendered(second);
    expect(asked(play, "FetchSource").map(({ inputsDigest }) => inputsDigest)).toEqual([
      "i1",
      "i2",
      undefined,
      undefined,
    ]);
    expect(play.count("ComputeDiff")).toBe(2);
  });

  test("keep what was applied of the one that renders the same inputs to something else", () => {
    const play = synced().look({ hard: true });
    play.fetched({ revision: "1" }).rendered({ ...first, manifestsDigest: "random" });
    play.fetched({ revision: "2" }).rendered({ ...second, renderKey: "k3", manifestsDigest: "m3" });
    expect(play.last("ComputeDiff")["target"]["manifestsDigest"]).toBe("m1+m3");
    play.compared([{ ...WEB, verdict: "Suspect", live: live() }]);
    expect(
      play
        .status()
        ["conditions"].map(({ message }: { message: string }) => message)
        .join(),
    ).toContain("[NONDETERMINISTIC_RENDER]");
  });

  test("fail with the place of the one that does, and it is watched for its repair", () => {
    const play = new Play(of(sourceOf("one"), sourceOf("two"))).look().fetched({ revision: "1" }).rendered(first);
    play.fetched({ revision: "2" }).answer("RenderManifests", "RenderFailed", {
      failure: { code: "MANIFEST_INVALID", message: "no", file: "a.yaml", line: 3 },
      inputsDigest: "broken",
    });
    expect(play.status()["conditions"][0].message).toBe("[MANIFEST_INVALID] no (sources[1]:a.yaml:3)");
    expect(play.last("WatchSource")).toMatchObject({ source: { key: "1" }, inputsDigest: "broken", revision: "2" });
  });

  test("an Application of one source says and asks what it always did", () => {
    const play = new Play(application()).passTo([{ ...WEB, verdict: "Synced", live: live() }]);
    expect(play.told.map(({ name }) => name)).toEqual([
      "FetchSource",
      "RenderManifests",
      "ComputeDiff",
      "WatchSource",
      "ApplicationChanged",
    ]);
    const [fetch] = asked(play, "FetchSource");
    for (const member of ["commit", "refs", "revisionOnly"]) expect(fetch).not.toHaveProperty(member);
    expect(fetch!["source"]).not.toHaveProperty("key");
    expect(play.last("ComputeDiff")["target"]["manifestsDigest"]).toBe("manifests-1");
    expect(play.status()["sync"]).toMatchObject({
      revision: "a".repeat(40),
      comparedTo: { source: { path: "deploy" } },
    });
    expect(play.status()["sync"]).not.toHaveProperty("revisions");
  });
});

describe("what is refused", () => {
  test.each([
    ["a hydrator", { sourceHydrator: { drySource: {} } }, "[UNSUPPORTED_FIELD] spec.sourceHydrator"],
    ["a source without path", { sources: [{ repoURL: "x" }] }, "(spec.sources[0].path)"],
    [
      "another Kustomize",
      { source: { repoURL: "https://h/r", path: ".", kustomize: { version: "v4" } } },
      "[UNSUPPORTED_FIELD] spec.source.kustomize.version",
    ],
    ["no repository", { source: { path: "." } }, "[SPEC_INVALID]"],
    ["a project that is not there", { project: "other" }, "[PROJECT_NOT_FOUND]"],
    ["a field of a wrong type", { revisionHistoryLimit: "ten" }, "[SPEC_INVALID]"],
  ])("%s: only the condition is written, and nothing is looked at", (_what, spec, text) => {
    const raw = application({});
    const play = new Play({ ...raw, spec: { ...raw.spec, ...spec } }).look();
    expect(play.told).toEqual([]);
    expect(Object.keys(play.status())).toEqual(["conditions"]);
    expect(play.status()["conditions"][0].message).toContain(text);
  });

  test("looks as soon as the spec is repaired", () => {
    const raw = application();
    const play = new Play({ ...raw, spec: { ...raw.spec, sources: [{}] } }).look();
    play.send({ type: "ApplicationUpdated", view: view(raw) });
    expect(play.count("FetchSource")).toBe(1);
  });

  test("shows an app Unknown when its spec becomes one that is refused", () => {
    const play = Play.synced({ selfHeal: true });
    const raw = application({ selfHeal: true });
    play.send({
      type: "ApplicationUpdated",
      view: view({ ...raw, spec: { ...raw.spec, sources: [{ repoURL: "x" }] } }),
    });
    expect(play.transitions).toEqual(["Synced>Unknown"]);
    play.liveChanged();
    expect(play.count("ApplyStep")).toBe(0);
  });
});

describe("the refresh annotation", () => {
  const annotated = (value: string) => {
    const raw = application();
    return { ...raw, metadata: { ...raw.metadata, annotations: { "argocd.argoproj.io/refresh": value } } };
  };

  test("makes the app look, hard without kept renders, and is taken away afterwards, even if nothing else changed", () => {
    const play = Play.synced();
    play.send({ type: "ApplicationUpdated", view: view(annotated("hard")) });
    expect(play.last("FetchSource")).toMatchObject({ freshness: "latest" });
    expect(play.last("FetchSource")["inputsDigest"]).toBeUndefined();
    expect(applicationPatch(play.context, annotated("hard") as never, play.now)?.patch["metadata"]).toBeUndefined();
    play
      .fetched()
      .rendered()
      .compared([{ ...WEB, verdict: "Synced", live: live() }]);
    const patch = applicationPatch(play.context, annotated("hard") as never, play.now)!;
    expect(patch.patch["metadata"]).toEqual({ annotations: { "argocd.argoproj.io/refresh": null } });
    expect(applicationPatch(play.context, annotated("normal") as never, play.now)?.patch["metadata"]).toBeUndefined();
  });

  test("that stood there before anybody watched is answered by the first look", () => {
    const play = new Play(annotated("normal"))
      .look()
      .send({ type: "ApplicationUpdated", view: view(annotated("normal")) });
    play
      .fetched()
      .rendered()
      .compared([{ ...WEB, verdict: "Synced", live: live() }]);
    expect(play.count("FetchSource")).toBe(1);
    expect(applicationPatch(play.context, annotated("normal") as never, play.now)?.patch["metadata"]).toBeDefined();
  });

  test("asked for again with another time during its look gets a look of its own", () => {
    const asked = (time: string) => {
      const raw = annotated("normal");
      Object.assign(raw.metadata.annotations, { "argocd.argoproj.io/refresh-timestamp": time });
      return raw;
    };
    const play = Play.synced().send({ type: "ApplicationUpdated", view: view(asked("1")) });
    const before = play.count("FetchSource");
    play.send({ type: "ApplicationUpdated", view: view(asked("2")) });
    const same = () => play.fetched({ inputs: "same", bundleDigest: undefined }).compared([]);
    same();
    expect(applicationPatch(play.context, asked("2") as never, play.now)?.patch["metadata"]).toBeUndefined();
    expect(play.count("FetchSource")).toBe(before + 1);
    same();
    expect(applicationPatch(play.context, asked("2") as never, play.now)?.patch["metadata"]).toBeDefined();
  });

  test("set again during a look that began before the first was seen to be answered is answered by a look of its own", () => {
    const play = Play.synced().send({ type: "ApplicationUpdated", view: view(annotated("normal")) });
    const fails = () =>
      play.answer("FetchSource", "SourceFetchFailed", { failure: { code: "GIT_UNREACHABLE", message: "no answer" } });
    fails();
    play.look();
    play.send({ type: "RefreshAnswered", value: "normal" });
    play.send({ type: "ApplicationUpdated", view: view(annotated("normal")) });
    const isAnswered = () =>
      applicationPatch(play.context, annotated("normal") as never, play.now)?.patch["metadata"] !== undefined;
    expect(isAnswered()).toBe(false);
    fails();
    expect(isAnswered()).toBe(false);
    fails();
    expect(isAnswered()).toBe(true);
  });

  test("may be set again once it was answered", () => {
    const play = Play.synced();
    play
      .send({ type: "ApplicationUpdated", view: view(annotated("normal")) })
      .fetched()
      .rendered()
      .compared([]);
    play.send({ type: "RefreshAnswered", value: "normal" });
    const before = play.count("FetchSource");
    play.send({ type: "ApplicationUpdated", view: view(annotated("normal")) });
    expect(play.count("FetchSource")).toBe(before + 1);
  });
});

describe("deletion", () => {
  const deleted = (finalizers: string[]) => {
    const raw = application({});
    return { ...raw, metadata: { ...raw.metadata, deletionTimestamp: "2026-01-01T00:00:00Z", finalizers } };
  };

  test("with the finalizer takes the objects along, looks until they are gone, then lets the Application go", () => {
    const play = Play.synced({});
    const raw = deleted(["resources-finalizer.argocd.argoproj.io"]);
    play.send({ type: "ApplicationUpdated", view: view(raw) });
    expect(play.sync).toBe("Deleting");
    expect(play.last("ComputeDiff")["target"]["manifestsDigest"]).toBe("empty");
    const crd = {
      group: "apiextensions.k8s.io",
      version: "v1",
      kind: "CustomResourceDefinition",
      namespace: "",
      name: "x",
    };
    play.compared([
      { ...WEB, verdict: "Extra", live: live() },
      { ...CONFIG, verdict: "Extra", live: live(), keep: "has helm.sh/resource-policy: keep" },
      { ...crd, verdict: "Extra", live: live() },
    ]);
    expect(play.last("ApplyStep")).toMatchObject({
      purpose: "delete",
      propagation: "Foreground",
      prune: [{ ...WEB, live: live() }],
    });
    play.applied([{ ...WEB, outcome: "pruned" }]);
    expect(applicationPatch(play.context, raw as never, play.now)?.patch).not.toHaveProperty("metadata");
    play.fire("deletionPause").compared([{ ...crd, verdict: "Extra", live: live() }]);
    expect(applicationPatch(play.context, raw as never, play.now)?.patch).toMatchObject({
      metadata: { finalizers: [] },
    });
  });

  test("does not wait for what asked to stay, as the syncer found it", () => {
    const play = Play.synced({});
    play.send({
      type: "ApplicationUpdated",
      view: view(deleted(["resources-finalizer.argocd.argoproj.io/background"])),
    });
    play.compared([{ ...WEB, verdict: "Extra", live: live() }]);
    expect(play.last("ApplyStep")["propagation"]).toBe("Background");
    play.applied([{ ...WEB, outcome: "pruneSkipped", message: "has the sync option Delete=false" }]);
    play.fire("deletionPause").compared([{ ...WEB, verdict: "Extra", live: live() }]);
    expect(play.context.deletion?.done).toEqual(["Cascade"]);
  });

  test("waits for no approval of what somebody deletes instead", () => {
    const play = Play.synced({});
    play.send({ type: "ApplicationUpdated", view: view(deleted(["resources-finalizer.argocd.argoproj.io"])) });
    play.compared([{ ...WEB, verdict: "Extra", live: live(), consents: { delete: "confirm" } }]);
    expect(play.context.deletion?.failure?.code).toBe("APPROVAL_MISSING");
    const before = play.count("ComputeDiff");
    play.liveChanged({ live: live("40") });
    expect(play.count("ComputeDiff")).toBe(before);
    play.liveChanged({ change: "deleted", live: live("41") }).compared([]);
    expect(play.context.deletion?.done).toEqual(["Cascade"]);
  });

  test("without our finalizer touches no object", () => {
    const play = Play.synced({});
    play.send({ type: "ApplicationUpdated", view: view(deleted(["somebody.example.com/else"])) });
    expect(play.sync).toBe("Deleting");
    expect(play.count("ComputeDiff") + play.count("ApplyStep")).toBe(0);
  });

  test("deletes nothing of a lower wave while a kind of a higher one cannot be read", () => {
    const play = Play.synced({});
    const raw = deleted(["resources-finalizer.argocd.argoproj.io"]);
    const resources = [{ group: "apps", kind: "Deployment", namespace: "shop", name: "web", syncWave: 2 }];
    play.send({ type: "ApplicationUpdated", view: view({ ...raw, status: { resources } }) });
    play.compared([
      { ...WEB, verdict: "Unknown", failure: { code: "KIND_UNAVAILABLE", message: "503" } },
      { ...CONFIG, verdict: "Extra", live: live(), wave: 1 },
    ]);
    expect(play.count("ApplyStep")).toBe(0);
    play.fire("deletionPause").compared([
      { ...WEB, verdict: "Extra", live: live(), wave: 2 },
      { ...CONFIG, verdict: "Extra", live: live(), wave: 1 },
    ]);
    expect(play.last("ApplyStep")["prune"]).toMatchObject([WEB]);
  });

  test("with an unreadable kind does not let the Application go", () => {
    const play = Play.synced({});
    play.send({ type: "ApplicationUpdated", view: view(deleted(["resources-finalizer.argocd.argoproj.io"])) });
    play.compared([{ ...WEB, verdict: "Unknown", failure: { code: "KIND_UNAVAILABLE", message: "503" } }]);
    expect(play.context.deletion?.done).toEqual([]);
    expect(play.status()["conditions"][0]).toMatchObject({ type: "DeletionError" });
  });
});

describe("deletion hooks", () => {
  const CASCADE = "resources-finalizer.argocd.argoproj.io";
  const PRE = "pre-delete-finalizer.argocd.argoproj.io";
  const HOOK = { group: "batch", version: "v1", kind: "Job", namespace: "shop", name: "backup" };
  const RUN = "uid-1.PreDelete.batch/Job/shop/backup";
  const running = { outcome: "created", message: "created", live: live(), health: { status: "Progressing" } };

  /** Being deleted, its hooks rendered. */
  const deleting = (projects = [PROJECT], more: Record<string, unknown> = {}) => {
    const raw = application();
    const finalizers = [CASCADE, PRE, `${PRE}/cleanup`];
    const metadata = { ...raw.metadata, deletionTimestamp: "2026-01-01T00:00:00Z", finalizers };
    const play = new Play({ ...raw, metadata }, projects).fetched().rendered();
    const hook = { ...HOOK, index: 1, phases: ["PreDelete"], wave: 0, deletePolicies: ["BeforeHookCreation"], ...more };
    return play.compared([{ ...WEB, verdict: "Synced", live: live() }], { hooks: [hook] });
  };
  const ran = (play: Play, hook: Record<string, unknown>) => {
    const { operationId } = play.last("ApplyStep");
    const told = { operationId, server: "s", objects: [], hooks: [{ ...HOOK, run: RUN, ...hook }] };
    return play.answer("ApplyStep", "StepApplied", told);
  };
  const released = (play: Play) =>
    play.answer("ApplyStep", "StepApplied", {
      operationId: play.last("ApplyStep")["operationId"],
      server: "s",
      objects: [],
    });
  const ended = (status: string) => ({
    object: HOOK,
    change: "health",
    live: live("31"),
    health: { status, message: "because" },
  });
  const recorded = (play: Play) => play.send({ type: "StageRecorded", stages: play.context.deletion!.done.length });

  test("run under the Application's uid; what holds them is let go of only when the end of their stage is recorded", () => {
    const play = deleting();
    expect(play.last("ApplyStep")).toMatchObject({
      purpose: "delete",
      phase: "PreDelete",
      hooks: [{ name: "backup", run: RUN }],
    });
    ran(play, running);
    expect(play.last("ComputeDiff")["awaited"]).toMatchObject([HOOK]);
    const before = play.count("ApplyStep");
    play.liveChanged(ended("Healthy"));
    expect(play.context.deletion?.done).toEqual(["PreDelete"]);
    expect(play.count("ApplyStep")).toBe(before);
    recorded(play);
    // It would go with the objects anyway.
    expect(play.last("ApplyStep")["releases"]).toMatchObject([{ name: "backup", run: RUN, remove: true }]);
    recorded(released(play));
    expect(play.last("ComputeDiff")["target"]["manifestsDigest"]).toBe("empty");
  });

  test("that had been begun are found, not made again", () => {
    const play = deleting();
    ran(play, { ...running, outcome: "found", health: { status: "Healthy" } });
    expect(play.context.deletion?.done).toEqual(["PreDelete"]);
  });

  test("that fail are named, taken away by their uid, and run again after a pause", () => {
    const play = deleting();
    ran(play, running).liveChanged(ended("Degraded"));
    expect(play.last("ApplyStep")["releases"]).toMatchObject([{ name: "backup", remove: true, uid: live().uid }]);
    released(play);
    expect(play.status()["conditions"][0]).toMatchObject({
      type: "DeletionError",
      message: "[HOOK_FAILED] PreDelete hook batch/Job/backup: because (batch/Job/backup)",
    });
    const before = play.count("ApplyStep");
    play.fire("deletionPause");
    expect(play.count("ApplyStep")).toBe(before + 1);
    expect(play.last("ApplyStep")["hooks"]).toMatchObject([{ run: RUN }]);
  });

  test("that take longer than they say have failed", () => {
    const play = deleting([PROJECT], { healthTimeout: "5s" });
    ran(play, running);
    expect(play.delay("hookLook")).toBeLessThanOrEqual(5_000);
    play.fire("hookLook");
    expect(play.last("ApplyStep")["releases"]).toMatchObject([{ name: "backup", remove: true }]);
  });

  test("that the project denies keep everything as it is", () => {
    const spec = { ...PROJECT.spec, namespaceResourceBlacklist: [{ group: "batch", kind: "Job" }] };
    const play = deleting([{ ...PROJECT, spec } as typeof PROJECT]);
    expect(play.count("ApplyStep")).toBe(0);
    expect(play.status()["conditions"][0]).toMatchObject({ message: expect.stringContaining("[PROJECT_DENIED]") });
  });

  test("that cannot be rendered keep everything as it is, until the cluster itself is unknown", () => {
    const raw = application();
    const metadata = { ...raw.metadata, deletionTimestamp: "2026-01-01T00:00:00Z", finalizers: [CASCADE, PRE] };
    const play = new Play({ ...raw, metadata });
    const failed = (code: string) => ({ failure: { code, message: "no" } });
    play.answer("FetchSource", "SourceFetchFailed", failed("REVISION_NOT_FOUND"));
    expect(play.status()["conditions"]).toContainEqual(
      expect.objectContaining({ type: "DeletionError", message: "[REVISION_NOT_FOUND] no" }),
    );
    expect(play.count("ApplyStep") + play.count("ComputeDiff")).toBe(0);
    play.fire("lookAgainDelay").fetched().rendered();
    play.answer("ComputeDiff", "DiffFailed", { ...failed("DESTINATION_UNKNOWN"), failures: [] });
    expect(applicationPatch(play.context, { metadata } as never, play.now)?.patch["metadata"]).toEqual({
      finalizers: [],
    });
  });
});

test("machine.md shows the machine as it is", async () => {
  await expect(machineDiagram()).toMatchFileSnapshot("machine.md");
});
