// Operation record (pure): what of an operation stands in `status.operationState`, so that it can be gone on with.
// Ours are in `operation.info` as driftless.io/…, because Argo CD's CRD prunes unknown fields elsewhere.
import type { Application, OperationField, OperationState, ResourceResult } from "@driftless/contracts/application";
import { OPERATION_INFO } from "@driftless/contracts/pipeline/5-sync";
import { canonicalJson } from "@driftless/kube/canonical-json";
import { ofSources } from "@driftless/manifests/of-sources";
import type { Operation, OperationRequest } from "./context.ts";
import { revisionsOf, toldRevisions } from "./render.ts";
import { retryDelayMs } from "./retry-delay.ts";
import { retryPolicy, type AppView } from "./view.ts";

const PREFIX = "driftless.io/";

export const TERMINATED_MESSAGE = "Operation terminated";
export const WINDOW_MESSAGE = "Sync operation blocked by sync window";
export const SUPERSEDED_MESSAGE = "superseded by";

export const INFO = {
  ...OPERATION_INFO,
  renderKey: `${PREFIX}render-key`,
  manifestsDigest: `${PREFIX}manifests-digest`,
  inputsDigest: `${PREFIX}inputs-digest`,
  sourceHash: `${PREFIX}source-hash`,
  variables: `${PREFIX}render-variables`,
  /** Field manager that wrote the request. */
  requestedBy: `${PREFIX}requested-by`,
  /** What it names instead of the commits that it led to, so that the request is known again; absent where that is the same. */
  asked: `${PREFIX}asked-revision`,
  /** Which of the syncs in a row that were begun on this desired state, after others had failed; absent for the first. */
  again: `${PREFIX}sync-again`,
} as const;

export function infoOf(operation: OperationField | undefined, name: string): string | undefined {
  return operation?.info?.find((entry) => entry.name === name)?.value;
}

type Pair = [string, string];

/** The revisions that a request names, as one text; empty where it leaves them open. */
function namedIn({ sync }: OperationField): string {
  const { revision = "", revisions = [] } = sync ?? {};
  return revision || (revisions.includes("") ? "" : ofSources(revisions));
}

export function withInfo(operation: Operation): OperationField {
  const named = infoOf(operation.field, INFO.asked) ?? namedIn(operation.field);
  const values: Pair[] = [
    [INFO.operationId, operation.id],
    [INFO.epoch, String(operation.epoch)],
    [INFO.renderKey, operation.render.renderKey],
    [INFO.manifestsDigest, operation.render.manifestsDigest],
    [INFO.inputsDigest, operation.render.inputsDigest],
    [INFO.sourceHash, operation.render.sourceHash],
    ...(named !== "" && named !== ofSources(revisionsOf(operation.render)) ? [[INFO.asked, named] satisfies Pair] : []),
    ...(operation.requestedBy ? [[INFO.requestedBy, operation.requestedBy] satisfies Pair] : []),
    ...(operation.render.sources.some(({ variables }) => variables.length > 0)
      ? [[INFO.variables, ofSources(operation.render.sources.map(({ variables }) => variables.join()))] satisfies Pair]
      : []),
  ];
  const theirs = (operation.field.info ?? []).filter(({ name }) => !name?.startsWith(PREFIX) || name === INFO.again);
  return {
    ...operation.field,
    // Manifests that came along are of no revision.
    sync: { ...operation.field.sync, ...(!operation.source?.manifests && toldRevisions(operation.render)) },
    info: [...theirs, ...values.map(([name, value]) => ({ name, value }))],
  };
}

/**
 * The `operation` field stays as long as its operation runs, that of an automated one is written with its record: Argo
 * CD's clients end only what they see there. Whether it is still that one, or somebody asks for another by now.
 */
export function isFieldOfRunning({ operation, status }: Pick<Application, "operation" | "status">): boolean {
  const { phase, operation: record } = status?.operationState ?? {};
  if (!operation || !record || (phase !== "Running" && phase !== "Terminating")) return false;
  const named = namedIn(operation);
  // The commits that it led to may be others than it names, and others than those of its first attempt.
  const isItsOwn = infoOf(operation, INFO.operationId) === (infoOf(record, INFO.operationId) ?? "");
  const isOfItsRevision = named === "" || named === infoOf(record, INFO.asked) || isItsOwn;
  const [asked, recorded] = isOfItsRevision
    ? [withoutRevision(operation), withoutRevision(record)]
    : [operation, record];
  return canonicalJson(withoutInfo(asked)) === canonicalJson(withoutInfo(recorded));
}

function withoutInfo({ info, ...rest }: OperationField): OperationField {
  const theirs = (info ?? []).filter(({ name }) => !name?.startsWith(PREFIX));
  return theirs.length > 0 ? { ...rest, info: theirs } : rest;
}

function withoutRevision({ sync, ...rest }: OperationField): OperationField {
  const { revision: _revision, revisions: _revisions, ...others } = sync ?? {};
  return { ...rest, sync: others };
}
export const terminatedState = (state: OperationState, now: number): OperationState => ({
  ...state,
  phase: "Failed",
  message: TERMINATED_MESSAGE,
  finishedAt: `${new Date(now).toISOString().slice(0, 19)}Z`,
});

export const requestedBy = (manager: string | undefined) => (manager ? { requestedBy: manager } : {});

/** An operation that the Application says is running: whoever began it, its step is done again under its id. */
export function resumedOperation(view: AppView): OperationRequest | undefined {
  const state = view.status.operationState;
  const results = state?.syncResult?.resources ?? [];
  const terminated = state?.phase === "Terminating" && results.some(({ hookType }) => hookType);
  if ((state?.phase !== "Running" && !terminated) || !state?.operation) return undefined;
  const automated = state.operation.initiatedBy?.automated ?? false;
  const retryCount = state.retryCount ?? 0;
  const finishedAt = Date.parse(state.finishedAt ?? "");
  // While it waits for its next attempt, what the last one did no longer counts.
  const hooks = Number.isNaN(finishedAt) ? hooksDone(results, terminated) : [];
  const policy = retryPolicy(state.operation.retry, automated);
  return {
    field: state.operation,
    automated,
    ...requestedBy(infoOf(state.operation, INFO.requestedBy)),
    ...(view.requested && { source: view.requested }),
    resumed: {
      id: infoOf(state.operation, INFO.operationId) ?? "",
      startedAt: state.startedAt ?? "",
      ...(isWaiting(state) && { waited: true }),
      retryCount,
      ...(hooks.length > 0 && { hooks }),
      terminated,
      // Set while Running it means: waiting for the next attempt.
      retryAt: Number.isNaN(finishedAt) ? undefined : finishedAt + retryDelayMs(policy, Math.max(0, retryCount - 1)),
    },
  };
}

/** It was asked for while a sync window was closed, and not begun yet. */
const isWaiting = ({ message, operation }: OperationState): boolean =>
  message?.startsWith(WINDOW_MESSAGE) === true && infoOf(operation, INFO.operationId) === undefined;

/** Those that are over; of a terminated operation all that were begun. */
const hooksDone = (results: readonly ResourceResult[], begun: boolean): ResourceResult[] =>
  results.filter(
    ({ hookType, hookPhase }) => hookType && (begun || hookPhase === "Succeeded" || hookPhase === "Failed"),
  );
