// The rows of DESIGN §9 that stand so far, each measured twice in one run: the bare loop, then Driftless.
import { systemClock, waitUntil } from "@driftless/process/clock";
import type { ApiResource, KubeObject } from "@driftless/kube/resource";
import { watchResource } from "@driftless/kube/watch";
import type { World } from "../harness/world.ts";
import { appFiles, appName, appNamespace, appObjects } from "./apps.ts";
import { type BareLoop, writeOperation, writeStatus } from "./bare.ts";
import { countWrites, percentile, processTreeUsage } from "./meter.ts";

export interface BenchRow {
  row: string;
  unit: string;
  /** Ours. */
  p50: number;
  p99: number;
  /** The bare loop's, same unit. */
  bareP50: number;
  bareP99: number;
  ratio: number;
  ratioP99?: number;
  goal: string;
  met: boolean;
  notes?: string;
}

export interface Bench {
  world: World;
  bare: BareLoop;
  apps: number;
  samples: number;
  repository: { url: string };
  idleSeconds: number;
  commit(files: Record<string, string>, message: string): Promise<string>;
  /** What the bare loop of the cold row took, for the other cold one. */
  bareColdSeconds?: number;
  status: AppStatuses;
  progress(what: string, done: number, total: number): void;
}

const timed = async (work: () => Promise<void>): Promise<number> => {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
};

const DEPLOYMENT = 2;
const image = (version: string): string => `registry.example.com/web:${version}`;
export const FIRST_IMAGE = image("1.0.0");

export const applicationSpec = (repoURL: string, index: number, namespace: string): Record<string, unknown> => ({
  project: "default",
  source: {
    repoURL,
    path: `apps/team-${String(Math.floor(index / 200)).padStart(3, "0")}/${appName(index)}`,
    targetRevision: "main",
  },
  destination: { server: "https://kubernetes.default.svc", namespace },
  syncPolicy: { automated: { prune: true, selfHeal: true } },
});

/** What the Applications' status says, kept by a watch, so that waiting costs the API server nothing. */
export class AppStatuses {
  readonly #synced = new Map<string, string>();
  #waiting: (() => void) | undefined;
  readonly #times = new Map<string, number>();

  onEvent(type: string, object: Record<string, any>): void {
    const name = object.metadata?.name as string;
    if (type === "DELETED" || !name) return;
    const { sync, operationState } = (object.status ?? {}) as Record<string, any>;
    const done = sync?.status === "Synced" && operationState?.phase === "Succeeded";
    const value = done ? `${sync.revision} ${operationState.syncResult?.revision}` : "";
    if (this.#synced.get(name) !== value) this.#times.set(name, performance.now());
    this.#synced.set(name, value);
    this.#waiting?.();
  }

  /** How many say: Synced, and the last operation succeeded at this revision. */
  at(revision?: string): number {
    let count = 0;
    for (const value of this.#synced.values())
      if (value !== "" && (revision === undefined || value.endsWith(` ${revision}`))) count += 1;
    return count;
  }

  async until(
    total: number,
    revision: string | undefined,
    onProgress: (done: number) => void,
    deadlineMs: number,
  ): Promise<void> {
    const deadline = performance.now() + deadlineMs;
    while (this.at(revision) < total) {
      if (performance.now() > deadline)
        throw new Error(`only ${this.at(revision)} of ${total} apps Synced in ${deadlineMs} ms`);
      await new Promise<void>((resolve) => {
        const cancel = systemClock.setTimer(250, resolve);
        this.#waiting = () => {
          cancel();
          resolve();
        };
      });
      onProgress(this.at(revision));
    }
    this.#waiting = undefined;
  }

  async appAt(name: string, revision: string, deadlineMs: number): Promise<number> {
    await waitUntil(
      systemClock,
      `${name} Synced at ${revision}`,
      () => this.#synced.get(name)?.endsWith(` ${revision}`) ?? false,
      {
        deadlineMs,
        intervalMs: 1,
      },
    );
    return this.#times.get(name)!;
  }
}

const resource = (group: string, kind: string, plural: string, version: string): ApiResource => ({
  group,
  version,
  kind,
  plural,
  namespaced: true,
  verbs: ["list", "watch"],
  versions: [version],
});
const DEPLOYMENTS = resource("apps", "Deployment", "deployments", "v1");
export const APPLICATIONS = resource("argoproj.io", "Application", "applications", "v1alpha1");

/** Lists and watches, and again when the API server ends the watch of a reader it finds too slow. */
export async function watchObjects(
  world: World,
  watched: ApiResource,
  onEvent: (type: string, object: Record<string, any>) => void,
  namespace?: string,
): Promise<() => void> {
  const watch = watchResource<KubeObject>({
    client: world.client,
    resource: watched,
    namespace,
    select: (object) => object,
    onState: ({ objects }) => {
      for (const object of objects) onEvent("LISTED", object);
    },
    onEvent: ({ type, object }) => onEvent(type, object),
  });
  // What happens before the list is there would be listed, not told as an event.
  await watch.synced;
  return () => watch.stop();
}

function row(
  name: string,
  unit: string,
  ours: number[],
  bare: number[],
  goal: { p50: number; p99?: number },
  notes?: string,
): BenchRow {
  const p50 = percentile(ours, 50);
  const p99 = percentile(ours, 99);
  const bareP50 = percentile(bare, 50);
  const bareP99 = percentile(bare, 99);
  const ratio = p50 / bareP50;
  // The tail is held against the bare loop's own tail: both share one noisy machine.
  const ratioP99 = p99 / bareP99;
  return {
    row: name,
    unit,
    p50,
    p99,
    bareP50,
    bareP99,
    ratio,
    ...(goal.p99 === undefined ? {} : { ratioP99 }),
    goal: goal.p99 === undefined ? `≤ ${goal.p50} ×` : `p50 ≤ ${goal.p50} ×, p99 ≤ ${goal.p99} ×`,
    met: ratio <= goal.p50 && (goal.p99 === undefined || ratioP99 <= goal.p99),
    ...(notes ? { notes } : {}),
  };
}

const MINUTE = 60_000;

/** Row 1: Applications created → all Synced with status written. */
export async function cold(bench: Bench): Promise<BenchRow[]> {
  const { bare, apps } = bench;
  const each = (work: (index: number) => Promise<void>) => bare.each(apps, work);
  const objects = (index: number) =>
    appObjects(index, FIRST_IMAGE).map(({ collection, object }) => ({
      collection: collection(appNamespace("bare", index)),
      object,
    }));
  bench.progress("cold: bare loop", 0, apps);
  let done = 0;
  const bareSeconds = await timed(() =>
    each(async (index) => {
      for (const { collection, object } of objects(index)) await bare.apply(collection, object, true);
      await writeOperation(bare, index, "0".repeat(40));
      for (const { collection, object } of objects(index)) await bare.apply(collection, object);
      await writeStatus(bare, index, "0".repeat(40));
      bench.progress("cold: bare loop", ++done, apps);
    }),
  );
  // The same applies without dry runs and records, for the figure printed beside.
  const scratch = appNamespace("bare-plain", 0);
  await bare.apply("/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name: scratch } });
  const plainSeconds = await timed(() =>
    each(async (index) => {
      for (const { collection, object } of appObjects(index, FIRST_IMAGE))
        await bare.apply(collection(scratch), object);
    }),
  );
  await bare.send("DELETE", `/api/v1/namespaces/${scratch}`, undefined);

  for (let n = 0; n < apps; n += 100) {
    const metadata = { name: appNamespace("bench", n) };
    await bare.apply("/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata });
  }
  bench.bareColdSeconds = bareSeconds;
  return await coldRow(bench, {
    row: "cold: Applications created → all Synced, status written",
    goal: 1.5,
    label: "cold",
    application: (index) => ({
      apiVersion: "argoproj.io/v1alpha1",
      kind: "Application",
      metadata: { name: appName(index), namespace: "argocd" },
      spec: applicationSpec(bench.repository.url, index, appNamespace("bench", index)),
    }),
    expected: apps,
    notes: `bare applies alone ${plainSeconds.toFixed(2)} s`,
  });
}

export interface ColdRow {
  row: string;
  /** Times the bare loop of the cold row. */
  goal: number;
  label: string;
  application(index: number): Record<string, unknown>;
  /** So many are Synced in the end, those of before among them. */
  expected: number;
  notes: string;
}

/** Applications created → all Synced with status written. */
export async function coldRow(bench: Bench, what: ColdRow): Promise<BenchRow[]> {
  const { bare, apps, world } = bench;
  const label = `${what.label}: Driftless`;
  const before = processTreeUsage(world.services.pid!);
  bench.progress(label, 0, apps);
  const already = what.expected - apps;
  const seconds = await timed(async () => {
    await Promise.all([
      bare.each(apps, (index) =>
        bare.send("POST", "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications", what.application(index)),
      ),
      bench.status.until(what.expected, undefined, (n) => bench.progress(label, n - already, apps), 15 * MINUTE),
    ]);
  });
  const after = processTreeUsage(world.services.pid!);
  return [
    row(
      what.row,
      "s",
      [seconds],
      [bench.bareColdSeconds!],
      { p50: what.goal },
      `creating the Applications counts for us, not for the bare loop; ${what.notes}; ` +
        `services used ${(after.cpuSeconds - before.cpuSeconds).toFixed(1)} CPU-s, ${Math.round(after.rssBytes / 1e6)} MB`,
    ),
  ];
}

/** Row 2: one push changes one object of every app. */
export async function pushAll(bench: Bench): Promise<BenchRow[]> {
  const { bare, apps, world } = bench;
  let done = 0;
  const bareSeconds = await timed(() =>
    bare.each(apps, async (index) => {
      const { collection, object } = appObjects(index, image("2.0.0"))[DEPLOYMENT]!;
      const path = collection(appNamespace("bare", index));
      await bare.apply(path, object, true);
      await writeOperation(bare, index, "1".repeat(40));
      await bare.apply(path, object);
      await writeStatus(bare, index, "1".repeat(40));
      bench.progress("push to all: bare loop", ++done, apps);
    }),
  );
  const files: Record<string, string> = {};
  for (let index = 0; index < apps; index++) Object.assign(files, appFiles(index, image("2.0.0")));
  const revision = await bench.commit(files, "change every app");
  const before = processTreeUsage(world.services.pid!);
  bench.progress("push to all: Driftless", 0, apps);
  const seconds = await timed(async () => {
    await webhook(bench);
    await bench.status.until(apps, revision, (n) => bench.progress("push to all: Driftless", n, apps), 15 * MINUTE);
  });
  const after = processTreeUsage(world.services.pid!);
  return [
    row(
      "one push changes every app → all Synced",
      "s",
      [seconds],
      [bareSeconds],
      { p50: 1.5 },
      `services used ${(after.cpuSeconds - before.cpuSeconds).toFixed(1)} CPU-s, ${Math.round(after.rssBytes / 1e6)} MB`,
    ),
  ];
}

async function webhook(bench: Bench, after?: string): Promise<void> {
  const answer = await fetch(`${bench.world.services.apiUrl}/api/webhook`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ repoURL: bench.repository.url, ref: "refs/heads/main", after }),
  });
  if (!answer.ok) throw new Error(`webhook: ${answer.status} ${await answer.text()}`);
  await answer.arrayBuffer();
}

/** Asks the Git server for one commit over what the previous one had, and reads the pack: no more than a push needs. */
async function bareFetch(url: string, want: string, have: string): Promise<void> {
  const line = (text: string) => (text.length + 4).toString(16).padStart(4, "0") + text;
  const body =
    line(`want ${want} ofs-delta thin-pack shallow no-progress agent=bare-loop\n`) +
    line(`shallow ${have}\n`) +
    line("deepen 1\n") +
    "0000" +
    line(`have ${have}\n`) +
    line("done\n");
  const answer = await fetch(`${url}/git-upload-pack`, {
    method: "POST",
    headers: { "content-type": "application/x-git-upload-pack-request" },
    body,
  });
  if (!answer.ok) throw new Error(`bare fetch: ${answer.status}`);
  const pack = Buffer.from(await answer.arrayBuffer());
  if (!pack.includes("PACK")) throw new Error("bare fetch: no pack");
}

/** Rows 3 and 4: one push changes one app. */
export async function pushOne(bench: Bench): Promise<BenchRow[]> {
  const { bare, samples } = bench;
  const liveAt = new Map<string, number>();
  const stop = await watchObjects(bench.world, DEPLOYMENTS, (type, object) => {
    const version = object.spec?.template?.spec?.containers?.[0]?.image;
    const id = `${object.metadata?.namespace}/${object.metadata?.name} ${version}`;
    if (type === "MODIFIED" && !liveAt.has(id)) liveAt.set(id, performance.now());
  });
  const oursLive: number[] = [];
  const oursSynced: number[] = [];
  const bareLive: number[] = [];
  const bareSynced: number[] = [];
  let have = await bench.commit({ "README.md": "# before push-one\n" }, "start");
  await webhook(bench);
  for (let n = 0; n < samples; n++) {
    const index = (n * 7) % bench.apps;
    const version = image(`3.0.${n}`);
    const revision = await bench.commit(appFiles(index, version), `change ${appName(index)}`);
    const namespace = appNamespace("bench", index);
    const live = `${namespace}/${appName(index)} ${version}`;

    const start = performance.now();
    await webhook(bench, revision);
    await waitUntil(systemClock, `live object of ${appName(index)} changed`, () => liveAt.has(live), {
      deadlineMs: MINUTE,
      intervalMs: 1,
    });
    oursLive.push(liveAt.get(live)! - start);
    oursSynced.push((await bench.status.appAt(appName(index), revision, MINUTE)) - start);

    const bareStart = performance.now();
    await bareFetch(bench.repository.url, revision, have);
    const { collection, object } = appObjects(index, version)[DEPLOYMENT]!;
    await bare.apply(collection(appNamespace("bare", index)), object);
    bareLive.push(performance.now() - bareStart);
    await writeStatus(bare, index, revision);
    bareSynced.push(performance.now() - bareStart);
    have = revision;
    bench.progress("push to one", n + 1, samples);
  }
  stop();
  return [
    row("one push changes one app: webhook → live object changed", "ms", oursLive, bareLive, { p50: 2, p99: 5 }),
    row("one push changes one app: webhook → status Synced", "ms", oursSynced, bareSynced, { p50: 3 }),
  ];
}

/** Row 6: somebody scales one Deployment. */
export async function drift(bench: Bench): Promise<BenchRow[]> {
  const { bare, samples } = bench;
  // A field that we set: anything else would be nobody's drift.
  const tamper = async (namespace: string, index: number, value: string) =>
    await bare.send(
      "PATCH",
      `/apis/apps/v1/namespaces/${namespace}/deployments/${appName(index)}?fieldManager=somebody`,
      { spec: { template: { spec: { serviceAccountName: value } } } },
      "application/merge-patch+json",
    );
  const seen = new Map<string, (value: string) => void>();
  const stop = await watchObjects(bench.world, DEPLOYMENTS, (type, object) => {
    if (type !== "MODIFIED") return;
    seen.get(`${object.metadata?.namespace}/${object.metadata?.name}`)?.(
      object.spec?.template?.spec?.serviceAccountName,
    );
  });
  const ours: number[] = [];
  const bareTimes: number[] = [];
  const healed = (namespace: string, index: number): Promise<number> =>
    new Promise((resolve, reject) => {
      let drifted = false;
      const id = `${namespace}/${appName(index)}`;
      const cancel = systemClock.setTimer(MINUTE, () => reject(new Error(`${id} was not healed within a minute`)));
      seen.set(id, (value) => {
        if (value === "somebody-else") drifted = true;
        else if (drifted && value === appName(index)) {
          cancel();
          seen.delete(id);
          resolve(performance.now());
        }
      });
    });
  for (let n = 0; n < samples; n++) {
    const index = (n * 11 + 3) % bench.apps;
    const ourNamespace = appNamespace("bench", index);
    const ourHeal = healed(ourNamespace, index);
    const start = performance.now();
    await tamper(ourNamespace, index, "somebody-else");
    ours.push((await ourHeal) - start);

    const namespace = appNamespace("bare", index);
    const key = `${namespace}/${appName(index)}`;
    const current = (await bare.get(`/apis/apps/v1/namespaces/${namespace}/deployments/${appName(index)}`)) as any;
    const object = appObjects(index, current.spec.template.spec.containers[0].image)[DEPLOYMENT]!;
    const bareHeal = healed(namespace, index);
    const observer = seen.get(key)!;
    seen.set(key, (value) => {
      observer(value);
      if (value === "somebody-else") void bare.apply(object.collection(namespace), object.object);
    });
    const bareStart = performance.now();
    await tamper(namespace, index, "somebody-else");
    bareTimes.push((await bareHeal) - bareStart);
    bench.progress("drift", n + 1, samples);
  }
  stop();
  return [row("drift → healed, one object", "ms", ours, bareTimes, { p50: 3, p99: 10 })];
}

const BENCH_RESOURCES = new Set(["applications", "serviceaccounts", "services", "deployments", "ingresses"]);

/** Idle: nothing happens, so nothing may be done. */
export async function idle(bench: Bench): Promise<BenchRow[]> {
  const seconds = bench.idleSeconds;
  const writes = () => countWrites(() => bench.bare.metrics(), BENCH_RESOURCES);
  // The status of the last heal is written late on purpose; wait until two looks agree.
  let last = -1;
  await waitUntil(
    systemClock,
    "writes come to rest",
    async () => {
      const now = await writes();
      const rested = now === last;
      last = now;
      return rested;
    },
    { deadlineMs: 2 * MINUTE, intervalMs: 3000 },
  );
  const before = processTreeUsage(bench.world.services.pid!);
  const writesBefore = await writes();
  const start = performance.now();
  for (let n = 0; n < seconds; n++) {
    await systemClock.sleep(1000);
    bench.progress("idle", n + 1, seconds);
  }
  const elapsed = (performance.now() - start) / 1000;
  const after = processTreeUsage(bench.world.services.pid!);
  const written = (await writes()) - writesBefore;
  const percent = ((after.cpuSeconds - before.cpuSeconds) / elapsed) * 100;
  return [
    {
      row: `idle at ${bench.apps} apps, ${seconds} s`,
      unit: "% of a core",
      p50: percent,
      p99: percent,
      bareP50: 0,
      bareP99: 0,
      ratio: percent,
      goal: "≤ 1 %, no writes",
      met: percent <= 1 && written === 0,
      notes: `${written} writes; ${Math.round(after.rssBytes / 1e6)} MB with the render engine`,
    },
    {
      row: `memory of all services at ${bench.apps} apps`,
      unit: "MB",
      p50: after.rssBytes / 1e6,
      p99: after.rssBytes / 1e6,
      bareP50: 0,
      bareP99: 0,
      ratio: after.rssBytes / 1e6,
      goal: "≤ 350 MB at 1,000",
      met: after.rssBytes / 1e6 <= 350,
    },
  ];
}
