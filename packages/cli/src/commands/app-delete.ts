// `driftless app delete`: shows what would go, asks, deletes, and waits until it is gone.
import { createInterface } from "node:readline/promises";
import type { Application } from "@driftless/contracts/application";
import type { KubeClient } from "@driftless/kube/client";
import { systemClock } from "@driftless/process/clock";
import {
  deleteApplication,
  findApplication,
  getApplication,
  appName,
  patchApplication,
  type AppName,
} from "../applications.ts";
import { CliError, usageError } from "../cli-error.ts";
import { namespaceOf, withCluster, type ConnectionOptions } from "../connection.ts";
import { note, say, sayJson, type Output } from "../output.ts";

export type Cascade = "foreground" | "background" | "false";

interface DeleteOptions extends ConnectionOptions {
  cascade: Cascade;
  yes?: boolean;
  async?: boolean;
  timeout: number;
  output: Output;
}

const FINALIZER = "resources-finalizer.argocd.argoproj.io";
const LOOK_INTERVAL_MS = 200;
const ATTEMPTS_MAX = 20;

export async function appDelete(text: string, options: DeleteOptions): Promise<void> {
  const name = appName(text, await namespaceOf(options));
  await withCluster(options, async (client) => {
    const app = await getApplication(client, name);
    if (options.output !== "json") whatGoes(app, options.cascade).forEach((line) => note(line));
    if (!options.yes && !(await confirmed(name))) throw new CliError("nothing was deleted");
    await setFinalizers(client, name, options.cascade);
    await deleteApplication(client, name);
    if (options.async) return note(`${name.name}: its deletion is asked for`);
    await untilGone(client, name, options);
    if (options.output === "json")
      return sayJson({ deleted: `${name.namespace}/${name.name}`, cascade: options.cascade });
    say(`${name.name} is deleted${options.cascade === "false" ? "; its objects stay" : " with its objects"}`);
  });
}

export function whatGoes(app: Application, cascade: Cascade): string[] {
  const { name, namespace } = app.metadata;
  const resources = (app.status?.resources ?? []).filter(({ hook }) => !hook);
  if (cascade === "false")
    return [`Application ${namespace}/${name} goes; its ${resources.length} objects stay in the cluster.`];
  const lines = resources.map(
    (one) =>
      `  ${one.kind}/${one.name}${one.namespace ? ` (${one.namespace})` : ""}` +
      (one.requiresDeletionConfirmation ? "  wants an approval of its own (Delete=confirm)" : ""),
  );
  return [`Application ${namespace}/${name} goes, and with it${lines.length > 0 ? ":" : " nothing"}`, ...lines];
}

async function confirmed({ name }: AppName): Promise<boolean> {
  if (!process.stdin.isTTY) throw usageError("nobody is there to be asked; say --yes if it is meant");
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await prompt.question(`Type the Application's name to delete it (${name}): `)).trim() === name;
  } finally {
    prompt.close();
  }
}

/** Which says whether the objects go too, and how. */
async function setFinalizers(client: KubeClient, name: AppName, cascade: Cascade): Promise<void> {
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    const { finalizers = [], resourceVersion } = (await getApplication(client, name)).metadata;
    const wanted = finalizersFor(finalizers, cascade);
    if (wanted.join() === finalizers.join()) return;
    if ((await patchApplication(client, name, { metadata: { resourceVersion, finalizers: wanted } })) === "patched")
      return;
  }
  throw new CliError(`${name.name}: the Application keeps changing; try again`);
}

export function finalizersFor(finalizers: readonly string[], cascade: Cascade): string[] {
  const others = finalizers.filter((one) => one !== FINALIZER && !one.startsWith(`${FINALIZER}/`));
  if (cascade === "false") return others;
  return [...others, cascade === "background" ? `${FINALIZER}/background` : FINALIZER];
}

async function untilGone(client: KubeClient, name: AppName, options: DeleteOptions): Promise<void> {
  const end = systemClock.monotonic() + options.timeout;
  let said = "";
  for (;;) {
    const app = await findApplication(client, name);
    if (!app) return;
    const problem = app.status?.conditions?.find(({ type }) => type === "DeletionError")?.message ?? "";
    if (problem && problem !== said && options.output !== "json") note(`  ${problem}`);
    said = problem;
    if (systemClock.monotonic() >= end) {
      const left = (app.status?.resources ?? []).length;
      throw new CliError(
        `${name.name}: still there after ${options.timeout / 1000} s${problem ? `: ${problem}` : ""}; ` +
          `it goes on by itself (${left} objects in its status)`,
      );
    }
    await systemClock.sleep(LOOK_INTERVAL_MS);
  }
}
