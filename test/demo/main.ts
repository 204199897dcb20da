// npm run demo: plays the story on the example repository, with real parts of its own, and exits 0 only if each step
// really happened. Printed as a timeline: when, what, and how long each hop took.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { styleText } from "node:util";
import { connectBus } from "@driftless/bus/connect";
import { follow, on } from "@driftless/bus/consume";
import { ApplicationChanged } from "@driftless/contracts/pipeline/6-application";
import type { MessageOf } from "@driftless/contracts/message";
import { STREAMS } from "@driftless/contracts/streams";
import { subject } from "@driftless/contracts/subject";
import { systemClock } from "@driftless/process/clock";
import { createLogger } from "@driftless/process/telemetry";
import { createProgress } from "../bench/progress.ts";
import type { ApplicationObject } from "../harness/applications.ts";
import { eventually, kubectl, kubectlJson, run } from "../harness/story.ts";
import { startWorld } from "../harness/world.ts";

type Transition = MessageOf<typeof ApplicationChanged>;

const root = join(import.meta.dirname, "..", "..");
const POLL_SECONDS = 3;
const FILE = "guestbook/guestbook.yaml";
const DEADLINE_MS = 60_000;

const began = performance.now();
let steps = 0;

function line(mark: string, text: string): void {
  const seconds = ((performance.now() - began) / 1000).toFixed(3).padStart(8);
  console.log(`${styleText("dim", `${seconds} s`)}  ${mark}  ${text}`);
}
const say = (text: string): void => line(" ", text);
const did = (text: string): void => line(styleText("green", "✓"), text);

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(`it did not happen: ${what}`);
  did(what);
}

async function step(title: string, play: () => Promise<void>): Promise<void> {
  steps += 1;
  console.log(`\n${styleText("bold", `${steps}. ${title}`)}`);
  await play();
}

const hops = ({ timings }: Transition): string =>
  (["fetch", "render", "diff", "predict", "apply"] as const)
    .map((hop) => [hop, timings[`${hop}Ms`]] as const)
    .filter(([, ms]) => ms !== undefined)
    .map(([hop, ms]) => `${hop} ${ms!.toFixed(1)} ms`)
    .concat(`${timings.totalMs.toFixed(1)} ms in all`)
    .join(", ");

/** Transitions as anybody sees them on NATS, in the order they came. */
class Timeline {
  readonly #seen: Transition[] = [];

  add(transition: Transition): void {
    this.#seen.push(transition);
    const fields = transition.resources
      .flatMap((r) =>
        r.fields.map((f) => `${r.kind}/${r.name} ${f.path}: ${f.live ?? "absent"} → ${f.desired ?? "absent"}`),
      )
      .slice(0, 2);
    const why = transition.causes
      .map((c) => [c.kind, c.by && `by ${c.by}`, c.detail].filter(Boolean).join(" "))
      .join("; ");
    line(
      styleText("cyan", "◆"),
      `${styleText("bold", transition.app.name)} ${transition.from} → ${styleText("bold", transition.to)}  ${styleText("dim", hops(transition))}` +
        `${why ? `\n              because of ${why}` : ""}${fields.length > 0 ? `\n              ${fields.join("; ")}` : ""}`,
    );
  }

  get length(): number {
    return this.#seen.length;
  }

  /** Waits for a transition after the first `from` ones. */
  async until(from: number, what: string, holds: (t: Transition) => boolean): Promise<Transition> {
    return await eventually(what, () => this.#seen.slice(from).find(holds), DEADLINE_MS);
  }

  async none(from: number, what: string, holds: (t: Transition) => boolean): Promise<void> {
    if (this.#seen.slice(from).some(holds)) throw new Error(`it did happen: ${what}`);
  }
}

async function play(): Promise<void> {
  const progress = createProgress();
  await using world = await startWorld({
    settings: { "timeout.reconciliation": `${POLL_SECONDS}s`, "timeout.reconciliation.jitter": "0s" },
    onProgress: ({ what, done, total }) => progress.show(`building ${what}`, done, Math.max(total, 1)),
  });
  progress.stop();
  const { git, applications } = world;
  say(`nats ${world.local.natsUrl}, Kubernetes ${world.client.server}, Git ${git.url}, api ${world.services.apiUrl}`);

  const logger = createLogger({ service: "demo", level: "error" });
  const bus = await connectBus({ servers: world.local.natsUrl!, name: "demo", clock: systemClock, logger });
  const timeline = new Timeline();
  const following = await follow(bus, {
    stream: STREAMS.transitions,
    filters: [subject("app", ">")],
    from: "all",
    handlers: [on(ApplicationChanged, async (transition) => timeline.add(transition))],
  });

  const example = await readFile(join(root, "deploy/local/example", FILE), "utf8");
  const redis = await readFile(join(root, "deploy/local/example/guestbook/redis.yaml"), "utf8");
  const imageOf = async (namespace: string): Promise<string> =>
    (await kubectlJson(world, "get", "-n", namespace, "deployment", "guestbook")).spec.template.spec.containers[0]
      .image as string;
  const version = (n: number): string => example.replace("guestbook:1.0.0", `guestbook:${n}.0.0`);
  if (version(2) === example) throw new Error("the example's image is not the one this demo changes");

  await step("First deploy", async () => {
    const { url } = await git.createRepository("example", { [FILE]: example, "guestbook/redis.yaml": redis });
    await git.setWebhook({ url: `${world.services.apiUrl}/api/webhook` });
    say("git push, then kubectl apply of Application guestbook (automated, prune, selfHeal, CreateNamespace)");
    await applications.create({ name: "guestbook", repoURL: url, path: "guestbook" });
    await timeline.until(0, "guestbook becomes Synced", (t) => t.to === "Synced");
    const app = await applications.until(
      "guestbook",
      "Healthy",
      (a) => a.status?.health?.status === "Healthy",
      DEADLINE_MS,
    );
    check(app.status?.sync?.status === "Synced", "guestbook is Synced and Healthy");
    const live = await kubectlJson(world, "get", "-n", "guestbook", "deployment", "guestbook");
    check(live.status.readyReplicas === 3, "its Deployment runs 3 ready Pods");
  });

  await step("Somebody scales by hand", async () => {
    const from = timeline.length;
    say("kubectl scale deployment/guestbook --replicas=5");
    await kubectl(world, "scale", "-n", "guestbook", "deployment/guestbook", "--replicas=5");
    const drift = await timeline.until(from, "guestbook becomes OutOfSync", (t) => t.to === "OutOfSync");
    await timeline.until(from, "guestbook becomes Synced again", (t) => t.to === "Synced");
    check(
      drift.causes.some((c) => c.kind === "drift"),
      "the transition names the drift as its cause",
    );
    const live = await kubectlJson(world, "get", "-n", "guestbook", "deployment", "guestbook");
    check(live.spec.replicas === 3, "back to 3 replicas");
  });

  await step("Push and webhook", async () => {
    const from = timeline.length;
    const start = performance.now();
    const sha = await git.commitFiles("example", { [FILE]: version(2) }, "guestbook 2.0.0");
    say(`git push ${sha.slice(0, 7)}: image 2.0.0; the Git server calls the webhook`);
    await eventually("the new image is live", async () => (await imageOf("guestbook")).endsWith(":2.0.0"), DEADLINE_MS);
    did(`image 2.0.0 is live ${Math.round(performance.now() - start)} ms after the push began`);
    const synced = await timeline.until(
      from,
      "guestbook becomes Synced",
      (t) => t.to === "Synced" && t.revision === sha,
    );
    check(
      synced.causes.some((c) => c.kind === "webhook"),
      "the transition names the webhook as its cause",
    );
  });

  await step(`Push without a webhook: the poll finds it (every ${POLL_SECONDS} s)`, async () => {
    await git.setWebhook(undefined);
    const from = timeline.length;
    const start = performance.now();
    const sha = await git.commitFiles("example", { [FILE]: version(3) }, "guestbook 3.0.0");
    say(`git push ${sha.slice(0, 7)}: image 3.0.0; nobody is told`);
    const synced = await timeline.until(
      from,
      "guestbook becomes Synced",
      (t) => t.to === "Synced" && t.revision === sha,
    );
    check(
      (await imageOf("guestbook")).endsWith(":3.0.0"),
      `image 3.0.0 is live ${Math.round(performance.now() - start)} ms after the push began`,
    );
    check(
      synced.causes.some((c) => c.kind === "poll"),
      "the transition names the poll as its cause",
    );
    await git.setWebhook({ url: `${world.services.apiUrl}/api/webhook` });
  });

  await step("An app without automation waits for a person", async () => {
    const from = timeline.length;
    await applications.create({
      name: "manual",
      repoURL: git.repositoryUrl("example"),
      path: "guestbook",
      automated: false,
    });
    await timeline.until(from, "manual becomes OutOfSync", (t) => t.app.name === "manual" && t.to === "OutOfSync");
    say("two more looks at it change nothing");
    for (let n = 0; n < 2; n++) await refreshed(world, "manual");
    await timeline.none(from, "manual is synced by itself", (t) => t.app.name === "manual" && t.to === "Syncing");
    check(
      (await kubectl(world, "get", "namespace", "manual", "--ignore-not-found")) === "",
      "nothing was written for it",
    );
    say("driftless app sync manual");
    const sync = await run(process.execPath, [join(root, "packages/cli/src/main.ts"), "app", "sync", "manual"], {
      DRIFTLESS_KUBECONFIG: world.local.kubeconfigPath!,
      DRIFTLESS_NATS_URL: world.local.natsUrl!,
    });
    check(sync.code === 0, `driftless app sync exits 0${sync.code === 0 ? "" : `: ${sync.stderr}`}`);
    await timeline.until(from, "manual becomes Synced", (t) => t.app.name === "manual" && t.to === "Synced");
    check((await imageOf("manual")).endsWith(":3.0.0"), "its image is live");
  });

  await step("A broken commit", async () => {
    const before = await kubectlJson(world, "get", "-n", "guestbook", "deployment", "guestbook");
    const broken = await git.commitFiles(
      "example",
      { "guestbook/broken.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: [oops\n" },
      "oops",
    );
    say(`git push ${broken.slice(0, 7)}: guestbook/broken.yaml is not YAML`);
    const app: ApplicationObject = await applications.condition("guestbook", "MANIFEST_INVALID", DEADLINE_MS);
    check(
      /guestbook\/broken\.yaml:\d+/.test(app.status!.conditions![0]!.message),
      `condition: ${app.status!.conditions![0]!.message}`,
    );
    const after = await kubectlJson(world, "get", "-n", "guestbook", "deployment", "guestbook");
    check(after.metadata.generation === before.metadata.generation, "no live object was changed");
    const sha = await git.commitFiles("example", { "guestbook/broken.yaml": null }, "repair");
    say(`git push ${sha.slice(0, 7)}: repaired`);
    await applications.until(
      "guestbook",
      "Synced without conditions",
      (a) => a.status?.sync?.status === "Synced" && (a.status.conditions ?? []).length === 0,
      DEADLINE_MS,
    );
    did("Synced again, the condition is gone");
  });

  await following.stop();
  await bus.close();
  say("stopping");
}

async function refreshed(world: Awaited<ReturnType<typeof startWorld>>, name: string): Promise<void> {
  const annotation = "argocd.argoproj.io/refresh";
  await world.applications.patch(name, { metadata: { annotations: { [annotation]: "normal" } } });
  await world.applications.until(
    name,
    "the refresh is done",
    (a) => a.metadata.annotations?.[annotation] === undefined,
    DEADLINE_MS,
  );
}

try {
  await play();
  console.log(
    `\n${styleText("green", `All ${steps} steps happened`)}, in ${((performance.now() - began) / 1000).toFixed(1)} s.`,
  );
} catch (error) {
  console.error(`\n${styleText("red", `Step ${steps} failed: ${(error as Error).message}`)}`);
  process.exitCode = 1;
}
