// A lock file that a crash cannot leave locked: it names its holder, and a holder that is no more holds nothing.
//
// The file appears and changes whole (link, rename), so nobody reads half of it. Beside the holder it carries a note
// for whoever finds it: how far a build is, which processes a run has started.
import { link, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { systemClock } from "@driftless/process/clock";
import { identityOf, isAlive, type ProcessIdentity } from "./process-identity.ts";

export interface Lock<Note> {
  /** Replaces the note; writes are kept in order, and one that fails (disk full) is not an error. */
  tell(note: Note): Promise<void>;
  release(): Promise<void>;
}

export interface LockContent<Note> {
  holder: ProcessIdentity;
  note?: Note;
}

export type LockOutcome<Note> =
  /** `leftBy` is what a holder that ended without releasing had written. */
  { kind: "taken"; lock: Lock<Note>; leftBy?: LockContent<Note> } | { kind: "held"; by: LockContent<Note> };

// Two processes may find the same dead holder at once and both take over. The later rename wins, and each looks
// again after this long to see which one it was.
const settleMs = 100;

export async function tryLock<Note>(file: string): Promise<LockOutcome<Note>> {
  await mkdir(path.dirname(file), { recursive: true });
  const holder = identityOf(process.pid);
  const mine = `${file}.${process.pid}`;
  await writeFile(mine, JSON.stringify({ holder }), { mode: 0o600 });
  try {
    await link(mine, file);
    return { kind: "taken", lock: lockIn<Note>(file, mine, holder) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    await rm(mine, { force: true });
  }
  const found = await readLock<Note>(file);
  if (found && isAlive(found.holder)) return { kind: "held", by: found };

  await writeFile(mine, JSON.stringify({ holder, note: found?.note }), { mode: 0o600 });
  await rename(mine, file);
  await systemClock.sleep(settleMs);
  const settled = await readLock<Note>(file);
  if (settled && settled.holder.pid !== process.pid) return { kind: "held", by: settled };
  return { kind: "taken", lock: lockIn<Note>(file, mine, holder), ...(found && { leftBy: found }) };
}

/** What the lock file says, whether or not its holder still lives; undefined when there is none. */
export async function readLock<Note>(file: string): Promise<LockContent<Note> | undefined> {
  try {
    return JSON.parse(await readFile(file, "utf8")) as LockContent<Note>;
  } catch {
    return undefined;
  }
}

function lockIn<Note>(file: string, mine: string, holder: ProcessIdentity): Lock<Note> {
  let writing: Promise<void> = Promise.resolve();
  return {
    tell(note) {
      writing = writing.then(async () => {
        await writeFile(mine, JSON.stringify({ holder, note }), { mode: 0o600 });
        await rename(mine, file);
      });
      writing = writing.catch(() => {});
      return writing;
    },
    async release() {
      await writing;
      await rm(file, { force: true });
    },
  };
}
