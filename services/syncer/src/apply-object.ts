// Apply one object (edge), in the way that its options ask for, and tell what came of it.
import type { Failure } from "@driftless/contracts/failure";
import type { LiveIdentity, ObjectKey } from "@driftless/contracts/identity";
import type { AppliedObject, PlannedObject, Prediction } from "@driftless/contracts/pipeline/5-sync";
import { jsonPatch } from "@driftless/kube/apply";
import type { DesiredObject } from "@driftless/kube/desired-set";
import { kubeError } from "@driftless/kube/outcome";
import type { KubeObject } from "@driftless/kube/resource";
import { migrateManagers } from "@driftless/kube/takeover";
import { isHealthIgnored } from "@driftless/manifests/annotations";
import { applyFailure, ownedByOther } from "./apply-failure.ts";
import {
  Withdrawn,
  keepsChanging,
  kubectlName,
  refused,
  stillOurs,
  tooLate,
  type Execution,
  type Refused,
  type Sent,
} from "./execution.ts";
import { differences, type Differences } from "./field-differences.ts";
import { ignoredIn } from "./ignored.ts";
import { withdrawn } from "./operation.ts";
import { isInvalid, remakeObject, replaceObject, wayOf } from "./overwrite.ts";
import type { PlannedApply } from "./plan.ts";
import { predictObject } from "./predict-objects.ts";
import { recordOf } from "./record.ts";
import { ofKnownKind, sendApply, takeoverOf, type SendOutcome } from "./send.ts";
import { identityOf, otherOwner, read } from "./step.ts";

const CONFLICTS_MAX = 5;
const SERVED_MS = 10_000;
const SERVED_POLL_MS = 100;

export async function applyObject(step: Execution, { planned, desired: asked }: PlannedApply): Promise<AppliedObject> {
  const key: ObjectKey = { ...asked.prepared.key, version: asked.resource.version };
  const refuse = (why: Failure) => failedObject(key, step.signal.aborted ? tooLate(key) : why);
  const known = await ofKnownKind(step, asked);
  if (known.kind === "failed") return refuse(known.failure);
  const { desired } = known;
  const written = await write(step, key, planned, desired);
  if (written.kind === "failed") return refuse(written.failure);
  if (written.kind === "same") return unchanged(key, desired, written.prediction);
  const takenOver = await takeOver(step, key, desired, written);
  if (takenOver.kind === "failed") return refuse(takenOver.failure);
  const taken = takenOver.object;

  const { prepared, resource } = desired;
  const isUnchanged = !written.created && taken.metadata.resourceVersion === written.fence?.resourceVersion;
  const found = isUnchanged ? undefined : written.found;
  const ignored = await ignoredIn(step.engine, desired, { live: taken, answer: taken });
  // What cannot be told apart now is by the next prediction, which says why.
  const record =
    ignored?.kind === "failed"
      ? undefined
      : await recordOf(step.blobs, taken, taken, prepared.desiredHash, ignored?.live);
  const health = await step.customizations.healthOf(taken);
  const outcome = isUnchanged ? "unchanged" : written.created && !written.how ? "created" : "configured";
  return {
    ...key,
    outcome,
    message: `${kubectlName(resource, key)} ${written.how ?? outcome}`,
    live: identityOf(taken),
    fields: found?.fields ?? [],
    takenFrom: found?.managers ?? [],
    images: prepared.images,
    ...(record && { record }),
    ...(health && { health }),
    ...(isHealthIgnored(taken.metadata.annotations) && { healthIgnored: true }),
    ...(desired.kindPending && { newKind: true }),
  };
}

const unchanged = (key: ObjectKey, { resource, prepared }: DesiredObject, prediction: Prediction): AppliedObject => ({
  ...key,
  outcome: "unchanged",
  message: `${kubectlName(resource, key)} unchanged`,
  live: prediction.live,
  fields: [],
  takenFrom: [],
  images: prepared.images,
  ...(prediction.record && { record: prediction.record }),
});

interface Written extends Sent {
  /** What differed, where it is known. */
  found?: Differences;
  /** Said instead of "configured". */
  how?: "replaced";
}

type Same = { kind: "same"; prediction: Prediction };

async function write(
  step: Execution,
  key: ObjectKey,
  { live, again }: PlannedObject,
  desired: DesiredObject,
): Promise<Written | Same | Refused> {
  const way = wayOf(desired);
  if (live && again && way === "remake") {
    const made = await remakeObject(step, key, live.uid, desired);
    return made.kind === "failed" ? made : { ...made, how: "replaced" };
  }
  if (live && (way === "replace" || way === "remake")) return overwrite(step, key, live, desired);
  const sent = await sendFenced(step, key, live, desired);
  if (sent.kind === "failed") {
    if (way !== "applyOrRemake" || !sent.invalidFor) return sent;
    const made = await remakeObject(step, key, sent.invalidFor.uid, desired);
    return made.kind === "failed" ? made : { ...made, how: "replaced" };
  }
  const { before, fence, created } = sent;
  const takeover = takeoverOf(desired);
  const found =
    created || !fence
      ? undefined
      : before
        ? differences({ live: before, answer: sent.answer }, { takeover })
        : step.predicted(key, fence);
  return { ...sent, found };
}

/** A suspicion is no reason to overwrite, nor is what somebody put right meanwhile: asked first, also in a heal. */
async function overwrite(
  step: Execution,
  key: ObjectKey,
  live: LiveIdentity,
  desired: DesiredObject,
): Promise<Written | Same | Refused> {
  const planned = { ...key, live };
  const prediction = await predictObject(step, planned, desired, { createsNamespace: false, namespaces: new Set() });
  if (prediction.failure) return refused(prediction.failure);
  if (prediction.outcome === "same") return { kind: "same", prediction };
  const found = { fields: prediction.fields, managers: prediction.managers };
  if (prediction.outcome === "differs") {
    const { uid } = prediction.live!;
    const isRemade = wayOf(desired) === "remake";
    const sent = isRemade ? await remakeObject(step, key, uid, desired) : await replaceObject(step, key, desired);
    if (sent?.kind === "failed") return sent;
    if (sent) return { ...sent, found, how: "replaced" };
  }
  return sendFenced(step, key, undefined, desired);
}

async function sendFenced(
  step: Execution,
  key: ObjectKey,
  known: LiveIdentity | undefined,
  desired: DesiredObject,
): Promise<Sent | (Refused & { invalidFor?: LiveIdentity })> {
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
    if (outcome.kind === "failed") return outcome;
    const { error } = outcome;
    if (error.code !== "CONFLICT" && error.code !== "ALREADY_EXISTS")
      return { ...refused(applyFailure(error, key, resource)), ...(isInvalid(error) && { invalidFor: fence }) };

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

/** S3 */
async function sendOnce(
  step: Execution,
  desired: DesiredObject,
  fence: LiveIdentity | undefined,
): Promise<SendOutcome> {
  const send = () => sendApply(step, desired, { ...(fence && { fence }) });
  if (step.signal.aborted) return { kind: "error", error: kubeError("TIMEOUT", "the step's time is up") };
  if (!desired.kindPending) return send();
  // A CRD that is established is still not served for a moment.
  const end = step.clock.monotonic() + SERVED_MS;
  for (;;) {
    const outcome = await send();
    const notYet =
      outcome.kind === "error" && (outcome.error.code === "NOT_FOUND" || outcome.error.code === "UNKNOWN_KIND");
    if (!notYet || step.signal.aborted || step.clock.monotonic() > end) return outcome;
    await step.clock.sleep(SERVED_POLL_MS);
  }
}

/**
 * An object last applied by kubectl or client-side by Argo CD still has their entries: they are made ours, and a second
 * apply takes out what only they had. Seen in the first apply's answer, so that nothing has to be read before it. One that
 * was replaced is always applied after it: what Git sets has to be ours, or its removal would never be noticed.
 */
async function takeOver(
  step: Execution,
  key: ObjectKey,
  desired: DesiredObject,
  written: Written,
): Promise<{ kind: "ok"; object: KubeObject } | Refused> {
  let current = written.answer;
  let isOurs = written.how === undefined || written.created;
  for (let attempt = 0; attempt <= CONFLICTS_MAX; attempt++) {
    const patch = migrateManagers(current, takeoverOf(desired));
    if (!patch && isOurs) return { kind: "ok", object: current };
    const { resource, prepared } = desired;
    const { client } = step.cluster;
    const migrated = patch
      ? await jsonPatch({ client, resource, key: prepared.key, patch, signal: step.signal })
      : ({ kind: "ok", object: current } as const);
    let failed = migrated.kind === "error" ? migrated.error : undefined;
    if (migrated.kind === "ok") {
      const again = await sendOnce(step, desired, identityOf(migrated.object));
      if (again.kind !== "error") return again;
      failed = again.error;
    }
    if (failed?.code !== "CONFLICT") return refused(applyFailure(failed!, key, resource));
    await stillOurs(step); // S4
    const now = await read(step, resource, key, "newest");
    if (now.kind === "error") return refused(applyFailure(now.error, key, resource));
    const owner = otherOwner(step, now.object, key);
    if (owner !== undefined) return refused(ownedByOther(step.app, key, owner)); // S5
    current = now.object;
    // Its migration may have gone through, and the apply after it not.
    isOurs = false;
  }
  return refused(keepsChanging(key));
}

export function failedObject(key: ObjectKey, why: Failure): AppliedObject {
  return { ...bareObject(key), outcome: "failed", message: why.message, failure: why };
}

export const bareObject = ({ group, version, kind, namespace, name }: ObjectKey) => ({
  group,
  version,
  kind,
  namespace,
  name,
  takenFrom: [],
  fields: [],
  images: [],
});
