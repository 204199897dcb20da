// Plugins that find their sources by files (edge): what their workers have put into the bucket, followed.
import type { Bus } from "@driftless/bus/connect";
import { PluginDeclaration } from "@driftless/contracts/plugin";
import { BUCKETS } from "@driftless/contracts/streams";
import type { Logger } from "@driftless/process/telemetry";
import type { RenderJob } from "@driftless/render-engine/protocol";

export interface DeclaredPlugins {
  /** In the order of their names: the first that matches has a source. */
  rules(): NonNullable<RenderJob["plugins"]>;
  stop(): Promise<void>;
}

export async function followPlugins(bus: Bus, logger: Logger): Promise<DeclaredPlugins> {
  const declared = new Map<string, PluginDeclaration>();
  const bucket = await bus.kv(BUCKETS.plugins);
  const following = await bucket.watch(({ key, value }) => {
    if (value === undefined) return void declared.delete(key);
    const declaration = read(value);
    // A broken one beside a good one of before: that one still stands for what is the plugin's.
    if (!declaration) return logger.warn({ key }, "a plugin's declaration cannot be read");
    declared.set(key, declaration);
  });
  return {
    rules: () =>
      [...declared.values()]
        .filter(({ discover }) => discover.fileName || discover.glob)
        .map(({ name, discover: { fileName, glob } }) => ({ name, fileName, glob }))
        .toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    stop: () => following.stop(),
  };
}

function read(value: Uint8Array): PluginDeclaration | undefined {
  try {
    return PluginDeclaration.safeParse(JSON.parse(Buffer.from(value).toString("utf8"))).data;
  } catch {
    return undefined;
  }
}
