// `driftless app refresh`: looks at Git and cluster now, and says what came out.
import { appName, refreshApplication } from "../applications.ts";
import { EXIT } from "../cli-error.ts";
import { namespaceOf, withCluster, type ConnectionOptions } from "../connection.ts";
import { paint, say, sayJson, shortRevisions, state, type Output } from "../output.ts";

export async function appRefresh(
  text: string,
  options: ConnectionOptions & { hard?: boolean; timeout: number; output: Output },
): Promise<void> {
  const name = appName(text, await namespaceOf(options));
  const app = await withCluster(options, (client) =>
    refreshApplication(client, name, options.hard ? "hard" : "normal", options.timeout),
  );
  const conditions = app.status?.conditions ?? [];
  if (conditions.some((condition) => condition.type?.endsWith("Error"))) process.exitCode = EXIT.failed;
  if (options.output === "json") return sayJson(app);
  const { sync, health } = app.status ?? {};
  say(`${app.metadata.name}  ${state(sync?.status)}  ${state(health?.status)}  ${shortRevisions(sync)}`);
  for (const condition of conditions) say(paint("red", `  ${condition.type}: ${condition.message}`));
}
