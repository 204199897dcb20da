// The machine of one Application, by names only: `sync` is what people see, `refresh` is the pass that finds it out.
// A wish to look that comes at a bad moment stays in the context and is taken up in Idle; nothing is lost.
// Guards are in guards.ts, steps (assigns) in look.ts and operation.ts, effects in effects.ts; machine.md is the chart.
import { assign, raise, setup } from "xstate";
import type { SyncState } from "@driftless/contracts/pipeline/6-application";
import { initialContext, type Context, type Input } from "./context.ts";
import { EFFECT_NAMES, type EffectName } from "./effect-names.ts";
import type { AppEvent } from "./events.ts";
import { GUARDS } from "./guards.ts";
import { DELAYS, PASS_FAILED, STEPS, arriveAt } from "./steps.ts";

type EffectActions = Record<EffectName, (args: { context: Context; event: AppEvent }) => void>;

// Effects do nothing here: the host finds them by name in effects.ts and turns them into messages.
const effects = Object.fromEntries(EFFECT_NAMES.map((name) => [name, () => undefined])) as unknown as EffectActions;

const step = (name: keyof typeof STEPS) =>
  assign<Context, AppEvent, undefined, AppEvent, never>(({ context, event }) => STEPS[name](context, event));

const atOf = (event: AppEvent, context: Context): number => event.at ?? context.now;

export const applicationMachine = setup({
  types: { context: {} as Context, events: {} as AppEvent, input: {} as Input },
  guards: GUARDS,
  delays: DELAYS,
  actions: {
    ...effects,
    wantLook: step("wantLook"),
    wantSource: step("wantSource"),
    wantAgain: step("wantAgain"),
    wantDiff: step("wantDiff"),
    updateView: step("updateView"),
    refreshAnswered: step("refreshAnswered"),
    forgetObservations: step("forgetObservations"),
    noteWatched: step("noteWatched"),
    beginPass: step("beginPass"),
    send: step("send"),
    fetchAgain: step("fetchAgain"),
    noteBroken: step("noteBroken"),
    failBroken: step("failBroken"),
    nextSource: step("nextSource"),
    acceptFetch: step("acceptFetch"),
    takeManifests: step("takeManifests"),
    acceptRender: step("acceptRender"),
    fetchMore: step("fetchMore"),
    renderKnowing: step("renderKnowing"),
    hopBack: step("hopBack"),
    acceptDiff: step("acceptDiff"),
    acceptPrediction: step("acceptPrediction"),
    concludePass: step("concludePass"),
    failPass: step("failPass"),
    takeDecision: step("takeDecision"),
    settleVerdict: step("settleVerdict"),
    beginOperation: step("beginOperation"),
    sendStep: step("sendStep"),
    acceptStepPrediction: step("acceptStepPrediction"),
    recorded: step("recorded"),
    planStep: step("planStep"),
    giveUp: step("giveUp"),
    endPause: step("endPause"),
    beginStep: step("beginStep"),
    beginRecord: step("beginRecord"),
    acceptAwaited: step("acceptAwaited"),
    hooksReleased: step("hooksReleased"),
    failDryRun: step("failDryRun"),
    failStep: step("failStep"),
    terminate: step("terminate"),
    supersede: step("supersede"),
    acceptStep: step("acceptStep"),
    scheduleRetry: step("scheduleRetry"),
    retryNow: step("retryNow"),
    beginAttempt: step("beginAttempt"),
    renderAgain: step("renderAgain"),
    endOperation: step("endOperation"),
    noteLive: step("noteLive"),
    beginHeal: step("beginHeal"),
    healNeedless: step("healNeedless"),
    healDone: step("healDone"),
    healLeft: step("healLeft"),
    beginDeletion: step("beginDeletion"),
    sendDeletion: step("sendDeletion"),
    planDeletion: step("planDeletion"),
    wakeDeletion: step("wakeDeletion"),
    stageRecorded: step("stageRecorded"),
    hooksLooked: step("hooksLooked"),
    noteUnrendered: step("noteUnrendered"),
    acceptHookRuns: step("acceptHookRuns"),
    acceptWatched: step("acceptWatched"),
    noteHook: step("noteHook"),
    hooksLetGo: step("hooksLetGo"),
    hooksGone: step("hooksGone"),
    acceptRemaining: step("acceptRemaining"),
    noteRemoved: step("noteRemoved"),
    failDeletion: step("failDeletion"),
    arrive: assign(({ context }, params: { state: SyncState }) => arriveAt(context, params.state)),
    raiseVerdict: raise(({ context, event }) => ({ type: "Verdict" as const, at: atOf(event, context) })),
    raisePassFailed: raise(({ context, event }) => ({ ...PASS_FAILED, at: atOf(event, context) })),
  },
}).createMachine({
  id: "application",
  type: "parallel",
  context: ({ input }) => initialContext(input),
  on: {
    Look: { actions: "wantLook" },
    SourceChanged: { actions: "wantSource" },
    FetcherStarted: { actions: ["forgetObservations", "watchSource", "noteWatched"] },
    RefreshAnswered: { actions: "refreshAnswered" },
  },
  states: {
    sync: {
      initial: "Unknown",
      on: {
        ApplicationUpdated: { guard: "deletionBegins", target: ".Deleting" },
      },
      states: {
        Unknown: {
          entry: [{ type: "arrive", params: { state: "Unknown" } }, "publishTransition"],
          always: [
            { guard: "isBeingDeleted", target: "Deleting" },
            { guard: "mustSync", target: "Syncing" },
          ],
          on: {
            Verdict: [
              { guard: "isSynced", target: "Synced", actions: ["takeDecision", "writeStatus"] },
              { guard: "isOutOfSync", target: "OutOfSync", actions: ["takeDecision", "writeStatus"] },
              { actions: ["takeDecision", "writeStatus"] },
            ],
            PassFailed: { actions: ["publishRefusal", "writeStatus"] },
            LiveChanged: [
              { guard: "isHealthOnly", actions: ["noteLive", "writeSoon"] },
              { guard: "isDrift", actions: ["noteLive", "wantDiff"] },
            ],
          },
        },
        Synced: {
          entry: [{ type: "arrive", params: { state: "Synced" } }, "publishTransition"],
          initial: "steady",
          always: { guard: "mustSync", target: "Syncing" },
          on: {
            Verdict: [
              { guard: "isOutOfSync", target: "OutOfSync", actions: ["takeDecision", "writeStatus"] },
              { guard: "isUnknown", target: "Unknown", actions: ["takeDecision", "writeStatus"] },
              { actions: ["takeDecision", "writeStatus"] },
            ],
            PassFailed: [
              { guard: "isUnknown", target: "Unknown", actions: ["publishRefusal", "writeStatus"] },
              { actions: ["publishRefusal", "writeStatus"] },
            ],
            ApplicationUpdated: [
              { guard: "deletionBegins", target: "Deleting" },
              { guard: "becomesBlocked", target: "Unknown" },
            ],
          },
          states: {
            steady: {
              on: {
                LiveChanged: [
                  { guard: "isHealthOnly", actions: ["noteLive", "writeSoon"] },
                  { guard: "isDriftToHeal", target: "healing", actions: ["noteLive", "beginHeal"] },
                  { guard: "isDrift", actions: ["noteLive", "wantDiff", "writeSoon"] },
                ],
              },
            },
            healing: {
              entry: "healStep",
              exit: "healLeft",
              after: { stepDeadline: { target: "steady", actions: "wantAgain" } },
              on: {
                LiveChanged: { actions: ["noteLive", "writeSoon"] },
                StepApplied: [
                  { guard: "healFailed", target: "steady", actions: "wantAgain" },
                  { guard: "healWasNeedless", target: "steady", actions: "healNeedless" },
                  { guard: "isHealAnswer", target: "steady", actions: ["healDone", "publishHeal", "writeStatus"] },
                ],
                StepFailed: { guard: "healFailed", target: "steady", actions: "wantAgain" },
              },
            },
          },
        },
        OutOfSync: {
          entry: [{ type: "arrive", params: { state: "OutOfSync" } }, "publishTransition"],
          initial: "steady",
          always: { guard: "mustSync", target: "Syncing" },
          on: {
            Verdict: [
              { guard: "isSynced", target: "Synced", actions: ["takeDecision", "writeStatus"] },
              { guard: "isUnknown", target: "Unknown", actions: ["takeDecision", "writeStatus"] },
              { target: ".steady", actions: ["takeDecision", "writeStatus"] },
            ],
            PassFailed: [
              { guard: "isUnknown", target: "Unknown", actions: ["publishRefusal", "writeStatus"] },
              { actions: ["publishRefusal", "writeStatus"] },
            ],
            LiveChanged: [
              { guard: "isHealthOnly", actions: ["noteLive", "writeSoon"] },
              { guard: "isDrift", actions: ["noteLive", "wantDiff", "writeSoon"] },
            ],
            ApplicationUpdated: [
              { guard: "deletionBegins", target: "Deleting" },
              { guard: "becomesBlocked", target: "Unknown" },
            ],
          },
          states: {
            steady: { always: { guard: "mustPause", target: "pausing" } },
            pausing: { after: { pause: { actions: "wantAgain" } } },
          },
        },
        Syncing: {
          entry: ["beginOperation", { type: "arrive", params: { state: "Syncing" } }, "publishTransition"],
          initial: "predicting",
          on: {
            LiveChanged: { actions: ["noteLive", "writeSoon"] },
            ApplicationUpdated: [
              { guard: "deletionBegins", target: "Deleting" },
              { guard: "isTerminated", target: ".stepping", actions: "terminate" },
            ],
            Verdict: { actions: "settleVerdict" },
          },
          states: {
            predicting: {
              entry: ["writeStatus", "sendStep", "predictStep"],
              always: [
                { guard: "dryRunFailed", target: "settling", actions: "failDryRun" },
                { guard: "isReadyButSuperseded", target: "settling", actions: "supersede" },
                { guard: "isReadyDryRun", target: "settling" },
                { guard: "isReady", target: "stepping" },
              ],
              after: { stepDeadline: { target: "settling", actions: "failStep" } },
              on: {
                StepPredicted: { guard: "isStepAnswer", actions: "acceptStepPrediction" },
                OperationRecorded: { guard: "isRecordOfOperation", actions: "recorded" },
                StepFailed: [
                  { guard: "isStepBodyGone", target: "#application.sync.OutOfSync", actions: "renderAgain" },
                  { guard: "isStepAnswer", target: "settling", actions: "failStep" },
                ],
              },
            },
            // One (phase, wave) after the other, planned anew each time.
            stepping: {
              entry: "planStep",
              always: [
                { guard: "mustRecord", target: "recording" },
                { guard: "mustApply", target: "applying" },
                { guard: "mustWait", target: "waiting" },
                { guard: "mustRelease", target: "releasing" },
                { target: "settling" },
              ],
            },
            recording: {
              entry: ["beginRecord", "writeStatus"],
              after: { stepDeadline: { target: "settling", actions: "failStep" } },
              on: {
                OperationRecorded: { guard: "isRecordOfOperation", target: "stepping", actions: "recorded" },
                ApplicationUpdated: { guard: "isTerminated", actions: "terminate" },
              },
            },
            applying: {
              entry: ["beginStep", "applyStep"],
              after: { stepDeadline: { target: "stepping", actions: "failStep" } },
              on: {
                StepApplied: { guard: "isStepAnswer", target: "stepping", actions: "acceptStep" },
                StepFailed: [
                  { guard: "isStepBodyGone", target: "#application.sync.OutOfSync", actions: "renderAgain" },
                  { guard: "isStepAnswer", target: "stepping", actions: "failStep" },
                ],
                // What is on its way is waited for, so that all that it made is known.
                ApplicationUpdated: { guard: "isTerminated", actions: "terminate" },
              },
            },
            waiting: {
              entry: ["sendStep", "lookAtAwaited", "writeSoon"],
              always: { guard: "mayGoOn", target: "stepping" },
              after: {
                awaitedLook: [
                  { guard: "isOverdue", target: "stepping", actions: "giveUp" },
                  { guard: "isPauseOver", target: "stepping", actions: "endPause" },
                  { guard: "mayGoOn", target: "stepping" },
                  { guard: "isWindowAwaited", target: "waiting", reenter: true, actions: "planStep" },
                  { target: "waiting", reenter: true },
                ],
              },
              on: {
                LiveChanged: { actions: ["noteLive", "planStep", "writeSoon"] },
                DiffComputed: { guard: "isStepAnswer", actions: ["acceptAwaited", "planStep", "writeSoon"] },
              },
            },
            releasing: {
              entry: ["sendStep", "releaseHooks"],
              after: { stepDeadline: { target: "settling", actions: "hooksReleased" } },
              on: {
                StepApplied: { guard: "isStepAnswer", target: "settling", actions: "hooksReleased" },
                StepFailed: { guard: "isStepAnswer", target: "settling", actions: "hooksReleased" },
                ApplicationUpdated: { guard: "isTerminated" },
              },
            },
            settling: {
              always: [
                { guard: "canRetry", target: "retrying" },
                {
                  guard: "isSynced",
                  target: "#application.sync.Synced",
                  actions: ["endOperation", "measureOperation", "writeStatus"],
                },
                {
                  guard: "isUnknown",
                  target: "#application.sync.Unknown",
                  actions: ["endOperation", "measureOperation", "writeStatus"],
                },
                {
                  target: "#application.sync.OutOfSync",
                  actions: ["endOperation", "measureOperation", "writeStatus"],
                },
              ],
            },
            retrying: {
              entry: ["scheduleRetry", "writeStatus"],
              after: { retryDelay: { actions: "retryNow" } },
              on: {
                Verdict: [
                  { guard: "isRetryComparison", target: "predicting", actions: "beginAttempt" },
                  {
                    guard: "isOvertaken",
                    target: "#application.sync.OutOfSync",
                    actions: ["supersede", "endOperation", "measureOperation", "takeDecision", "writeStatus"],
                  },
                  { guard: "isRetryDue", target: "settling", actions: "failStep" },
                  { actions: "settleVerdict" },
                ],
                PassFailed: { guard: "isRetryDue", target: "settling", actions: "failStep" },
              },
            },
          },
        },
        Deleting: {
          entry: ["beginDeletion", { type: "arrive", params: { state: "Deleting" } }, "publishTransition"],
          initial: "weighing",
          on: {
            LiveChanged: { actions: "noteHook" },
            Verdict: { actions: "hooksLooked" },
            PassFailed: { actions: "noteUnrendered" },
          },
          states: {
            // One stage after the other, planned anew each time.
            weighing: {
              entry: "planDeletion",
              always: [
                { guard: "isDeletionFinished", target: "finishing" },
                { guard: "isStageOver", target: "recording" },
                { guard: "mustSurvey", target: "surveying" },
                { guard: "mustRemove", target: "removing" },
                { guard: "mustRunHooks", target: "running" },
                { guard: "mustWatchHooks", target: "watching" },
                { guard: "mustReleaseHooks", target: "releasing" },
                { target: "waiting" },
              ],
            },
            surveying: {
              entry: ["sendDeletion", "compareForDeletion"],
              after: { stepDeadline: { target: "weighing", actions: "failDeletion" } },
              on: {
                DiffComputed: { guard: "isDeletionAnswer", target: "weighing", actions: "acceptRemaining" },
                DiffFailed: { guard: "isDeletionAnswer", target: "weighing", actions: "failDeletion" },
              },
            },
            removing: {
              entry: ["sendDeletion", "deleteStep"],
              after: { stepDeadline: { target: "weighing", actions: "failDeletion" } },
              on: {
                StepApplied: { guard: "isDeletionAnswer", target: "weighing", actions: "noteRemoved" },
                StepFailed: { guard: "isDeletionAnswer", target: "weighing", actions: "failDeletion" },
              },
            },
            running: {
              entry: ["sendDeletion", "runDeletionHooks"],
              after: { stepDeadline: { target: "weighing", actions: "failDeletion" } },
              on: {
                StepApplied: { guard: "isDeletionAnswer", target: "weighing", actions: "acceptHookRuns" },
                StepFailed: [
                  { guard: "isDeletionBodyGone", target: "weighing", actions: "hooksGone" },
                  { guard: "isDeletionAnswer", target: "weighing", actions: "failDeletion" },
                ],
              },
            },
            watching: {
              entry: ["sendDeletion", "compareForDeletion", "writeSoon"],
              always: { guard: "areHooksOver", target: "weighing" },
              after: { hookLook: { target: "weighing" } },
              on: {
                DiffComputed: { guard: "isDeletionAnswer", actions: "acceptWatched" },
              },
            },
            releasing: {
              entry: ["writeSoon", "sendDeletion", "releaseDeletionHooks"],
              after: { stepDeadline: { target: "weighing", actions: "failDeletion" } },
              on: {
                StepApplied: { guard: "isDeletionAnswer", target: "weighing", actions: "hooksLetGo" },
                StepFailed: { guard: "isDeletionAnswer", target: "weighing", actions: "failDeletion" },
              },
            },
            recording: {
              entry: ["publishDeletion", "writeStatus"],
              on: { StageRecorded: { guard: "isStageRecorded", target: "weighing", actions: "stageRecorded" } },
            },
            waiting: {
              entry: "writeSoon",
              after: {
                deletionPause: [
                  { guard: "isDeletionPaused", target: "weighing", actions: "wakeDeletion" },
                  { guard: "isDeletionAwaited", target: "weighing", actions: "wakeDeletion" },
                ],
              },
              on: {
                LiveChanged: [
                  { guard: "isHealthOnly", actions: "noteHook" },
                  { guard: "isDeletionAwaited", target: "weighing", actions: ["noteHook", "wakeDeletion"] },
                  { guard: "isHeldObjectGone", target: "weighing", actions: ["noteHook", "wakeDeletion"] },
                  { actions: "noteHook" },
                ],
                Verdict: { target: "weighing", actions: "hooksLooked" },
                PassFailed: { target: "weighing", actions: "noteUnrendered" },
                ApplicationUpdated: { target: "weighing" },
              },
            },
            finishing: { entry: "writeStatus" },
          },
        },
      },
    },
    refresh: {
      initial: "Idle",
      on: { ApplicationUpdated: { actions: ["updateView", "publishRefusal", "writeStatus"] } },
      states: {
        Idle: {
          initial: "resting",
          always: [
            { guard: "mayLookAtCluster", target: "Diffing", actions: "beginPass" },
            { guard: "mayLook", target: "Fetching", actions: "beginPass" },
          ],
          states: {
            resting: {
              always: [
                { guard: "shouldLookAgain", target: "failing" },
                { guard: "waitsForWindow", target: "awaitingWindow" },
              ],
            },
            awaitingWindow: { after: { windowDelay: { target: "resting", actions: "wantAgain" } } },
            failing: { after: { lookAgainDelay: { target: "resting", actions: "wantAgain" } } },
          },
        },
        Fetching: {
          entry: ["send", "fetchSource"],
          always: { guard: "needsNoFetch", target: "Rendering", actions: "takeManifests" },
          after: { fetchDeadline: { target: "Idle", actions: ["failPass", "raisePassFailed"] } },
          on: {
            SourceFetched: [
              { guard: "isOldObservation", target: "Fetching", reenter: true, actions: "fetchAgain" },
              { guard: "isStillBroken", target: "Idle", actions: ["watchBroken", "failBroken", "raisePassFailed"] },
              { guard: "inputsSame", target: "Gathering", actions: "acceptFetch" },
              { guard: "inputsMissing", target: "Fetching", reenter: true, actions: "hopBack" },
              { guard: "isPassAnswer", target: "Rendering", actions: "acceptFetch" },
            ],
            SourceFetchFailed: {
              guard: "isPassAnswer",
              target: "Idle",
              actions: ["watchBroken", "failPass", "raisePassFailed"],
            },
          },
        },
        Rendering: {
          entry: ["send", "renderManifests"],
          after: { stepDeadline: { target: "Idle", actions: ["failPass", "raisePassFailed"] } },
          on: {
            ManifestsRendered: { guard: "isPassAnswer", target: "Gathering", actions: "acceptRender" },
            RenderNeedsFiles: [
              { guard: "lacksCluster", actions: "describeCluster" },
              { guard: "mayFetchMore", target: "Fetching", actions: "fetchMore" },
              { guard: "isPassAnswer", target: "Idle", actions: ["failPass", "raisePassFailed"] },
            ],
            ClusterDescribed: [
              { guard: "isClusterTold", target: "Rendering", reenter: true, actions: "renderKnowing" },
              { guard: "isPassAnswer", target: "Idle", actions: ["failPass", "raisePassFailed"] },
            ],
            RenderFailed: [
              { guard: "isBodyGone", target: "Fetching", actions: "hopBack" },
              {
                guard: "isPassAnswer",
                target: "Idle",
                actions: ["watchBroken", "noteBroken", "failPass", "raisePassFailed"],
              },
            ],
          },
        },
        // One source after the other; what is compared is all of them.
        Gathering: {
          always: [
            { guard: "hasAllSources", target: "Diffing" },
            { target: "Fetching", actions: "nextSource" },
          ],
        },
        Diffing: {
          initial: "comparing",
          states: {
            comparing: {
              entry: ["send", "computeDiff"],
              after: {
                stepDeadline: { target: "#application.refresh.Idle", actions: ["failPass", "raisePassFailed"] },
              },
              on: {
                DiffComputed: { guard: "isPassAnswer", target: "judging", actions: "acceptDiff" },
                DiffFailed: [
                  { guard: "isBodyGone", target: "#application.refresh.Fetching", actions: "hopBack" },
                  {
                    guard: "isPassAnswer",
                    target: "#application.refresh.Idle",
                    actions: ["failPass", "raisePassFailed"],
                  },
                ],
              },
            },
            judging: {
              always: [
                { guard: "needsPrediction", target: "predicting" },
                {
                  target: "#application.refresh.Idle",
                  actions: ["concludePass", "watchSource", "noteWatched", "measurePass", "raiseVerdict"],
                },
              ],
            },
            predicting: {
              entry: ["send", "predictSuspects"],
              after: {
                stepDeadline: { target: "#application.refresh.Idle", actions: ["failPass", "raisePassFailed"] },
              },
              on: {
                StepPredicted: {
                  guard: "isPassAnswer",
                  target: "#application.refresh.Idle",
                  actions: [
                    "acceptPrediction",
                    "concludePass",
                    "watchSource",
                    "noteWatched",
                    "measurePass",
                    "raiseVerdict",
                  ],
                },
                StepFailed: [
                  { guard: "isBodyGone", target: "#application.refresh.Fetching", actions: "hopBack" },
                  {
                    guard: "isPassAnswer",
                    target: "#application.refresh.Idle",
                    actions: ["failPass", "raisePassFailed"],
                  },
                ],
              },
            },
          },
        },
      },
    },
  },
});
