// Keep (pure): why a live object is never pruned, whatever Git says. Asked of the object that is there, by the differ
// when it finds it and by the syncer again right before it deletes it.
import { annotationText, HELM_RESOURCE_POLICY, readAnnotations, splitList } from "./annotations.ts";

export interface LiveMetadata {
  annotations?: unknown;
  ownerReferences?: unknown;
  deletionTimestamp?: unknown;
}

/**
 * A sentence fragment for people, or undefined when the object may go. `purpose`: objects of an Application that is
 * itself being deleted go by `Delete=…`, all others by `Prune=…`.
 */
export function keepReason(metadata: LiveMetadata, purpose: "prune" | "delete" = "prune"): string | undefined {
  if (metadata.deletionTimestamp) return "is being deleted already";
  if (Array.isArray(metadata.ownerReferences) && metadata.ownerReferences.length > 0)
    return "is owned by another object";
  if (splitList(annotationText(metadata.annotations, HELM_RESOURCE_POLICY)).includes("keep")) {
    return `has ${HELM_RESOURCE_POLICY}: keep`;
  }
  const consent = readAnnotations(metadata.annotations)[purpose];
  const option = purpose === "prune" ? "Prune" : "Delete";
  if (consent === "no") return `has the sync option ${option}=false`;
  return consent === "confirm" ? `has the sync option ${option}=confirm` : undefined;
}
