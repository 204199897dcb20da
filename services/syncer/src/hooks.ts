// Hooks (edge): runs of a sync's hooks and of a deletion's. A run is made once, whoever asks for it how often: the object bears the run's
// name, and a finalizer holds it until its result stands in the Application.
//
// H1  What bears this run is this run: it is not made again, whatever has become of it.
// H2  Only what this Application tracks is deleted to make room.
// H3  After each wait and conflict the operation is read again: a withdrawn one makes nothing more.
import { failure, type Failure } from "@driftless/contracts/failure";
import type { ObjectKey } from "@driftless/contracts/identity";
import type { AppliedHook, PlannedHook, ReleasedHook } from "@driftless/contracts/pipeline/5-sync";
import { mergePatch, remove } from "@driftless/kube/apply";
import type { DesiredHook } from "@driftless/kube/desired-set";
import type { KubeError } from "@driftless/kube/outcome";
import type { ApiResource, KubeObject } from "@driftless/kube/resource";
import { annotationText } from "@driftless/manifests/annotations";
import { HOOK_FINALIZER, HOOK_RUN } from "@driftless/manifests/hooks";
import { withMetadata } from "@driftless/manifests/manifest";
import { keyForPeople } from "@driftless/manifests/resource-key";
import { applyFailure, ownedByOther, trackedByNobody } from "./apply-failure.ts";
import { kubectlName, stillOurs, tooLate, type Execution } from "./execution.ts";
import { ONLY_CREATE, applyText, ofKnownKind } from "./send.ts";
import { identityOf, ownedBy, read, type Step } from "./step.ts";

const CONFLICTS_MAX = 5;
const GONE_POLL_MS = 100;

export async function runHook(step: Execution, hook: PlannedHook, asked: DesiredHook): Promise<AppliedHook> {
  const key: ObjectKey = { ...asked.prepared.key, name: hook.name, version: asked.resource.version };
  const failed = (why: Failure): AppliedHook => ({
    ...key,
    run: hook.run,
    outcome: "failed",
    message: why.message,
    failure: why,
  });
  const known = await ofKnownKind(step, asked);
  if (known.kind === "failed") return failed(known.failure);
  const { desired } = known;
  const { resource } = desired;
  const done = async (object: KubeObject, outcome: "created" | "found"): Promise<AppliedHook> => ({
    ...key,
    run: hook.run,
    outcome,
    message: `${kubectlName(resource, key)} created`,
    live: identityOf(object),
    ...(await told(step, object)),
  });
  const prepared = desired.preparedFor(hook.name, hook.run);
  let waited = false;
  for (let conflicts = 0; conflicts <= CONFLICTS_MAX;) {
    if (step.signal.aborted) return failed(tooLate(key));
    const now = await read(step, resource, key, "newest");
    if (now.kind === "error" && now.error.code !== "NOT_FOUND" && !(desired.kindPending && isUnknown(now.error)))
      return failed(applyFailure(now.error, key, resource));
    if (now.kind === "ok" && runOf(now.object) === hook.run) return done(now.object, "found"); // H1
    if (waited || conflicts > 0) await stillOurs(step); // H3
    const live = now.kind === "ok" ? now.object : undefined;
    if (live && hook.replace) {
      const owner = ownedBy(step, live, key);
      // H2
      if (owner === undefined) return failed(trackedByNobody(key, "run the hook of that name"));
      if (owner !== "this") return failed(ownedByOther(step.app, key, owner));
      const why = await deleteObject(step, resource, key, live);
      if (why?.code === "CONFLICT") conflicts++;
      else if (why && why.code !== "NOT_FOUND") return failed(applyFailure(why, key, resource));
      waited = true;
      await step.clock.sleep(GONE_POLL_MS);
      continue;
    }
    const outcome = await applyText(step, desired, {
      key,
      text: live ? prepared.text : withMetadata(prepared.text, { resourceVersion: ONLY_CREATE }),
      ...(live && { precondition: identityOf(live) }),
    });
    if (outcome.kind === "ok") return done(outcome.object, "created");
    if (outcome.error.code !== "CONFLICT" && outcome.error.code !== "ALREADY_EXISTS")
      return failed(applyFailure(outcome.error, key, resource));
    conflicts++;
  }
  return failed(failure("APPLY_CONFLICT", `Somebody else keeps changing ${keyForPeople(key)}.`));
}

/** What the API server would say to it, without making it. What is there already is replaced, so it is no obstacle. */
export async function predictHook(
  step: Step,
  hook: PlannedHook,
  desired: DesiredHook,
  comesAlong: boolean,
): Promise<Failure | undefined> {
  if (desired.kindPending) return undefined;
  const { resource } = desired;
  const key: ObjectKey = { ...desired.prepared.key, name: hook.name, version: resource.version };
  const prepared = desired.preparedFor(hook.name, hook.run);
  const text = withMetadata(prepared.text, { resourceVersion: ONLY_CREATE });
  const outcome = await applyText(step, desired, { key, text, dryRun: true });
  if (outcome.kind === "ok") return undefined;
  const { error } = outcome;
  if (error.code === "CONFLICT" || error.code === "ALREADY_EXISTS") return undefined;
  if (error.code === "NOT_FOUND" && comesAlong) return undefined;
  return applyFailure(error, key, resource);
}

/** Lets go of a hook whose result is written down, and deletes it where that is wanted. Done again, it does nothing. */
export async function releaseHook(step: Execution, release: ReleasedHook): Promise<Failure | undefined> {
  const lookup = await step.cluster.discovery.resourceFor(release.group, release.kind, release.version);
  if (lookup.kind === "absent") return undefined;
  if (lookup.kind === "error") return applyFailure(lookup.error, release, { namespaced: false });
  const { resource } = lookup;
  for (let attempt = 0; attempt <= CONFLICTS_MAX; attempt++) {
    const now = await read(step, resource, release, "newest");
    if (now.kind === "error")
      return now.error.code === "NOT_FOUND" ? undefined : applyFailure(now.error, release, resource);
    if (runOf(now.object) !== release.run) return undefined;
    if (release.uid !== undefined && release.uid !== now.object.metadata.uid) return undefined;
    const error = release.remove
      ? await deleteObject(step, resource, release, now.object)
      : await letGo(step, resource, release, now.object);
    if (!error || error.code === "NOT_FOUND") return undefined;
    if (error.code !== "CONFLICT") return applyFailure(error, release, resource);
  }
  return failure("APPLY_CONFLICT", `Somebody else keeps changing ${keyForPeople(release)}.`);
}

async function told({ customizations }: Step, object: KubeObject): Promise<Pick<AppliedHook, "health" | "deleting">> {
  const health = await customizations.healthOf(object);
  return {
    ...(health && { health }),
    ...(object.metadata.deletionTimestamp !== undefined && { deleting: true }),
  };
}

const runOf = (object: KubeObject): string => annotationText(object.metadata.annotations, HOOK_RUN);

const isUnknown = (error: KubeError): boolean => error.code === "UNKNOWN_KIND";

async function deleteObject(
  step: Execution,
  resource: ApiResource,
  key: ObjectKey,
  live: KubeObject,
): Promise<KubeError | undefined> {
  let object = live;
  if (!live.metadata.deletionTimestamp) {
    const removed = await remove({
      client: step.cluster.client,
      resource,
      key,
      precondition: identityOf(live),
      propagationPolicy: step.propagation,
      signal: step.signal,
    });
    if (removed.kind === "error") return removed.error;
    const now = await read(step, resource, key, "newest");
    if (now.kind === "error") return now.error;
    if (now.object.metadata.uid !== live.metadata.uid) return undefined;
    object = now.object;
  }
  return letGo(step, resource, key, object);
}

const finalizersOf = (object: KubeObject): string[] => (object.metadata["finalizers"] as string[] | undefined) ?? [];

export const isHeld = (object: KubeObject): boolean => finalizersOf(object).includes(HOOK_FINALIZER);

/** Without the finalizer that holds it. */
export async function letGo(
  step: Execution,
  resource: ApiResource,
  key: ObjectKey,
  live: KubeObject,
): Promise<KubeError | undefined> {
  if (!isHeld(live)) return undefined;
  const finalizers = finalizersOf(live);
  const outcome = await mergePatch({
    client: step.cluster.client,
    resource,
    key,
    patch: { metadata: { uid: live.metadata.uid, finalizers: finalizers.filter((one) => one !== HOOK_FINALIZER) } },
    resourceVersion: live.metadata.resourceVersion,
    signal: step.signal,
  });
  return outcome.kind === "error" ? outcome.error : undefined;
}
