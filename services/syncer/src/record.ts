// Record: what the differ is to remember of an object after an apply, or a prediction that found no difference.
import type { Blobs } from "@driftless/bus/blobs";
import type { FieldPath } from "@driftless/kube/field-path";
import type { ObjectRecord } from "@driftless/contracts/pipeline/5-sync";
import { footprintOf, imprintOf, ownEntry } from "@driftless/kube/footprint";
import type { KubeObject } from "@driftless/kube/resource";

/**
 * `answer` has our managedFields entry, `object` the values and the identity: one and the same after an apply; after a
 * prediction the dry run's answer and the live object. `ignored` are places in `object` that do not count. The footprint is stored before any record names it.
 */
export async function recordOf(
  blobs: Blobs,
  object: KubeObject,
  answer: KubeObject,
  desiredHash: string,
  ignored: readonly FieldPath[] = [],
): Promise<ObjectRecord | undefined> {
  const footprint = footprintOf(answer, { paths: ignored, values: object });
  if (!footprint) return undefined;
  const appliedAt = ownEntry(object)?.time;
  return {
    uid: object.metadata.uid,
    resourceVersion: object.metadata.resourceVersion,
    desiredHash,
    footprintDigest: await blobs.put(Buffer.from(footprint.text)),
    imprint: imprintOf(object, footprint),
    ...(appliedAt !== undefined && { appliedAt }),
  };
}
