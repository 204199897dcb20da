// `driftless app sync`: asks for an operation as Argo CD's own tools do, and shows it until it is finished.
import { randomUUID } from "node:crypto";
import { userInfo } from "node:os";
import type { Application, ResourceResult } from "@driftless/contracts/application";
import type { KubeClient } from "@driftless/kube/client";
import {
  appName,
  getApplication,
  operationRunning,
  patchApplication,
  untilApplication,
  type AppName,
} from "../applications.ts";
import { CliError, EXIT } from "../cli-error.ts";
import { namespaceOf, withCluster, type ConnectionOptions } from "../connection.ts";
import { note, say, sayJson, sayTable, shortRevision, state, type Output } from "../output.ts";

interface SyncOptions extends ConnectionOptions {
  revision?: string;
  prune?: boolean;
  async?: boolean;
  timeout: number;
  output: Output;
}

/** Tells our operation from one that somebody else asked for in the same second. */
const REQUEST_INFO = "driftless.io/request";
const ATTEMPTS_MAX = 5;

export async function appSync(text: string, options: SyncOptions): Promise<void> {
  const name = appName(text, await namespaceOf(options));
  await withCluster(options, async (client) => {
    const requestId = randomUUID();
    const before = await requestSync(client, name, requestId, options);
    if (options.async) return note(`${name.name}: sync asked for`);
    const progress = options.output === "json" ? () => {} : progressOf();
    const done = await untilApplication(client, name, options.timeout, "the sync to finish", (app) => {
      if (!isOurs(app, requestId, before)) return undefined;
      progress(app);
      return operationRunning(app) ? undefined : app;
    });
    const operation = done.status?.operationState;
    if (operation?.phase !== "Succeeded") process.exitCode = EXIT.failed;
    if (options.output === "json") return sayJson(done);
    const results = operation?.syncResult?.resources ?? [];
    if (results.length > 0) {
      sayTable(
        ["KIND", "NAMESPACE", "NAME", "STATUS", "MESSAGE"],
        results.map((r) => [r.kind ?? "", r.namespace ?? "", r.name ?? "", state(r.status), r.message ?? ""]),
      );
    }
    const revision = shortRevision(operation?.syncResult?.revision);
    say([name.name, state(operation?.phase), revision, operation?.message].filter(Boolean).join("  "));
  });
}

/** Answers the Application as it was before; refuses where an operation is going on, as Argo CD does. */
async function requestSync(
  client: KubeClient,
  name: AppName,
  requestId: string,
  options: SyncOptions,
): Promise<Application> {
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    const app = await getApplication(client, name);
    if (operationRunning(app)) throw new CliError(`${name.name}: another operation is in progress; see \`app get\``);
    const { syncOptions, retry } = app.spec?.syncPolicy ?? {};
    const patch = {
      // Not over an operation that came in between.
      metadata: { resourceVersion: app.metadata.resourceVersion },
      operation: {
        sync: {
          ...(options.revision && { revision: options.revision }),
          ...(options.prune && { prune: true }),
          // An operation brings its own options along: those of the spec are copied by whoever asks (contract §2).
          ...(syncOptions && { syncOptions }),
        },
        ...(retry && { retry }),
        initiatedBy: { username: userInfo().username },
        info: [{ name: REQUEST_INFO, value: requestId }],
      },
    };
    if ((await patchApplication(client, name, patch)) === "patched") return app;
  }
  throw new CliError(`${name.name}: the Application keeps changing; try again`);
}

function isOurs(app: Application, requestId: string, before: Application): boolean {
  if (app.operation) return false;
  const operation = app.status?.operationState;
  const info = operation?.operation?.info ?? [];
  if (info.some((entry) => entry.name === REQUEST_INFO && entry.value === requestId)) return true;
  return operation?.startedAt !== undefined && operation.startedAt !== before.status?.operationState?.startedAt;
}

/** Says each change once: the phase with its message, and each object as its result comes in. */
function progressOf(): (app: Application) => void {
  const said = new Set<string>();
  const once = (text: string) => {
    if (said.has(text)) return;
    said.add(text);
    note(text);
  };
  const lineOf = (r: ResourceResult) => `  ${r.kind}/${r.name}  ${r.message ?? r.status ?? ""}`;
  return (app) => {
    const operation = app.status?.operationState;
    if (!operationRunning(app)) return;
    once([operation?.phase, operation?.message].filter(Boolean).join(": "));
    for (const result of operation?.syncResult?.resources ?? []) if (result.message) once(lineOf(result));
  };
}
