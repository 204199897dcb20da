// Predict (edge): one dry run per object. It is the diff that people see, the validation before a step and the
// expectation of what the step does, in one. Writes nothing.
import { failure } from "@driftless/contracts/failure";
import type { ObjectKey } from "@driftless/contracts/identity";
import type { PlannedObject, Prediction } from "@driftless/contracts/pipeline/5-sync";
import type { DesiredObject } from "@driftless/kube/desired-set";
import { applyFailure, ownedByOther } from "./apply-failure.ts";
import type { KubeObject } from "@driftless/kube/resource";
import { differences, type Differences } from "./field-differences.ts";
import { ignoredIn } from "./ignored.ts";
import { getsAround, predictOverwrite, wayOf } from "./overwrite.ts";
import { recordOf } from "./record.ts";
import { sendApply, takeoverOf } from "./send.ts";
import { identityOf, otherOwner, read, type Step } from "./step.ts";

export interface PredictOptions {
  createsNamespace: boolean;
  /** Namespaces that stand in the set itself. */
  namespaces: ReadonlySet<string>;
}

type Predicted = Pick<Prediction, "outcome" | "live" | "record" | "failure"> &
  Partial<Pick<Prediction, "fields" | "managers">>;

/** It differs, and the API server has been asked whether it could be written whole or made anew. */
async function overwritten(
  step: Step,
  key: ObjectKey,
  desired: DesiredObject,
  { live, differ }: { live: KubeObject; differ?: Differences },
): Promise<Predicted> {
  const identity = identityOf(live);
  const asked = await predictOverwrite(step, key, desired, live);
  if (asked.kind === "failed") return { outcome: "failed", live: identity, failure: asked.failure };
  if (differ || !asked.answer) return { outcome: "differs", live: identity, ...differ };
  const ignored = await ignoredIn(step.engine, desired, { live, answer: asked.answer });
  if (ignored?.kind === "failed") return { outcome: "failed", live: identity, failure: ignored.failure };
  return { outcome: "differs", live: identity, ...differences({ live, answer: asked.answer }, { ignored }) };
}

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
  const way = wayOf(desired);

  let fence = planned.live;
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    // What is believed absent is not read first: the answer says whether it was.
    const [live, answer] = await Promise.all([
      fence && read(step, resource, key, attempt === 1 ? "cached" : "newest"),
      sendApply(step, desired, { ...(fence && { fence }), dryRun: true }),
    ]);
    if (answer.kind === "failed") return outcome({ outcome: "failed", failure: answer.failure });
    const isAsSeen = live?.kind === "ok" && live.object.metadata.resourceVersion === fence?.resourceVersion;
    const owner = isAsSeen ? otherOwner(step, live.object, key) : undefined;
    if (owner !== undefined) return outcome({ outcome: "failed", failure: ownedByOther(step.app, key, owner) });
    if (answer.kind === "error") {
      const { error } = answer;
      if (isAsSeen && getsAround(way, error)) {
        return outcome(await overwritten(step, key, desired, { live: live.object }));
      }
      const comesAlong = options.namespaces.has(key.namespace) || options.createsNamespace;
      if (error.code === "NOT_FOUND" && comesAlong) return outcome({ outcome: "unpredictable" });
      if (error.code !== "CONFLICT" || !fence) {
        return outcome({ outcome: "failed", failure: applyFailure(error, key, resource) });
      }
    } else if (answer.created) {
      return outcome({ outcome: "creates" });
    } else if (isAsSeen) {
      const identity = identityOf(live.object);
      const ignored = await ignoredIn(step.engine, desired, { live: live.object, answer: answer.object });
      if (ignored?.kind === "failed") return outcome({ outcome: "failed", live: identity, failure: ignored.failure });
      const differ = differences(
        { live: live.object, answer: answer.object },
        { ignored, takeover: takeoverOf(desired) },
      );
      if (differ && (way === "replace" || way === "remake"))
        return outcome(await overwritten(step, key, desired, { live: live.object, differ }));
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
