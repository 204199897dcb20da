// Dependencies between Applications (pure): which others an Application names (`driftless.io/depends-on`), when one of
// those is ready, and what waits for them: a sync of something new that nobody asked for. Drift is put right without
// them, and what a person asks for passes: it is the way out of a dependency that never becomes ready.
import type { Application } from "@driftless/contracts/application";
import { FAILURE_CODES, failure, failureText, type Failure } from "@driftless/contracts/failure";
import { appText } from "@driftless/contracts/identity";
import { isStale } from "@driftless/manifests/health/staleness";
import type { Context, Decision } from "./context.ts";
import { appHealth } from "./health.ts";

const DEPENDS_ON = "driftless.io/depends-on";
const PATH = `metadata.annotations[${DEPENDS_ON}]`;

export const DEPENDENCY_CONDITION = FAILURE_CODES.DEPENDENCY_NOT_READY.condition;

const DEPENDENCIES_MAX = 100;
const BLOCKERS_SHOWN = 5;
/** Events tell; this only covers one that is lost. */
const WAIT_MS = 3_600_000;

const NAME = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/;

/** How things stand with what an Application depends on; only there where it depends on something. */
export interface Awaited {
  /** Those that are not ready, each with what it is instead. */
  blockers: readonly string[];
  /** From the Application by what it depends on back to itself. */
  cycle?: readonly string[];
}

/** As "namespace/name", each once. */
export function dependsOn(
  annotations: Readonly<Record<string, string>>,
  namespace: string,
): { names: readonly string[]; wrong: Failure[] } {
  const text = annotations[DEPENDS_ON]?.trim();
  if (!text) return { names: [], wrong: [] };
  const entries = text.split(",").map((entry) => entry.trim());
  const refuse = (message: string) => ({ names: [], wrong: [failure("SPEC_INVALID", message, { path: PATH })] });
  if (entries.length > DEPENDENCIES_MAX) return refuse(`more than ${DEPENDENCIES_MAX} Applications are named`);
  const names = new Set<string>();
  for (const entry of entries) {
    const parts = entry.split("/");
    if (parts.length > 2 || !parts.every((part) => NAME.test(part)))
      return refuse(`"${entry}" is neither the name of an Application nor namespace/name`);
    names.add(parts.length === 2 ? entry : appText({ namespace, name: entry }));
  }
  return { names: [...names], wrong: [] };
}

/** Why an Application of this replica is not ready, as its actor knows it; undefined when it is. */
export function ownState(context: Context, isAtWork: boolean): string | undefined {
  const { view, verdict, objects, failed, operation, request, wish, verdictPending, decision } = context;
  if (view.deletion) return "being deleted";
  if (!view.desired) return "refused";
  const isSyncing = operation !== undefined || request !== undefined || decision.kind === "sync";
  // What it is may be of an earlier commit, or of an earlier spec of an object.
  const isLooking =
    isAtWork ||
    wish !== undefined ||
    verdictPending ||
    failed !== undefined ||
    objects.some((one) => one.health?.stale);
  return stateText(verdict, appHealth(context).status, isSyncing, isLooking);
}

/** The same of an Application that another replica or nobody is in charge of, by what its status says. */
export function toldState({ metadata, spec, operation, status }: Application): string | undefined {
  if (metadata.deletionTimestamp) return "being deleted";
  if (status?.conditions?.some(({ type }) => type === "InvalidSpecError")) return "refused";
  const phase = status?.operationState?.phase;
  const isSyncing = operation !== undefined || phase === "Running" || phase === "Terminating";
  const isEarlier = isStale({ kind: "Application", apiVersion: "argoproj.io/v1alpha1", spec, status });
  return stateText(status?.sync?.status ?? "Unknown", status?.health?.status ?? "Unknown", isSyncing, isEarlier);
}

/** What it does is only said where nothing else is amiss, so that those who wait are not told of its every move. */
function stateText(sync: string, health: string, isSyncing: boolean, isLooking: boolean): string | undefined {
  const state = `${sync}, ${health}`;
  if (sync !== "Synced" || health !== "Healthy") return state;
  if (isSyncing) return `${state}, syncing`;
  return isLooking ? `${state}, being compared` : undefined;
}

export function cycleFailure(awaited: Awaited | undefined): Failure | undefined {
  if (!awaited?.cycle) return undefined;
  const message = `${awaited.cycle.join(" → ")}: they depend on each other, so none of them is synced by itself`;
  return failure("DEPENDENCY_CYCLE", message, { path: PATH });
}

function blockedFailure({ blockers }: Awaited): Failure | undefined {
  if (blockers.length === 0) return undefined;
  const shown = blockers.slice(0, BLOCKERS_SHOWN).map((blocker) => `Application ${blocker}`);
  const more = blockers.length > shown.length ? ` and ${blockers.length - shown.length} more` : "";
  return failure("DEPENDENCY_NOT_READY", `waiting for ${shown.join(", ")}${more}`);
}

export function waitForOthers(awaited: Awaited | undefined): Decision | undefined {
  const failed = awaited && (cycleFailure(awaited) ?? blockedFailure(awaited));
  if (!failed) return undefined;
  const condition = { type: DEPENDENCY_CONDITION, message: failureText(failed) };
  return { kind: "pause", delayMs: WAIT_MS, condition };
}

/** What makes an Application look again when others change: it waits for them, or is in a cycle now, or no longer. */
export function othersChanged({ decision }: Context, before: Awaited | undefined, now: Awaited | undefined): boolean {
  if (before?.cycle?.join() !== now?.cycle?.join()) return true;
  const waits = decision.kind === "pause" && decision.condition?.type === DEPENDENCY_CONDITION;
  return waits && before?.blockers.join() !== now?.blockers.join();
}

/** The first way found from this Application back to itself. */
export function cycleThrough(
  start: string,
  dependenciesOf: (name: string) => readonly string[],
): readonly string[] | undefined {
  const seen = new Set<string>();
  const paths = dependenciesOf(start).map((name) => [start, name]);
  while (paths.length > 0) {
    const path = paths.shift()!;
    const name = path.at(-1)!;
    if (name === start) return path;
    if (seen.has(name)) continue;
    seen.add(name);
    for (const next of dependenciesOf(name)) paths.push([...path, next]);
  }
  return undefined;
}
