// Guards of the Application machine (pure): the questions that the chart asks by name.
import { isRetryable } from "@driftless/contracts/failure";
import { sameKey, type Context } from "./context.ts";
import { mayHealAtOnce } from "./decision.ts";
import type { AppEvent } from "./events.ts";
import { HOPS_BACK_MAX, NEEDS_MAX, beginsAtDiff, needsPrediction, refreshes } from "./look.ts";
import { needsHooks, nextOfDeletion, type DeletionNext } from "./deletion-plan.ts";
import { isAllowed } from "./gate.ts";
import { isPauseOver, overdue } from "./deadline.ts";
import { isNews } from "./heal.ts";
import { operationFailures, windowIsOver } from "./operation-steps.ts";
import { canRetry, mayRenderAgain } from "./operation.ts";
import { advance, isSuperseded } from "./sync-plan.ts";
import { brokenSource, isOlderThanSeen, knownSource, sourceOf } from "./turns.ts";

export interface Asked {
  context: Context;
  event: AppEvent;
}

const requestIdOf = (event: AppEvent): string | undefined =>
  "message" in event && "requestId" in event.message ? String(event.message.requestId) : undefined;

const answers = (event: AppEvent, requestId: string | undefined): boolean =>
  requestId !== undefined && requestId !== "" && requestIdOf(event) === requestId;

const bodyGone = (event: AppEvent): boolean =>
  "message" in event && "failure" in event.message && (event.message.failure as { code?: string }).code === "BLOB_GONE";

const mayLook = (context: Context): boolean => {
  const { wish, view, verdictPending, operation, deletion } = context;
  if (!wish || !view.desired || verdictPending) return false;
  // Of what is being deleted only the hooks are still of interest.
  if (view.deletion || deletion) return deletion !== undefined && needsHooks(context);
  if (!operation) return true;
  // Objects that are being applied would be judged in the middle of it. A pause between attempts is another matter:
  // an automated operation may be overtaken there, a manual one goes on undisturbed.
  return operation.retryAt !== undefined && (operation.retryDue || operation.automated);
};

const mustRelease = ({ operation }: Context): boolean =>
  operation!.next?.kind === "done" && !operation!.released && operation!.hooks.some(({ state }) => state !== "pending");

const deletionNext = (kind: DeletionNext["kind"]) => (asked: Asked) => asked.context.deletion?.next?.kind === kind;

const passAnswer = ({ context, event }: Asked): boolean => answers(event, context.pass?.requestId);
const stepAnswer = ({ context, event }: Asked): boolean => answers(event, context.operation?.requestId);

export const GUARDS = {
  mayLook: ({ context }: Asked) => mayLook(context),
  mayLookAtCluster: ({ context }: Asked) => mayLook(context) && beginsAtDiff(context),
  shouldLookAgain: ({ context }: Asked) =>
    context.wish === undefined && context.failed !== undefined && context.failed.failures.some(isRetryable),

  isPassAnswer: passAnswer,
  isOldObservation: (asked: Asked) =>
    passAnswer(asked) &&
    asked.event.type === "SourceFetched" &&
    asked.context.pass!.turn.again === 0 &&
    asked.context.pass!.hopsBack === 0 &&
    isOlderThanSeen(asked.context, asked.event.message),
  /** The render that failed would fail again. */
  isStillBroken: (asked: Asked) =>
    passAnswer(asked) &&
    asked.event.type === "SourceFetched" &&
    asked.event.message.bundleDigest === undefined &&
    brokenSource(asked.context) !== undefined,
  needsNoFetch: ({ context }: Asked) => context.pass?.wanted.manifests !== undefined,
  inputsSame: (asked: Asked) =>
    passAnswer(asked) &&
    asked.event.type === "SourceFetched" &&
    asked.event.message.bundleDigest === undefined &&
    (!sourceOf(asked.context).renders || knownSource(asked.context) !== undefined),
  inputsMissing: (asked: Asked) =>
    passAnswer(asked) && asked.event.type === "SourceFetched" && asked.event.message.bundleDigest === undefined,
  isBodyGone: (asked: Asked) =>
    passAnswer(asked) && bodyGone(asked.event) && asked.context.pass!.hopsBack < HOPS_BACK_MAX,
  lacksCluster: (asked: Asked) =>
    passAnswer(asked) &&
    asked.event.type === "RenderNeedsFiles" &&
    asked.event.message.cluster !== undefined &&
    asked.context.pass!.turn.again < NEEDS_MAX,
  isClusterTold: (asked: Asked) =>
    passAnswer(asked) && asked.event.type === "ClusterDescribed" && asked.event.message.cluster !== undefined,
  mayFetchMore: (asked: Asked) => passAnswer(asked) && asked.context.pass!.turn.again < NEEDS_MAX,
  hasAllSources: ({ context }: Asked) => context.pass?.render !== undefined,
  needsPrediction: ({ context }: Asked) => needsPrediction(context),

  isSynced: ({ context }: Asked) => context.verdict === "Synced",
  isOutOfSync: ({ context }: Asked) => context.verdict === "OutOfSync",
  isUnknown: ({ context }: Asked) => context.verdict === "Unknown",
  mustSync: ({ context }: Asked) => context.decision.kind === "sync",
  mustPause: ({ context }: Asked) => context.decision.kind === "pause" && !context.decision.window,
  // Of what was decided last; while a verdict is pending that is yet to come.
  waitsForWindow: ({ context: { wish, verdictPending, decision } }: Asked) =>
    wish === undefined && !verdictPending && decision.kind === "pause" && decision.window !== undefined,
  becomesBlocked: ({ context, event }: Asked) =>
    event.type === "ApplicationUpdated" && !event.view.desired && context.view.desired !== undefined,

  isStepAnswer: stepAnswer,
  isRecordOfOperation: ({ context, event }: Asked) =>
    event.type === "OperationRecorded" && event.operationId === context.operation?.id,
  isStepBodyGone: (asked: Asked) => stepAnswer(asked) && bodyGone(asked.event) && mayRenderAgain(asked.context),
  dryRunFailed: ({ context }: Asked) => context.operation!.predicted && operationFailures(context).length > 0,
  isReady: ({ context }: Asked) => context.operation!.predicted && context.operation!.recorded,
  isReadyDryRun: ({ context }: Asked) => {
    const { predicted, recorded, dryRun } = context.operation!;
    return predicted && recorded && dryRun;
  },
  isReadyButSuperseded: ({ context }: Asked) =>
    context.operation!.predicted && context.operation!.recorded && isSuperseded(context),
  mustRecord: ({ context }: Asked) => {
    const { next, changes, changesSaved } = context.operation!;
    return changes > changesSaved && (next?.kind === "apply" || mustRelease(context));
  },
  mustApply: ({ context }: Asked) => context.operation!.next?.kind === "apply",
  mustWait: ({ context }: Asked) => context.operation!.next?.kind === "wait",
  mustRelease: ({ context }: Asked) => mustRelease(context),
  mayGoOn: ({ context, event }: Asked) => {
    const { next } = context.operation!;
    return next?.kind === "wait" && next.window
      ? windowIsOver(context, event.at ?? context.now)
      : advance(context).kind !== "wait";
  },
  /** Nothing is looked at then, and the window may be another by now. */
  isWindowAwaited: ({ context }: Asked) => {
    const { next } = context.operation!;
    return next?.kind === "wait" && next.window !== undefined;
  },
  canRetry: ({ context, event }: Asked) => canRetry(context, event.at ?? context.now),
  isOverdue: ({ context, event }: Asked) => overdue(context, event.at) !== undefined,
  isPauseOver: ({ context, event }: Asked) => isPauseOver(context, event.at),
  isTerminated: ({ event }: Asked) =>
    event.type === "ApplicationUpdated" && event.view.status.operationState?.phase === "Terminating",
  isRetryComparison: ({ context }: Asked) =>
    context.operation!.retryDue &&
    (refreshes(context.operation!) || context.render?.manifestsDigest === context.operation!.render.manifestsDigest),
  isOvertaken: ({ context }: Asked) =>
    context.operation!.automated && context.render?.manifestsDigest !== context.operation!.render.manifestsDigest,
  isRetryDue: ({ context }: Asked) => context.operation!.retryDue,

  isHealthOnly: ({ event }: Asked) => event.type === "LiveChanged" && event.message.change === "health",
  isDriftToHeal: ({ context, event }: Asked) =>
    event.type === "LiveChanged" &&
    event.message.change === "suspect" &&
    event.message.live !== undefined &&
    isNews(context, event) &&
    isAllowed(context, event.message.object) &&
    !context.objects.some((object) => object.ruled && sameKey(object.key, event.message.object)) &&
    mayHealAtOnce(context, event.at),
  isDrift: ({ context, event }: Asked) => event.type === "LiveChanged" && isNews(context, event),
  isHealAnswer: ({ context, event }: Asked) => answers(event, context.heal.requestId),
  healWasNeedless: ({ context, event }: Asked) =>
    answers(event, context.heal.requestId) &&
    event.type === "StepApplied" &&
    event.message.objects.every((object) => object.outcome === "unchanged"),
  healFailed: ({ context, event }: Asked) =>
    answers(event, context.heal.requestId) &&
    (event.type === "StepFailed" ||
      (event.type === "StepApplied" && event.message.objects.some((object) => object.outcome === "failed"))),

  isBeingDeleted: ({ context }: Asked) => context.view.deletion !== undefined,
  deletionBegins: ({ context, event }: Asked) =>
    event.type === "ApplicationUpdated" && event.view.deletion !== undefined && context.deletion === undefined,
  isDeletionAnswer: ({ context, event }: Asked) => answers(event, context.deletion?.requestId),
  isDeletionBodyGone: (asked: Asked) =>
    answers(asked.event, asked.context.deletion?.requestId) && bodyGone(asked.event),
  isDeletionFinished: deletionNext("finish"),
  isStageOver: deletionNext("record"),
  mustSurvey: deletionNext("survey"),
  mustRemove: deletionNext("remove"),
  mustRunHooks: deletionNext("run"),
  mustWatchHooks: deletionNext("watch"),
  mustReleaseHooks: deletionNext("release"),
  isDeletionPaused: deletionNext("pause"),
  areHooksOver: ({ context, event }: Asked) => nextOfDeletion(context, event.at ?? context.now).kind !== "watch",
  /** On its way out: it goes by events and now and then a survey. */
  isDeletionAwaited: deletionNext("await"),
  /** What waits for an approval may be what somebody deletes instead. */
  isHeldObjectGone: (asked: Asked) =>
    deletionNext("hold")(asked) &&
    asked.event.type === "LiveChanged" &&
    asked.event.message.change === "deleted" &&
    asked.context.deletion!.surveyed,
  isStageRecorded: ({ context, event }: Asked) =>
    event.type === "StageRecorded" && event.stages === context.deletion?.done.length,
} satisfies Record<string, (asked: Asked) => boolean>;
