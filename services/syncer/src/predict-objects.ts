// Predict (edge): one dry run per object. It is the diff that people see, the validation before a step and the
// expectation of what the step does, in one. Writes nothing.
import { failure } from "@driftless/contracts/failure";
import type { ObjectKey } from "@driftless/contracts/identity";
import type { PlannedObject, Prediction } from "@driftless/contracts/pipeline/5-sync";
import { serverSideApply } from "@driftless/kube/apply";
import type { DesiredObject } from "@driftless/kube/desired-set";
import { applyFailure, ownedByOther } from "./apply-failure.ts";
import { differences } from "./field-differences.ts";
import { ignoredIn } from "./ignored.ts";
import { recordOf } from "./record.ts";
import { identityOf, otherOwner, read, type Step } from "./step.ts";

export interface PredictOptions {
  createsNamespace: boolean;
  /** Namespaces that stand in the set itself. */
  namespaces: ReadonlySet<string>;
}

type Predicted = Pick<Prediction, "outcome" | "live" | "record" | "failure"> &
  Partial<Pick<Prediction, "fields" | "managers">>;

/** How often an object may change between being read and being asked about. */
const ATTEMPTS_MAX = 5;

export async function predictObject(
  step: Step,
  planned: PlannedObject,
  desired: DesiredObject,
  options: PredictOptions,
): Promise<Prediction> {
  const { prepared, resource } = desired;
  const key: ObjectKey = { ...prepared.key, version: resource.version };
  const outcome = (predicted: Predicted): Prediction => ({ ...key, fields: [], managers: [], ...predicted });
  if (desired.kindPending) return outcome({ outcome: "unpredictable" });

  let fence = planned.live;
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    // What is believed absent is not read first: the answer says whether it was.
    const [live, answer] = await Promise.all([
      fence && read(step, resource, key, attempt === 1 ? "cached" : "newest"),
      step.limit(() =>
        serverSideApply({
          client: step.cluster.client,
          resource,
          key: prepared.key,
          text: prepared.text,
          dryRun: true,
          signal: step.signal,
          ...(fence && { precondition: fence }),
        }),
      ),
    ]);
    if (answer.kind === "error") {
      const { error } = answer;
      const comesAlong = options.namespaces.has(key.namespace) || options.createsNamespace;
      if (error.code === "NOT_FOUND" && comesAlong) return outcome({ outcome: "unpredictable" });
      if (error.code !== "CONFLICT" || !fence) {
        return outcome({ outcome: "failed", failure: applyFailure(error, key, resource) });
      }
    } else if (answer.created) {
      return outcome({ outcome: "creates" });
    } else if (live?.kind === "ok" && live.object.metadata.resourceVersion === fence?.resourceVersion) {
      const owner = otherOwner(step, live.object, key);
      if (owner !== undefined) return outcome({ outcome: "failed", failure: ownedByOther(step.app, key, owner) });
      const identity = identityOf(live.object);
      const ignored = await ignoredIn(step.engine, desired, { live: live.object, answer: answer.object });
      if (ignored?.kind === "failed") return outcome({ outcome: "failed", live: identity, failure: ignored.failure });
      const differ = differences({ live: live.object, answer: answer.object }, ignored);
      if (differ) return outcome({ outcome: "differs", live: identity, ...differ });
      const record = await recordOf(step.blobs, live.object, answer.object, prepared.desiredHash, ignored?.live);
      return outcome({ outcome: "same", live: identity, ...(record && { record }) });
    }
    // It changed, or appeared, since it was last seen: once more, with what is there now.
    const now = await read(step, resource, key, "newest");
    if (now.kind === "ok") fence = identityOf(now.object);
    else if (now.error.code === "NOT_FOUND") fence = undefined;
    else return outcome({ outcome: "failed", failure: applyFailure(now.error, key, resource) });
  }
  const text = "The object keeps changing while it is looked at.";
  return outcome({ outcome: "failed", failure: failure("APPLY_CONFLICT", text) });
}
