// `driftless down`: ends what `up` or `start` runs here and removes its data. Ending nothing is no error.
import { readdir, rm, rmdir } from "node:fs/promises";
import { claimState, defaultHome, statePaths } from "@driftless/local/state";
import { isAlive } from "@driftless/local/process-identity";
import { systemClock, waitUntil } from "@driftless/process/clock";
import { note } from "../output.ts";
import { terminalProgress } from "../progress.ts";
import { runningHere } from "../run-record.ts";

// The parts are stopped one after another, and each has its own time for that.
const GRACE_MS = 45_000;

export async function down(options: { keepData?: boolean }): Promise<void> {
  const home = defaultHome();
  const running = await runningHere(home);
  if (running) {
    const progress = terminalProgress();
    progress.update("ending everything");
    process.kill(running.pid, "SIGTERM");
    const gone = () => !isAlive(running);
    await waitUntil(systemClock, "ended", gone, { deadlineMs: GRACE_MS, intervalMs: 25 }).catch(() => {
      // What it started ends by itself when it is gone, and is looked for below.
      if (!gone()) process.kill(running.pid, "SIGKILL");
    });
    await waitUntil(systemClock, "ended", gone, { deadlineMs: 5_000, intervalMs: 25 });
    progress.clear();
  }
  const left = await readdir(home).catch(() => [] as string[]);
  if (left.length > 0) {
    // Taking the directory over ends what a crash has left running.
    const state = await claimState(home);
    await state.release();
    await removeData(home, options.keepData ?? false);
  }
  note(running ? "Driftless has ended." : "Nothing was running.");
}

/** Only what is known to be ours: DRIFTLESS_HOME may be a folder with other things in it. */
async function removeData(home: string, keepData: boolean): Promise<void> {
  const paths = statePaths(home);
  const left = await readdir(home).catch(() => [] as string[]);
  const ours = left.filter((name) => /^(driftless\.json|nats\.conf|running\.json)/.test(name));
  const data = keepData ? [] : [paths.etcd, paths.nats, paths.git, paths.certificates, paths.logs];
  for (const target of [...ours.map((name) => `${home}/${name}`), ...data]) {
    await rm(target, { recursive: true, force: true, maxRetries: 3 });
  }
  await rmdir(home).catch(() => {});
}
