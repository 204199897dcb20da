// `driftless app list`.
import type { Application } from "@driftless/contracts/application";
import { systemClock } from "@driftless/process/clock";
import { listApplications } from "../applications.ts";
import { namespaceOf, withCluster, type ConnectionOptions } from "../connection.ts";
import { age, joinedColumns, note, say, sayJson, sayTable, shortRevisions, state, type Output } from "../output.ts";

export async function appList(options: ConnectionOptions & { output: Output; selector?: string }): Promise<void> {
  const namespace = await namespaceOf(options);
  const apps = await withCluster(options, (client) => listApplications(client, namespace, options.selector));
  if (options.output === "json") return sayJson(apps);
  if (options.output === "name") return apps.forEach((app) => say(app.metadata.name));
  if (apps.length === 0) {
    const which = options.selector ? ` with labels ${options.selector}` : "";
    return note(`No Applications${which} in namespace ${namespace}.`);
  }
  const wide = options.output === "wide";
  const head = ["NAME", "SYNC", "HEALTH", "REVISION", "CONDITIONS", "SYNCED"];
  sayTable(
    [...head, ...(wide ? ["PROJECT", "REPO", "PATH", "TARGET", "DESTINATION"] : [])],
    apps.map((app) => row(app, wide)),
  );
}

function row(app: Application, wide: boolean): string[] {
  const { status, spec } = app;
  const destination = spec?.destination;
  const shown = [
    app.metadata.name,
    app.operation || status?.operationState?.phase === "Running" ? state("Syncing") : state(status?.sync?.status),
    state(status?.health?.status),
    shortRevisions(status?.sync),
    [...new Set((status?.conditions ?? []).map((condition) => codeOf(condition.message) ?? condition.type ?? ""))].join(
      ",",
    ),
    age(status?.history?.at(-1)?.deployedAt, systemClock.now()),
  ];
  if (!wide) return shown;
  const where = `${destination?.name ?? destination?.server ?? ""}/${destination?.namespace ?? ""}`;
  return [...shown, spec?.project ?? "", ...joinedColumns(spec), where];
}

/** "[GIT_AUTH_FAILED] …" begins with it. */
const codeOf = (message: string | undefined): string | undefined => /^\[([A-Z_]+)\]/.exec(message ?? "")?.[1];
