// Steps of the Application machine by name: each makes of context and event the part of the context that changes.
import type { SyncState } from "@driftless/contracts/pipeline/6-application";
import type { Context } from "./context.ts";
import type { AppEvent, EventOf } from "./events.ts";
import * as deletion from "./deletion.ts";
import { giveUp, untilDeadline } from "./deadline.ts";
import * as heal from "./heal.ts";
import * as look from "./look.ts";
import * as step from "./operation-steps.ts";
import * as operation from "./operation.ts";
import { healPauseMs, lookAgainDelayMs } from "./retry-delay.ts";
import * as turns from "./turns.ts";
import { windowWaitMs } from "./window-wait.ts";

export const FETCH_DEADLINE_MS = 60_000;
export const STEP_DEADLINE_MS = 30_000;
/** Argo CD looks at what it waits for at least that often; here events tell, and this only covers one that is lost. */
const AWAITED_LOOK_MS = 15_000;

export const PASS_FAILED = { type: "PassFailed" as const, failures: [] };

const atOf = (event: AppEvent, context: Context): number => event.at ?? context.now;

type Step = (context: Context, event: AppEvent) => Partial<Context>;

/** A step that only makes sense of one event; the chart never names it elsewhere. */
const from =
  <Type extends AppEvent["type"]>(
    type: Type,
    run: (context: Context, event: EventOf<Type>) => Partial<Context>,
  ): Step =>
  (context, event) => {
    if (event.type !== type) throw new Error(`${event.type} came to a step of ${type}`);
    return run(context, event as EventOf<Type>);
  };

const timed =
  (run: (context: Context, at: number) => Partial<Context>): Step =>
  (context, event) =>
    run(context, atOf(event, context));

const hopOf = (context: Context): string => {
  if (context.pass?.timings.diffMs !== undefined) return "predict";
  if (context.pass?.render) return "diff";
  return context.pass?.turn.fetched !== undefined ? "render" : "fetch";
};

const pauseText = ({ decision }: Context): string =>
  decision.kind === "pause" && decision.window ? "the sync window may be open" : "after a pause";

export const STEPS = {
  wantLook: from("Look", (context, event) => look.want(context, event.wish)),
  wantSource: from("SourceChanged", look.onSourceChanged),
  wantAgain: timed((context, at) =>
    look.want(
      context,
      look.wish(
        "retry",
        at,
        { detail: context.failed?.failures[0]?.code ?? pauseText(context) },
        {
          // After a failure everything is asked again; after a pause only the cluster.
          from: context.failed ? "fetch" : "diff",
          freshness: context.failed ? "latest" : "observed",
          lane: context.failed ? "bulk" : "now",
        },
      ),
    ),
  ),
  wantDiff: from("LiveChanged", heal.wantDiff),
  updateView: from("ApplicationUpdated", (context, event) => look.updateView(context, event.view, event.at)),
  refreshAnswered: from("RefreshAnswered", (context, event) =>
    context.answeredRefresh === event.value ? look.forgetRefresh(context) : {},
  ),
  // A fetcher that begins anew may number its observations anew.
  forgetObservations: (context) => ({
    observationSeen: {},
    watched: [],
    render: context.render && {
      ...context.render,
      sources: context.render.sources.map((source) => ({ ...source, observations: {} })),
    },
  }),
  noteWatched: look.noteWatched,
  beginPass: timed(look.beginPass),
  send: timed(look.send),
  nextSource: turns.nextSource,
  fetchAgain: turns.fetchAgain,
  noteBroken: from("RenderFailed", turns.noteBroken),
  failBroken: from("SourceFetched", look.failBroken),
  acceptFetch: from("SourceFetched", turns.acceptFetch),
  takeManifests: turns.takeManifests,
  acceptRender: from("ManifestsRendered", turns.acceptRender),
  fetchMore: from("RenderNeedsFiles", turns.fetchMore),
  // The host puts what it was told into the command.
  renderKnowing: turns.renderKnowing,
  hopBack: turns.hopBack,
  acceptDiff: from("DiffComputed", look.acceptDiff),
  acceptPrediction: from("StepPredicted", look.acceptPrediction),
  concludePass: timed(look.concludePass),
  failPass: (context, event) =>
    look.failPass(context, look.failuresOf(context, event, hopOf(context)), atOf(event, context)),
  takeDecision: timed(operation.takeDecision),
  settleVerdict: () => ({ verdictPending: false, pass: undefined }),
  beginOperation: timed(operation.beginOperation),
  sendStep: timed(step.sendStep),
  acceptStepPrediction: from("StepPredicted", step.acceptStepPrediction),
  recorded: step.recorded,
  planStep: timed(step.planStep),
  giveUp: timed(giveUp),
  endPause: (context) => ({ operation: { ...context.operation!, pausedUntil: undefined } }),
  beginStep: timed(step.beginStep),
  beginRecord: step.beginRecord,
  acceptAwaited: from("DiffComputed", step.acceptAwaited),
  hooksReleased: step.hooksReleased,
  failDryRun: step.failDryRun,
  failStep: (context, event) =>
    step.failStep(
      context,
      event.type === "PassFailed" ? (context.failed?.failures ?? []) : look.failuresOf(context, event, "sync"),
    ),
  terminate: step.terminate,
  supersede: step.supersede,
  acceptStep: from("StepApplied", step.acceptStep),
  scheduleRetry: timed(operation.scheduleRetry),
  retryNow: timed(operation.retryNow),
  beginAttempt: timed(operation.beginAttempt),
  renderAgain: timed(operation.renderAgain),
  endOperation: timed(operation.endOperation),
  noteLive: from("LiveChanged", heal.onLiveChanged),
  beginHeal: from("LiveChanged", heal.beginHeal),
  healNeedless: from("StepApplied", heal.healNeedless),
  healDone: from("StepApplied", heal.healDone),
  healLeft: heal.healLeft,
  beginDeletion: timed(deletion.beginDeletion),
  sendDeletion: deletion.sendDeletion,
  planDeletion: timed(deletion.planDeletion),
  wakeDeletion: deletion.wakeDeletion,
  stageRecorded: deletion.stageRecorded,
  acceptRemaining: from("DiffComputed", deletion.acceptRemaining),
  noteRemoved: from("StepApplied", deletion.noteRemoved),
  failDeletion: (context, event) =>
    deletion.failDeletion(context, look.failuresOf(context, event, "delete"), atOf(event, context)),
  hooksLooked: deletion.hooksLooked,
  noteUnrendered: deletion.noteUnrendered,
  acceptHookRuns: from("StepApplied", deletion.acceptHookRuns),
  acceptWatched: from("DiffComputed", deletion.acceptWatched),
  noteHook: from("LiveChanged", deletion.noteHook),
  hooksLetGo: timed(deletion.hooksLetGo),
  hooksGone: timed(deletion.hooksGone),
} satisfies Record<string, Step>;

export const arriveAt = (context: Context, state: SyncState): Partial<Context> => operation.arrive(context, state);

interface Asked {
  context: Context;
  event: AppEvent;
}

export const DELAYS = {
  fetchDeadline: FETCH_DEADLINE_MS,
  stepDeadline: STEP_DEADLINE_MS,
  awaitedLook: ({ context, event }: Asked) => untilDeadline(context, atOf(event, context), AWAITED_LOOK_MS),
  windowDelay: ({ context, event }: Asked) =>
    windowWaitMs(context.decision.kind === "pause" ? context.decision.window?.until : undefined, atOf(event, context)),
  lookAgainDelay: ({ context }: Asked) => lookAgainDelayMs(context.failed?.attempts ?? 1, look.spreadOf(context)),
  pause: ({ context, event }: Asked) =>
    context.decision.kind === "pause"
      ? context.decision.delayMs
      : healPauseMs(context.heal, atOf(event, context), context.view.policy.heal),
  retryDelay: ({ context, event }: Asked) => Math.max(0, (context.operation?.retryAt ?? 0) - atOf(event, context)),
  deletionPause: ({ context, event }: Asked) => deletion.deletionPauseMs(context, atOf(event, context)),
  hookLook: ({ context, event }: Asked) => deletion.untilHookIsOverdue(context, atOf(event, context), AWAITED_LOOK_MS),
};
