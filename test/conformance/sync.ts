// What the conformance tests of syncs share: manifests with annotations, Jobs, and an operation asked for by hand.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { connectBus } from "@driftless/bus/connect";
import { follow, on } from "@driftless/bus/consume";
import type { MessageOf } from "@driftless/contracts/message";
import { ApplicationChanged } from "@driftless/contracts/pipeline/6-application";
import { STREAMS } from "@driftless/contracts/streams";
import { subject } from "@driftless/contracts/subject";
import { systemClock } from "@driftless/process/clock";
import { createLogger } from "@driftless/process/telemetry";
import type { ApplicationObject, ApplicationSpec, ApplicationStatus } from "../harness/applications.ts";
import { kubectl } from "../harness/story.ts";
import type { World } from "../harness/world.ts";

/** The manifest with these annotations. */
export const annotated = (text: string, annotations: Record<string, string>): string =>
  text.replace("metadata:\n", `metadata:\n  annotations: ${JSON.stringify(annotations)}\n`);

/** Completes at once; fails after a second when `fails`; never ends when `hangs`, for want of a node. */
export function job(
  name: string,
  annotations: Record<string, string>,
  options: { fails?: boolean; hangs?: boolean; generated?: boolean; spec?: string } = {},
): string {
  const nowhere = options.fails || options.hangs ? "      nodeSelector: {nowhere: really}\n" : "";
  return annotated(
    `apiVersion: batch/v1
kind: Job
metadata:
  ${options.generated ? "generateName" : "name"}: ${name}
spec:
  backoffLimit: 0
${options.fails ? "  activeDeadlineSeconds: 1\n" : ""}${options.spec ?? ""}  template:
    spec:
      restartPolicy: Never
${nowhere}      containers: [{name: main, image: "registry.example.com/job:1"}]
`,
    annotations,
  );
}

export const hook = (phase: string, more: Record<string, string> = {}): Record<string, string> => ({
  "argocd.argoproj.io/hook": phase,
  ...more,
});

/** An Application of these files (under `app/`) that syncs only when it is asked to, compared once. */
export const manualIn =
  (use: { readonly world: World }) =>
  async (name: string, files: Record<string, string>, spec: Partial<ApplicationSpec> = {}) => {
    const { world } = use;
    const { url } = await world.git.createRepository(
      name,
      Object.fromEntries(Object.entries(files).map(([file, text]) => [`app/${file}`, text])),
    );
    await world.applications.create({ name, repoURL: url, path: "app", automated: false, ...spec });
    await world.applications.until(name, "compared", (app) => app.status?.sync?.status === "OutOfSync");
    return {
      world,
      url,
      /** Of paths in the repository; waits until that commit is compared. */
      commit: async (changes: Record<string, string | null>): Promise<string> => {
        const sha = await world.git.commitFiles(name, changes, "change");
        await kubectl(world, "annotate", "-n", "argocd", "application", name, "argocd.argoproj.io/refresh=normal");
        await world.applications.until(name, "refreshed", (app) => app.status?.sync?.revision === sha);
        return sha;
      },
      /** `job/pre`, in its destination namespace. */
      exists: async (what: string): Promise<boolean> =>
        (await kubectl(world, "get", "-n", name, ...what.split("/"), "--ignore-not-found", "-o", "name")) !== "",
    };
  };

/** `kubectl apply` of an object. */
export async function apply(world: World, object: unknown): Promise<void> {
  const { binDir, kubeconfigPath } = world.local;
  const child = spawn(join(binDir, "kubectl"), ["--kubeconfig", kubeconfigPath!, "apply", "-f", "-"]);
  child.stdin.end(JSON.stringify(object));
  const [code] = (await once(child, "exit")) as [number];
  if (code !== 0) throw new Error(`kubectl apply ended with ${code}`);
}

export type Told = MessageOf<typeof ApplicationChanged>;

/** All that the stream of transitions tells of an Application, from its first on. */
export async function followTold(world: World, name: string): Promise<{ told: Told[]; stop(): Promise<void> }> {
  const logger = createLogger({ service: "test", level: "error" });
  const bus = await connectBus({ servers: world.local.natsUrl!, name: "test", clock: systemClock, logger });
  const told: Told[] = [];
  const following = await follow(bus, {
    stream: STREAMS.transitions,
    filters: [subject("app", "*", "*", name, ">")],
    from: "all",
    handlers: [on(ApplicationChanged, async (message) => void told.push(message))],
  });
  return {
    told,
    stop: async () => {
      await following.stop();
      await bus.close();
    },
  };
}

type State = NonNullable<ApplicationStatus["operationState"]>;

/** Asks for a sync as kubectl would, and waits for its end or for `until`. */
export async function operate(
  world: World,
  name: string,
  sync: Record<string, unknown> = {},
  until: (state: State) => boolean = ({ phase }) => !["Running", "Terminating"].includes(phase),
  more: Record<string, unknown> = {},
): Promise<ApplicationObject> {
  const before = await world.applications.get(name);
  const mark = `${Date.now()}-${Math.random()}`;
  const options = (before.spec as { syncPolicy?: { syncOptions?: string[] } }).syncPolicy?.syncOptions;
  await world.applications.patch(name, {
    operation: {
      initiatedBy: { username: "tester" },
      info: [{ name: "mark", value: mark }],
      sync: { ...(options?.length && { syncOptions: options }), ...sync },
      ...more,
    },
  });
  return world.applications.until(
    name,
    "the operation asked for",
    ({ status }) => {
      const state = status?.operationState;
      const info = (state?.operation as { info?: { name: string; value: string }[] } | undefined)?.info ?? [];
      return state !== undefined && info.some(({ value }) => value === mark) && until(state);
    },
    60_000,
  );
}
