// What clusters run and serve, as the differ described them: asked for once each when a render depends on it, put into
// every render command from then on, and told to the actors when something that they used of it changes.
import type { Destination } from "@driftless/contracts/identity";
import type { MessageOf } from "@driftless/contracts/message";
import type { ClusterVersions, RenderManifests } from "@driftless/contracts/pipeline/3-render";
import type { ClusterDescribed, DescribeCluster } from "@driftless/contracts/pipeline/4-diff";
import type { SourceRender } from "./application/render.ts";

type Command = MessageOf<typeof DescribeCluster>;
type Answer = MessageOf<typeof ClusterDescribed>;

export interface ClusterBookOptions {
  now(): number;
  publish(command: Command): void;
  answer(uid: string, answer: Answer): void;
}

export interface ClusterBook {
  /** The command with what is known of its destination. */
  completed(command: MessageOf<typeof RenderManifests>, destination: Destination): MessageOf<typeof RenderManifests>;
  ask(uid: string, command: Command): void;
  answered(answer: Answer): void;
  serverOf(destination: Destination): string | undefined;
  /** Whether something else was known of that cluster. */
  changed(cluster: ClusterVersions): boolean;
  /** Whoever told of changes may not do so any more. */
  askAgain(server?: string): void;
}

interface Entry {
  cluster?: ClusterVersions;
  /** The last that was sent. */
  command?: Command;
  /** The question under way, and who waits for its answer. */
  asked?: { until: number; waiting: Map<string, Command> };
}

const ASK_AGAIN_DEADLINE_MS = 60_000;

const keyOf = ({ server, name }: Destination): string => server ?? `name:${name ?? ""}`;

export function createClusterBook({ now, publish, answer }: ClusterBookOptions): ClusterBook {
  const entries = new Map<string, Entry>();
  const entryOf = (destination: Destination): Entry => {
    const key = keyOf(destination);
    const entry = entries.get(key) ?? {};
    entries.set(key, entry);
    return entry;
  };

  return {
    completed(command, destination) {
      const cluster = entries.get(keyOf(destination))?.cluster;
      return cluster ? { ...command, cluster } : command;
    },
    ask(uid, command) {
      const entry = entryOf(command.destination);
      if (entry.asked && entry.asked.until > now()) return void entry.asked.waiting.set(uid, command);
      // Another app's question was answered while this one's render was under way.
      if (entry.cluster && !command.gone) return answer(uid, answerTo(command, { cluster: entry.cluster }));
      const waiting = entry.asked?.waiting ?? new Map<string, Command>();
      entry.asked = { until: command.deadlineAt, waiting: waiting.set(uid, command) };
      entry.command = command;
      publish(command);
    },
    answered({ destination, cluster, failure }) {
      const entry = entryOf(destination);
      entry.cluster = cluster ?? entry.cluster;
      const waiting = entry.asked?.waiting ?? new Map<string, Command>();
      entry.asked = undefined;
      for (const [uid, command] of waiting) answer(uid, answerTo(command, { cluster, failure }));
    },
    serverOf: (destination) => entries.get(keyOf(destination))?.cluster?.server,
    changed(cluster) {
      let changed = false;
      for (const entry of entries.values()) {
        if (entry.cluster?.server !== cluster.server) continue;
        changed ||= JSON.stringify(entry.cluster) !== JSON.stringify(cluster);
        entry.cluster = cluster;
      }
      return changed;
    },
    askAgain(server) {
      for (const entry of entries.values()) {
        if (!entry.command || !entry.cluster || (server !== undefined && entry.cluster.server !== server)) continue;
        const requestId = `${entry.command.requestId}-again`;
        entry.command = { ...entry.command, requestId, deadlineAt: now() + ASK_AGAIN_DEADLINE_MS };
        publish(entry.command);
      }
    },
  };
}

const answerTo = (
  { app, requestId, shard, destination }: Command,
  outcome: Pick<Answer, "cluster" | "failure">,
): Answer => ({ app, requestId, shard, tookMs: 0, destination, ...outcome });

/** Whether a render would come out the same on the cluster as it is now. */
export function stillHolds(
  render: Pick<SourceRender, "variables" | "apiVersions" | "cluster">,
  now: ClusterVersions,
  has: (apiVersion: string) => boolean,
): boolean {
  const before = render.cluster;
  if (before?.server !== now.server) return true;
  if (render.variables.includes("KUBE_VERSION") && before.kubeVersion !== now.kubeVersion) return false;
  if (!render.variables.includes("KUBE_API_VERSIONS")) return true;
  if (!render.apiVersions) return before.apiVersionsDigest === now.apiVersionsDigest;
  return Object.entries(render.apiVersions).every(([name, had]) => has(name) === had);
}
