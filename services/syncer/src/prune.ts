// Prune (pure): what may be deleted. Asked right before each delete, of the object as it is then.
//
// P1  Nothing that is desired.
// P2  Nothing that this Application does not track now, by the object's own word.
// P3  Nothing that is to be kept by its own word or its Application's, or waits for an approval; and no CRD: its deletion
//     would take every object of its kind along.
// P4  Only the very object that was judged: another uid is another object.
import type { PlannedObject } from "@driftless/contracts/pipeline/5-sync";
import type { KubeObject } from "@driftless/kube/resource";
import { readAnnotations } from "@driftless/manifests/annotations";
import { consentTo, needsApproval, type Consents } from "@driftless/manifests/consent";
import { keepReason } from "@driftless/manifests/keep";
import { isTracked, trackerOf, type Tracking } from "@driftless/manifests/tracking";

export interface PruneInput {
  planned: PlannedObject;
  live: KubeObject;
  /** Whether the set that is being applied has this object. */
  desired: boolean;
  app: { trackingName: string };
  tracking: Tracking;
  purpose: "prune" | "delete";
  /** The Application's own sync options; its object's count before them. */
  usual?: Consents;
  /** A person approved of what wants a confirmation. */
  approved?: boolean;
}

export type PruneDecision = { kind: "prune" } | { kind: "skip"; reason: string };

export function decidePrune(input: PruneInput): PruneDecision {
  const { planned, live, desired, app, tracking, purpose } = input;
  const skip = (reason: string): PruneDecision => ({ kind: "skip", reason });
  if (!planned.live) return skip("it was not known which object is meant");
  if (planned.live.uid !== live.metadata.uid) return skip("it has been replaced by another object"); // P4
  if (desired && purpose === "prune") return skip("it is desired"); // P1
  if (!isTracked(planned)) return skip("custom resource definitions are never deleted"); // P3
  const owner = trackerOf(live.metadata, planned, tracking);
  if (owner !== app.trackingName) return skip(owner === undefined ? "it is not tracked" : `it is tracked by ${owner}`); // P2
  const keep = keepReason(live.metadata) ?? refusal(input);
  return keep === undefined ? { kind: "prune" } : skip(`it ${keep}`); // P3
}

function refusal({ live, purpose, usual, approved }: PruneInput): string | undefined {
  const own = readAnnotations(live.metadata.annotations).consents;
  const consent = consentTo(purpose, own, usual);
  if (consent === "no") return `has the sync option ${purpose === "prune" ? "Prune" : "Delete"}=false`;
  const waits = purpose === "delete" ? needsApproval(own, usual) : consent === "confirm";
  return waits && !approved ? "waits for an approval" : undefined;
}
