// Seen (pure): what is kept of a live object. Enough to compare, to judge its next event and to show its health; the
// object itself is not kept.
import { hash } from "node:crypto";
import { FIELD_MANAGER, imprintOf, ownEntry, type Footprint } from "@driftless/kube/footprint";
import { canonicalJson } from "@driftless/kube/canonical-json";
import type { KubeObject, ManagedFieldsEntry } from "@driftless/kube/resource";
import { isExtraneous, isHealthIgnored, readAnnotations } from "@driftless/manifests/annotations";
import type { Health } from "@driftless/manifests/health/health";
import type { Consents } from "@driftless/manifests/consent";
import { keepReason } from "@driftless/manifests/keep";
import type { ResourceKey } from "@driftless/manifests/resource-key";
import { marksOf, type Marks } from "@driftless/manifests/tracking";

export interface Seen extends Marks {
  uid: string;
  resourceVersion: string;
  /** Why it is never deleted. */
  keep?: string;
  consents?: Consents;
  health?: Health;
  healthIgnored?: boolean;
  /** Of its annotations, for the order of pruning. */
  wave?: number;
  pruneLast?: boolean;
  extraneous?: boolean;
  /** On its way out, held by these finalizers. */
  deleting?: readonly string[];
  /** Time of our own managedFields entry: another one than the record's means an apply not yet told of. */
  appliedAt?: string;
  /** Imprint along `footprint`, which is that of the record at the time. */
  footprint?: Footprint;
  imprint?: string;
  /** Hash of everything but status and bookkeeping: stands in for the imprint while there is no record. */
  contents?: string;
}

/** One event's worth: what will be kept, and what is needed only to judge it. */
export interface Observation {
  id: string;
  seen: Seen;
  /** Manager of the newest managedFields entry, another than ours if there are several. */
  by?: string;
  /** For a later judgement; without status and managedFields. */
  object: KubeObject;
}

export const objectId = (namespace: string, name: string): string => `${namespace}/${name}`;

/**
 * Without health: whoever asks knows by which rule it is judged. `labelKeys`: what Applications may be tracked by, beside
 * Kubernetes' own label.
 */
export function observe(
  object: KubeObject,
  key: ResourceKey,
  footprint?: Footprint,
  labelKeys: Iterable<string> = [],
): Observation {
  const { metadata } = object;
  const keep = keepReason(metadata);
  const appliedAt = ownEntry(object)?.time;
  const seen: Seen = {
    uid: metadata.uid,
    resourceVersion: metadata.resourceVersion,
    ...marksOf(metadata, key, labelKeys),
  };
  if (keep !== undefined) seen.keep = keep;
  if (appliedAt !== undefined) seen.appliedAt = appliedAt;
  if (metadata.annotations) {
    const { syncWave, syncOptions, consents } = readAnnotations(metadata.annotations);
    if (syncWave !== 0) seen.wave = syncWave;
    if (consents.prune || consents.delete) seen.consents = consents;
    if (syncOptions.includes("PruneLast=true")) seen.pruneLast = true;
    if (isExtraneous(metadata.annotations)) seen.extraneous = true;
    if (isHealthIgnored(metadata.annotations)) seen.healthIgnored = true;
  }
  if (metadata.deletionTimestamp !== undefined) seen.deleting = metadata.finalizers ?? [];
  if (footprint) {
    seen.footprint = footprint;
    seen.imprint = imprintOf(object, footprint);
  }
  const by = newestManager(metadata.managedFields ?? []);
  return { id: objectId(key.namespace, key.name), seen, object, ...(by !== undefined && { by }) };
}

/** Of the object as it is held for later. */
export function withoutBookkeeping(object: KubeObject): KubeObject {
  const { managedFields: _managedFields, ...metadata } = object.metadata;
  const { status: _status, ...rest } = object;
  return { ...rest, metadata } as KubeObject;
}

export function contentsOf(object: KubeObject): string {
  const bare = withoutBookkeeping(object);
  const { resourceVersion: _resourceVersion, generation: _generation, ...metadata } = bare.metadata;
  return hash("sha256", canonicalJson({ ...bare, metadata }), "base64url");
}

function newestManager(entries: readonly ManagedFieldsEntry[]): string | undefined {
  let newest: ManagedFieldsEntry | undefined;
  for (const entry of entries) {
    // Status is written all the time and says nothing about who changed what was asked for.
    if (entry.subresource === "status") continue;
    // Times have whole seconds; in a tie it was the other one who came last, or nobody would ask.
    if (!newest || timeOf(entry) > timeOf(newest) || (timeOf(entry) === timeOf(newest) && isOurs(newest)))
      newest = entry;
  }
  return newest?.manager;
}

const isOurs = ({ manager }: ManagedFieldsEntry): boolean => manager === FIELD_MANAGER;

/** An entry made through the scale subresource has no time; it stands only as long as it owns `replicas`. */
const timeOf = ({ time }: ManagedFieldsEntry): string => time ?? "9999";
