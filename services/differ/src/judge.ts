// Judge (pure): what an event of a live object means, given the record of our last apply. A different imprint is only
// a suspicion (DESIGN §5); and a quarter of the events of our own applies arrive before their record does, so what may
// be our own is neither dropped nor published but waits for its record.
//
// J1  An event not newer than the record says nothing.
// J2  An event that carries an apply of ours which no record tells of waits.
// J3  Nothing is published for a change back to what the record has, if we made it.
import { FIELD_MANAGER, type Footprint } from "@driftless/kube/footprint";
import { isNewer } from "@driftless/kube/resource-version";
import type { Seen } from "./seen.ts";

/** What is remembered of our last apply of an object. */
export interface Remembered {
  /** Application. */
  app: string;
  uid: string;
  resourceVersion: string;
  /** Group-version-kind that was applied; another version has other footprints. */
  version: string;
  desiredHash: string;
  footprint: Footprint;
  imprint: string;
  appliedAt?: string;
  /** By the monotonic clock; absent for one from the cache. */
  receivedAt?: number;
}

export type Judgement = "quiet" | "suspect" | "wait";

export interface Evidence {
  before: Seen | undefined;
  now: Seen;
  by: string | undefined;
  record: Remembered | undefined;
  /** An earlier event of the object is waiting for a record already; with the imprint that was expected then. */
  waiting: { expected: string | undefined } | undefined;
  /** The record came a moment ago: in the same second a second apply of ours has the same time as the first. */
  recordIsFresh: boolean;
}

export function judge(evidence: Evidence): Judgement {
  const { before, now, by, waiting, recordIsFresh } = evidence;
  const record = evidence.record?.uid === now.uid ? evidence.record : undefined;
  if (record && !isNewer(now.resourceVersion, record.resourceVersion)) return "quiet"; // J1

  if (!record || now.imprint === undefined) {
    const appliedNow = now.appliedAt !== undefined && now.appliedAt !== before?.appliedAt;
    if (waiting || appliedNow) return "wait"; // J2
    const same = before?.uid === now.uid && before.contents !== undefined && before.contents === now.contents;
    return same ? "quiet" : "suspect";
  }

  if (now.imprint === (waiting?.expected ?? expectedImprint(before, now, record))) return "quiet";
  const byUs = by === FIELD_MANAGER;
  if (now.appliedAt !== undefined && now.appliedAt !== record.appliedAt) return "wait"; // J2
  if (byUs && now.imprint === record.imprint) return "quiet"; // J3
  return byUs && recordIsFresh ? "wait" : "suspect";
}

/** The imprint that was last judged: once a drift is told, only the next change is news, also the change back. */
export function expectedImprint(before: Seen | undefined, now: Seen, record: Remembered): string {
  const judged =
    before?.uid === now.uid &&
    before.footprint === record.footprint &&
    before.imprint !== undefined &&
    isNewer(before.resourceVersion, record.resourceVersion);
  return judged ? before.imprint! : record.imprint;
}
