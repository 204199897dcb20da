// Execute (edge): the only writes to target clusters.
//
// S1  A group is begun only when the one before went through; the objects of one group do not hinder each other.
// S2  Nothing is pruned when any apply failed, or was not tried.
// S3  What exists is written only with its uid and resourceVersion; what is believed absent only if it is absent.
// S4  After each conflict the operation is read again: a withdrawn one writes no more.
// S5  What another Application tracks is never written.
import type { Failure } from "@driftless/contracts/failure";
import type { ObjectKey } from "@driftless/contracts/identity";
import type { AppliedHook, AppliedObject, PlannedObject } from "@driftless/contracts/pipeline/5-sync";
import { remove } from "@driftless/kube/apply";
import { NAMESPACES, type ApiResource, type KubeObject } from "@driftless/kube/resource";
import { applyFailure } from "./apply-failure.ts";
import { applyObject, bareObject, failedObject } from "./apply-object.ts";
import { Withdrawn, keepsChanging, kubectlName, stillOurs, tooLate, type Execution } from "./execution.ts";
import { isHeld, letGo, runHook } from "./hooks.ts";
import type { Plan, PlannedPrune } from "./plan.ts";
import { decidePrune } from "./prune.ts";
import { identityOf, read, trackingNameOf, type Step } from "./step.ts";

export type Executed =
  | { kind: "done"; objects: AppliedObject[]; hooks: AppliedHook[] }
  | { kind: "withdrawn"; failure: Failure };

const CONFLICTS_MAX = 5;
const ESTABLISH_MS = 10_000;
const ESTABLISH_POLL_MS = 100;

export async function execute(
  step: Execution,
  applyGroups: Plan["groups"],
  pruneGroups: readonly PlannedPrune[][],
): Promise<Executed> {
  const objects: AppliedObject[] = [];
  const hooks: AppliedHook[] = [];
  let failed = false;
  try {
    for (const group of applyGroups) {
      const runs = group.flatMap((item) => ("hook" in item ? runHook(step, item.hook, item.desired) : []));
      const applied = await all(group.flatMap((item) => ("hook" in item ? [] : applyObject(step, item))));
      const ran = await all(runs);
      objects.push(...applied);
      hooks.push(...ran);
      failed = [...applied, ...ran].some(({ outcome }) => outcome === "failed");
      if (failed) break; // S1
      await established(step, group);
    }
    for (const group of pruneGroups) {
      if (failed) {
        objects.push(...group.map(({ planned }) => skipped(planned, "an object could not be applied"))); // S2
        continue;
      }
      const pruned = await all(group.map(({ planned }) => pruneObject(step, planned)));
      objects.push(...pruned);
    }
  } catch (error) {
    if (error instanceof Withdrawn) return { kind: "withdrawn", failure: error.failure };
    throw error;
  }
  return { kind: "done", objects, hooks };
}

/** Waits for all, also when one throws: a step that has answered must have no write left on its way. */
async function all<T>(work: Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(work);
  return Promise.all(work);
}

/** The destination namespace for CreateNamespace: not tracked, so no Application ever prunes it. */
export async function createNamespace(step: Step, name: string): Promise<Failure | undefined> {
  const text = JSON.stringify({ apiVersion: "v1", kind: "Namespace", metadata: { name } });
  const outcome = await step.cluster.client.create(NAMESPACES, "", text);
  if (outcome.kind === "ok" || outcome.error.code === "ALREADY_EXISTS") return undefined;
  return applyFailure(outcome.error, { group: "", version: "v1", kind: "Namespace", namespace: "", name }, NAMESPACES);
}

/** Objects of a new kind are refused until its CRD is established. */
async function established(step: Execution, group: Plan["groups"][number]): Promise<void> {
  const definitions = group.filter(({ desired }) => desired.defines);
  if (definitions.length === 0) return;
  const end = step.clock.monotonic() + ESTABLISH_MS;
  await Promise.all(
    definitions.map(async ({ desired: { resource, prepared } }) => {
      while (!step.signal.aborted && step.clock.monotonic() < end) {
        const now = await read(step, resource, prepared.key, "newest");
        if (now.kind === "ok" && isEstablished(now.object)) return;
        await step.clock.sleep(ESTABLISH_POLL_MS);
      }
    }),
  );
  step.cluster.discovery.invalidate();
}

function isEstablished(definition: KubeObject): boolean {
  const status = definition["status"] as { conditions?: { type?: unknown; status?: unknown }[] } | undefined;
  return status?.conditions?.some(({ type, status: value }) => type === "Established" && value === "True") ?? false;
}

// ── prune ─────────────────────────────────────────────────────────────────────────────────────────────────────────

async function pruneObject(step: Execution, planned: PlannedObject): Promise<AppliedObject> {
  const key: ObjectKey = planned;
  const lookup = await step.cluster.discovery.resourceFor(key.group, key.kind, key.version);
  if (lookup.kind === "absent") return pruned(planned, undefined); // With its kind the object is gone.
  if (lookup.kind === "error") return failedObject(key, applyFailure(lookup.error, key, { namespaced: false }));
  const { resource } = lookup;

  for (let attempt = 0; attempt <= CONFLICTS_MAX; attempt++) {
    if (step.signal.aborted) return failedObject(key, tooLate(key));
    const live = await read(step, resource, key, "newest");
    if (live.kind === "error") {
      return live.error.code === "NOT_FOUND"
        ? pruned(planned, resource)
        : failedObject(key, applyFailure(live.error, key, resource));
    }
    // A hook goes with its Application, and nobody waits for its result any more.
    if (step.claim.purpose === "delete" && isHeld(live.object)) {
      const error = await letGo(step, resource, key, live.object);
      if (error && error.code !== "CONFLICT") return failedObject(key, applyFailure(error, key, resource));
      continue;
    }
    const decision = decidePrune({
      planned,
      live: live.object,
      desired: step.isDesired(key),
      app: { trackingName: trackingNameOf(step) },
      tracking: step.target,
      purpose: step.claim.purpose === "delete" ? "delete" : "prune",
      usual: step.consents,
      approved: step.approved,
    });
    if (decision.kind === "skip") return skipped(planned, decision.reason);
    const removed = await step.limit(() =>
      remove({
        client: step.cluster.client,
        resource,
        key,
        precondition: identityOf(live.object),
        propagationPolicy: step.propagation,
        signal: step.signal,
      }),
    );
    if (removed.kind === "ok" || removed.error.code === "NOT_FOUND") return pruned(planned, resource);
    if (removed.error.code !== "CONFLICT") return failedObject(key, applyFailure(removed.error, key, resource));
    await stillOurs(step); // S4
  }
  return failedObject(key, keepsChanging(key));
}

function pruned(planned: PlannedObject, resource: ApiResource | undefined): AppliedObject {
  return { ...bareObject(planned), outcome: "pruned", message: `${kubectlName(resource, planned)} pruned` };
}

function skipped(planned: PlannedObject, reason: string): AppliedObject {
  return {
    ...bareObject(planned),
    outcome: "pruneSkipped",
    message: `not pruned: ${reason}`,
    ...(planned.live && { live: planned.live }),
  };
}
