// Plan of a deletion (pure), made again at each step from what is known then: hooks before, objects from the highest wave
// down, hooks after, each stage until its finalizer may go (contract §3).
//
// E1  Nothing is begun before all of it is known to be allowed: hooks of both ends are rendered and judged first.
// E2  A hook runs once: its run is made of the Application's uid, so whoever goes on with the deletion finds it.
// E3  What cannot be read may be there: its wave is not over, nor is any after it begun.
import { failure, failureText, type Failure } from "@driftless/contracts/failure";
import type { ObjectKey } from "@driftless/contracts/identity";
import { needsApproval } from "@driftless/manifests/consent";
import { generatedDeleteName, isDeletePhase, type DeletePhase } from "@driftless/manifests/hooks";
import { keyForPeople } from "@driftless/manifests/resource-key";
import { isApproved } from "./approval.ts";
import type { Context, ObjectState } from "./context.ts";
import { isCleanup, phaseOf, stagesOf, type Stage } from "./finalizers.ts";
import { isAllowed } from "./gate.ts";
import type { HookRun } from "./sync-plan.ts";
import { hooksOf, inventoryOf } from "./view.ts";

/** One hook of a deletion. */
export interface DeletionHook extends Omit<HookRun, "phase"> {
  phase: DeletePhase;
  /** When it was first seen to run, in this life of the actor. */
  since?: number;
  failure?: Failure;
  /** Its result is written down, and it has been let go of. */
  released?: boolean;
  /** Begun, and no longer in Git: not waited for, and taken away at the end. */
  obsolete?: boolean;
}

export type DeletionNext =
  | { kind: "finish" }
  /** The stage is over: its finalizer goes. */
  | { kind: "record"; stage: Stage }
  /** Until somebody changes what is named. */
  | { kind: "hold"; failure: Failure }
  /** The hooks stand in Git, and have to be rendered. */
  | { kind: "look" }
  | { kind: "pause" }
  | { kind: "survey" }
  | { kind: "remove"; objects: ObjectState[] }
  /** For objects that are on their way out, or whose kind cannot be read. */
  | { kind: "await"; message: string }
  | { kind: "run"; phase: DeletePhase; wave: number; hooks: DeletionHook[] }
  | { kind: "watch"; hooks: DeletionHook[] }
  | { kind: "release"; phase: DeletePhase; hooks: DeletionHook[]; failed: boolean };

/** What is not over yet. */
export function stagesLeft({ view, deletion }: Context): Stage[] {
  if (!deletion || deletion.abandoned) return [];
  return stagesOf(view.deletion?.finalizers ?? []).filter((stage) => !deletion.done.includes(stage));
}

const phasesLeft = (context: Context): Set<DeletePhase> =>
  new Set(stagesLeft(context).flatMap((stage) => phaseOf(stage) ?? []));

/** Whether its hooks have to be known, now or later. */
export const needsHooks = (context: Context): boolean => phasesLeft(context).size > 0;

export function nextOfDeletion(context: Context, at: number): DeletionNext {
  const { view, deletion } = context;
  const stages = stagesLeft(context);
  const [stage] = stages;
  if (stage === undefined) return { kind: "finish" };
  if (!view.desired) {
    const nothingIsOurs = inventoryOf(view.status).length === 0 && hooksOf(context.operationState).length === 0;
    return stages.length === 1 && stage === "Cascade" && nothingIsOurs
      ? { kind: "record", stage }
      : { kind: "hold", failure: view.blocked[0]! };
  }
  if (needsHooks(context)) {
    if (!deletion!.looked || !context.render) return { kind: "look" };
    const refused = refusedHook(context);
    if (refused) return { kind: "hold", failure: refused }; // E1
  }
  const next = stage === "Cascade" ? cascade(context) : hooks(context, stage);
  const isPaused = deletion!.pausedUntil !== undefined && at < deletion!.pausedUntil;
  return isPaused && ["survey", "remove", "run"].includes(next.kind) ? { kind: "pause" } : next;
}

/** The project's limits hold for these hooks as for everything else; of what cannot be told nothing is begun. */
function refusedHook(context: Context): Failure | undefined {
  const phases = phasesLeft(context);
  const denied = context.hooks.find(
    (hook) => hook.phases.some((phase) => phases.has(phase as DeletePhase)) && !isAllowed(context, hook),
  );
  if (!denied) return context.objects.find(({ hook }) => hook)?.failure;
  const text = `AppProject ${context.view.ref.project} does not allow ${keyForPeople(denied)}`;
  return failure("PROJECT_DENIED", text, { path: nameOf(denied) });
}

function hooks(context: Context, stage: Stage): DeletionNext {
  const phase = phaseOf(stage)!;
  const all = context.deletion!.hooks.filter((hook) => hook.phase === phase);
  if (isCleanup(stage)) {
    const held = all.filter(({ released }) => !released);
    return held.length > 0 ? { kind: "release", phase, hooks: held, failed: false } : { kind: "record", stage };
  }
  const failed = all.filter(({ state }) => state === "failed");
  if (failed.length > 0) return { kind: "release", phase, hooks: failed, failed: true };
  const open = all.filter(({ state }) => state !== "succeeded");
  if (open.length === 0) return { kind: "record", stage };
  const wave = Math.min(...open.map((hook) => hook.wave));
  const toRun = open.filter((hook) => hook.wave === wave && hook.state === "pending");
  if (toRun.length > 0) return { kind: "run", phase, wave, hooks: toRun };
  return { kind: "watch", hooks: open.filter((hook) => hook.wave === wave) };
}

function cascade(context: Context): DeletionNext {
  const { view, deletion } = context;
  const { consents } = view.desired!.options;
  if (consents.delete === "no") return { kind: "record", stage: "Cascade" };
  if (!deletion!.surveyed) return { kind: "survey" };
  const { unreadable } = deletion!;
  // The project may have changed since the survey.
  const remaining = deletion!.remaining.filter(({ key }) => isAllowed(context, key));
  const unapproved = remaining.filter((object) => needsApproval(object.consents, consents));
  if (unapproved.length > 0 && !isApproved(context, view.deletion!.at)) {
    const text =
      `waiting for deletion confirmation of ${listed(unapproved)}; ` +
      "approve of it by the annotation argocd.argoproj.io/deletion-approved";
    return { kind: "hold", failure: failure("APPROVAL_MISSING", text) };
  }
  const here = [...remaining, ...unreadable];
  if (here.length === 0) return { kind: "record", stage: "Cascade" };
  const wave = Math.max(...here.map((object) => object.wave ?? 0));
  const ofWave = remaining.filter((object) => (object.wave ?? 0) === wave);
  const objects = ofWave.filter(({ deleting }) => !deleting);
  if (objects.length > 0) return { kind: "remove", objects };
  const held = [...new Set(ofWave.flatMap(({ deleting }) => deleting ?? []))];
  const why = held.length > 0 ? `, held by ${held.slice(0, 3).join(", ")}` : "";
  return { kind: "await", message: `waiting for deletion of ${listed(ofWave.length > 0 ? ofWave : unreadable)}${why}` }; // E3
}

function listed(objects: readonly { key: ObjectKey }[]): string {
  const more = objects.length > 1 ? ` and ${objects.length - 1} more resources` : "";
  return `${nameOf(objects[0]!.key)}${more}`;
}

const nameOf = ({ group, kind, name }: ObjectKey): string => `${group}/${kind}/${name}`;

/** The hooks that were rendered, with what is known of their runs. */
export function deletionHooks(context: Context): DeletionHook[] {
  const before = new Map(context.deletion!.hooks.map((hook) => [hook.run, hook]));
  const rendered = context.hooks.flatMap((hook) =>
    hook.phases.filter(isDeletePhase).map((phase): DeletionHook => {
      const { group, version, kind, namespace, generateName } = hook;
      const run = `${context.view.ref.uid}.${phase}.${group}/${kind}/${namespace}/${hook.name || `${generateName}*`}`; // E2
      const name = generateName === undefined ? hook.name : generatedDeleteName(generateName, phase, run);
      return {
        state: "pending",
        message: "",
        ...before.get(run),
        key: { group, version, kind, namespace, name },
        index: hook.index,
        phase,
        wave: hook.wave,
        deletePolicies: hook.deletePolicies,
        run,
        obsolete: false,
        ...(hook.healthTimeout !== undefined && { healthTimeout: hook.healthTimeout }),
      };
    }),
  );
  const runs = new Set(rendered.map(({ run }) => run));
  const left = [...before.values()].filter((hook) => !runs.has(hook.run) && hook.state !== "pending");
  return [...rendered, ...left.map((hook) => ({ ...hook, state: "succeeded" as const, obsolete: true }))];
}

/** Those that a release lets go of, and whether they are deleted: what failed makes room for its next run. */
export function deletionReleases(context: Context, next: DeletionNext & { kind: "release" }) {
  const goesAnyway = next.phase === "PreDelete" && stagesLeft(context).includes("Cascade");
  return next.hooks.map(({ key, run, live, obsolete, deletePolicies }) => ({
    ...key,
    run,
    remove: next.failed || obsolete === true || goesAnyway || deletePolicies.includes("HookSucceeded"),
    ...(next.failed && live && { uid: live.uid }),
  }));
}

/** With its name and why, also where the API server said no before it was there. */
export function hookFailure(hook: DeletionHook): Failure {
  const name = nameOf(hook.key);
  const why = hook.failure ? failureText(hook.failure) : hook.message || "failed";
  return failure("HOOK_FAILED", `${hook.phase} hook ${name}: ${why}`, { path: name });
}
