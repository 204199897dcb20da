// `driftless status`: what runs here and whether it is ready; exit code 1 when it is not.
import { processesUsing } from "@driftless/local/process-table";
import { defaultHome, statePaths } from "@driftless/local/state";
import { EXIT } from "../cli-error.ts";
import { paint, say, sayJson } from "../output.ts";
import { readRunRecord, runningHere, type RunRecord } from "../run-record.ts";

export async function status(options: { output?: string }): Promise<void> {
  const home = defaultHome();
  const record = await readRunRecord(home);
  const holder = await runningHere(home);
  const running = holder !== undefined && record?.alive === true;
  const readiness = running && record.apiUrl ? await readinessOf(record.apiUrl) : undefined;
  const ready = record?.phase === "ready" && readiness?.ready === true;
  if (!ready) process.exitCode = EXIT.failed;
  if (options.output === "json")
    return sayJson({
      running: holder !== undefined,
      ready,
      ...(running && record),
      ...(!holder && record?.phase === "failed" && { phase: record.phase, message: record.message }),
      services: readiness?.services,
    });
  if (holder && !running) return say(withoutRecord(holder.pid));
  if (!running) return say(await whyNotRunning(record, home));
  say(
    `${ready ? paint("green", "ready") : paint("yellow", record.phase)}  process ${record.supervisor.pid}${record.message ? `, ${record.message}` : ""}`,
  );
  const restarts = record.services?.restarts ?? 0;
  say(
    `  services    process ${record.services?.pid ?? "(being started)"}${restarts > 0 ? `, started again ${restarts} ×` : ""}`,
  );
  for (const [name, word] of Object.entries(readiness?.services ?? {})) {
    say(`    ${name.padEnd(14)}${word === "ready" ? paint("green", word) : paint("yellow", word)}`);
  }
  if (record.observe) say("  observing: nothing is written to any cluster");
  const urls = { kubeconfig: record.kubeconfig, NATS: record.natsUrl, Git: record.gitUrl, api: record.apiUrl };
  for (const [name, url] of Object.entries(urls)) if (url) say(`  ${name.padEnd(12)}${url}`);
}

/** At the very start, or with a record that cannot be read. */
const withoutRecord = (pid: number): string =>
  `running, but what it is has not been written down: process ${pid}; \`npx driftless down\` ends it`;

async function whyNotRunning(record: RunRecord | undefined, home: string): Promise<string> {
  const using = (await processesUsing(home)).map(({ pid }) => pid);
  if (using.length > 0)
    return `what runs in ${home} cannot be read from its records; processes ${using.join(", ")} use it`;
  if (!record) return "not running; start it with `npm start` or `npx driftless up`";
  const { logs } = statePaths(home);
  if (record.phase === "failed")
    return `not running; it has ended, because of ${record.message}\nThe logs are in ${logs}`;
  return `not running; it ended without cleaning up, which the next \`up\` does (the logs are in ${logs})`;
}

async function readinessOf(apiUrl: string): Promise<{ ready: boolean; services: Record<string, string> } | undefined> {
  try {
    const response = await fetch(`${apiUrl}/readyz`, { signal: AbortSignal.timeout(2_000) });
    return (await response.json()) as { ready: boolean; services: Record<string, string> };
  } catch {
    return undefined;
  }
}
