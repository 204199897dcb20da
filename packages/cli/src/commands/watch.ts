// `driftless watch [app]`: transitions as they happen, with their cause, the fields and the time of each hop.
import { appName, hasApplication, type AppName } from "../applications.ts";
import { namespaceOf, withBus, withCluster, type ConnectionOptions } from "../connection.ts";
import { note } from "../output.ts";
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
    // Before anything is said: whoever reads it may interrupt at once.
    const ended = new Promise<void>((resolve) => {
      for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => resolve());
      // `driftless watch | head`: whoever reads has gone.
      process.stdout.once("error", () => resolve());
    });
    if (name) await sayWhenMissing(name, options);
    await ended;
    await following.stop();
  });
}

/** It may be made any moment, so it is waited for; without a word a typing mistake would wait for ever. */
async function sayWhenMissing(name: AppName, options: ConnectionOptions): Promise<void> {
  // Transitions need NATS alone: a cluster that cannot be asked is no reason not to watch.
  const there = await withCluster(options, (client) => hasApplication(client, name)).catch(() => true);
  if (!there) note(`There is no Application ${name.name} in namespace ${name.namespace}; waiting for one.`);
}
