// Execute (edge): the only writes to target clusters.
//
// S1  A group is begun only when the one before went through; the objects of one group do not hinder each other.
// S2  Nothing is pruned when any apply failed, or was not tried.
// S3  What exists is written only with its uid and resourceVersion; what is believed absent only if it is absent.
// S4  After each conflict the operation is read again: a withdrawn one writes no more.
// S5  What another Application tracks is never written.
import { failure, type Failure } from "@driftless/contracts/failure";
import type { LiveIdentity, ObjectKey } from "@driftless/contracts/identity";
import type { AppliedHook, AppliedObject, PlannedObject } from "@driftless/contracts/pipeline/5-sync";
import { jsonPatch, remove, serverSideApply } from "@driftless/kube/apply";
import type { DesiredObject } from "@driftless/kube/desired-set";
import { kubeError, type KubeError, type KubeOutcome } from "@driftless/kube/outcome";
import { NAMESPACES, type ApiResource, type KubeObject } from "@driftless/kube/resource";
import { migrateManagers } from "@driftless/kube/takeover";
import { isHealthIgnored } from "@driftless/manifests/annotations";
import { withMetadata } from "@driftless/manifests/manifest";
import { keyForPeople } from "@driftless/manifests/resource-key";
import { applyFailure, ownedByOther } from "./apply-failure.ts";
import { differences } from "./field-differences.ts";
import { Withdrawn, kubectlName, type Execution } from "./execution.ts";
import { ignoredIn } from "./ignored.ts";
import { isHeld, letGo, runHook } from "./hooks.ts";
import { withdrawn } from "./operation.ts";
import type { Plan, PlannedApply, PlannedPrune } from "./plan.ts";
import { decidePrune } from "./prune.ts";
import { recordOf } from "./record.ts";
import { identityOf, otherOwner, read, trackingNameOf, type Step } from "./step.ts";

export type Executed =
  | { kind: "done"; objects: AppliedObject[]; hooks: AppliedHook[] }
  | { kind: "withdrawn"; failure: Failure };

const CONFLICTS_MAX = 5;
/** A resourceVersion that no object ever has: alone it lets an apply create and refuses to change (DESIGN §6). */
const ONLY_CREATE = "1";
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

// ── apply ─────────────────────────────────────────────────────────────────────────────────────────────────────────

type Refused = { kind: "failed"; failure: Failure };
const refused = (why: Failure): Refused => ({ kind: "failed", failure: why });

interface Sent {
  kind: "ok";
  answer: KubeObject;
  /** As it was before, where it was read. */
  before?: KubeObject;
  fence?: LiveIdentity;
  created: boolean;
}

async function applyObject(step: Execution, { planned, desired }: PlannedApply): Promise<AppliedObject> {
  const key: ObjectKey = { ...desired.prepared.key, version: desired.resource.version };
  const refuse = (why: Failure) => failedObject(key, step.signal.aborted ? tooLate(key) : why);
  const sent = await sendFenced(step, key, planned.live, desired);
  if (sent.kind === "failed") return refuse(sent.failure);
  const takenOver = await takeOver(step, key, desired, sent.answer);
  if (takenOver.kind === "failed") return refuse(takenOver.failure);
  const taken = takenOver.object;

  const { prepared, resource } = desired;
  const { before, fence, created } = sent;
  const unchanged = !created && taken.metadata.resourceVersion === fence?.resourceVersion;
  const found =
    unchanged || created || !fence
      ? undefined
      : before
        ? differences({ live: before, answer: sent.answer })
        : step.predicted(key, fence);
  const ignored = await ignoredIn(step.engine, desired, { live: taken, answer: taken });
  // What cannot be told apart now is by the next prediction, which says why.
  const record =
    ignored?.kind === "failed"
      ? undefined
      : await recordOf(step.blobs, taken, taken, prepared.desiredHash, ignored?.live);
  const health = await step.customizations.healthOf(taken);
  const outcome = created ? "created" : unchanged ? "unchanged" : "configured";
  return {
    ...key,
    outcome,
    message: `${kubectlName(resource, key)} ${outcome}`,
    live: identityOf(taken),
    fields: found?.fields ?? [],
    takenFrom: found?.managers ?? [],
    images: prepared.images,
    ...(record && { record }),
    ...(health && { health }),
    ...(isHealthIgnored(taken.metadata.annotations) && { healthIgnored: true }),
  };
}

async function sendFenced(
  step: Execution,
  key: ObjectKey,
  known: LiveIdentity | undefined,
  desired: DesiredObject,
): Promise<Sent | Refused> {
  const { resource } = desired;
  let fence = known;
  let before: KubeObject | undefined;
  for (let attempt = 0; attempt <= CONFLICTS_MAX; attempt++) {
    // A heal says which field was changed and by whom; no prediction was made that could tell. Asked at the same
    // time, from the API server's cache, which is behind the write.
    const [outcome, seen] = await Promise.all([
      sendOnce(step, desired, fence),
      attempt === 0 && fence && step.claim.purpose === "heal" ? read(step, resource, key, "cached") : undefined,
    ]);
    if (seen?.kind === "ok" && seen.object.metadata.resourceVersion === fence?.resourceVersion) before = seen.object;
    if (outcome.kind === "ok") return { kind: "ok", answer: outcome.object, before, fence, created: outcome.created };
    const { error } = outcome;
    if (error.code !== "CONFLICT" && error.code !== "ALREADY_EXISTS")
      return refused(applyFailure(error, key, resource));

    const [why, now] = await Promise.all([
      withdrawn(step.controlPlane.client, step.claim),
      read(step, resource, key, "newest"),
    ]);
    if (why) throw new Withdrawn(why); // S4
    if (now.kind === "ok") {
      const owner = otherOwner(step, now.object, key);
      if (owner !== undefined) return refused(ownedByOther(step.app, key, owner)); // S5
      before = now.object;
      fence = identityOf(now.object);
    } else if (now.error.code === "NOT_FOUND") {
      before = undefined;
      fence = undefined;
    } else return refused(applyFailure(now.error, key, resource));
  }
  return refused(keepsChanging(key));
}

async function sendOnce(
  step: Execution,
  { prepared, resource, kindPending }: DesiredObject,
  fence: LiveIdentity | undefined,
): Promise<KubeOutcome<KubeObject>> {
  const text = fence ? prepared.text : withMetadata(prepared.text, { resourceVersion: ONLY_CREATE }); // S3
  const send = () =>
    step.limit(() =>
      serverSideApply({
        client: step.cluster.client,
        resource,
        key: prepared.key,
        text,
        signal: step.signal,
        ...(fence && { precondition: fence }),
      }),
    );
  if (step.signal.aborted) return { kind: "error", error: timeIsUp() };
  if (!kindPending) return send();
  // A CRD that is established is still not served for a moment.
  const end = step.clock.monotonic() + ESTABLISH_MS;
  for (;;) {
    const outcome = await send();
    const notYet =
      outcome.kind === "error" && (outcome.error.code === "NOT_FOUND" || outcome.error.code === "UNKNOWN_KIND");
    if (!notYet || step.signal.aborted || step.clock.monotonic() > end) return outcome;
    await step.clock.sleep(ESTABLISH_POLL_MS);
  }
}

const keepsChanging = (key: ObjectKey): Failure =>
  failure("APPLY_CONFLICT", `Somebody else keeps changing ${keyForPeople(key)}.`, { path: keyForPeople(key) });

const tooLate = (key: ObjectKey): Failure =>
  failure("DEADLINE_EXCEEDED", `Time was up before ${keyForPeople(key)} was done.`, { path: keyForPeople(key) });

const timeIsUp = (): KubeError => kubeError("TIMEOUT", "the step's time is up");

/**
 * An object last applied by kubectl or client-side by Argo CD still has their entries: they are made ours, and a second
 * apply takes out what only they had. Seen in the first apply's answer, so that nothing has to be read before it.
 */
async function takeOver(
  step: Execution,
  key: ObjectKey,
  desired: DesiredObject,
  answer: KubeObject,
): Promise<{ kind: "ok"; object: KubeObject } | Refused> {
  let current = answer;
  for (let attempt = 0; attempt <= CONFLICTS_MAX; attempt++) {
    const patch = migrateManagers(current);
    if (!patch) return { kind: "ok", object: current };
    const { resource, prepared } = desired;
    const { client } = step.cluster;
    const migrated = await jsonPatch({ client, resource, key: prepared.key, patch, signal: step.signal });
    let failed = migrated.kind === "error" ? migrated.error : undefined;
    if (migrated.kind === "ok") {
      const again = await sendOnce(step, desired, identityOf(migrated.object));
      if (again.kind === "ok") return again;
      failed = again.error;
    }
    if (failed?.code !== "CONFLICT") return refused(applyFailure(failed!, key, resource));
    const now = await read(step, resource, key, "newest");
    if (now.kind === "error") return refused(applyFailure(now.error, key, resource));
    current = now.object;
  }
  return refused(keepsChanging(key));
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
    const why = await withdrawn(step.controlPlane.client, step.claim);
    if (why) throw new Withdrawn(why); // S4
  }
  return failedObject(key, keepsChanging(key));
}

function pruned(planned: PlannedObject, resource: ApiResource | undefined): AppliedObject {
  return { ...bare(planned), outcome: "pruned", message: `${kubectlName(resource, planned)} pruned` };
}

function skipped(planned: PlannedObject, reason: string): AppliedObject {
  return {
    ...bare(planned),
    outcome: "pruneSkipped",
    message: `not pruned: ${reason}`,
    ...(planned.live && { live: planned.live }),
  };
}

function failedObject(key: ObjectKey, why: Failure): AppliedObject {
  return { ...bare(key), outcome: "failed", message: why.message, failure: why };
}

const bare = ({ group, version, kind, namespace, name }: ObjectKey) => ({
  group,
  version,
  kind,
  namespace,
  name,
  takenFrom: [],
  fields: [],
  images: [],
});
