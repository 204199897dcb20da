// How a process lives: configuration, start, signals, one orderly stop with a deadline, exit code.
import { type Clock, systemClock } from "./clock.ts";
import { type Config, ConfigError, readConfig } from "./config.ts";
import { createLogger, type Logger, Registry, withoutCredentials } from "./telemetry.ts";

export interface Service {
  /** Undefined when ready, else why not, in a sentence. */
  notReady(): string | undefined;
  stop(): Promise<void>;
}

export interface ProcessContext {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Registry;
  /** Aborted by the first SIGTERM or SIGINT: whoever waits during start gives up. */
  readonly signal: AbortSignal;
  readonly config: Config;
}

const STOP_DEADLINE_MS = 10_000;

export const EXIT = {
  ok: 0,
  failed: 1,
  configuration: 2,
  /** Stop was not done in time, or a second signal came. */
  killed: 3,
} as const;

export function runProcess(options: { name: string; start(context: ProcessContext): Promise<Service> }): void {
  let config: Config;
  try {
    config = readConfig();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${options.name}: wrong configuration\n${error.message}\n`);
    process.exitCode = EXIT.configuration;
    return;
  }
  const clock = systemClock;
  const logger = createLogger({ service: options.name, level: config.logLevel });
  const metrics = new Registry();
  const abort = new AbortController();

  const fail = (what: string) => (error: unknown) => {
    logger.fatal({ err: error }, what);
    process.exit(EXIT.failed);
  };
  process.on("unhandledRejection", fail("unhandled rejection"));
  process.on("uncaughtException", fail("uncaught exception"));

  const started = options.start({ clock, logger, metrics, signal: abort.signal, config });

  const stop = async (signal: NodeJS.Signals) => {
    // The second Ctrl-C of somebody who does not want to wait.
    if (abort.signal.aborted) process.exit(EXIT.killed);
    logger.info({ signal }, "stopping");
    abort.abort(new Error(`stopped by ${signal}`));
    clock.setTimer(STOP_DEADLINE_MS, () => {
      logger.error({ deadlineMs: STOP_DEADLINE_MS }, "stop took too long");
      process.exit(EXIT.killed);
    });
    // A start that gave up because of the signal has nothing left to stop.
    const service = await started.catch(() => undefined);
    await service?.stop();
    logger.info("stopped");
    process.exit(EXIT.ok);
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => void stop(signal).catch(fail("stop failed")));
  }

  started.then(
    () => logger.info({ replica: config.replica }, "started"),
    (error: unknown) => {
      if (abort.signal.aborted) return;
      process.stderr.write(
        `${options.name}: ${withoutCredentials(error instanceof Error ? error.message : String(error))}\n`,
      );
      // No use in starting it again.
      if (error instanceof ConfigError) process.exit(EXIT.configuration);
      fail("start failed")(error);
    },
  );
}
