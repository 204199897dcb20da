// `driftless app terminate`: ends the operation that is running, as Argo CD does, by its phase.
import {
  appName,
  getApplication,
  operationBegun,
  operationRunning,
  patchApplication,
  untilApplication,
} from "../applications.ts";
import { CliError } from "../cli-error.ts";
import { namespaceOf, withCluster, type ConnectionOptions } from "../connection.ts";
import { note, say, sayJson, state, type Output } from "../output.ts";

const ATTEMPTS_MAX = 20;

export async function appTerminate(
  text: string,
  options: ConnectionOptions & { async?: boolean; timeout: number; output: Output },
): Promise<void> {
  const name = appName(text, await namespaceOf(options));
  await withCluster(options, async (client) => {
    for (let attempt = 1; ; attempt++) {
      const app = await getApplication(client, name);
      const { resourceVersion } = app.metadata;
      if (!operationRunning(app)) throw new CliError(`${name.name}: no operation is in progress`);
      // One that nobody has taken up yet is taken back.
      const patch = operationBegun(app)
        ? { status: { operationState: { phase: "Terminating" } } }
        : { operation: null };
      if ((await patchApplication(client, name, { metadata: { resourceVersion }, ...patch })) === "patched") break;
      if (attempt === ATTEMPTS_MAX) throw new CliError(`${name.name}: the Application keeps changing; try again`);
    }
    if (options.async) return note(`${name.name}: its end is asked for`);
    const done = await untilApplication(client, name, options.timeout, "the operation to end", (app) =>
      operationRunning(app) ? undefined : app,
    );
    if (options.output === "json") return sayJson(done);
    const operation = done.status?.operationState;
    say([name.name, state(operation?.phase), operation?.message].filter(Boolean).join("  "));
  });
}
