// Durations as Go writes them ("1h30m", "120s", "500ms"), the way Argo CD's settings and retry policies do.

const UNITS: Record<string, number> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** Milliseconds, or undefined when it is no duration. */
export function parseGoDuration(text: string): number | undefined {
  const body = text.trim().replace(/^[+]/, "");
  if (body === "0") return 0;
  if (!/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/.test(body)) return undefined;
  let total = 0;
  for (const part of body.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)) total += Number(part[1]) * UNITS[part[2]!]!;
  return total;
}

/** As Argo CD's retry backoff reads it: a bare number means seconds. */
export function parseBackoffDuration(text: string): number | undefined {
  return /^\d+$/.test(text.trim()) ? Number(text) * 1_000 : parseGoDuration(text);
}
