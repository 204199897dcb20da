// The state directory of one local copy: where everything is, who runs it, and what a crash left behind.
//
// L1  One process runs a directory at a time; another is told which.
// L2  A crash leaves nothing that prevents the next start: processes of the last run that still live are ended
//     first, each only if its pid *and* its beginning are those written down (process-identity.ts).
// L3  A record that is missing or damaged is not taken for "nobody": the system's own list of processes is asked then.
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { systemClock, waitUntil } from "@driftless/process/clock";
import { readLock, tryLock } from "./lock.ts";
import { PartFailed } from "./part-failed.ts";
import { identityOf, isAlive, type ProcessIdentity } from "./process-identity.ts";
import { processesUsing, type ProcessOfState } from "./process-table.ts";

export interface StatePaths {
  home: string;
  kubeconfig: string;
  natsJson: string;
  gitJson: string;
  logs: string;
  certificates: string;
  etcd: string;
  nats: string;
  git: string;
  lock: string;
}

export interface State extends StatePaths {
  /** Writes down that this process is ours, until it ends. */
  record(name: string, pid: number): Promise<void>;
  forget(pid: number): Promise<void>;
  release(): Promise<void>;
}

interface RunNote {
  parts: (ProcessIdentity & { name: string })[];
}

/** `.driftless/` in the clone this file belongs to, unless DRIFTLESS_HOME names another. */
export function defaultHome(): string {
  return path.resolve(process.env["DRIFTLESS_HOME"] || path.join(import.meta.dirname, "../../..", ".driftless"));
}

export function statePaths(home = defaultHome()): StatePaths {
  const inHome = (name: string) => path.join(path.resolve(home), name);
  return {
    home: path.resolve(home),
    kubeconfig: inHome("kubeconfig"),
    natsJson: inHome("nats.json"),
    gitJson: inHome("git.json"),
    logs: inHome("logs"),
    certificates: inHome("certificates"),
    etcd: inHome("etcd"),
    nats: inHome("nats"),
    git: inHome("git"),
    lock: inHome("running.json"),
  };
}

/** Who runs this directory now; undefined when nobody does. */
export async function runningIn(home = defaultHome()): Promise<ProcessIdentity | undefined> {
  const found = await readLock<RunNote>(statePaths(home).lock);
  return found && isAlive(found.holder) ? found.holder : undefined;
}

export async function claimState(home = defaultHome(), options: { fresh?: boolean } = {}): Promise<State> {
  const paths = statePaths(home);
  if (!(await readLock(paths.lock))) await requireUnused(paths.home);
  // For us alone: there are private keys in it.
  await mkdir(paths.home, { recursive: true, mode: 0o700 });
  const outcome = await tryLock<RunNote>(paths.lock);
  if (outcome.kind === "held") {
    const by = outcome.by.holder.pid;
    throw new PartFailed(
      "local",
      `${paths.home} is in use by process ${by}. End that first, or set DRIFTLESS_HOME to another folder.`,
    );
  }
  const { lock, leftBy } = outcome;
  try {
    await endLeftovers(leftBy?.note?.parts ?? []);
    // These say how to reach what is running: after a crash they would point at nothing, or at somebody else.
    await Promise.all([paths.kubeconfig, paths.natsJson, paths.gitJson].map((file) => rm(file, { force: true })));
    if (options.fresh) {
      const data = [paths.etcd, paths.nats, paths.git, paths.certificates];
      await Promise.all(data.map((folder) => rm(folder, { recursive: true, force: true })));
    }
    await mkdir(paths.logs, { recursive: true });
  } catch (error) {
    await lock.release();
    throw error;
  }
  let parts: RunNote["parts"] = [];
  return {
    ...paths,
    record(name, pid) {
      parts = [...parts, { name, ...identityOf(pid) }];
      return lock.tell({ parts });
    },
    forget(pid) {
      parts = parts.filter((part) => part.pid !== pid);
      return lock.tell({ parts });
    },
    async release() {
      await Promise.all([paths.kubeconfig, paths.natsJson, paths.gitJson].map((file) => rm(file, { force: true })));
      await lock.release();
    },
  };
}

/** They end by themselves within seconds when the process that started them is gone (P2 of part.ts); otherwise it lives. */
async function requireUnused(home: string): Promise<void> {
  let using: ProcessOfState[] = [];
  const unused = async () => (using = await processesUsing(home)).length === 0;
  await waitUntil(systemClock, "unused", unused, { deadlineMs: 12_000, intervalMs: 200 }).catch(() => {});
  if (using.length === 0) return;
  const pids = using.map(({ pid }) => pid);
  // A leash started its program; who started the leash is looked for.
  const parents = [...new Set(using.map(({ parent }) => parent))].filter((pid) => pid > 1 && !pids.includes(pid));
  throw new PartFailed(
    "local",
    `what runs in ${home} cannot be read from its records, but processes ${pids.join(", ")} ` +
      `use it. End process ${(parents.length > 0 ? parents : pids).join(", ")} and try again. Nothing was removed.`,
  );
}

/** Writes a small file whole or not at all, readable by its owner only. */
export async function writeState(file: string, text: string): Promise<void> {
  const next = `${file}.${process.pid}`;
  await writeFile(next, text, { mode: 0o600 });
  await rename(next, file);
}

async function endLeftovers(parts: RunNote["parts"]): Promise<void> {
  // They are ending anyway (their stdin has closed). All of them keep their data through a kill -9, so waiting for
  // them to do it gently would only cost time.
  for (const part of parts.filter(isAlive)) {
    // The group it leads, and itself in case it leads none.
    for (const target of [-part.pid, part.pid]) {
      try {
        process.kill(target, "SIGKILL");
      } catch {
        // Ended between the look and the kill.
      }
    }
  }
  await waitUntil(systemClock, "processes of the last run have ended", () => !parts.some(isAlive), {
    deadlineMs: 10_000,
    intervalMs: 20,
  });
}
