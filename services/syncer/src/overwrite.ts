// Overwrite (edge): objects that are not applied but written whole (`Replace=true`), or deleted and made anew where they
// cannot be changed (`Force=true`), as in Argo CD: both together always make it anew.
//
// O1  CustomResourceDefinitions and Namespaces are updated, never made anew: all in them would go.
// O2  Only what this Application tracks is deleted to be made anew, and only once the API server has said that it would
//     take the new one.
// O3  What says of itself, in Git or in the cluster, that it is not to be deleted (`Delete=false`, `Delete=confirm`, Helm's
//     `keep`) is not deleted to be made anew either: what is in it would be lost all the same.
// O4  What comes after a wait or a conflict is done only if the operation is still ours.
import { failure, type Failure } from "@driftless/contracts/failure";
import type { ObjectKey } from "@driftless/contracts/identity";
import { predictCreate, remove, replace } from "@driftless/kube/apply";
import type { DesiredObject } from "@driftless/kube/desired-set";
import type { KubeError } from "@driftless/kube/outcome";
import type { KubeObject } from "@driftless/kube/resource";
import { HELM_RESOURCE_POLICY, readAnnotations, type ManifestAnnotations } from "@driftless/manifests/annotations";
import { wayTo, type Way } from "@driftless/manifests/apply-options";
import { exactText, parseExactly } from "@driftless/manifests/exact-json";
import { keyForPeople } from "@driftless/manifests/resource-key";
import { applyFailure, ownedByOther, trackedByNobody } from "./apply-failure.ts";
import { keepsChanging, refused, stillOurs, tooLate, type Execution, type Refused, type Sent } from "./execution.ts";
import { fieldValidationOf, sendApply, textRespecting } from "./send.ts";
import { identityOf, otherOwner, ownedBy, read, type Step } from "./step.ts";

/** O1 */
export const wayOf = ({ options, prepared }: Pick<DesiredObject, "options" | "prepared">): Way =>
  wayTo(prepared.key, options);

/** Refused for what it is, not for what happened meanwhile: "field is immutable" and its like. */
export const isInvalid = ({ status }: KubeError): boolean => status === 422;

/** Which refusal of an apply the way gets around, so that it says nothing yet. */
export const getsAround = (way: Way, error: KubeError): boolean =>
  way !== "apply" && (isInvalid(error) || (way !== "applyOrRemake" && error.code === "APPLY_SCHEMA"));

export type Overwriting =
  | { kind: "failed"; failure: Failure }
  /** With what would come of it, where that can be asked; also when somebody was faster: the step will see to it. */
  | { kind: "ok"; answer?: KubeObject };

/** What the API server would say to it. Writes nothing. */
export async function predictOverwrite(
  step: Step,
  key: ObjectKey,
  desired: DesiredObject,
  live: KubeObject,
): Promise<Overwriting> {
  const failed = (why: Failure): Overwriting => ({ kind: "failed", failure: why });
  if (wayOf(desired) !== "replace") {
    const why = notRemakable(step, key, live, desired) ?? (await creationRefused(step, key, desired));
    return why ? failed(why) : { kind: "ok" };
  }
  const text = await replacement(step, desired, live);
  if (text.kind === "failed") return failed(text.failure);
  const outcome = await put(step, desired, { text: text.text, live, dryRun: true });
  if (outcome.kind === "ok") return { kind: "ok", answer: outcome.object };
  return isOvertaken(outcome.error) ? { kind: "ok" } : failed(applyFailure(outcome.error, key, desired.resource));
}

/** Written whole; undefined where it is gone. */
export async function replaceObject(
  step: Execution,
  key: ObjectKey,
  desired: DesiredObject,
): Promise<Sent | Refused | undefined> {
  for (let attempt = 0; attempt <= CONFLICTS_MAX; attempt++) {
    const now = await read(step, desired.resource, key, "newest");
    if (now.kind === "error" && now.error.code === "NOT_FOUND") return undefined;
    if (now.kind === "error") return refused(applyFailure(now.error, key, desired.resource));
    const owner = otherOwner(step, now.object, key);
    if (owner !== undefined) return refused(ownedByOther(step.app, key, owner));
    const text = await replacement(step, desired, now.object);
    if (text.kind === "failed") return text;
    const outcome = await put(step, desired, { text: text.text, live: now.object });
    if (outcome.kind === "ok") return { kind: "ok", answer: outcome.object, before: now.object, created: false };
    if (!isOvertaken(outcome.error)) return refused(applyFailure(outcome.error, key, desired.resource));
    await stillOurs(step); // O4
  }
  return refused(keepsChanging(key));
}

/** Deleted, waited for until it is gone, and made anew; only the very object that was judged. */
export async function remakeObject(
  step: Execution,
  key: ObjectKey,
  uid: string,
  desired: DesiredObject,
): Promise<Sent | Refused> {
  const { resource } = desired;
  for (let conflicts = 0; conflicts <= CONFLICTS_MAX;) {
    if (step.signal.aborted) return refused(tooLate(key));
    const now = await read(step, resource, key, "newest");
    if (now.kind === "error") {
      if (now.error.code !== "NOT_FOUND") return refused(applyFailure(now.error, key, resource));
      await stillOurs(step); // O4
      const made = await sendApply(step, desired, {});
      if (made.kind === "ok") return { kind: "ok", answer: made.object, created: true };
      if (made.kind === "failed") return made;
      if (!isOvertaken(made.error)) return refused(applyFailure(made.error, key, resource));
      conflicts++;
      continue;
    }
    const live = now.object;
    if (live.metadata.uid !== uid) return refused(keepsChanging(key));
    if (live.metadata.deletionTimestamp !== undefined) {
      await step.clock.sleep(GONE_POLL_MS);
      continue;
    }
    const why = notRemakable(step, key, live, desired) ?? (await creationRefused(step, key, desired)); // O2
    if (why) return refused(why);
    await stillOurs(step); // O4
    const removed = await step.limit(() =>
      remove({
        client: step.cluster.client,
        resource,
        key,
        precondition: identityOf(live),
        propagationPolicy: step.propagation,
        signal: step.signal,
      }),
    );
    if (removed.kind === "ok" || removed.error.code === "NOT_FOUND") continue;
    if (removed.error.code !== "CONFLICT") return refused(applyFailure(removed.error, key, resource));
    conflicts++;
  }
  return refused(keepsChanging(key));
}

const CONFLICTS_MAX = 5;
const GONE_POLL_MS = 100;

const isOvertaken = ({ code }: KubeError): boolean =>
  code === "CONFLICT" || code === "NOT_FOUND" || code === "ALREADY_EXISTS";

function notRemakable(step: Step, key: ObjectKey, live: KubeObject, desired: DesiredObject): Failure | undefined {
  const owner = ownedBy(step, live, key);
  if (owner === undefined) return trackedByNobody(key, "make it anew");
  if (owner !== "this") return ownedByOther(step.app, key, owner);
  const wish = keepWish(readAnnotations(live.metadata.annotations)) ?? keepWish(desired.prepared.annotations); // O3
  if (wish === undefined) return undefined;
  const path = keyForPeople(key);
  return failure("APPLY_INVALID", `${path} has ${wish}, so it is not deleted to make it anew.`, { path });
}

function keepWish({ consents, keep }: Pick<ManifestAnnotations, "consents" | "keep">): string | undefined {
  if (keep) return `${HELM_RESOURCE_POLICY}: keep`;
  if (consents.delete === "no") return "Delete=false";
  return consents.delete === "confirm" ? "Delete=confirm" : undefined;
}

async function creationRefused(step: Step, key: ObjectKey, desired: DesiredObject): Promise<Failure | undefined> {
  const { prepared, resource } = desired;
  const outcome = await step.limit(() =>
    predictCreate({
      client: step.cluster.client,
      resource,
      key,
      text: prepared.text,
      fieldValidation: fieldValidationOf(desired),
      signal: step.signal,
    }),
  );
  if (outcome.kind === "ok" || outcome.error.code === "ALREADY_EXISTS") return undefined;
  return applyFailure(outcome.error, key, resource);
}

function put(step: Step, desired: DesiredObject, what: { text: string; live: KubeObject; dryRun?: boolean }) {
  return step.limit(() =>
    replace({
      client: step.cluster.client,
      resource: desired.resource,
      key: desired.prepared.key,
      text: what.text,
      precondition: identityOf(what.live),
      fieldValidation: fieldValidationOf(desired),
      dryRun: what.dryRun,
      signal: step.signal,
    }),
  );
}

/** What holds an object, and what it goes with, is not Git's to take away by not naming it. */
async function replacement(step: Step, desired: DesiredObject, live: KubeObject) {
  const respected = await textRespecting(step, desired, live, "replace");
  if (respected.kind === "failed") return respected;
  const object = parseExactly(respected.text) as { metadata: Record<string, unknown> };
  for (const name of ["finalizers", "ownerReferences"] as const) {
    if (live.metadata[name] !== undefined) object.metadata[name] ??= live.metadata[name];
  }
  return { kind: "ok", text: exactText(object) } as const;
}
