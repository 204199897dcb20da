// Schedules of sync windows (pure): five fields as robfig/cron reads them, so that a schedule means here what it means in
// Argo CD. Each field is spelled out for the library, which knows more (seconds, `L`, `#`, Sunday as 7) and reads
// `N/step` and `?` otherwise. Times are wall-clock times of whatever zone, as if they were UTC.
import { Cron } from "croner";

const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const FIELDS = [
  { least: 0, most: 59, names: [] },
  { least: 0, most: 23, names: [] },
  { least: 1, most: 31, names: [] },
  { least: 1, most: 12, names: MONTHS },
  { least: 0, most: 6, names: DAYS },
] as const satisfies Field[];

interface Field {
  least: number;
  most: number;
  names: readonly string[];
}

export interface Schedule {
  /** The first start after that time, in milliseconds; undefined: there is none. */
  next(afterMs: number): number | undefined;
}

const known = new Map<string, Schedule | undefined>();
const KNOWN_MAX = 1_000;

/** Undefined when it is none. */
export function scheduleOf(text: string): Schedule | undefined {
  if (!known.has(text)) {
    if (known.size >= KNOWN_MAX) known.clear();
    known.set(text, readSchedule(text));
  }
  return known.get(text);
}

function readSchedule(text: string): Schedule | undefined {
  const parts = text.trim().split(/\s+/);
  if (parts.length !== FIELDS.length) return undefined;
  const fields = parts.map((part, n) => readField(part.toLowerCase(), FIELDS[n]!));
  if (fields.includes(undefined)) return undefined;
  const cron = new Cron(fields.join(" "), { timezone: "UTC", paused: true });
  // Asked again and again within the same minutes, and of the same starts by every Application of a project.
  let last: { after: number; next: number } | undefined;
  const following = new Map<number, number>();
  return {
    next(afterMs) {
      if (last && last.after <= afterMs && afterMs < last.next) return last.next;
      const next = following.get(afterMs) ?? cron.nextRun(new Date(afterMs))?.getTime();
      if (next === undefined) return undefined;
      last = { after: afterMs, next };
      if (following.size >= KNOWN_MAX) following.clear();
      following.set(afterMs, next);
      return next;
    },
  };
}

/** `*`, or the numbers that the field stands for. */
function readField(text: string, field: Field): string | undefined {
  const numbers = new Set<number>();
  let isStar = false;
  for (const part of text.split(",")) {
    const read = readPart(part, field);
    if (!read) return undefined;
    isStar ||= read.isStar;
    for (let n = read.from; n <= read.to; n += read.step) numbers.add(n);
  }
  return isStar ? "*" : [...numbers].toSorted((a, b) => a - b).join(",");
}

function readPart(text: string, field: Field) {
  const [, range, low, high, stepText] = /^(\*|\?|(\w+)(?:-(\w+))?)(?:\/(\d+))?$/.exec(text) ?? [];
  if (range === undefined) return undefined;
  const step = stepText === undefined ? 1 : Number(stepText);
  const isAny = low === undefined;
  const from = isAny ? field.least : numberOf(low, field);
  const to = isAny || (high === undefined && stepText !== undefined) ? field.most : numberOf(high ?? low, field);
  if (from === undefined || to === undefined || from > to || step === 0) return undefined;
  return { from, to, step, isStar: isAny && step === 1 };
}

function numberOf(text: string, { least, most, names }: Field): number | undefined {
  const named = names.indexOf(text);
  const number = named >= 0 ? named + least : /^\d+$/.test(text) ? Number(text) : NaN;
  return number >= least && number <= most ? number : undefined;
}
