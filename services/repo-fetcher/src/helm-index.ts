// A Helm repository's index, read in a thread of its own and ended at its limits.
import { Worker } from "node:worker_threads";
import type { Clock } from "@driftless/process/clock";
import { GitFailure } from "./git-failure.ts";

/** `digest` is the archive's sha-256 in hex, where the repository says so. */
export type ChartVersion = { version: string; url: string; digest?: string };

export type IndexRead =
  | { kind: "read"; charts: ReadonlyMap<string, readonly ChartVersion[]> }
  | { kind: "invalid"; why: string }
  | { kind: "limit" };

export type IndexLimits = { bytesMax: number; versionsMax: number; readMs: number; memoryMegabytes: number };

export const defaultIndexLimits: IndexLimits = {
  bytesMax: 64 * 1024 * 1024,
  versionsMax: 200_000,
  readMs: 30_000,
  memoryMegabytes: 1024,
};

/** Throws GitFailure; answers the charts' versions in the index's order. */
export async function readIndex(
  shown: string,
  bytes: Buffer,
  clock: Clock,
  limits: IndexLimits = defaultIndexLimits,
): Promise<ReadonlyMap<string, readonly ChartVersion[]>> {
  const { promise, resolve } = Promise.withResolvers<IndexRead>();
  const worker = new Worker(new URL("./helm-index-worker.ts", import.meta.url), {
    workerData: { bytes, versionsMax: limits.versionsMax },
    resourceLimits: { maxOldGenerationSizeMb: limits.memoryMegabytes },
    env: {},
    execArgv: [],
    stdin: false,
  });
  const stop = clock.setTimer(limits.readMs, () => resolve({ kind: "limit" }));
  worker.once("message", resolve);
  // Out of memory, most likely: the thread's end is not the process's.
  worker.once("error", () => resolve({ kind: "limit" }));
  worker.once("exit", () => resolve({ kind: "limit" }));
  const read = await promise;
  stop();
  void worker.terminate();
  if (read.kind === "read") return read.charts;
  if (read.kind === "invalid") throw new GitFailure("CHART_REPO_INVALID", `${shown}: ${read.why}`);
  throw new GitFailure("FETCH_LIMIT", `${shown}: index.yaml needs more than it is given to be read`, {
    which: "index",
  });
}
