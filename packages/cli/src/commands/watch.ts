// `driftless watch [app]`: transitions as they happen, with their cause, the fields and the time of each hop.
import { appName } from "../applications.ts";
import { namespaceOf, withBus, type ConnectionOptions } from "../connection.ts";
import { followTransitions } from "../transitions.ts";

export async function watch(
  app: string | undefined,
  options: ConnectionOptions & { since?: number; output?: string },
): Promise<void> {
  const namespace = await namespaceOf(options);
  const name = app === undefined ? undefined : appName(app, namespace);
  await withBus(options, async (bus) => {
    const following = await followTransitions(bus, {
      namespace,
      app: name,
      from: options.since === undefined ? "new" : { sinceMs: options.since },
      json: options.output === "json",
    });
    await new Promise<void>((resolve) => {
      for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => resolve());
      // `driftless watch | head`: whoever reads has gone.
      process.stdout.once("error", () => resolve());
    });
    await following.stop();
  });
}
