// `driftless up`: what `start` runs, in the background; returns when everything is ready.
import { spawn } from "node:child_process";
import { mkdir, open, readFile, rename } from "node:fs/promises";
import path from "node:path";
import { statePaths } from "@driftless/local/state";
import { systemClock } from "@driftless/process/clock";
import { CliError } from "../cli-error.ts";
import { ownKubeconfig, ownNats, type ConnectionOptions } from "../connection.ts";
import { note, say, sayJson } from "../output.ts";
import { terminalProgress } from "../progress.ts";
import { readRunRecord } from "../run-record.ts";
import { buildParts, openOwnCluster, requireNotRunning } from "../stack.ts";
import { namespaceToRun, observing, refuseMisread, type StartOptions } from "./start-options.ts";

const READY_DEADLINE_MS = 180_000;
const LINES_SHOWN = 15;

export async function up(
  extra: string[],
  options: ConnectionOptions & StartOptions & { output?: string },
): Promise<void> {
  refuseMisread(extra, options, "npx driftless up");
  await requireNotRunning();
  const progress = terminalProgress();
  const kubeconfig = ownKubeconfig(options);
  const nats = ownNats(options);
  const namespace = namespaceToRun(options);
  const observe = observing(options);
  const ownCluster = await openOwnCluster({ kubeconfig, namespace, observe });
  await ownCluster?.close();
  // Here, where somebody sees how far it is; the supervisor finds everything built.
  await buildParts({ kubeconfig, nats, progress, signal: new AbortController().signal });

  const paths = statePaths();
  await mkdir(paths.logs, { recursive: true, mode: 0o700 });
  const logFile = path.join(paths.logs, "supervisor.log");
  await rename(logFile, path.join(paths.logs, "supervisor.previous.log")).catch(() => {});
  const log = await open(logFile, "w", 0o600);
  // Also URLs travel in the environment: the command line is for everybody on the machine to read.
  const env = {
    ...process.env,
    DRIFTLESS_NAMESPACE: namespace,
    DRIFTLESS_OBSERVE: String(observe),
    ...(kubeconfig && { DRIFTLESS_KUBECONFIG: kubeconfig }),
    ...(nats && { DRIFTLESS_NATS_URL: nats }),
  };
  const supervisor = spawn(process.execPath, [path.join(import.meta.dirname, "../supervisor.ts")], {
    cwd: paths.home,
    detached: true,
    stdio: ["ignore", log.fd, log.fd],
    env,
  });
  await log.close();
  let ended: string | undefined;
  supervisor.once("error", (error) => (ended = error.message));
  supervisor.once("exit", (code, signal) => (ended = signal ? `ended by ${signal}` : `ended with code ${code}`));

  // Ctrl-C here means "do not": the supervisor is out of the terminal's reach and ends what it has started.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => supervisor.kill("SIGTERM"));

  const end = systemClock.monotonic() + READY_DEADLINE_MS;
  for (;;) {
    const record = await readRunRecord(paths.home);
    const ours = record?.supervisor.pid === supervisor.pid ? record : undefined;
    if (ours?.phase === "ready") break;
    if (ended !== undefined) throw new CliError(`not started (${ended}):\n${await lastLines(logFile)}`);
    if (systemClock.monotonic() > end) {
      supervisor.kill("SIGTERM");
      throw new CliError(`not ready after ${READY_DEADLINE_MS / 1000} s; the log is ${logFile}`);
    }
    progress.update(ours?.message ?? "starting the local parts");
    await systemClock.sleep(50);
  }
  supervisor.unref();
  progress.clear();
  const { alive: _, ...record } = (await readRunRecord(paths.home))!;
  if (options.output === "json") return sayJson(record);
  note("Driftless is ready.");
  say(`kubeconfig ${record.kubeconfig}`);
  say(`NATS       ${record.natsUrl}`);
  if (record.gitUrl) say(`Git        ${record.gitUrl}/example.git`);
  say(`webhook    ${record.apiUrl}/api/webhook`);
  if (record.observe) return note("It only observes, and writes to no cluster. Next: npx driftless observe");
  note(`Next: eval "$(npx driftless env)"; npx driftless app list; npx driftless watch; npx driftless down`);
}

async function lastLines(file: string): Promise<string> {
  const text = await readFile(file, "utf8").catch(() => "");
  return text.trimEnd().split("\n").slice(-LINES_SHOWN).join("\n");
}
