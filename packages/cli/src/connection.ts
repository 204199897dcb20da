// Which cluster and which NATS a command means: flags, then DRIFTLESS_… variables, then what `driftless up` or
// `npm start` of this clone runs. Never the ambient KUBECONFIG: it may be somebody's production.
import path from "node:path";
import { connectBus, type Bus } from "@driftless/bus/connect";
import { createClient, type KubeClient } from "@driftless/kube/client";
import { loadConfig } from "@driftless/kube/config";
import { defaultHome } from "@driftless/local/state";
import { systemClock } from "@driftless/process/clock";
import { createLogger } from "@driftless/process/telemetry";
import { CliError, usageError } from "./cli-error.ts";
import { readRunRecord } from "./run-record.ts";

export interface ConnectionOptions {
  kubeconfig?: string;
  nats?: string;
  appNamespace?: string;
}

const NATS_DEADLINE_MS = 5_000;
const NOT_RUNNING = "Driftless is not running here. Start it with `npm start` or `npx driftless up`";

export const ownKubeconfig = (options: ConnectionOptions): string | undefined => {
  const file = options.kubeconfig || process.env["DRIFTLESS_KUBECONFIG"];
  return file ? path.resolve(file) : undefined;
};

export const ownNats = (options: ConnectionOptions): string | undefined =>
  options.nats || process.env["DRIFTLESS_NATS_URL"] || undefined;

export const DEFAULT_NAMESPACE = "argocd";

export async function namespaceOf(options: ConnectionOptions): Promise<string> {
  if (options.appNamespace) return options.appNamespace;
  if (process.env["DRIFTLESS_NAMESPACE"]) return process.env["DRIFTLESS_NAMESPACE"];
  return (await runningRecord())?.namespace ?? DEFAULT_NAMESPACE;
}

async function runningRecord() {
  const record = await readRunRecord(defaultHome());
  return record?.alive ? record : undefined;
}

export async function withCluster<T>(options: ConnectionOptions, work: (client: KubeClient) => Promise<T>): Promise<T> {
  const own = ownKubeconfig(options);
  const file = own ?? (await runningRecord())?.kubeconfig;
  if (!file) throw new CliError(`${NOT_RUNNING}, or name a cluster with --kubeconfig FILE.`);
  const config = await loadConfig({ kind: "kubeconfig", path: file });
  if (config.kind === "error") {
    throw own ? usageError(config.error.message) : new CliError(config.error.message);
  }
  const client = createClient(config.config, { clock: systemClock });
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

export async function withBus<T>(options: ConnectionOptions, work: (bus: Bus) => Promise<T>): Promise<T> {
  const servers = ownNats(options) ?? (await runningRecord())?.natsUrl;
  if (!servers) throw new CliError(`${NOT_RUNNING}, or name a NATS server with --nats URL.`);
  const giveUp = new AbortController();
  const cancel = systemClock.setTimer(NATS_DEADLINE_MS, () => giveUp.abort(new Error("no answer")));
  const logger = createLogger({ service: "cli", level: "silent" });
  let bus: Bus;
  try {
    bus = await connectBus({ servers, name: "cli", clock: systemClock, logger, signal: giveUp.signal });
  } catch (error) {
    throw new CliError(`NATS does not answer: ${(error as Error).message}`, undefined, { cause: error });
  } finally {
    cancel();
  }
  try {
    return await work(bus);
  } finally {
    await bus.close();
  }
}
