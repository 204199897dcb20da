// `driftless app diff`: which fields differ, after a fresh look. The services ask the API server by a dry run and tell the
// answer in their transition; here it is only shown.
import type { Application } from "@driftless/contracts/application";
import { appName, getApplication, refreshApplication } from "../applications.ts";
import { EXIT } from "../cli-error.ts";
import { namespaceOf, withBus, withCluster, type ConnectionOptions } from "../connection.ts";
import { note, say, sayJson, shortRevisions, state, type Output } from "../output.ts";
import { objectLines, type Transition } from "../transition-text.ts";
import { newestTransition } from "../transitions.ts";

interface DiffOptions extends ConnectionOptions {
  refresh: boolean;
  timeout: number;
  output: Output;
}

/** Exit code 0: none; 1: there are differences; 2: it cannot be told. */
export async function appDiff(text: string, options: DiffOptions): Promise<void> {
  const name = appName(text, await namespaceOf(options));
  let app: Application;
  let transition: Transition | undefined;
  try {
    app = await withCluster(options, (client) =>
      options.refresh ? refreshApplication(client, name, "normal", options.timeout) : getApplication(client, name),
    );
    if (app.status?.sync?.status === "OutOfSync") {
      transition = await withBus(options, (bus) => newestTransition(bus, name, "outofsync"));
    }
  } catch (error) {
    note(`driftless: ${(error as Error).message}`);
    process.exitCode = EXIT.usage;
    return;
  }
  const sync = app.status?.sync;
  const differing = (app.status?.resources ?? []).filter((resource) => resource.status !== "Synced");
  if (sync?.status === "OutOfSync") process.exitCode = EXIT.failed;
  else if (sync?.status !== "Synced") process.exitCode = EXIT.usage;
  // One of an earlier revision would show what is no longer so.
  const told = transition && sync && shortRevisions(transition) === shortRevisions(sync) ? transition : undefined;
  if (options.output === "json") {
    return sayJson({
      sync: sync?.status ?? "Unknown",
      revision: sync?.revision,
      revisions: sync?.revisions,
      resources: told?.resources ?? differing,
      conditions: app.status?.conditions ?? [],
    });
  }
  if (sync?.status === "Synced") return note(`${name.name}: no differences at ${shortRevisions(sync)}`);
  say(`${name.name}  ${state(sync?.status)}  ${shortRevisions(sync)}   (live → desired)`);
  for (const condition of app.status?.conditions ?? []) say(`    ${condition.type}: ${condition.message}`);
  if (told) return objectLines(told).forEach((line) => say(line));
  for (const resource of differing) {
    say(
      `    ${resource.kind}/${resource.name}: ${state(resource.status)}${resource.requiresPruning ? ", to be pruned" : ""}`,
    );
  }
}
