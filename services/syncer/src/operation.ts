// Operation (edge): is what we are about to do still wanted? Read from the Application itself, because leases and
// messages are hints; the operation record is the fence (DESIGN §6).
import { failure, type Failure } from "@driftless/contracts/failure";
import { appText, type AppRef } from "@driftless/contracts/identity";
import { OPERATION_INFO } from "@driftless/contracts/pipeline/5-sync";
import type { KubeClient } from "@driftless/kube/client";
import { APPLICATIONS, type KubeObject } from "@driftless/kube/resource";

export interface Claim {
  app: AppRef;
  operationId: string;
  epoch: number;
  purpose: "sync" | "heal" | "delete" | "release";
}

/** Undefined when the step may go on. */
export async function withdrawn(client: KubeClient, claim: Claim): Promise<Failure | undefined> {
  const { app } = claim;
  const outcome = await client.get(APPLICATIONS, app.namespace, app.name);
  if (outcome.kind === "ok") return withdrawnFrom(outcome.object, claim);
  if (outcome.error.code === "NOT_FOUND") return failure("OPERATION_SUPERSEDED", `${appText(app)} is gone.`);
  return failure("CLUSTER_UNREACHABLE", `${appText(app)} cannot be read: ${outcome.error.message}`);
}

interface OperationState {
  phase?: unknown;
  operation?: { info?: { name?: unknown; value?: unknown }[] };
}

export function withdrawnFrom(application: KubeObject, claim: Claim): Failure | undefined {
  const { app, purpose } = claim;
  const no = (why: string) => failure("OPERATION_SUPERSEDED", `${appText(app)} ${why}.`);
  if (application.metadata.uid !== app.uid) return no("was made anew");
  const deleting = application.metadata.deletionTimestamp !== undefined;
  if (purpose === "delete") return deleting ? undefined : no("is no longer being deleted");
  if (deleting) return no("is being deleted");
  // A heal comes before any operation record; that the app still is what it was is all there is to ask.
  if (purpose === "heal") return undefined;
  const state = (application["status"] as { operationState?: OperationState } | undefined)?.operationState;
  const value = (name: string) => state?.operation?.info?.find((entry) => entry.name === name)?.value;
  if (value(OPERATION_INFO.operationId) !== claim.operationId) return no("is being synced by another operation");
  if (value(OPERATION_INFO.epoch) !== String(claim.epoch)) return no("has got another owner");
  // Hooks of an operation that was terminated are let go of all the same.
  if (purpose === "release" && state?.phase === "Terminating") return undefined;
  return state?.phase === "Running" ? undefined : no(`has an operation that is ${String(state?.phase)}`);
}
