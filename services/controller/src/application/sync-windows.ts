// Sync windows of an AppProject (pure): which of them concern an Application, whether they let it sync at a time, and when
// that will be another. The questions and their order are Argo CD's. A window that cannot be read blocks.
import type { Destination } from "@driftless/contracts/identity";
import type { SyncWindow } from "@driftless/contracts/project";
import { matchesGlob } from "@driftless/manifests/glob";
import { parseGoDuration } from "./go-duration.ts";
import { scheduleOf, type Schedule } from "./schedule.ts";

/** Windows that begin again and again before they have ended, or never open together, are not followed for ever. */
const EDGES_MAX = 100;

/** Those of the project that concern this Application. */
export function windowsFor(
  windows: readonly SyncWindow[] | undefined,
  app: { name: string; destination: Destination },
): SyncWindow[] {
  return (windows ?? []).filter((window) => concerns(window, app));
}

function concerns(window: SyncWindow, app: { name: string; destination: Destination }): boolean {
  const { server, name, namespace = "" } = app.destination;
  const matches = (patterns: readonly string[], values: readonly (string | undefined)[]): boolean =>
    patterns.some((pattern) => values.some((value) => value !== undefined && matchesGlob(pattern, value)));
  const asked = [
    { patterns: window.applications ?? [], values: [app.name] },
    { patterns: window.clusters ?? [], values: [name || undefined, server || undefined] },
    { patterns: window.namespaces ?? [], values: [namespace] },
  ].filter(({ patterns }) => patterns.length > 0);
  const answers = asked.map(({ patterns, values }) => matches(patterns, values));
  return answers.length > 0 && (window.andOperator ? answers.every(Boolean) : answers.some(Boolean));
}

export interface SyncQuestion {
  isManual: boolean;
  /** When the operation that asks was begun; absent: it would be begun now. */
  startedAt?: number;
}

export interface Closed {
  /** When it opens; absent: not by itself, as far as can be seen. */
  until?: number;
  /** Which window, for people. */
  why: string;
}

interface ReadWindow {
  kind: "allow" | "deny";
  schedule: Schedule;
  durationMs: number;
  timeZone: string;
  manualSync: boolean;
  syncOverrun: boolean;
  text: string;
}

/** Undefined while a sync may be begun, or gone on with. */
export function closedFor(windows: readonly SyncWindow[], at: number, question: SyncQuestion): Closed | undefined {
  if (windows.length === 0) return undefined;
  const read: ReadWindow[] = [];
  for (const window of windows) {
    const reading = readWindow(window);
    if (typeof reading === "string") return { why: reading };
    read.push(reading);
  }
  const closing = closingAt(read, at, question);
  if (!closing) return undefined;
  const until = opensAt(read, at, question);
  return { why: closing.text, ...(until !== undefined && { until }) };
}

function readWindow(window: SyncWindow): ReadWindow | string {
  const { kind, schedule: text = "", duration = "", timeZone = "", description } = window;
  if (kind !== "allow" && kind !== "deny") return `a window is neither allow nor deny, but '${kind ?? ""}'`;
  const schedule = scheduleOf(text);
  if (!schedule) return `cannot parse schedule '${text}'`;
  const durationMs = parseGoDuration(duration);
  if (durationMs === undefined) return `cannot parse duration '${duration}'`;
  if (!isTimeZone(timeZone)) return `there is no time zone '${timeZone}'`;
  return {
    kind,
    schedule,
    durationMs,
    timeZone,
    manualSync: window.manualSync ?? false,
    syncOverrun: window.syncOverrun ?? false,
    text: `${kind} '${text}' for ${duration}${timeZone ? ` ${timeZone}` : ""}${description ? ` (${description})` : ""}`,
  };
}

/** The window that closes at that time. */
function closingAt(windows: readonly ReadWindow[], at: number, question: SyncQuestion): ReadWindow | undefined {
  const active = windows.filter((window) => isActive(window, at));
  const denies = active.filter(({ kind }) => kind === "deny");
  const allows = windows.filter(({ kind }) => kind === "allow");
  const closing = denies.length > 0 ? denies : active.some(({ kind }) => kind === "allow") ? [] : allows;
  if (closing.length === 0) return undefined;
  if (question.isManual && closing.every(({ manualSync }) => manualSync)) return undefined;
  const { startedAt, isManual } = question;
  const mayRunOver = startedAt !== undefined && closing.every(({ syncOverrun }) => syncOverrun);
  if (mayRunOver && closingAt(windows, startedAt, { isManual }) === undefined) return undefined;
  return closing[0];
}

function opensAt(windows: readonly ReadWindow[], at: number, question: SyncQuestion): number | undefined {
  let edges = windows.map((window) => edgeAfter(window, at));
  for (let n = 0; n < EDGES_MAX; n++) {
    const edge = Math.min(...edges);
    if (edge === Infinity) return undefined;
    if (!closingAt(windows, edge, question)) return edge;
    edges = edges.map((known, of) => (known > edge ? known : edgeAfter(windows[of]!, edge)));
  }
  return undefined;
}

/** From its start on, and no longer at its end. */
function isActive({ schedule, durationMs, timeZone }: ReadWindow, at: number): boolean {
  const wall = at + offsetMs(timeZone, at);
  const start = schedule.next(wall - durationMs);
  return start !== undefined && start <= wall;
}

/** When it begins or ends next. */
function edgeAfter({ schedule, durationMs, timeZone }: ReadWindow, at: number): number {
  const offset = offsetMs(timeZone, at);
  const wall = at + offset;
  // The zone may have another offset by then.
  const instant = (wallTime: number): number => wallTime - offsetMs(timeZone, wallTime - offset);
  let start = schedule.next(wall - durationMs);
  if (start === undefined) return Infinity;
  if (start > wall) return instant(start);
  // One that begins again before it has ended goes on.
  for (let n = 0; n < EDGES_MAX; n++) {
    const again = schedule.next(start);
    if (again === undefined || again > start + durationMs) return instant(start + durationMs);
    start = again;
  }
  return Infinity;
}

const zones = new Map<string, Intl.DateTimeFormat | undefined>();

function zoneOf(timeZone: string): Intl.DateTimeFormat | undefined {
  if (!zones.has(timeZone)) zones.set(timeZone, formatOf(timeZone));
  return zones.get(timeZone);
}

function formatOf(timeZone: string): Intl.DateTimeFormat | undefined {
  try {
    return new Intl.DateTimeFormat("en-US", { timeZone, timeZoneName: "longOffset" });
  } catch {
    return undefined;
  }
}

const isTimeZone = (timeZone: string): boolean => timeZone === "" || zoneOf(timeZone) !== undefined;

/** How far the zone's clocks are ahead of UTC then. */
function offsetMs(timeZone: string, at: number): number {
  if (timeZone === "" || timeZone === "UTC") return 0;
  const name =
    zoneOf(timeZone)!
      .formatToParts(at)
      .find(({ type }) => type === "timeZoneName")?.value ?? "";
  const [, sign, hours, minutes, seconds] = /([+-])(\d\d):(\d\d)(?::(\d\d))?/.exec(name) ?? [];
  if (!sign) return 0;
  const ms = (Number(hours) * 3_600 + Number(minutes) * 60 + Number(seconds ?? 0)) * 1_000;
  return sign === "-" ? -ms : ms;
}
