// Execution: what carrying out one step has at hand beyond reading, and how it ends from within.
import type { Failure } from "@driftless/contracts/failure";
import type { LiveIdentity, ObjectKey } from "@driftless/contracts/identity";
import type { FieldDifference } from "@driftless/contracts/pipeline/5-sync";
import type { Consents } from "@driftless/manifests/consent";
import type { ApiResource } from "@driftless/kube/resource";
import type { Claim } from "./operation.ts";
import type { Step } from "./step.ts";

export interface Execution extends Step {
  claim: Claim;
  propagation: "Foreground" | "Background" | "Orphan";
  /** What a prediction found a moment ago for exactly this object, if it was made here. */
  predicted(key: ObjectKey, live: LiveIdentity): { fields: FieldDifference[]; managers: string[] } | undefined;
  /** Of the Application, and whether a person approved of what wants a confirmation. */
  consents?: Consents;
  approved: boolean;
  /** keyTexts of the whole set: none of these is pruned. */
  isDesired(key: ObjectKey): boolean;
}

/** Ends a step from within: the operation is no longer ours. */
export class Withdrawn extends Error {
  override readonly name = "Withdrawn";
  readonly failure: Failure;
  constructor(why: Failure) {
    super(why.message);
    this.failure = why;
  }
}

/** `deployment.apps/web`, as kubectl says it. */
export function kubectlName(resource: ApiResource | undefined, { group, kind, name }: ObjectKey): string {
  const type = (resource?.kind ?? kind).toLowerCase();
  return `${group === "" ? type : `${type}.${group}`}/${name}`;
}
