// How things look on the terminal: colours, tables, JSON. Colours only where standard output is a terminal.
import { styleText } from "node:util";
import Table from "cli-table3";
import { InvalidArgumentError } from "commander";
import type { ApplicationSource } from "@driftless/contracts/application";

export const OUTPUTS = ["table", "wide", "json", "name"] as const;
export type Output = (typeof OUTPUTS)[number];

type Style = Parameters<typeof styleText>[0];

export function paint(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout });
}

const STATE_STYLES: Record<string, Style> = {
  Synced: "green",
  Healthy: "green",
  Succeeded: "green",
  OutOfSync: "yellow",
  Progressing: "cyan",
  Syncing: "cyan",
  Running: "cyan",
  Suspended: "magenta",
  Missing: "yellow",
  Degraded: "red",
  Deleting: "magenta",
  Failed: "red",
  Error: "red",
  SyncFailed: "red",
  Unknown: "gray",
};

/** A state in its colour. */
export function state(text: string | undefined): string {
  const word = text || "Unknown";
  const style = STATE_STYLES[word];
  return style ? paint(style, word) : word;
}

export function say(text = ""): void {
  process.stdout.write(`${text}\n`);
}

/** For people only; scripts read standard output. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Without managedFields, as kubectl does: they are three quarters of an object and no script reads them. */
export function sayJson(value: unknown): void {
  say(JSON.stringify(value, (name, member: unknown) => (name === "managedFields" ? undefined : member), 2));
}

export function sayTable(head: string[], rows: string[][]): void {
  const blank = { top: "", "top-mid": "", "top-left": "", "top-right": "", bottom: "", "bottom-mid": "" };
  const none = { "bottom-left": "", "bottom-right": "", left: "", "left-mid": "", mid: "", "mid-mid": "" };
  const table = new Table({
    head: head.map((text) => paint("bold", text)),
    chars: { ...blank, ...none, right: "", "right-mid": "", middle: "  " },
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0 },
  });
  table.push(...rows);
  say(
    table
      .toString()
      .split("\n")
      .map((line) => line.trimEnd())
      .join("\n"),
  );
}

export const shortRevision = (revision: string | undefined): string =>
  revision && /^[0-9a-f]{40,64}$/.test(revision) ? revision.slice(0, 7) : (revision ?? "");

/** Of an Application of several sources all of them, in their order. */
export const shortRevisions = (at: { revision?: string; revisions?: string[] } | undefined): string =>
  at?.revisions?.length ? at.revisions.map(shortRevision).join(" ") : shortRevision(at?.revision);

/** Repository, path or chart, and revision of each source; of one that only lends its files its name. */
export function sourceColumns(
  of: { source?: ApplicationSource; sources?: ApplicationSource[] } | undefined,
): [string, string, string][] {
  const sources = of?.sources?.length ? of.sources : [of?.source ?? {}];
  return sources.map(({ repoURL = "", path, chart, targetRevision, ref }) => [
    repoURL,
    path ?? chart ?? (ref ? `$${ref}` : ""),
    targetRevision || "HEAD",
  ]);
}

/** The same, for a table of one line for each Application. */
export const joinedColumns = (of: Parameters<typeof sourceColumns>[0]): string[] =>
  [0, 1, 2].map((n) =>
    sourceColumns(of)
      .map((columns) => columns[n])
      .join(" "),
  );

/** "3m", as kubectl writes ages. */
export function age(iso: string | undefined, now: number): string {
  const seconds = Math.max(0, Math.round((now - Date.parse(iso ?? "")) / 1000));
  if (Number.isNaN(seconds)) return "";
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)}h` : `${Math.round(seconds / 86_400)}d`;
}

/** "90", "90s", "5m", "2h", "1d" in milliseconds, as a commander argument parser. */
export function durationMs(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text.trim());
  if (!match) throw new InvalidArgumentError("expected a duration such as 30s, 5m or 2h");
  const units: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
  return Number(match[1]) * units[match[2] ?? "s"]!;
}

/** "20", as a commander argument parser. */
export function count(text: string): number {
  if (!/^\d{1,9}$/.test(text.trim())) throw new InvalidArgumentError("expected a whole number");
  return Number(text);
}
