// Differences of fields as they are told to people (pure): JSON texts, cut, masked by packages/kube where secret.
import type { FieldDifference } from "@driftless/contracts/pipeline/5-sync";
import { withoutOwnership, withoutPaths } from "@driftless/kube/field-path";
import { ownersOfDifferences, type PathDifference } from "@driftless/kube/footprint";
import type { Ignored } from "./ignored.ts";
import { predict } from "@driftless/kube/predict";
import type { KubeObject } from "@driftless/kube/resource";
import { legacyOnlyFields, type Takeover } from "@driftless/kube/takeover";

const TEXT_MAX = 200;
const FIELDS_MAX = 50;

export interface Differences {
  fields: FieldDifference[];
  /** Managers other than ours from whom a field is taken. */
  managers: string[];
}

/** Between the live object and an apply's answer; undefined when applying changes nothing that counts. */
export function differences(
  whole: { live: KubeObject; answer: KubeObject },
  { ignored, takeover }: { ignored?: Ignored; takeover?: Takeover } = {},
): Differences | undefined {
  const live = ignored ? withoutOwnership(withoutPaths(whole.live, ignored.live), ignored.live) : whole.live;
  const answer = ignored ? withoutPaths(whole.answer, ignored.answer) : whole.answer;
  const predicted = predict(live, answer, { pathsMax: FIELDS_MAX });
  const removed = legacyOnlyFields(live, answer, takeover);
  if (predicted.kind === "same" && removed.length === 0) return undefined;
  const changed = predicted.kind === "same" ? [] : predicted.paths.map(fieldOf);
  const known = new Set(changed.map(({ path }) => path));
  // The answer still has them: they go only once they are ours.
  const going = removed.filter((path) => !known.has(path)).map((path) => ({ path, live: "…" }));
  return { fields: [...changed, ...going].slice(0, FIELDS_MAX), managers: ownersOfDifferences(live, answer) };
}

function fieldOf({ path, live, desired }: PathDifference): FieldDifference {
  const difference: FieldDifference = { path };
  if (desired !== undefined) difference.desired = cut(JSON.stringify(desired));
  if (live !== undefined) difference.live = cut(JSON.stringify(live));
  return difference;
}

const cut = (text: string): string => (text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}…` : text);
