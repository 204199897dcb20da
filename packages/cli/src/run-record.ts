// What a running Driftless writes down for the other commands: `driftless.json` in its state directory.
import { readFile, rm } from "node:fs/promises";
import path from "node:path";
import { identityOf, isAlive, type ProcessIdentity } from "@driftless/local/process-identity";
import { runningIn, writeState } from "@driftless/local/state";

export interface RunRecord {
  /** The process that started everything and ends it. */
  supervisor: ProcessIdentity;
  phase: "starting" | "ready" | "stopping" | "failed";
  /** What is being waited for; of one that failed, why. */
  message?: string;
  namespace: string;
  /** Nothing is written to any cluster. */
  observe: boolean;
  kubeconfig?: string;
  natsUrl?: string;
  apiUrl?: string;
  gitUrl?: string;
  /** Folder of `nats` and `kubectl`. */
  binDir?: string;
  services?: { pid?: number; restarts: number };
}

const fileIn = (home: string) => path.join(home, "driftless.json");

/** Also one whose writer is gone: `alive` says which. */
export async function readRunRecord(home: string): Promise<(RunRecord & { alive: boolean }) | undefined> {
  try {
    const record = JSON.parse(await readFile(fileIn(home), "utf8")) as RunRecord;
    return { ...record, alive: isAlive(record.supervisor) };
  } catch {
    return undefined;
  }
}

/** Whoever runs this directory, by the lock or by the record: one of them may be damaged. */
export async function runningHere(home: string): Promise<ProcessIdentity | undefined> {
  const holder = await runningIn(home);
  if (holder) return holder;
  const record = await readRunRecord(home);
  return record?.alive ? record.supervisor : undefined;
}

export interface RunRecorder {
  readonly record: RunRecord;
  update(change: Partial<RunRecord>): Promise<void>;
  remove(): Promise<void>;
}

export function recordRun(home: string, what: Pick<RunRecord, "namespace" | "observe">): RunRecorder {
  let record: RunRecord = { supervisor: identityOf(process.pid), phase: "starting", ...what };
  let writing: Promise<void> = Promise.resolve();
  return {
    get record() {
      return record;
    },
    update(change) {
      record = { ...record, ...change };
      // The newest state is written; those that came while one was being written are in it.
      writing = writing.then(() => writeState(fileIn(home), `${JSON.stringify(record, null, 2)}\n`)).catch(() => {});
      return writing;
    },
    async remove() {
      await writing;
      await rm(fileIn(home), { force: true });
    },
  };
}
