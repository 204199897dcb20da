// Observer (edge): with --observe in the writer's place. It holds what stands in each Application, and tells instead of
// writing: once an actor would write, or Argo CD has written, where the two differ; each difference once.
import { Application, readLeniently } from "@driftless/contracts/application";
import type { MessageOf } from "@driftless/contracts/message";
import type { ApplicationObserved } from "@driftless/contracts/pipeline/6-application";
import type { KubeObject } from "@driftless/kube/resource";
import { isNewer } from "@driftless/kube/resource-version";
import type { Clock } from "@driftless/process/clock";
import type { Context } from "./application/context.ts";
import { observationOf } from "./application/observation.ts";
import type { Writer } from "./writer.ts";

/** Argo CD and we seldom look at the same moment: what differs only until the other has looked is not told. */
const SETTLE_MS = 1_000;

interface Entry {
  live: Application;
  told: string;
  cancelTimer?: () => void;
}

export function createObserver(options: {
  clock: Clock;
  contextOf(uid: string): Context | undefined;
  tell(observation: MessageOf<typeof ApplicationObserved>): void;
}): Writer {
  const { clock } = options;
  const entries = new Map<string, Entry>();

  const tell = (uid: string, entry: Entry): void => {
    const context = options.contextOf(uid);
    const observation = context && observationOf(context, entry.live, clock.now());
    if (!observation) return;
    const text = JSON.stringify({ ...observation, at: "" });
    if (text === entry.told) return;
    entry.told = text;
    options.tell(observation);
  };

  const schedule = (uid: string, entry: Entry): void => {
    entry.cancelTimer ??= clock.setTimer(SETTLE_MS, () => {
      entry.cancelTimer = undefined;
      tell(uid, entry);
    });
  };

  return {
    observe(uid, object) {
      const entry = entries.get(uid);
      const { resourceVersion } = object.metadata;
      if (entry && !isNewer(resourceVersion, entry.live.metadata.resourceVersion)) return false;
      const reading = readLeniently(Application, object satisfies KubeObject);
      if (reading.kind !== "ok") return false;
      const known: Entry = entry ?? { live: reading.value, told: "" };
      known.live = reading.value;
      entries.set(uid, known);
      schedule(uid, known);
      return true;
    },
    request(uid) {
      const entry = entries.get(uid);
      if (entry) schedule(uid, entry);
    },
    forget(uid) {
      entries.get(uid)?.cancelTimer?.();
      entries.delete(uid);
    },
    settled: async () => {},
  };
}
