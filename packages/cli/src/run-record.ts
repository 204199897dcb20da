// What a running Driftless writes down for the other commands: `driftless.json` in its state directory.
import { readFile, rm } from "node:fs/promises";
import path from "node:path";
import { identityOf, isAlive, type ProcessIdentity } from "@driftless/local/process-identity";
import { writeState } from "@driftless/local/state";

export interface RunRecord {
  /** The process that started everything and ends it. */
  supervisor: ProcessIdentity;
  phase: "starting" | "ready" | "stopping";
  /** What is being waited for. */
  message?: string;
  namespace: string;
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

export interface RunRecorder {
  readonly record: RunRecord;
  update(change: Partial<RunRecord>): Promise<void>;
  remove(): Promise<void>;
}

export function recordRun(home: string, namespace: string): RunRecorder {
  let record: RunRecord = { supervisor: identityOf(process.pid), phase: "starting", namespace };
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
