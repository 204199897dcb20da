// npm run bench -- --apps N [--rows NAMES] [--samples N] [--idle-seconds N] [--json FILE]
// The bare loop and Driftless in one run, as ratios (DESIGN §9); a plain program that ends by itself.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { parseArgs, styleText } from "node:util";
import Table from "cli-table3";
import { startWorld } from "../harness/world.ts";
import { repositoryFiles } from "./apps.ts";
import { bareLoop, prepareBareApplications } from "./bare.ts";
import { fetchRows } from "./git-fetch.ts";
import { createProgress } from "./progress.ts";
import { render } from "./render.ts";
import {
  APPLICATIONS,
  applicationSpec,
  AppStatuses,
  type Bench,
  type BenchRow,
  cold,
  drift,
  FIRST_IMAGE,
  idle,
  pushAll,
  pushOne,
  watchObjects,
} from "./rows.ts";
import { sources } from "./sources.ts";

/** Rows that need a cluster, in the order in which they are measured. */
const WORLD_ROWS = { cold, "push-all": pushAll, "push-one": pushOne, drift, idle, sources } satisfies Record<
  string,
  (bench: Bench) => Promise<BenchRow[]>
>;
type Alone = Pick<Bench, "samples" | "progress">;
const ROWS_ALONE = { render, fetch: fetchRows } satisfies Record<string, (bench: Alone) => Promise<BenchRow[]>>;

const WHAT = {
  render: "a small Helm and a small Kustomize app, rendered and from the key, against starting helm and kustomize",
  fetch: "the first fetch of 50,000 files, and a push to one of 10,000, against git fetch --depth 1",
  cold: "N Applications of four objects each are created, until all are Synced",
  "push-all": "one push changes every app",
  "push-one": "one push changes one app, until the object is changed and until the status says so",
  drift: "somebody changes one object, until it is healed",
  idle: "CPU, writes and memory while nothing happens",
  sources: "N Applications of N/5 charts and N/5 overlays, cold",
} satisfies Record<keyof typeof WORLD_ROWS | keyof typeof ROWS_ALONE, string>;
type Row = keyof typeof WHAT;

const HELP = `npm run bench -- [--apps N] [--rows NAMES] [--samples N] [--idle-seconds N] [--json FILE]

Measures Driftless against a bare loop that does exactly what the row needs, on the same machine in the same run.
All rows are measured unless --rows names some, separated by commas:

${Object.entries(WHAT)
  .map(([name, what]) => `  ${name.padEnd(9)} ${what}`)
  .join("\n")}

  --apps          100 unless given
  --samples       of push-one, drift, and starts of a real program for render; 30 unless given
  --idle-seconds  30 unless given
  --json          writes the figures with commit and machine

cold is measured before any of the rows below it, because they need its apps; render and fetch need no cluster.
Takes a few minutes at 1,000 apps; ends by itself; Ctrl-C cleans up.`;

function parseOptions() {
  try {
    const { values } = parseArgs({
      options: {
        apps: { type: "string", default: "100" },
        rows: { type: "string", default: Object.keys(WHAT).join(",") },
        samples: { type: "string", default: "30" },
        "idle-seconds": { type: "string", default: "30" },
        json: { type: "string" },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    if (values.help) {
      console.log(HELP);
      process.exit(0);
    }
    const number = (name: "apps" | "samples" | "idle-seconds", max: number) => {
      const value = Number(values[name]);
      if (!Number.isInteger(value) || value < 1 || value > max)
        throw new Error(`--${name} takes a whole number from 1 to ${max}`);
      return value;
    };
    const rows = values.rows.split(",").map((name) => name.trim());
    const unknown = rows.find((name) => !Object.hasOwn(WHAT, name));
    if (unknown !== undefined)
      throw new Error(`--rows: no row "${unknown}"; there are ${Object.keys(WHAT).join(", ")}`);
    return {
      apps: number("apps", 20_000),
      samples: number("samples", 1_000),
      idleSeconds: number("idle-seconds", 3_600),
      rows: rows as Row[],
      json: values.json,
    };
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${HELP}`);
    process.exit(2);
  }
}

const options = parseOptions();
const progress = createProgress();

const isAlone = (name: Row): name is keyof typeof ROWS_ALONE => name in ROWS_ALONE;

async function measure(): Promise<BenchRow[]> {
  const measured: BenchRow[] = [];
  const note = (rows: BenchRow[]): void => {
    progress.clear();
    for (const row of rows) console.log(oneLine(row));
    measured.push(...rows);
  };
  const show = (what: string, done: number, total: number): void => progress.show(what, done, total);
  for (const name of options.rows.filter(isAlone)) {
    note(await ROWS_ALONE[name]({ samples: options.samples, progress: show }));
  }
  const inWorld = Object.keys(WORLD_ROWS).filter((name) => options.rows.includes(name as Row));
  if (inWorld.length > 0) await measureWorld(new Set(["cold", ...inWorld]) as Set<keyof typeof WORLD_ROWS>, note);
  return measured;
}

async function measureWorld(names: Set<keyof typeof WORLD_ROWS>, note: (rows: BenchRow[]) => void): Promise<void> {
  await using world = await startWorld({
    onProgress: ({ what, done, total }) => progress.show(what, done, total),
    env: { DRIFTLESS_LOG_LEVEL: "warn" },
  });
  const bare = bareLoop(world.client.config);
  try {
    progress.show("repository", 0, 1);
    const repository = await world.git.createRepository("bench", repositoryFiles(options.apps, FIRST_IMAGE));
    const status = new AppStatuses();
    const onEvent = (type: string, object: Record<string, any>): void => status.onEvent(type, object);
    const stop = await watchObjects(world, APPLICATIONS, onEvent, "argocd");
    await prepareBareApplications(bare, options.apps, (index) => applicationSpec(repository.url, index, "bare"));
    const bench: Bench = {
      world,
      bare,
      apps: options.apps,
      samples: options.samples,
      repository,
      status,
      idleSeconds: options.idleSeconds,
      commit: (files, message) => world.git.commitFiles("bench", files, message),
      progress: (what, done, total) => progress.show(what, done, total),
    };
    for (const name of names) note(await WORLD_ROWS[name](bench));
    stop();
  } finally {
    await bare.close();
  }
}

const rounded = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));

function oneLine(row: BenchRow): string {
  const mark = row.met ? styleText("green", "met") : styleText("yellow", "not met");
  return `${row.row}: ${rounded(row.p50)} ${row.unit} (${mark})${row.notes ? styleText("dim", `  ${row.notes}`) : ""}`;
}

function table(rows: readonly BenchRow[]): string {
  const out = new Table({
    head: ["row", "unit", "ours p50", "p99", "bare p50", "p99", "ratio", "goal", "met"],
    style: { head: [], border: [] },
    colAligns: ["left", "left", "right", "right", "right", "right", "right", "left", "left"],
  });
  for (const row of rows) {
    const bare = row.bareP50 > 0;
    const tail = row.ratioP99 === undefined ? "" : ` / ${rounded(row.ratioP99)}`;
    out.push([
      row.row,
      row.unit,
      rounded(row.p50),
      rounded(row.p99),
      bare ? rounded(row.bareP50) : "",
      bare ? rounded(row.bareP99) : "",
      bare ? `${rounded(row.ratio)}${tail}` : "",
      row.goal,
      row.met ? "yes" : "no",
    ]);
  }
  return out.toString();
}

function git(...args: string[]): string {
  try {
    return execFileSync("git", args, { cwd: import.meta.dirname, encoding: "utf8" }).trim();
  } catch {
    return "unknown";
  }
}

const rows = await measure();
progress.stop();
console.log(table(rows));
const report = {
  commit: git("rev-parse", "HEAD") + (git("status", "--porcelain") === "" ? "" : "-dirty"),
  machine: {
    cpus: cpus().length,
    model: cpus()[0]?.model ?? "",
    memoryBytes: totalmem(),
    node: process.version,
    apps: options.apps,
  },
  rows,
};
if (options.json) writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`);
