// `driftless app get`: one Application with its conditions, operation, resources and history.
import type { Application } from "@driftless/contracts/application";
import { systemClock } from "@driftless/process/clock";
import { appName, getApplication, operationBegun } from "../applications.ts";
import { namespaceOf, withCluster, type ConnectionOptions } from "../connection.ts";
import { age, paint, say, sayJson, sayTable, shortRevisions, sourceColumns, state, type Output } from "../output.ts";

export async function appGet(text: string, options: ConnectionOptions & { output: Output }): Promise<void> {
  const name = appName(text, await namespaceOf(options));
  const app = await withCluster(options, (client) => getApplication(client, name));
  if (options.output === "json") return sayJson(app);
  if (options.output === "name") return say(app.metadata.name);
  sayApplication(app, options.output === "wide");
}

export function sayApplication(app: Application, wide: boolean): void {
  const { status, spec } = app;
  const now = systemClock.now();
  const automated = spec?.syncPolicy?.automated;
  const field = (name: string, text: string | undefined) => text && say(`${(name && `${name}:`).padEnd(14)}${text}`);
  field("Name", `${app.metadata.namespace}/${app.metadata.name}`);
  field("Project", spec?.project || "default");
  for (const [n, columns] of sourceColumns(spec).entries()) field(n === 0 ? "Source" : "", columns.join("  "));
  const destination = spec?.destination;
  field(
    "Destination",
    `${destination?.name ?? destination?.server ?? ""}  namespace ${destination?.namespace ?? "(none)"}`,
  );
  const flags = automated && (["prune", "selfHeal", "allowEmpty"] as const).filter((flag) => automated[flag]);
  const automatic = automated && automated.enabled !== false;
  field("Sync policy", automatic ? ["automated", ...(flags ?? [])].join(", ") : "manual");
  field(
    "Sync",
    `${state(status?.sync?.status)}  ${(status?.sync?.revisions ?? [status?.sync?.revision ?? ""]).join(" ")}`,
  );
  field("Health", [state(status?.health?.status), status?.health?.message].filter(Boolean).join("  "));
  field("Images", status?.summary?.images?.join(", "));
  for (const condition of status?.conditions ?? []) {
    field("Condition", paint("red", `${condition.type}: ${condition.message}`));
  }
  sayOperation(app, now);
  const resources = status?.resources ?? [];
  if (resources.length > 0) {
    say();
    sayTable(
      ["KIND", "NAMESPACE", "NAME", "SYNC", "HEALTH", ...(wide ? ["GROUP/VERSION"] : [])],
      resources.map((r) => [
        r.kind ?? "",
        r.namespace ?? "",
        r.name ?? "",
        state(r.status) + (r.requiresPruning ? " (to be pruned)" : ""),
        r.health ? state(r.health.status) : "",
        ...(wide ? [[r.group, r.version].filter(Boolean).join("/")] : []),
      ]),
    );
  }
  const history = (status?.history ?? []).slice(wide ? 0 : -5).toReversed();
  if (history.length > 0) {
    say();
    sayTable(
      ["ID", "DEPLOYED", "REVISION"],
      history.map((h) => [String(h.id ?? ""), `${age(h.deployedAt, now)} ago`, shortRevisions(h)]),
    );
  }
}

function sayOperation(app: Application, now: number): void {
  if (app.operation && !operationBegun(app)) say(`${"Operation:".padEnd(14)}asked for, not begun yet`);
  const operation = app.status?.operationState;
  if (!operation) return;
  const by = operation.operation?.initiatedBy;
  const who = by?.automated ? "automated" : (by?.username ?? "");
  const when = operation.finishedAt
    ? `finished ${age(operation.finishedAt, now)} ago`
    : `running for ${age(operation.startedAt, now)}`;
  const facts = [state(operation.phase), shortRevisions(operation.syncResult), who, when];
  say(`${"Operation:".padEnd(14)}${facts.filter(Boolean).join("  ")}`);
  if (operation.message) say(`${"".padEnd(14)}${operation.message}`);
}
