// Execution: what carrying out one step has at hand beyond reading, and how it ends from within.
import { failure, type Failure } from "@driftless/contracts/failure";
import type { LiveIdentity, ObjectKey } from "@driftless/contracts/identity";
import type { FieldDifference } from "@driftless/contracts/pipeline/5-sync";
import type { Consents } from "@driftless/manifests/consent";
import type { ApiResource, KubeObject } from "@driftless/kube/resource";
import { keyForPeople } from "@driftless/manifests/resource-key";
import { withdrawn, type Claim } from "./operation.ts";
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

export type Refused = { kind: "failed"; failure: Failure };

export const refused = (why: Failure): Refused => ({ kind: "failed", failure: why });

/** An object was written. */
export interface Sent {
  kind: "ok";
  answer: KubeObject;
  /** As it was before, where it was read. */
  before?: KubeObject;
  fence?: LiveIdentity;
  created: boolean;
}

export const keepsChanging = (key: ObjectKey): Failure =>
  failure("APPLY_CONFLICT", `Somebody else keeps changing ${keyForPeople(key)}.`, { path: keyForPeople(key) });

export const tooLate = (key: ObjectKey): Failure =>
  failure("DEADLINE_EXCEEDED", `Time was up before ${keyForPeople(key)} was done.`, { path: keyForPeople(key) });

/** Ends a step from within: the operation is no longer ours. */
export class Withdrawn extends Error {
  override readonly name = "Withdrawn";
  readonly failure: Failure;
  constructor(why: Failure) {
    super(why.message);
    this.failure = why;
  }
}

/** What comes after a wait or a conflict is done only if this returns. */
export async function stillOurs(step: Execution): Promise<void> {
  const why = await withdrawn(step.controlPlane.client, step.claim);
  if (why) throw new Withdrawn(why);
}

/** `deployment.apps/web`, as kubectl says it. */
export function kubectlName(resource: ApiResource | undefined, { group, kind, name }: ObjectKey): string {
  const type = (resource?.kind ?? kind).toLowerCase();
  return `${group === "" ? type : `${type}.${group}`}/${name}`;
}
