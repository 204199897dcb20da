// `driftless app history`: what was deployed when, by whom, and the ids that `app rollback` takes.
import type { HistoryEntry } from "@driftless/contracts/application";
import { systemClock } from "@driftless/process/clock";
import { appName, getApplication } from "../applications.ts";
import { namespaceOf, withCluster, type ConnectionOptions } from "../connection.ts";
import { age, joinedColumns, note, say, sayJson, sayTable, shortRevisions, type Output } from "../output.ts";

export async function appHistory(text: string, options: ConnectionOptions & { output: Output }): Promise<void> {
  const name = appName(text, await namespaceOf(options));
  const app = await withCluster(options, (client) => getApplication(client, name));
  const history = (app.status?.history ?? []).toReversed();
  if (options.output === "json") return sayJson(history);
  if (options.output === "name") return history.forEach(({ id }) => say(String(id)));
  if (history.length === 0) return note(`${name.name} was never synced as a whole.`);
  const wide = options.output === "wide";
  sayTable(
    ["ID", "DEPLOYED", "REVISION", "BY", ...(wide ? ["REPO", "PATH", "TARGET"] : [])],
    history.map((entry) => [
      String(entry.id ?? ""),
      `${age(entry.deployedAt, systemClock.now())} ago`,
      wide ? (entry.revisions ?? [entry.revision ?? ""]).join(" ") : shortRevisions(entry),
      byOf(entry),
      ...(wide ? joinedColumns(entry) : []),
    ]),
  );
}

function byOf({ initiatedBy }: HistoryEntry): string {
  const { username, automated } = (initiatedBy ?? {}) as { username?: string; automated?: boolean };
  return automated ? "automated" : (username ?? "");
}
