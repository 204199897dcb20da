// `driftless app rollback`: syncs what was deployed before, and keeps an automated app there for a while.
import type { Application, HistoryEntry } from "@driftless/contracts/application";
import { systemClock } from "@driftless/process/clock";
import { appName } from "../applications.ts";
import { CliError } from "../cli-error.ts";
import { namespaceOf, withCluster, type ConnectionOptions } from "../connection.ts";
import { requestOperation, showOperation } from "../operations.ts";
import { note, shortRevisions, type Output } from "../output.ts";

interface RollbackOptions extends ConnectionOptions {
  prune?: boolean;
  dryRun?: boolean;
  pin: number;
  async?: boolean;
  timeout: number;
  output: Output;
}

const PINNED_UNTIL = "driftless.io/pinned-until";

export async function appRollback(text: string, id: number | undefined, options: RollbackOptions): Promise<void> {
  const name = appName(text, await namespaceOf(options));
  await withCluster(options, async (client) => {
    let told: string | undefined;
    const asked = await requestOperation(client, name, (app) => {
      const entry = entryOf(app, id);
      const automated = app.spec?.syncPolicy?.automated;
      const pins = automated && automated.enabled !== false && !options.dryRun;
      const until = new Date(systemClock.now() + options.pin).toISOString();
      told = `${name.name}: back to ${entry.id} (${shortRevisions(entry)})`;
      // Argo CD refuses it while syncs are automated: they would undo it at once. Here they wait.
      if (pins) told += `; it stays there until ${until}, or until its annotation ${PINNED_UNTIL} is removed`;
      return {
        operation: {
          sync: {
            ...deployed(entry),
            ...(options.prune && { prune: true }),
            ...(options.dryRun && { dryRun: true }),
            syncOptions: app.spec?.syncPolicy?.syncOptions ?? [],
            syncStrategy: { apply: {} },
          },
        },
        ...(pins && { annotations: { [PINNED_UNTIL]: until } }),
      };
    });
    if (options.output !== "json") note(told!);
    if (!options.async) await showOperation(client, name, asked, options);
  });
}

/** Of one source, or of several. */
const deployed = ({ source, revision, sources, revisions }: HistoryEntry): object =>
  sources ? { sources, revisions } : { source, revision };

/** Without an id the one before the newest, as Argo CD takes it. */
export function entryOf(app: Application, id: number | undefined): HistoryEntry {
  const history = app.status?.history ?? [];
  const entry = id === undefined ? history.at(-2) : history.find((one) => one.id === id);
  if (entry && ((entry.source && entry.revision) || (entry.sources && entry.revisions))) return entry;
  const ids = history.map((one) => one.id).join(", ");
  const what = id === undefined ? "nothing was deployed before the newest" : `there is no entry ${id} in its history`;
  throw new CliError(`${app.metadata.name}: ${what}; it has ${ids || "none"} (\`driftless app history\` shows them)`);
}
