// Context of the Application machine: small, never changed in place, rebuilt from the Application at a start.
// Everything in it is either read from the Application (`view`) or may be lost without harm.
import type {
  ConditionField,
  HistoryEntry,
  OperationField,
  OperationState,
  ResourceResult,
} from "@driftless/contracts/application";
import type { Failure } from "@driftless/contracts/failure";
import type { Cause, Health, LiveIdentity, ObjectKey } from "@driftless/contracts/identity";
import type { SourceRef } from "@driftless/contracts/pipeline/2-fetch";
import type { DesiredHook, SyncPhase } from "@driftless/contracts/pipeline/4-diff";
import type { AppliedObject, FieldDifference, PlannedObject } from "@driftless/contracts/pipeline/5-sync";
import type { HopTimings, SyncState } from "@driftless/contracts/pipeline/6-application";
import type { Consents } from "@driftless/manifests/consent";
import type { DeletionHook, DeletionNext } from "./deletion-plan.ts";
import type { Wish } from "./events.ts";
import type { Stage } from "./finalizers.ts";
import { isFieldOfRunning, resumedOperation, terminatedState } from "./operation-record.ts";
import type { Render, SourceRender } from "./render.ts";
import type { SyncOptions } from "./sync-options.ts";
import type { Closed } from "./sync-windows.ts";
import type { HookRun, Layout, Next, Outcome } from "./sync-plan.ts";
import { inventoryOf, type AppView, type Desired, type Requested, type RetryPolicy } from "./view.ts";

/** One object as the last comparison, prediction or apply left it. */
export interface ObjectState {
  key: ObjectKey;
  status: "Synced" | "OutOfSync" | "Unknown";
  live?: LiveIdentity;
  health?: Health;
  /** Says of itself that its health is not the Application's (`ignore-healthcheck`). */
  healthIgnored?: boolean;
  /** Live and ours, and no longer desired. */
  extra: boolean;
  /** Why it is never deleted. */
  keep?: string;
  /** How long its health is waited for, as it says of itself. */
  healthTimeout?: string;
  /** On its way out, held by these finalizers. */
  deleting?: readonly string[];
  /** A hook whose kind cannot be told now. */
  hook?: boolean;
  /** Its own sync options `Prune=…` and `Delete=…`. */
  consents?: Consents;
  /** When it is applied, or (by wave, mirrored) pruned; Sync and 0 without. */
  phase?: SyncPhase;
  wave?: number;
  pruneLast?: boolean;
  /** Ignore rules concern it. */
  ruled?: boolean;
  /** Says of itself that it does not count in the sync status (`IgnoreExtraneous`). */
  extraneous?: boolean;
  /** Deleted and made anew by every sync of the whole app. */
  remade?: boolean;
  /** By the one that runs, though it is in sync. */
  again?: boolean;
  /** The destination namespace for its labels and annotations: none of the app's objects. */
  unlisted?: boolean;
  /** The API server has been asked what an apply would do (or need not be). */
  predicted: boolean;
  fields: readonly FieldDifference[];
  managers: readonly string[];
  takenFrom?: readonly string[];
  message?: string;
  failure?: Failure;
}

/** A render that failed for good: the same inputs fail again, so they are not rendered again. */
export interface BrokenRender {
  sourceHash: string;
  /** Which of the sources. */
  index: number;
  inputsDigest: string;
  failure: Failure;
}

/** What a render asked for outside its source's path. */
export type Extras = Pick<SourceRender, "extraPaths" | "charts">;

/** The source that is fetched and rendered now. */
export interface Turn {
  /** Its place among the sources. */
  index: number;
  freshness: "latest" | "observed";
  fetched?: Pick<SourceRender, "revision" | "observations" | "refRevisions" | "chartDigest"> & {
    bundleDigest?: string;
  };
  /** How often it was fetched again, for more files or for a newer revision. */
  again: number;
}

export interface Pass {
  causes: readonly Cause[];
  since: number;
  hard: boolean;
  freshness: "latest" | "observed";
  lane: "now" | "bulk";
  /** By the sources' order. */
  targetRevisions: readonly string[];
  /** A revision was named by an operation: the result is not what the Application follows. */
  pinned: boolean;
  requestId: string;
  sentAt: number;
  /** The Application's own sources, or those that an operation names instead, as they were when it began. */
  wanted: { desired: Desired; sourceHash: string; manifests?: readonly string[] };
  turn: Turn;
  extras: readonly (Extras | undefined)[];
  /** What is there of each source; all of it is the `render`. */
  sources: readonly (SourceRender | undefined)[];
  /** How often it went back a hop; more than a few times means that bodies do not last. */
  hopsBack: number;
  /** A body was gone in this pass, so that what the last operation applied may be gone as well. */
  bodyGone?: boolean;
  render?: Render;
  /** What had been asked for when it began; what is asked for later needs another pass. */
  request?: OperationRequest;
  timings: Omit<HopTimings, "totalMs">;
  refreshAnnotation?: string;
}

export interface OperationRequest {
  field: OperationField;
  automated: boolean;
  /** Field manager that wrote the `operation` field. */
  requestedBy?: string;
  /** Instead of the Application's own. */
  source?: Requested;
  /** Taken up again after a restart, under its own id. */
  resumed?: {
    id: string;
    startedAt: string;
    retryCount: number;
    retryAt?: number;
    /** Results of hooks that are over: they are not run again. */
    hooks?: readonly ResourceResult[];
    terminated?: boolean;
    /** It waited for a sync window, and was not begun. */
    waited?: boolean;
  };
}

export interface Operation {
  id: string;
  epoch: number;
  automated: boolean;
  requestedBy?: string;
  /** Out-of-sync objects of an attempted revision only (self-heal): leaves no history. */
  partial: boolean;
  dryRun: boolean;
  prune: boolean;
  /** So much would be pruned that a person has to approve of it; says how much. */
  massPrune?: string;
  field: OperationField;
  options: SyncOptions;
  retry: RetryPolicy;
  render: Render;
  source?: Requested;
  startedAt: string;
  retryCount: number;
  retryAt?: number;
  /** The pause is over and a comparison of this operation's own manifests has been asked for. */
  retryDue: boolean;
  causes: readonly Cause[];
  since: number;
  lane: "now" | "bulk";
  /** One (phase, wave) after the other (sync-plan.ts). */
  layout: Layout;
  hooks: readonly HookRun[];
  hookFailures: readonly Failure[];
  /** Pruned, and perhaps still on their way out. */
  deleting: readonly { key: ObjectKey; uid: string }[];
  next?: Next;
  /** The step that is waited for, since when, and whether so long that Degraded is no passing state any more. */
  waiting?: { step: string; since: number; graceOver?: boolean };
  /** The pause between two waves. */
  pausedUntil?: number;
  /** Failed: SyncFail hooks run before that is the outcome. */
  failing?: Outcome;
  terminated: boolean;
  /** It was its own deadline that ended it. */
  timedOut?: Outcome;
  /** Hooks were let go of. */
  released: boolean;
  /** Counts what happened and what of it stands in the Application: a step begins only when all before it does. */
  changes: number;
  changesSaving: number;
  changesSaved: number;
  toPredict: readonly PlannedObject[];
  predicted: boolean;
  recorded: boolean;
  requestId: string;
  sentAt: number;
  hopsBack: number;
  results: readonly AppliedObject[];
  timings: Omit<HopTimings, "totalMs">;
  outcome?: Outcome;
}

export interface Deletion {
  requestId: string;
  /** Stages that are over; their finalizers go with the next write. */
  done: readonly Stage[];
  /** Nobody knows the cluster: nothing can be done there. */
  abandoned: boolean;
  /** The hooks have been rendered since it began. */
  looked: boolean;
  /** `remaining` is of now. */
  surveyed: boolean;
  remaining: readonly ObjectState[];
  unreadable: readonly { key: ObjectKey; wave: number }[];
  /** Keys of objects that asked to stay. */
  kept: readonly string[];
  hooks: readonly DeletionHook[];
  next?: DeletionNext;
  /** Failures in a row, and until when nothing is done after the last. */
  attempts: number;
  pausedUntil?: number;
  /** What became of each object and hook. */
  results: readonly ResourceResult[];
  /** Surveys in a row that found nothing to do but to wait. */
  awaits: number;
  failure?: Failure;
}

export type Decision =
  | { kind: "none" }
  | { kind: "sync"; request: OperationRequest; partial: boolean }
  /** Pacing, a pin, or a sync window: look again then. With a condition it is something that people should know of. */
  | { kind: "pause"; delayMs: number; condition?: ConditionField; window?: Closed }
  | { kind: "refuse"; condition: ConditionField };

export interface Comparison {
  server: string;
  images: readonly string[];
  namespaceMissing: boolean;
}

export interface Context {
  view: AppView;
  /** What the view wanted before the Application was refused in the middle of an operation, which has to be ended. */
  former?: Desired;
  /** Differs for each life of the actor, so that no answer of an earlier one is taken for one of this. */
  nonce: string;
  seq: number;
  /** Revision of our replica's key: the fence of operations. */
  epoch: number;
  /** Blob of no manifests at all: what a deletion compares against. */
  emptyManifestsDigest: string;
  now: number;
  /** Look again as soon as nothing is under way (`lookAgain`). */
  wish?: Wish;
  pass?: Pass;
  render?: Render;
  broken?: BrokenRender;
  observationSeen: Readonly<Record<string, number>>;
  objects: readonly ObjectState[];
  hooks: readonly DesiredHook[];
  comparison?: Comparison;
  /** Keys that were ours before the first comparison of this life. */
  inventory: readonly ObjectKey[];
  verdict: "Unknown" | "Synced" | "OutOfSync";
  verdictPending: boolean;
  decision: Decision;
  /** Why the last look failed, since when, how often in a row. */
  failed?: {
    failures: readonly Failure[];
    since: number;
    attempts: number;
    shown: boolean;
    /** No render came of it. */
    ofSource?: boolean;
  };
  /** Of the render. */
  warnings: readonly Failure[];
  /** Of the comparison. */
  diffWarnings: readonly Failure[];
  /** What WatchSource last registered of each source, so that it is sent again only when it differs. */
  watched: readonly (string | undefined)[];
  /** Of the sources that were fetched, those that a fetcher may follow: one that the Application no longer has is forgotten. */
  asked: readonly SourceRef[];
  /** What the last sync left to be shown: SyncError. */
  syncCondition?: ConditionField;
  request?: OperationRequest;
  /** The request that the last pass was for. */
  lookedFor?: OperationRequest;
  /** `operation` fields up to this one are taken (or refused) and may be removed. */
  takenOperationHash: string;
  operation?: Operation;
  /** The last event ended an operation before it began. */
  refused: boolean;
  /** Of the last operation, as the Application shows it. */
  operationState?: OperationState;
  history: readonly HistoryEntry[];
  heal: {
    attempts: number;
    finishedAt: number;
    requestId: string;
    objects: readonly PlannedObject[];
    by: readonly string[];
    since: number;
  };
  /** LiveChanged that came while an apply ran, judged after it. */
  heldBack: readonly { key: ObjectKey; resourceVersion: string; change: "suspect" | "deleted"; by?: string }[];
  deletion?: Deletion;
  superseded: number;
  reported: SyncState;
  transition?: { from: SyncState; to: SyncState };
  /** Of the last pass or operation, for the transitions. */
  causes: readonly Cause[];
  since: number;
  timings: Omit<HopTimings, "totalMs">;
  /** Refresh annotation that has been answered and may be removed. */
  lastOperationId?: string;
  answeredRefresh?: string;
  takenRefresh?: string;
}

export interface Input {
  view: AppView;
  nonce: string;
  epoch: number;
  emptyManifestsDigest: string;
  now: number;
}

export function initialContext(input: Input): Context {
  const { view, now } = input;
  const { status } = view;
  const resumed = resumedOperation(view);
  return {
    view,
    nonce: input.nonce,
    seq: 0,
    epoch: input.epoch,
    emptyManifestsDigest: input.emptyManifestsDigest,
    now,
    observationSeen: {},
    objects: [],
    hooks: [],
    inventory: inventoryOf(status),
    verdict: "Unknown",
    verdictPending: false,
    decision: { kind: "none" },
    warnings: [],
    diffWarnings: [],
    watched: [],
    asked: [],
    syncCondition: (status.conditions ?? []).find((condition) => condition.type === "SyncError"),
    request: resumed,
    takenOperationHash: isFieldOfRunning(view) ? view.operationHash : "",
    // The first look is one of those that it asks for (controller.ts).
    takenRefresh: view.desired && view.refresh,
    refused: false,
    operationState: startingState(status.operationState, resumed, now),
    history: status.history ?? [],
    heal: {
      attempts: status.operationState?.operation?.sync?.autoHealAttemptsCount ?? 0,
      finishedAt: Date.parse(status.operationState?.finishedAt ?? "") || 0,
      requestId: "",
      objects: [],
      by: [],
      since: now,
    },
    heldBack: [],
    superseded: 0,
    reported: "Unknown",
    causes: [],
    since: now,
    timings: {},
  };
}

/** Asked to end while nobody ran it: it has ended, unless hooks of it have to be let go of. */
function startingState(
  state: OperationState | undefined,
  resumed: OperationRequest | undefined,
  now: number,
): OperationState | undefined {
  return state?.phase !== "Terminating" || resumed ? state : terminatedState(state, now);
}

export const sameKey = (a: ObjectKey, b: ObjectKey): boolean =>
  a.name === b.name && a.kind === b.kind && a.namespace === b.namespace && a.group === b.group;

export const keyOf = (key: ObjectKey): ObjectKey => ({
  group: key.group,
  version: key.version,
  kind: key.kind,
  namespace: key.namespace,
  name: key.name,
});

export function mergeWishes(a: Wish | undefined, b: Wish): Wish {
  if (a === undefined) return b;
  return {
    // The chain that people see stays readable however often something asked.
    causes: [...a.causes, ...b.causes].slice(0, 10),
    hard: a.hard || b.hard,
    freshness: a.freshness === "latest" || b.freshness === "latest" ? "latest" : "observed",
    from: a.from === "fetch" || b.from === "fetch" ? "fetch" : "diff",
    lane: a.lane === "now" || b.lane === "now" ? "now" : "bulk",
    since: Math.min(a.since, b.since),
    ...newerOf(a, b),
  };
}

/** What was observed last; looks are numbered by the clock, of whatever repository they are. */
function newerOf(a: Wish, b: Wish): Pick<Wish, "observation" | "repository" | "revision"> {
  const [newer, older] = (b.observation ?? 0) >= (a.observation ?? 0) ? [b, a] : [a, b];
  const { observation, repository } = newer;
  return {
    observation,
    repository,
    revision: newer.revision ?? (older.repository === repository ? older.revision : undefined),
  };
}
