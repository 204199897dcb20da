// Decision (pure): what follows from a comparison. The order of the questions is Argo CD's (contract §2).
import type { OperationField, OperationState } from "@driftless/contracts/application";
import { failure, failureText } from "@driftless/contracts/failure";
import { consentTo, type Consents } from "@driftless/manifests/consent";
import { isDeletePhase } from "@driftless/manifests/hooks";
import type { Context, Decision, ObjectState } from "./context.ts";
import { afterFailure, failedSyncs, pinned } from "./after-failure.ts";
import { waitForOthers } from "./depends-on.ts";
import { INFO, SUPERSEDED_MESSAGE, infoOf } from "./operation-record.ts";
import { sameKeyOtherDigest, type Render } from "./render.ts";
import { healAttempts, healPauseMs } from "./retry-delay.ts";
import { closedForRequest, closedWindow, waitForWindow } from "./window-wait.ts";

/** Children made by a controller from one of our objects are not the app's to prune, nor a difference. */
export const belongsToOwner = (object: ObjectState): boolean => object.extra && /owned by/.test(object.keep ?? "");

export function verdictOf(objects: readonly ObjectState[]): "Unknown" | "Synced" | "OutOfSync" {
  const counted = objects.filter((object) => !belongsToOwner(object) && !object.extraneous);
  if (counted.some((object) => object.status === "OutOfSync")) return "OutOfSync";
  return counted.some((object) => object.status === "Unknown") ? "Unknown" : "Synced";
}

/** `usual`: the sync options of the app, or of the operation. */
export const prunable = (object: ObjectState, usual: Consents): boolean =>
  object.extra &&
  object.keep === undefined &&
  object.live !== undefined &&
  consentTo("prune", object.consents, usual) !== "no";

/** Nothing is desired any more: everything that is there would go. */
export function isWipe(objects: readonly ObjectState[]): boolean {
  const listed = objects.filter((object) => !object.unlisted);
  return listed.length > 0 && listed.every((object) => object.extra);
}

/** Objects that a sync of everything would have to leave alone because of an error that concerns the whole. */
const blocking = (object: ObjectState): boolean =>
  object.status === "Unknown" && object.failure !== undefined && object.failure.code !== "KIND_UNAVAILABLE";

/** Whether the Application's last operation already brought this very desired state about (or failed to). */
export function alreadyAttempted(state: OperationState | undefined, render: Render): boolean {
  if (!state?.operation) return false;
  if (state.phase === "Running" || state.phase === "Terminating") return false;
  const { sync } = state.operation;
  // Given up for something newer, it failed of nothing.
  if (sync?.dryRun || state.message?.startsWith(SUPERSEDED_MESSAGE)) return false;
  if (infoOf(state.operation, INFO.sourceHash) !== undefined) {
    return (
      infoOf(state.operation, INFO.sourceHash) === render.sourceHash &&
      infoOf(state.operation, INFO.renderKey) === render.renderKey
    );
  }
  // Begun by Argo CD: it compares revision and source.
  const done = state.syncResult;
  if (done === undefined) return true;
  const revisions = render.isMultiSource ? (done.revisions ?? []) : [done.revision];
  const sources = render.isMultiSource ? (done.sources ?? []) : [done.source];
  return (
    sources.length === render.sources.length &&
    render.sources.every(
      ({ revision, field }, n) =>
        revisions[n] === revision &&
        sources[n]?.repoURL === field.repoURL &&
        (sources[n]?.path ?? "") === (field.path ?? "") &&
        (sources[n]?.targetRevision ?? "") === (field.targetRevision ?? ""),
    )
  );
}

export const NONDETERMINISTIC = failure(
  "NONDETERMINISTIC_RENDER",
  "the same inputs rendered differently; what was applied last stays, and nothing else is",
);

/** The same inputs, parameters and tools gave other manifests: not a new desired state (DESIGN §3). */
export function nondeterministic(state: OperationState | undefined, render: Render): boolean {
  const manifestsDigest = infoOf(state?.operation, INFO.manifestsDigest);
  const renderKey = infoOf(state?.operation, INFO.renderKey);
  return (
    manifestsDigest !== undefined &&
    renderKey !== undefined &&
    infoOf(state?.operation, INFO.sourceHash) === render.sourceHash &&
    sameKeyOtherDigest({ renderKey, manifestsDigest }, render)
  );
}

export function automatedOperation(context: Context, isHeal: boolean, now: number, failed = 0): OperationField {
  const { automated, syncOptionTexts, retry } = context.view.desired!;
  return {
    sync: {
      ...(automated!.prune ? { prune: true } : {}),
      ...(syncOptionTexts.length > 0 ? { syncOptions: syncOptionTexts } : {}),
      ...(isHeal ? { autoHealAttemptsCount: healAttempts(context.heal, now, context.view.policy.heal) + 1 } : {}),
    },
    initiatedBy: { automated: true },
    ...(failed > 0 ? { info: [{ name: INFO.again, value: String(failed) }] } : {}),
    retry: retry ?? { limit: 5 },
  };
}

export function decide(context: Context, now: number): Decision {
  const decision = decideInCharge(context, now);
  return context.view.observed && decision.kind === "sync" ? { kind: "none" } : decision;
}

/** The same were Argo CD not there: with --observe it is only told. */
export function decideInCharge(context: Context, now: number): Decision {
  const { view, request, objects, render } = context;
  const desired = view.desired;
  if (desired === undefined || render === undefined || context.operation || view.deletion) return { kind: "none" };
  if (request) {
    // It came while that look was under way: what was found may be another revision, or another source, than it names.
    if (context.lookedFor !== request) return { kind: "none" };
    const waitMs = (request.resumed?.retryAt ?? 0) - now;
    if (waitMs > 0 && context.verdict === "OutOfSync") return { kind: "pause", delayMs: waitMs };
    const closed = closedForRequest(context, request, now);
    if (closed) return waitForWindow(closed, now);
    return { kind: "sync", request, partial: false };
  }
  const automated = desired.automated;
  if (!automated || context.verdict !== "OutOfSync") return { kind: "none" };
  if (view.operation && view.operationHash !== context.takenOperationHash) return { kind: "none" };
  if (objects.some(blocking)) return { kind: "none" };
  const { prune } = automated;
  const differing = objects.filter((object) => object.status === "OutOfSync");
  if (!differing.some((object) => !object.extra || (prune && prunable(object, desired.options.consents))))
    return { kind: "none" };
  const pin = pinned(view.policy, now);
  if (pin) return pin;
  const state = context.operationState;
  if (nondeterministic(state, render)) return { kind: "none" };
  const attempted = alreadyAttempted(state, render);
  const hasFailed = attempted && state?.phase !== "Succeeded";
  const wait = hasFailed ? afterFailure(context, render, now) : undefined;
  if (wait) return wait;
  const isHeal = attempted && !hasFailed;
  if (isHeal && !automated.selfHeal) return { kind: "none" };
  if (prune && !automated.allowEmpty && isWipe(objects)) {
    const refused = failure("WIPE_REFUSED", "auto-sync will wipe out all resources");
    return { kind: "refuse", condition: { type: "SyncError", message: failureText(refused) } };
  }
  const closed = closedWindow(context, now, { isManual: false });
  if (closed) return waitForWindow(closed, now);
  if (isHeal) {
    const delayMs = healPauseMs(context.heal, now, view.policy.heal);
    if (delayMs > 0) return { kind: "pause", delayMs };
  } else {
    const waiting = waitForOthers(view.awaited);
    if (waiting) return waiting;
  }
  const field = automatedOperation(context, isHeal, now, hasFailed ? failedSyncs(state) : 0);
  const partial = isHeal && !view.policy.healHooks;
  return {
    kind: "sync",
    request: {
      field: partial ? { ...field, sync: { ...field.sync, resources: named(differing) } } : field,
      automated: true,
    },
    partial,
  };
}

/** As Argo CD names what a heal is about: without namespaces. */
const named = (objects: readonly ObjectState[]) =>
  objects.map(({ key: { group, kind, name } }) => ({ group, kind, name }));

/**
 * Whether a suspected object may be put right at once, before any comparison: the drift of an app that is Synced and
 * heals itself. Everything else takes the long way.
 */
export function mayHealAtOnce(context: Context, now: number): boolean {
  const { view, render } = context;
  return (
    view.desired?.automated?.selfHeal === true &&
    !view.observed &&
    view.deletion === undefined &&
    context.request === undefined &&
    context.operation === undefined &&
    render !== undefined &&
    !nondeterministic(context.operationState, render) &&
    render.sourceHash === view.sourceHash &&
    context.failed === undefined &&
    !(view.policy.healHooks && context.hooks.some(({ phases }) => !phases.every(isDeletePhase))) &&
    pinned(view.policy, now) === undefined &&
    closedWindow(context, now, { isManual: false }) === undefined &&
    healPauseMs(context.heal, now, view.policy.heal) === 0
  );
}
