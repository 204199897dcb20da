// What `status.operationState` says of an operation (pure), per object and as a whole (contract §8).
import { failureText } from "@driftless/contracts/failure";
import type { ResourceResult } from "@driftless/contracts/application";
import type { ObjectKey } from "@driftless/contracts/identity";
import type { AppliedObject } from "@driftless/contracts/pipeline/5-sync";
import { keyText } from "@driftless/manifests/resource-key";
import { keyOf, type Context, type ObjectState, type Operation } from "./context.ts";
import { belongsToOwner } from "./decision.ts";
import { withInfo } from "./operation-record.ts";
import { toldRevisions, toldSources } from "./render.ts";
import { isSelected, pruned, type AnyHook } from "./sync-plan.ts";

/** The record before the first apply: all keys stand in it, since they will be ours if we die on the way. */
export function runningState(
  context: Context,
  operation: Operation,
  message = "",
): NonNullable<Context["operationState"]> {
  const results = new Map(operation.results.map((result) => [keyText(result), result]));
  const prunes = new Set(pruned(operation, context.objects).map((object) => keyText(object.key)));
  const resources: ResourceResult[] = context.objects
    .filter((object) => !object.unlisted)
    .filter((object) => (object.extra ? prunes.has(keyText(object.key)) : isSelected(operation, object)))
    .map((object) => resourceResult(object, results.get(keyText(object.key)), operation.dryRun));
  for (const result of operation.results) {
    if (result.outcome === "pruned" || result.outcome === "pruneSkipped") resources.push(pruneResult(result));
  }
  for (const hook of operation.hooks) if (hook.state !== "pending") resources.push(hookResult(hook));
  const managedNamespace = context.view.desired?.managedNamespace;
  return {
    operation: withInfo(operation),
    phase: operation.terminated ? "Terminating" : "Running",
    ...(message ? { message } : {}),
    startedAt: operation.startedAt,
    ...(operation.retryCount > 0 ? { retryCount: operation.retryCount } : {}),
    syncResult: {
      // The CRD of Argo CD wants a revision, also where there are several.
      revision: "",
      ...toldRevisions(operation.render),
      ...toldSources(operation.render),
      resources,
      ...(managedNamespace && { managedNamespaceMetadata: managedNamespace }),
    },
  };
}

function resourceResult(object: ObjectState, result: AppliedObject | undefined, dryRun: boolean): ResourceResult {
  const base = { ...keyOf(object.key), syncPhase: object.phase ?? "Sync" };
  if (!result && object.failure) {
    return { ...base, status: "SyncFailed", hookPhase: "Failed", message: failureText(object.failure) };
  }
  if (!result && dryRun && !object.extra) {
    const change = object.status === "Synced" ? "unchanged" : object.live ? "configured" : "created";
    return { ...base, status: "Synced", message: `${kubectlName(object.key)} ${change} (dry run)` };
  }
  if (!result) return base;
  const isFailed = result.outcome === "failed";
  return {
    ...base,
    status: isFailed ? "SyncFailed" : "Synced",
    hookPhase: isFailed ? "Failed" : "Running",
    message: result.failure ? failureText(result.failure) : result.message,
    ...(result.images.length > 0 ? { images: result.images } : {}),
  };
}

/** What a whole sync found as it should be and left alone: told as kubectl would have, in place of the bare key. */
export function toldUnchanged(resources: readonly ResourceResult[], operation: Operation): ResourceResult[] {
  const onlyOutOfSync = operation.field.sync?.syncOptions?.includes("ApplyOutOfSyncOnly=true") === true;
  if (operation.partial || onlyOutOfSync || operation.outcome?.phase !== "Succeeded") return [...resources];
  return resources.map((resource) => {
    if (resource.status !== undefined) return resource;
    const { group = "", version = "", kind = "", namespace = "", name = "" } = resource;
    const message = `${kubectlName({ group, version, kind, namespace, name })} unchanged`;
    return { ...resource, status: "Synced", hookPhase: "Running", message };
  });
}

const kubectlName = ({ group, kind, name }: ObjectKey): string =>
  `${kind.toLowerCase()}${group ? `.${group}` : ""}/${name}`;

function pruneResult(result: AppliedObject): ResourceResult {
  const isPruned = result.outcome === "pruned";
  return {
    ...keyOf(result),
    status: isPruned ? "Pruned" : "PruneSkipped",
    message: isPruned ? "pruned" : result.message,
    hookPhase: "Succeeded",
    syncPhase: "Sync",
  };
}

/** Of an object that goes, or stays, with its Application. */
export const deleteResult = (result: AppliedObject): ResourceResult =>
  result.outcome === "failed"
    ? { ...keyOf(result), status: "SyncFailed", message: result.message }
    : { ...pruneResult(result), message: result.outcome === "pruned" ? "deleted" : result.message };

export function hookResult({ key, phase, state, message }: AnyHook): ResourceResult {
  const hookPhase = state === "running" ? "Running" : state === "succeeded" ? "Succeeded" : "Failed";
  return { ...key, status: "Synced", hookType: phase, syncPhase: phase, hookPhase, message };
}

/** What is left in the cluster though Git no longer has it. */
export function leftBehind(context: Context, operation: Operation): ResourceResult[] {
  const told = new Set(operation.results.map((result) => keyText(result)));
  return context.objects
    .filter((object) => object.extra && isSelected(operation, object) && !told.has(keyText(object.key)))
    .filter((object) => !belongsToOwner(object))
    .map((object) => ({
      ...keyOf(object.key),
      status: "PruneSkipped",
      message: operation.prune ? "ignored (no prune)" : "ignored (requires pruning)",
      hookPhase: "Succeeded",
      syncPhase: "Sync",
    }));
}
