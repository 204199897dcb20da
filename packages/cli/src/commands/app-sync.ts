// `driftless app sync`: asks for an operation as Argo CD's own tools do, and shows it until it is finished.
import type { Application, OperationField } from "@driftless/contracts/application";
import { appName } from "../applications.ts";
import { usageError } from "../cli-error.ts";
import { namespaceOf, withCluster, type ConnectionOptions } from "../connection.ts";
import { requestOperation, showOperation } from "../operations.ts";
import { note, type Output } from "../output.ts";

export interface SyncOptions extends ConnectionOptions {
  revision?: string;
  prune?: boolean;
  dryRun?: boolean;
  resource?: string[];
  strategy?: "hook" | "apply";
  force?: boolean;
  syncOption?: string[];
  retryLimit?: number;
  retryBackoffDuration?: string;
  retryBackoffMaxDuration?: string;
  retryBackoffFactor?: number;
  retryRefresh?: boolean;
  async?: boolean;
  timeout: number;
  output: Output;
}

export async function appSync(text: string, options: SyncOptions): Promise<void> {
  const name = appName(text, await namespaceOf(options));
  const resources = options.resource?.map(resourceOf);
  await withCluster(options, async (client) => {
    const asked = await requestOperation(client, name, (app) => ({ operation: operationOf(app, options, resources) }));
    if (options.async) return note(`${name.name}: sync asked for; \`driftless app wait ${name.name}\` waits for it`);
    await showOperation(client, name, asked, options);
  });
}

export function operationOf(
  app: Application,
  options: Omit<SyncOptions, "timeout" | "output">,
  resources?: ReturnType<typeof resourceOf>[],
): OperationField {
  const { syncPolicy } = app.spec ?? {};
  // An operation brings its own options along: those of the spec are copied by whoever asks (contract §2).
  const syncOptions = options.syncOption ?? syncPolicy?.syncOptions;
  const force = options.force ? { force: true } : {};
  const retry = retryOf(options) ?? syncPolicy?.retry;
  return {
    sync: {
      ...(options.revision && { revision: options.revision }),
      ...(options.prune && { prune: true }),
      ...(options.dryRun && { dryRun: true }),
      ...(resources && { resources }),
      ...(options.strategy === "apply" && { syncStrategy: { apply: force } }),
      ...(options.strategy !== "apply" && (options.strategy || options.force) && { syncStrategy: { hook: force } }),
      ...(syncOptions && { syncOptions }),
    },
    ...(retry && { retry }),
  };
}

function retryOf(options: Omit<SyncOptions, "timeout" | "output">): OperationField["retry"] {
  const { retryLimit, retryBackoffDuration, retryBackoffMaxDuration, retryBackoffFactor, retryRefresh } = options;
  const backoff = {
    ...(retryBackoffDuration && { duration: retryBackoffDuration }),
    ...(retryBackoffMaxDuration && { maxDuration: retryBackoffMaxDuration }),
    ...(retryBackoffFactor !== undefined && { factor: retryBackoffFactor }),
  };
  const hasBackoff = Object.keys(backoff).length > 0;
  if (retryLimit === undefined && !hasBackoff && !retryRefresh) return undefined;
  return {
    ...(retryLimit !== undefined && { limit: retryLimit }),
    ...(hasBackoff && { backoff }),
    ...(retryRefresh && { refresh: true }),
  };
}

/** "apps:Deployment:web", ":Service:shop/web": Argo CD's form; the group of core kinds is empty. */
export function resourceOf(text: string): { group: string; kind: string; name: string; namespace?: string } {
  const parts = text.split(":");
  const [group = "", kind = "", place = ""] = parts;
  const [first = "", second] = place.split("/");
  if (parts.length !== 3 || kind === "" || first === "" || second === "" || text.startsWith("!")) {
    throw usageError(`${JSON.stringify(text)} names no object; write GROUP:KIND:NAME or GROUP:KIND:NAMESPACE/NAME`);
  }
  return second === undefined ? { group, kind, name: first } : { group, kind, name: second, namespace: first };
}
