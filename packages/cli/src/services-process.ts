// Edge: all services in one child process, started again with growing delay when it ends by itself.
//
// V1  The child ends when we do, however we do: it holds the other end of a pipe and ends when that closes.
// V2  It is in a session of its own, so that Ctrl-C reaches us alone and everything is ended in order.
import { spawn, type ChildProcess } from "node:child_process";
import { open, rename } from "node:fs/promises";
import path from "node:path";
import { systemClock } from "@driftless/process/clock";
import type { State } from "@driftless/local/state";

const ROOT = path.join(import.meta.dirname, "../../..");
const RESTART_MS = 250;
const RESTART_MS_MAX = 10_000;
/** Having lived so long, it is not the start that fails. */
const STEADY_MS = 30_000;
/** A wrong configuration does not get better by trying again. */
const EXIT_CONFIGURATION = 2;
const STOP_GRACE_MS = 12_000;

export interface ServicesProcess {
  readonly pid: number | undefined;
  readonly restarts: number;
  readonly logFile: string;
  /** Undefined as long as it is worth waiting. */
  readonly failed: string | undefined;
  stop(): Promise<void>;
}

export async function superviseServices(options: {
  state: State;
  env: Record<string, string>;
  onChange(process: { pid: number | undefined; restarts: number }): void;
  onRestart(text: string): void;
}): Promise<ServicesProcess> {
  const { state } = options;
  const logFile = path.join(state.logs, "services.log");
  await rename(logFile, path.join(state.logs, "services.previous.log")).catch(() => {});
  const abort = new AbortController();
  let child: ChildProcess | undefined;
  let restarts = 0;
  let failed: string | undefined;

  async function runOnce(): Promise<string> {
    const log = await open(logFile, "a", 0o600);
    const { KUBECONFIG: _ambient, ...environment } = process.env;
    try {
      child = spawn(process.execPath, [path.join(ROOT, "services/all/src/main.ts")], {
        cwd: ROOT,
        detached: true,
        stdio: ["pipe", log.fd, log.fd],
        env: { ...environment, ...options.env, DRIFTLESS_END_WITH_STDIN: "true" },
      });
    } finally {
      await log.close();
    }
    const started = child;
    started.stdin?.on("error", () => {});
    const ended = new Promise<string>((resolve) => {
      started.once("error", (error) => resolve(error.message));
      started.once("exit", (code, signal) => {
        if (code === EXIT_CONFIGURATION) failed = `the services refuse their configuration; see ${logFile}`;
        resolve(signal ? `was ended by ${signal}` : `ended with code ${code}`);
      });
    });
    const pid = started.pid;
    if (pid !== undefined) await state.record("services", pid);
    options.onChange({ pid, restarts });
    const how = await ended;
    child = undefined;
    if (pid !== undefined) await state.forget(pid);
    return how;
  }

  async function supervise(): Promise<void> {
    let delayMs = RESTART_MS;
    for (;;) {
      const startedAt = systemClock.monotonic();
      const how = await runOnce();
      if (abort.signal.aborted || failed) return;
      if (systemClock.monotonic() - startedAt > STEADY_MS) delayMs = RESTART_MS;
      restarts++;
      options.onChange({ pid: undefined, restarts });
      options.onRestart(`the services' process ${how}; it is started again (log: ${logFile})`);
      await systemClock.sleep(delayMs, abort.signal).catch(() => {});
      if (abort.signal.aborted) return;
      delayMs = Math.min(delayMs * 2, RESTART_MS_MAX);
    }
  }
  const supervision = supervise();

  return {
    logFile,
    get pid() {
      return child?.pid;
    },
    get restarts() {
      return restarts;
    },
    get failed() {
      return failed;
    },
    async stop() {
      abort.abort();
      child?.kill("SIGTERM");
      const cancel = systemClock.setTimer(STOP_GRACE_MS, () => child?.kill("SIGKILL"));
      await supervision;
      cancel();
    },
  };
}
