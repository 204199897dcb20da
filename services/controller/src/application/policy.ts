// Policy (pure): how syncs, heals and looks are paced and when they are given up: what the installation says
// (argocd-cmd-params-cm), and what an Application says for itself by annotations of Driftless.
import { failure, type Failure } from "@driftless/contracts/failure";
import { parseBackoffDuration } from "./go-duration.ts";

/** `controller.self.heal.*`: with a back-off of 0 each heal waits `timeoutMs` after the last operation, as in Argo CD. */
export interface HealPacing {
  timeoutMs: number;
  backoffMs: number;
  factor: number;
  capMs: number;
}

/** Of the installation. */
export interface Policy {
  heal: HealPacing;
  /** Of a whole operation, all its attempts together; 0: none. */
  syncTimeoutMs: number;
  /** Pause after each wave but the last. Argo CD's default is 2 s; here health is waited for instead. */
  waveDelayMs: number;
  /** So long what was known last outlives a Git server or cluster that is away. */
  graceMs: number;
  /** Health of each object in `status.resources`. */
  persistHealth: boolean;
}

export const POLICY_USUAL: Policy = {
  heal: { timeoutMs: 0, backoffMs: 2_000, factor: 3, capMs: 300_000 },
  syncTimeoutMs: 0,
  waveDelayMs: 0,
  graceMs: 180_000,
  persistHealth: true,
};

/** Of one Application: the installation's, and its own. */
export interface AppPolicy extends Policy {
  /** Of a wave, from its last apply until everything in it is healthy; 0: none. */
  waveTimeoutMs: number;
  /** A heal is a whole sync, hooks included. */
  healHooks: boolean;
  /** Until then nothing is synced but by hand: what a rollback leaves. */
  pinnedUntil?: number;
}

const SYNC_TIMEOUT = "driftless.io/sync-timeout";
const WAVE_TIMEOUT = "driftless.io/wave-timeout";
const HEAL_HOOKS = "driftless.io/self-heal-hooks";
const PINNED_UNTIL = "driftless.io/pinned-until";

const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;

export function appPolicy(
  annotations: Readonly<Record<string, string>>,
  policy: Policy,
): { policy: AppPolicy; wrong: Failure[] } {
  const wrong: Failure[] = [];
  const refuse = (name: string, what: string) =>
    wrong.push(
      failure("SPEC_INVALID", `"${annotations[name]}" is no ${what}`, { path: `metadata.annotations[${name}]` }),
    );
  const duration = (name: string, usual: number): number => {
    const text = annotations[name];
    if (text === undefined) return usual;
    const ms = parseBackoffDuration(text);
    if (ms === undefined) refuse(name, 'duration ("10m", "90s")');
    return ms ?? usual;
  };
  const healHooks = annotations[HEAL_HOOKS];
  if (healHooks !== undefined && !["true", "false"].includes(healHooks)) refuse(HEAL_HOOKS, "true or false");
  const pin = annotations[PINNED_UNTIL];
  const pinnedUntil = pin !== undefined && RFC3339.test(pin) ? Date.parse(pin) : NaN;
  if (pin !== undefined && Number.isNaN(pinnedUntil)) refuse(PINNED_UNTIL, "time (2026-01-31T12:00:00Z)");
  return {
    policy: {
      ...policy,
      syncTimeoutMs: duration(SYNC_TIMEOUT, policy.syncTimeoutMs),
      waveTimeoutMs: duration(WAVE_TIMEOUT, 0),
      healHooks: healHooks === "true",
      ...(!Number.isNaN(pinnedUntil) && { pinnedUntil }),
    },
    wrong,
  };
}
