// Compare (pure): the desired set against what is live and what is remembered. No manifest is compared with an object
// here: where hashes cannot tell, the verdict is Suspect and the API server is asked (DESIGN §5).
import { failure, type Failure } from "@driftless/contracts/failure";
import type { LiveIdentity, ObjectKey } from "@driftless/contracts/identity";
import type { ComparedObject } from "@driftless/contracts/pipeline/4-diff";
import type { DesiredSet } from "@driftless/kube/desired-set";
import type { ApiResource } from "@driftless/kube/resource";
import { isNewer } from "@driftless/kube/resource-version";
import { wayTo } from "@driftless/manifests/apply-options";
import { stricter } from "@driftless/manifests/consent";
import { keyText, type ResourceKey } from "@driftless/manifests/resource-key";
import { isTracked, sharedText, trackedBy, type Tracking } from "@driftless/manifests/tracking";
import type { Remembered } from "./judge.ts";
import type { Seen } from "./seen.ts";

/** One kind of one cluster, as far as it is known now. */
export type KindView =
  | { kind: "listed"; get(namespace: string, name: string): Seen | undefined }
  | { kind: "unreadable"; failure: Failure };

export interface CompareInput {
  desired: Pick<DesiredSet, "objects" | "unresolved"> & Partial<Pick<DesiredSet, "hooks" | "skipped" | "excluded">>;
  inventory: { key: ObjectKey; view: KindView }[];
  view(resource: ApiResource): KindView;
  record(key: ResourceKey): Remembered | undefined;
  app: { uid: string; trackingName: string; namespace: string; name: string };
  tracking: Tracking;
}

export function compare(input: CompareInput): ComparedObject[] {
  const { desired, inventory } = input;
  const compared: ComparedObject[] = [];
  const wanted = new Set<string>();
  for (const object of desired.objects) {
    const { prepared, resource, kindPending } = object;
    const key: ObjectKey = { ...prepared.key, version: resource.version };
    wanted.add(keyText(key));
    const view = input.view(resource);
    const { healthTimeout } = prepared.annotations;
    const push = (one: ComparedObject) =>
      compared.push({
        ...one,
        ...(object.rules && { ruled: true }),
        ...(object.isUnlisted && { unlisted: true }),
        ...(wayTo(key, object.options) === "remake" && { remade: true }),
        ...(healthTimeout !== undefined && { healthTimeout }),
        ...object.slot,
      });
    if (kindPending) push({ ...key, verdict: "Missing", reason: "its kind comes with the same set" });
    else if (view.kind === "unreadable") push(unknown(key, view.failure));
    else {
      const live = view.get(key.namespace, key.name);
      const consents = stricter(prepared.annotations.consents, live?.consents ?? {});
      push({
        ...compareDesired(key, prepared.desiredHash, live, input),
        ...((consents.prune || consents.delete) && { consents }),
      });
    }
  }
  // An object that became a hook is still in Git.
  for (const { prepared } of desired.hooks ?? []) wanted.add(keyText(prepared.key));
  for (const key of desired.skipped ?? []) wanted.add(keyText(key));
  for (const { key, hook, failure: why } of desired.unresolved) {
    wanted.add(keyText(key));
    // The scope is a guess, so the object may stand in the inventory without a namespace.
    wanted.add(keyText({ ...key, namespace: "" }));
    compared.push({ ...unknown(key, why), ...(hook && { hook }) });
  }
  for (const { key, view } of inventory) {
    if (wanted.has(keyText(key))) continue;
    wanted.add(keyText(key));
    if (view.kind === "unreadable") {
      compared.push(unknown(key, view.failure));
      continue;
    }
    const live = view.get(key.namespace, key.name);
    if (live && belongs(live, input)) compared.push(extra(key, live));
  }
  return compared;
}

function compareDesired(
  key: ObjectKey,
  desiredHash: string,
  live: Seen | undefined,
  input: CompareInput,
): ComparedObject {
  if (!live) return { ...key, verdict: "Missing" };
  const base = { ...key, live: identity(live), ...healthIn(live) };
  const other = foreignOwner(live, key, input);
  if (other !== undefined) {
    const text = sharedText(key, input.app, other);
    return {
      ...base,
      verdict: "Suspect",
      reason: "tracked by another",
      failure: failure("RESOURCE_OWNED_BY_OTHER", text),
    };
  }
  const doubt = suspicion(live, desiredHash, key.version, input.record(key));
  return doubt === undefined ? { ...base, verdict: "Synced" } : { ...base, verdict: "Suspect", reason: doubt };
}

/** Why only the API server can tell, or undefined: then the object is as we left it, and as it is desired. */
export function suspicion(
  live: Seen,
  desiredHash: string,
  version: string,
  record: Remembered | undefined,
): string | undefined {
  if (!record) return "no record";
  if (record.uid !== live.uid) return "replaced";
  if (record.desiredHash !== desiredHash) return "desired changed";
  if (record.version !== version) return "another version";
  if (!isNewer(live.resourceVersion, record.resourceVersion)) return undefined;
  if (live.footprint !== record.footprint || live.imprint === undefined) return "not judged yet";
  return live.imprint === record.imprint ? undefined : "drift";
}

function foreignOwner(live: Seen, key: ResourceKey, { app, tracking }: CompareInput): string | undefined {
  if (!isTracked(key)) return undefined;
  const owner = trackedBy(live, tracking);
  return owner === app.trackingName ? undefined : owner;
}

const belongs = (live: Seen, { app, tracking }: CompareInput): boolean =>
  trackedBy(live, tracking) === app.trackingName;

function extra(key: ObjectKey, live: Seen): ComparedObject {
  return {
    ...key,
    verdict: "Extra",
    live: identity(live),
    reason: "no longer desired",
    ...healthIn(live),
    ...(live.keep !== undefined && { keep: live.keep }),
    ...(live.consents && { consents: live.consents }),
    ...(live.deleting && { deleting: [...live.deleting] }),
    ...(live.wave !== undefined && { wave: live.wave }),
    ...(live.pruneLast && { pruneLast: true }),
    ...(live.extraneous && { extraneous: true }),
  };
}

const healthIn = ({ health, healthIgnored }: Seen): Pick<ComparedObject, "health" | "healthIgnored"> => ({
  ...(health && { health }),
  ...(healthIgnored && { healthIgnored }),
});
const identity = (live: Seen): LiveIdentity => ({ uid: live.uid, resourceVersion: live.resourceVersion });
const unknown = (key: ObjectKey, why: Failure): ComparedObject => ({
  ...key,
  verdict: "Unknown",
  reason: why.code,
  failure: why,
});
