// Steps of a cascade deletion (pure).
import { failure, type Failure } from "@driftless/contracts/failure";
import { consentTo } from "@driftless/manifests/consent";
import { keyText } from "@driftless/manifests/resource-key";
import { keyOf, type Context, type ObjectState } from "./context.ts";
import { isApproved } from "./approval.ts";
import type { EventOf } from "./events.ts";
import { requestId } from "./look.ts";

export function beginDeletion(context: Context): Partial<Context> {
  return {
    wish: undefined,
    pass: undefined,
    operation: undefined,
    request: undefined,
    deletion: {
      requestId: "",
      remaining: [],
      kept: [],
      attempts: 0,
      finished: context.view.deletion?.cascade === undefined,
    },
  };
}

export const sendDeletion = (context: Context): Partial<Context> => ({
  seq: context.seq + 1,
  deletion: { ...context.deletion!, requestId: requestId(context) },
});

const isCrd = (object: ObjectState): boolean =>
  object.key.kind === "CustomResourceDefinition" && object.key.group === "apiextensions.k8s.io";

/** What a deletion takes along: everything live and ours but CRDs and what asks to stay. */
export function acceptRemaining(context: Context, event: EventOf<"DiffComputed">): Partial<Context> {
  const usual = context.view.desired?.options.consents;
  const remaining = event.message.objects
    .filter((object) => object.verdict === "Extra" && object.live !== undefined)
    .filter((object) => !/resource-policy|owned by/.test(object.keep ?? ""))
    .filter((object) => consentTo("delete", object.consents, usual) !== "no")
    .map((object): ObjectState => ({
      key: keyOf(object),
      status: "OutOfSync",
      live: object.live,
      health: object.health,
      extra: true,
      predicted: true,
      fields: [],
      managers: [],
    }))
    .filter((object) => !isCrd(object) && !context.deletion!.kept.includes(keyText(object.key)));
  const unreadable = event.message.objects.find((object) => object.verdict === "Unknown" && object.failure);
  return {
    deletion: {
      ...context.deletion!,
      remaining,
      attempts: 0,
      // A kind that cannot be read may hold objects of ours: not finished.
      finished: remaining.length === 0 && unreadable === undefined,
      failure: unreadable?.failure,
    },
  };
}

/** What the syncer, which reads the objects themselves, left alone: kept for good, unless it is on its way already. */
export function noteRemoved(context: Context, event: EventOf<"StepApplied">): Partial<Context> {
  const deletion = context.deletion!;
  const { objects } = event.message;
  const kept = objects
    .filter((object) => object.outcome === "pruneSkipped" && !/being deleted/.test(object.message))
    .map((object) => keyText(object));
  const failed = objects.find((object) => object.outcome === "failed");
  return {
    deletion: {
      ...deletion,
      kept: [...new Set([...deletion.kept, ...kept])],
      attempts: failed ? deletion.attempts + 1 : 0,
      failure: failed && (failed.failure ?? failure("APPLY_FAILED", failed.message)),
    },
  };
}

/** A cluster that nobody knows any more cannot be cleaned: the Application may go (as Argo CD does). */
export function failDeletion(context: Context, failures: readonly Failure[]): Partial<Context> {
  const deletion = context.deletion!;
  const unknown = failures.some((one) => one.code === "DESTINATION_UNKNOWN");
  return { deletion: { ...deletion, attempts: deletion.attempts + 1, failure: failures[0], finished: unknown } };
}

/** Objects kept by the app's own `Delete=false`, or waiting for an approval not older than the deletion. */
export function deletionConsent(context: Context): "yes" | "no" | "confirm" {
  const consent = context.view.desired?.options.consents.delete ?? "yes";
  const { deletion } = context.view;
  if (consent !== "confirm" || !deletion) return consent;
  return isApproved(context, deletion.at) ? "yes" : "confirm";
}
