// `driftless env`: what a shell needs to talk to the running parts, as `export` lines for eval.
import { defaultHome } from "@driftless/local/state";
import { CliError } from "../cli-error.ts";
import { say, sayJson } from "../output.ts";
import { readRunRecord } from "../run-record.ts";

export async function env(options: { output?: string }): Promise<void> {
  const record = await readRunRecord(defaultHome());
  if (!record?.alive || !record.kubeconfig || !record.natsUrl) {
    throw new CliError("Driftless is not running here. Start it with `npm start` or `npx driftless up`.");
  }
  const variables: Record<string, string> = {
    KUBECONFIG: record.kubeconfig,
    NATS_URL: record.natsUrl,
    ...(record.gitUrl && { GIT_URL: record.gitUrl }),
  };
  if (options.output === "json") return sayJson({ ...variables, binDir: record.binDir });
  for (const [name, value] of Object.entries(variables)) say(`export ${name}=${quoted(value)}`);
  if (record.binDir) say(`export PATH=${quoted(record.binDir)}:"$PATH"`);
}

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
