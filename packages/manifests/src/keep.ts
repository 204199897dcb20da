// Keep (pure): why a live object is never deleted, whatever Git or a sync option says. Asked of the object that is there,
// by the differ when it finds it and by the syncer again right before it deletes it.
import { HELM_RESOURCE_POLICY, readAnnotations } from "./annotations.ts";

export interface LiveMetadata {
  annotations?: unknown;
  ownerReferences?: unknown;
  deletionTimestamp?: unknown;
}

/** A sentence fragment for people, or undefined when the object may go. */
export function keepReason(metadata: LiveMetadata): string | undefined {
  if (metadata.deletionTimestamp) return "is being deleted already";
  if (Array.isArray(metadata.ownerReferences) && metadata.ownerReferences.length > 0)
    return "is owned by another object";
  return readAnnotations(metadata.annotations).keep ? `has ${HELM_RESOURCE_POLICY}: keep` : undefined;
}
