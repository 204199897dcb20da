// `driftless app wait`: until Applications are in sync, healthy, and nothing is being done to them.
import type { Application } from "@driftless/contracts/application";
import { appName, operationRunning, refreshPending, untilApplication } from "../applications.ts";
import { namespaceOf, withCluster, type ConnectionOptions } from "../connection.ts";
import { say, sayJson, shortRevisions, state, type Output } from "../output.ts";

interface WaitOptions extends ConnectionOptions {
  sync?: boolean;
  health?: boolean;
  operation?: boolean;
  timeout: number;
  output: Output;
}

export async function appWait(texts: string[], options: WaitOptions): Promise<void> {
  const namespace = await namespaceOf(options);
  const names = texts.map((text) => appName(text, namespace));
  const all = !options.sync && !options.health && !options.operation;
  const wanted = { sync: all || options.sync, health: all || options.health, operation: all || options.operation };
  const what = Object.entries({ Synced: wanted.sync, Healthy: wanted.health, "no operation": wanted.operation })
    .filter(([, asked]) => asked)
    .map(([word]) => word)
    .join(", ");
  const apps = await withCluster(options, (client) =>
    Promise.all(
      names.map((name) =>
        untilApplication(client, name, options.timeout, what, (app) => (holds(app, wanted) ? app : undefined)),
      ),
    ),
  );
  if (options.output === "json") return sayJson(apps.length === 1 ? apps[0] : apps);
  for (const app of apps) {
    const { sync, health } = app.status ?? {};
    say(`${app.metadata.name}  ${state(sync?.status)}  ${state(health?.status)}  ${shortRevisions(sync)}`);
  }
}

function holds(app: Application, wanted: { sync?: boolean; health?: boolean; operation?: boolean }): boolean {
  // What was asked for and not yet taken up would make the status below one of before.
  if (refreshPending(app)) return false;
  return (
    (!wanted.sync || app.status?.sync?.status === "Synced") &&
    (!wanted.health || app.status?.health?.status === "Healthy") &&
    (!wanted.operation || !operationRunning(app))
  );
}
