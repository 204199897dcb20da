// What the transitions tell of an operation (pure): who asked for it and how, what it was about, and what became of each
// object, prunes and failures included. History in the status has only what succeeded; this has everything.
import type { OperationState, ResourceResult } from "@driftless/contracts/application";
import type { ToldOperation } from "@driftless/contracts/pipeline/6-application";
import type { Context } from "./context.ts";
import { INFO, infoOf } from "./operation-record.ts";

const RESULTS_TOLD_MAX = 100;

/** As the Application shows it: one that runs, or the one that has just ended. */
export function toldOperation(context: Context, state: OperationState): ToldOperation {
  const { operation = {}, syncResult = {} } = state;
  const { sync = {}, initiatedBy = {} } = operation;
  const { strategy, ...options } = optionsOf(sync);
  return {
    id: infoOf(operation, INFO.operationId) ?? context.lastOperationId ?? "",
    phase: context.operation ? "Running" : (state.phase ?? ""),
    ...(state.message !== undefined && { message: state.message }),
    automated: initiatedBy.automated ?? false,
    ...(initiatedBy.username !== undefined && { username: initiatedBy.username }),
    ...known("requestedBy", infoOf(operation, INFO.requestedBy)),
    ...known("manifestsDigest", infoOf(operation, INFO.manifestsDigest)),
    ...(context.comparison && { server: context.comparison.server }),
    ...known("startedAt", state.startedAt),
    ...known("finishedAt", state.finishedAt),
    ...(state.retryCount ? { retryCount: state.retryCount } : {}),
    ...(strategy && { strategy }),
    ...options,
    ...resultsOf(syncResult.resources ?? []),
  };
}

/** A deletion: what was done of it, each time that a stage is over. */
export function toldDeletion({ view, deletion }: Context, stagesLeft: number): ToldOperation {
  return {
    id: `${view.ref.uid.slice(0, 8)}-delete`,
    phase: stagesLeft > 0 ? "Running" : "Succeeded",
    automated: false,
    ...known("startedAt", view.deletion?.at),
    ...resultsOf(deletion!.results),
  };
}

const known = <Name extends string>(name: Name, value: string | undefined): { [N in Name]?: string } =>
  (value === undefined || value === "" ? {} : { [name]: value }) as { [N in Name]?: string };

function optionsOf(sync: NonNullable<NonNullable<OperationState["operation"]>["sync"]>) {
  const { prune, dryRun, syncOptions = [], syncStrategy, resources = [] } = sync;
  return {
    ...(prune && { prune }),
    ...(dryRun && { dryRun }),
    ...(syncOptions.length > 0 && { syncOptions }),
    ...(syncStrategy?.apply && { strategy: "apply" as const }),
    ...(resources.length > 0 && { selected: resources.length }),
  };
}

/** Of objects of which something is to be said. */
export function resultsOf(resources: readonly ResourceResult[]): Pick<ToldOperation, "results" | "resultsTotal"> {
  const said = resources.filter(({ status, hookPhase }) => status !== undefined || hookPhase !== undefined);
  if (said.length === 0) return {};
  const results = said
    .slice(0, RESULTS_TOLD_MAX)
    .map(
      ({ group = "", version = "", kind = "", namespace = "", name = "", status, message, hookType, hookPhase }) => ({
        group,
        version,
        kind,
        namespace,
        name,
        ...(status !== undefined && { status }),
        ...(message !== undefined && { message }),
        ...(hookType !== undefined && { hookType, hookPhase }),
      }),
    );
  return { results, resultsTotal: said.length };
}
