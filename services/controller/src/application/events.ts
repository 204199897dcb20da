// Events of the Application machine. A message keeps its name; every event says when it came in, so that the machine
// never asks the clock.
import type { Failure } from "@driftless/contracts/failure";
import type { Cause } from "@driftless/contracts/identity";
import type { MessageOf } from "@driftless/contracts/message";
import type { SourceChanged } from "@driftless/contracts/pipeline/1-refresh";
import type { SourceFetchFailed, SourceFetched } from "@driftless/contracts/pipeline/2-fetch";
import type { ManifestsRendered, RenderFailed, RenderNeedsFiles } from "@driftless/contracts/pipeline/3-render";
import type { ClusterDescribed, DiffComputed, DiffFailed, LiveChanged } from "@driftless/contracts/pipeline/4-diff";
import type { StepApplied, StepFailed, StepPredicted } from "@driftless/contracts/pipeline/5-sync";
import type { AppView } from "./view.ts";

/** What a look is asked to be; several asked for in one go are one look (`mergeWishes`). */
export interface Wish {
  causes: readonly Cause[];
  /** Forget kept renders. */
  hard: boolean;
  freshness: "latest" | "observed";
  /** `diff`: only the cluster may have changed, so begin there if a render is at hand. */
  from: "fetch" | "diff";
  lane: "now" | "bulk";
  /** When its first cause came in. */
  since: number;
  /** The newer observation that asked for it. */
  observation?: number;
  /** Whose. */
  repository?: string;
  revision?: string;
}

interface MessageEvents {
  SourceChanged: MessageOf<typeof SourceChanged>;
  SourceFetched: MessageOf<typeof SourceFetched>;
  SourceFetchFailed: MessageOf<typeof SourceFetchFailed>;
  ManifestsRendered: MessageOf<typeof ManifestsRendered>;
  RenderNeedsFiles: MessageOf<typeof RenderNeedsFiles>;
  RenderFailed: MessageOf<typeof RenderFailed>;
  ClusterDescribed: MessageOf<typeof ClusterDescribed>;
  DiffComputed: MessageOf<typeof DiffComputed>;
  DiffFailed: MessageOf<typeof DiffFailed>;
  LiveChanged: MessageOf<typeof LiveChanged>;
  StepPredicted: MessageOf<typeof StepPredicted>;
  StepApplied: MessageOf<typeof StepApplied>;
  StepFailed: MessageOf<typeof StepFailed>;
}

export type MessageEventName = keyof MessageEvents;

export type MessageEvent = {
  [Name in MessageEventName]: { type: Name; at: number; message: MessageEvents[Name] };
}[MessageEventName];

export type AppEvent =
  | MessageEvent
  /** Look again: at the start, on request, by the watchdog, after a pause. */
  | { type: "Look"; at: number; wish: Wish }
  | { type: "ApplicationUpdated"; at: number; view: AppView }
  /** The operation record of this id stands in Kubernetes. */
  | { type: "OperationRecorded"; at: number; operationId: string }
  /** So many stages of its deletion stand in Kubernetes as done. */
  | { type: "StageRecorded"; at: number; stages: number }
  /** A write of the Application that began with this refresh annotation has taken it away. */
  | { type: "RefreshAnswered"; at: number; value: string }
  /** A fetcher that knows nothing yet took this repository over. */
  | { type: "FetcherStarted"; at: number }
  /** Raised by the refresh region for the sync region. */
  | { type: "Verdict"; at: number }
  | { type: "PassFailed"; at: number; failures: readonly Failure[] };

export type EventOf<Type extends AppEvent["type"]> = Extract<AppEvent, { type: Type }>;
