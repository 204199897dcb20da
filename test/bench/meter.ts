// What a process and its children have used: CPU seconds and resident memory, from /proc (Linux), and the number of
// API writes, from the API server's own metrics.
import { readdirSync, readFileSync } from "node:fs";

const TICKS_PER_SECOND = 100;
const PAGE_BYTES = 4096;

interface Usage {
  cpuSeconds: number;
  rssBytes: number;
}

export function processTreeUsage(pid: number): Usage {
  const children = new Map<number, number[]>();
  const stats = new Map<number, Usage>();
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, "utf8");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      const parent = Number(fields[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(entry)]);
      stats.set(Number(entry), {
        // Children that are gone already count through their parent (cutime, cstime).
        cpuSeconds: [11, 12, 13, 14].reduce((sum, n) => sum + Number(fields[n]), 0) / TICKS_PER_SECOND,
        rssBytes: Number(fields[21]) * PAGE_BYTES,
      });
    } catch {
      // The process ended while it was being read.
    }
  }
  const total: Usage = { cpuSeconds: 0, rssBytes: 0 };
  const visit = (id: number): void => {
    const own = stats.get(id);
    if (own) {
      total.cpuSeconds += own.cpuSeconds;
      total.rssBytes += own.rssBytes;
    }
    for (const child of children.get(id) ?? []) visit(child);
  };
  visit(pid);
  return total;
}

/** Writes that the API server has served for these resources, dry runs not counted. */
export async function countWrites(metrics: () => Promise<string>, resources: ReadonlySet<string>): Promise<number> {
  let writes = 0;
  for (const line of (await metrics()).split("\n")) {
    if (!line.startsWith("apiserver_request_total{")) continue;
    const label = (name: string) => new RegExp(`[{,]${name}="([^"]*)"`).exec(line)?.[1] ?? "";
    if (label("dry_run") !== "" || !resources.has(label("resource"))) continue;
    if (["POST", "PUT", "PATCH", "APPLY", "DELETE"].includes(label("verb")))
      writes += Number(line.slice(line.lastIndexOf(" ")));
  }
  return writes;
}

export function percentile(values: readonly number[], p: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil((p / 100) * sorted.length) - 1)] ?? Number.NaN;
}
