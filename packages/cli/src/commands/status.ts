// `driftless status`: what runs here and whether it is ready; exit code 1 when it is not.
import { defaultHome } from "@driftless/local/state";
import { EXIT } from "../cli-error.ts";
import { paint, say, sayJson } from "../output.ts";
import { readRunRecord } from "../run-record.ts";

export async function status(options: { output?: string }): Promise<void> {
  const record = await readRunRecord(defaultHome());
  const running = record?.alive === true;
  const readiness = running && record.apiUrl ? await readinessOf(record.apiUrl) : undefined;
  const ready = record?.phase === "ready" && readiness?.ready === true;
  if (!ready) process.exitCode = EXIT.failed;
  if (options.output === "json")
    return sayJson({ running, ready, ...(running && record), services: readiness?.services });
  if (!running)
    return say(
      record
        ? "not running (it ended without cleaning up; `up` does)"
        : "not running; start it with `npm start` or `npx driftless up`",
    );
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
  const urls = { kubeconfig: record.kubeconfig, NATS: record.natsUrl, Git: record.gitUrl, api: record.apiUrl };
  for (const [name, url] of Object.entries(urls)) if (url) say(`  ${name.padEnd(12)}${url}`);
}

async function readinessOf(apiUrl: string): Promise<{ ready: boolean; services: Record<string, string> } | undefined> {
  try {
    const response = await fetch(`${apiUrl}/readyz`, { signal: AbortSignal.timeout(2_000) });
    return (await response.json()) as { ready: boolean; services: Record<string, string> };
  } catch {
    return undefined;
  }
}
