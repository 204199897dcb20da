// All services in one child process, as `npm start` runs them: start, kill -9, start again, stop.
import { spawn, type ChildProcess } from "node:child_process";
import { createWriteStream, mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { systemClock, waitUntil } from "@driftless/process/clock";

const root = join(import.meta.dirname, "..", "..");

export interface ServicesOptions {
  home: string;
  natsUrl: string;
  kubeconfigPath: string;
  env?: Record<string, string>;
  /** False to start later by `start()`. */
  started?: boolean;
}

export interface Services {
  readonly apiUrl: string;
  readonly logFile: string;
  readonly pid: number | undefined;
  start(): Promise<void>;
  ready(deadlineMs?: number): Promise<void>;
  /** kill -9; resolves when the process is gone. */
  kill(): Promise<void>;
  signal(signal: NodeJS.Signals): void;
  stop(): Promise<void>;
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}

export async function startServices(options: ServicesOptions): Promise<Services> {
  const port = await freePort();
  const apiUrl = `http://127.0.0.1:${port}`;
  const logFile = join(options.home, "logs", "services.log");
  mkdirSync(join(options.home, "logs"), { recursive: true });
  let child: ChildProcess | undefined;
  let gone: Promise<void> = Promise.resolve();

  const services: Services = {
    apiUrl,
    logFile,
    get pid() {
      return child?.pid;
    },
    async start() {
      const log = createWriteStream(logFile, { flags: "a" });
      child = spawn(join(root, "node_modules", ".bin", "node"), [join(root, "services/all/src/main.ts")], {
        cwd: root,
        stdio: ["pipe", "pipe", "pipe"],
        env: {
          ...process.env,
          KUBECONFIG: "/nonexistent/ambient-kubeconfig-must-not-be-read",
          DRIFTLESS_NATS_URL: options.natsUrl,
          DRIFTLESS_KUBECONFIG: options.kubeconfigPath,
          DRIFTLESS_API_PORT: String(port),
          // As the CLI's supervisor does: one name for life after life, and an end with whoever holds stdin.
          DRIFTLESS_REPLICA: "local",
          DRIFTLESS_END_WITH_STDIN: "true",
          ...options.env,
        },
      });
      child.stdout!.pipe(log);
      child.stderr!.pipe(log);
      const started = child;
      gone = new Promise((resolve) => started.once("exit", () => resolve()));
    },
    async ready(deadlineMs = 60_000) {
      await waitUntil(
        systemClock,
        `services ready at ${apiUrl}`,
        async () => {
          if (child?.exitCode !== null && child?.exitCode !== undefined)
            throw new Error(`services ended with ${child.exitCode}:\n${tail(logFile)}`);
          const answer = await fetch(`${apiUrl}/readyz`).catch(() => undefined);
          return answer?.status === 200;
        },
        { deadlineMs, intervalMs: 25 },
      ).catch((error: Error) => {
        throw new Error(`${error.message}\n${tail(logFile)}`);
      });
    },
    async kill() {
      child?.kill("SIGKILL");
      await gone;
    },
    signal(signal) {
      child?.kill(signal);
    },
    async stop() {
      if (!child || child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGTERM");
      const cancel = systemClock.setTimer(15_000, () => child?.kill("SIGKILL"));
      await gone;
      cancel();
    },
  };
  if (options.started !== false) {
    await services.start();
    await services.ready();
  }
  return services;
}

function tail(file: string): string {
  try {
    return readFileSync(file, "utf8").split("\n").slice(-30).join("\n");
  } catch {
    return "(no log)";
  }
}
