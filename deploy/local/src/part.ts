// Runs one program of the local parts: its log file, its end, and the pipe that ends it when we are gone.
//
// P1  A part is in a session of its own, so that Ctrl-C in the terminal reaches only us and we can stop the parts in
//     the order they need.
// P2  A part's stdin is a pipe that nobody writes to. When this process dies, however it dies, the pipe closes and
//     the part (driftless-local itself, or its leash around a stock program) ends.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { open, readFile, rename } from "node:fs/promises";
import path from "node:path";
import { systemClock } from "@driftless/process/clock";
import { PartFailed } from "./part-failed.ts";
import type { State } from "./state.ts";

export interface PartEnd {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface Part {
  name: string;
  pid: number;
  logFile: string;
  exited: Promise<PartEnd>;
  /** Fulfilled when the part has ended and nobody here asked for it; with the last lines of its log. */
  failed: Promise<PartFailed>;
  /** SIGTERM, and SIGKILL to the whole group when that was not enough. */
  stop(graceMs?: number): Promise<void>;
  /** SIGKILL to the whole group, now. */
  kill(): Promise<void>;
  /** SIGSTOP and SIGCONT to the whole group: a process that is there and does not answer. */
  freeze(): void;
  thaw(): void;
  requireAlive(): Promise<void>;
  /** Asks until `check` says yes, whose errors mean "not yet" unless some part has failed. Fails with the last lines of the log as soon as the part has ended. */
  whenReady(check: () => Promise<boolean>, deadlineMs?: number): Promise<void>;
}

const graceMsUsual = 10_000;
const linesShown = 12;
const portTakenWords = /address already in use|bind: address in use/i;

export async function startPart(state: State, name: string, command: string[]): Promise<Part> {
  const logFile = path.join(state.logs, `${name}.log`);
  // What the last run said before it ended is worth one more file; more than one nobody reads.
  await rename(logFile, path.join(state.logs, `${name}.previous.log`)).catch(() => {});
  const log = await open(logFile, "w", 0o600);
  const [program, ...args] = command;
  const child = spawn(program!, args, { cwd: state.home, detached: true, stdio: ["pipe", log.fd, log.fd] });
  const exited = new Promise<PartEnd>((resolve) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
  try {
    await once(child, "spawn");
  } catch (error) {
    throw new PartFailed(name, `cannot be started: ${(error as Error).message}`, { cause: error });
  } finally {
    await log.close();
  }
  const pid = child.pid!;
  child.on("error", () => {});
  child.stdin!.on("error", () => {});
  await state.record(name, pid);
  let ended: PartEnd | undefined;
  let asked = false;
  const failed = new Promise<PartFailed>((resolve) => {
    void exited.then(async (end) => {
      ended = end;
      // A leash that was killed may leave its program, which would keep the port. One last signal, while the group
      // still has its number.
      try {
        process.kill(-pid, "SIGKILL");
      } catch {
        // Nothing is left, as usual.
      }
      await state.forget(pid);
      if (!asked) resolve(await failure(name, logFile, ending(end)));
    });
  });

  const signalGroup = (signal: NodeJS.Signals) => {
    try {
      if (!ended) process.kill(-pid, signal);
    } catch {
      // Ended just now.
    }
  };
  return {
    name,
    pid,
    logFile,
    exited,
    failed,
    async stop(graceMs = graceMsUsual) {
      asked = true;
      child.kill("SIGTERM");
      const cancel = systemClock.setTimer(graceMs, () => signalGroup("SIGKILL"));
      await exited;
      cancel();
    },
    async kill() {
      asked = true;
      signalGroup("SIGKILL");
      await exited;
    },
    freeze: () => signalGroup("SIGSTOP"),
    thaw: () => signalGroup("SIGCONT"),
    async requireAlive() {
      if (ended) throw await failure(name, logFile, ending(ended));
    },
    async whenReady(check, deadlineMs = 30_000) {
      const end = systemClock.monotonic() + deadlineMs;
      for (;;) {
        // The part's end first: on a port that somebody else has taken, somebody else would answer.
        if (ended) throw await failure(name, logFile, ending(ended));
        const ready = await check().catch((error: unknown) => {
          if (error instanceof PartFailed) throw error;
          return false;
        });
        if (ready) return;
        if (systemClock.monotonic() > end) throw await failure(name, logFile, `not ready after ${deadlineMs} ms`);
        await systemClock.sleep(25);
      }
    },
  };
}

export function ending(end: PartEnd): string {
  return end.signal ? `ended by ${end.signal}` : `ended with code ${end.code}`;
}

async function failure(name: string, logFile: string, what: string): Promise<PartFailed> {
  const text = await readFile(logFile, "utf8").catch(() => "");
  const lines = text.trimEnd().split("\n").slice(-linesShown);
  const shown = lines.map((line) => `  ${line.slice(0, 400)}`).join("\n");
  return new PartFailed(name, `${what}. Its log is ${logFile}, which ends with:\n${shown}`, {
    portTaken: portTakenWords.test(text.slice(-20_000)),
  });
}
