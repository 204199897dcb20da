// Edge: the adapter that serves a folder of Argo CD's ConfigManagementPlugin declarations (DRIFTLESS_PLUGINS), in a child
// process that ends with us and is started again when it ends by itself.
import { spawn, type ChildProcess } from "node:child_process";
import { createWriteStream } from "node:fs";
import path from "node:path";
import { buildGo, type BuildProgress } from "@driftless/local/build";
import type { State } from "@driftless/local/state";
import { systemClock } from "@driftless/process/clock";
import { CliError } from "./cli-error.ts";

const RESTART_MS = 2_000;
const STOP_GRACE_MS = 5_000;

export interface PluginsProcess {
  stop(): Promise<void>;
}

/** Resolves when the declarations are served; what is wrong with them is a CliError. */
export async function servePlugins(options: {
  folder: string;
  natsUrl: string;
  state: State;
  onProgress(progress: BuildProgress): void;
  onRestart(text: string): void;
}): Promise<PluginsProcess> {
  const { folder, natsUrl, state, onProgress, onRestart } = options;
  const { binDir } = await buildGo({
    moduleDir: path.join(import.meta.dirname, "../../../deploy/plugins"),
    outputs: [{ pkg: "./adapter", name: "plugin-adapter" }],
    what: "the plugin adapter",
    onProgress,
  });
  const logFile = path.join(state.logs, "plugins.log");
  const abort = new AbortController();
  const serving = Promise.withResolvers<void>();
  let child: ChildProcess | undefined;

  async function runOnce(): Promise<void> {
    const flags = [`--nats=${natsUrl}`, "--end-with-stdin", path.resolve(folder)];
    // In a session of its own, so that Ctrl-C reaches us alone.
    const started = spawn(path.join(binDir, "plugin-adapter"), flags, {
      detached: true,
      stdio: ["pipe", "ignore", "pipe"],
      env: { TMPDIR: process.env["TMPDIR"] },
    });
    child = started;
    started.stdin.on("error", () => {});
    const log = createWriteStream(logFile, { flags: "a", mode: 0o600 });
    let said = "";
    started.stderr.on("data", (chunk: Buffer) => {
      log.write(chunk);
      if (said.length < 2_000) said += chunk.toString("utf8");
      if (/^serving /m.test(said)) serving.resolve();
    });
    if (started.pid !== undefined) await state.record("plugins", started.pid);
    await new Promise<void>((resolve) => started.once("close", () => resolve()).once("error", () => resolve()));
    log.end();
    if (started.pid !== undefined) await state.forget(started.pid);
    serving.reject(new CliError(`the plugins in ${folder} (DRIFTLESS_PLUGINS) cannot be served: ${said.trim()}`));
  }

  const supervision = (async () => {
    for (;;) {
      await runOnce();
      await systemClock.sleep(RESTART_MS, abort.signal).catch(() => {});
      if (abort.signal.aborted) return;
      onRestart(`the plugin adapter ended; it is started again (log: ${logFile})`);
    }
  })();
  const stop = async () => {
    abort.abort();
    child?.kill("SIGTERM");
    const cancel = systemClock.setTimer(STOP_GRACE_MS, () => child?.kill("SIGKILL"));
    await supervision;
    cancel();
  };
  await serving.promise.catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  return { stop };
}
