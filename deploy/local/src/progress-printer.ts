// Shows the progress of a build to people: a bar on a terminal, a plain line now and then in a log.
import { systemClock } from "@driftless/process/clock";
import type { BuildProgress } from "./build.ts";

export interface ProgressOutput {
  isTTY?: boolean;
  columns?: number;
  write(text: string): unknown;
}

// Often enough to see that it lives, seldom enough that a CI log of six minutes stays readable.
const plainEveryMs = 15_000;
const barEveryMs = 100;
const barWidth = 24;

export function progressPrinter(output: ProgressOutput): (progress: BuildProgress) => void {
  let shownMs = -Infinity;
  let shownWhat = "";
  return (progress) => {
    const nowMs = systemClock.monotonic();
    const finished = progress.total > 0 && progress.done === progress.total;
    const due = nowMs - shownMs >= (output.isTTY ? barEveryMs : plainEveryMs);
    if (!due && !finished && progress.what === shownWhat) return;
    shownMs = nowMs;
    shownWhat = progress.what;
    const line = progressLine(progress, output.isTTY ?? false).slice(0, (output.columns ?? 120) - 1);
    output.write(output.isTTY ? `\r\u001B[K${line}${finished ? "\n" : ""}` : `${line}\n`);
  };
}

export function progressLine(progress: BuildProgress, bar: boolean): string {
  const { what, done, total } = progress;
  const seconds = Math.floor(progress.elapsedMs / 1000);
  const elapsed = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  if (total === 0) return `building ${what} (once)  ${elapsed}`;
  const filled = Math.floor((barWidth * done) / total);
  const drawn = bar ? `${"█".repeat(filled)}${"░".repeat(barWidth - filled)} ` : "";
  return `${drawn}${done}/${total} ${elapsed}  building ${what} (once)`;
}
