// Send (edge): one apply or dry run, in the way that the object's options ask for. Only what is asked for costs more than
// the one request.
import { failure, type Failure } from "@driftless/contracts/failure";
import type { LiveIdentity, ObjectKey } from "@driftless/contracts/identity";
import {
  predictCreate,
  replace,
  serverSideApply,
  type FieldValidation,
  type Precondition,
} from "@driftless/kube/apply";
import { clusterFailure } from "@driftless/kube/cluster-failure";
import type { DesiredObject } from "@driftless/kube/desired-set";
import { knownOnly } from "@driftless/kube/known-fields";
import { kubeError, type KubeOutcome } from "@driftless/kube/outcome";
import type { KubeObject } from "@driftless/kube/resource";
import { respectIgnored } from "@driftless/kube/respect";
import type { Takeover } from "@driftless/kube/takeover";
import { exactText, parseExactly } from "@driftless/manifests/exact-json";
import { withMetadata } from "@driftless/manifests/manifest";
import { keyForPeople, type ResourceKey } from "@driftless/manifests/resource-key";
import { ignoredIn } from "./ignored.ts";
import { identityOf, read, type Step } from "./step.ts";

/** A resourceVersion that no object ever has: alone it lets an apply create and refuses to change (DESIGN §6). */
export const ONLY_CREATE = "1";

export type SendOutcome = KubeOutcome<KubeObject> | { kind: "failed"; failure: Failure };

type Ways = Pick<DesiredObject, "resource" | "options">;

export interface ApplyText {
  key: Pick<ObjectKey, "namespace" | "name">;
  text: string;
  precondition?: Precondition;
  dryRun?: boolean;
}

export const fieldValidationOf = ({ options }: Pick<Ways, "options">): FieldValidation =>
  options?.validate === false ? "Ignore" : "Strict";

/** What belonged to client-side applies and becomes ours. */
export const takeoverOf = ({ options }: Pick<Ways, "options">): Takeover | undefined =>
  options && { clientSide: options.clientSideApplyMigration !== false, manager: options.migrationManager };

/** Forced; with Validate=false without the members that the API server does not know. */
export async function applyText(step: Step, ways: Ways, asked: ApplyText): Promise<KubeOutcome<KubeObject>> {
  const { resource } = ways;
  const { key, text, precondition, dryRun } = asked;
  const call = { client: step.cluster.client, resource, key, signal: step.signal };
  const apply = (body: string) =>
    step.limit(() => serverSideApply({ ...call, text: body, dryRun, ...(precondition && { precondition }) }));
  const outcome = await apply(text);
  const isUnknown = outcome.kind === "error" && outcome.error.code === "APPLY_SCHEMA";
  if (!isUnknown || fieldValidationOf(ways) !== "Ignore") return outcome;
  // A server-side apply is strict whatever it is told; other writes leave out what is unknown, and tell so in a dry run.
  const lenient = { ...call, fieldValidation: "Ignore" as const, dryRun: true };
  const answer = await step.limit(() =>
    precondition ? replace({ ...lenient, text, precondition }) : predictCreate({ ...lenient, text: bare(text) }),
  );
  if (answer.kind === "error") return answer;
  const known = await apply(knownOnly(text, answer.object, { keepEmpty: true }));
  const isStill = known.kind === "error" && known.error.code === "APPLY_SCHEMA";
  return isStill ? apply(knownOnly(text, answer.object, { keepEmpty: false })) : known;
}

/** An object that is made may not say which version of it is meant. */
function bare(text: string): string {
  const object = parseExactly(text) as { metadata: Record<string, unknown> };
  delete object.metadata["resourceVersion"];
  return exactText(object);
}

/** Without a fence it is believed absent: then only created, unless it is only a dry run, whose answer tells. */
export async function sendApply(
  step: Step,
  desired: DesiredObject,
  { fence, dryRun = false }: { fence?: LiveIdentity; dryRun?: boolean },
): Promise<SendOutcome> {
  const { prepared } = desired;
  if (!fence) {
    const text = dryRun ? prepared.text : withMetadata(prepared.text, { resourceVersion: ONLY_CREATE });
    return applyText(step, desired, { key: prepared.key, text, dryRun });
  }
  const respected = await respectedText(step, desired, fence);
  if (respected.kind !== "ok") return respected;
  return applyText(step, desired, { key: prepared.key, text: respected.text, precondition: fence, dryRun });
}

type Text = { kind: "ok"; text: string } | { kind: "failed"; failure: Failure };

/** For exactly this state of the object, which has to be read where something of it is to be respected. */
async function respectedText(
  step: Step,
  desired: DesiredObject,
  fence: LiveIdentity,
): Promise<Text | (SendOutcome & { kind: "error" })> {
  const { prepared, resource, rules, options } = desired;
  if (!rules || !options?.respectIgnoreDifferences) return { kind: "ok", text: prepared.text };
  const live = await read(step, resource, prepared.key, "newest");
  if (live.kind === "error") return live;
  if (identityOf(live.object).resourceVersion !== fence.resourceVersion)
    return { kind: "error", error: kubeError("CONFLICT", "it changed since it was seen") };
  return textRespecting(step, desired, live.object, "apply");
}

export async function textRespecting(
  step: Step,
  desired: DesiredObject,
  live: KubeObject,
  mode: "apply" | "replace",
): Promise<Text> {
  const { prepared, options } = desired;
  if (!options?.respectIgnoreDifferences) return { kind: "ok", text: prepared.text };
  const asked = parseExactly(prepared.text);
  const ignored = await ignoredIn(step.engine, desired, { live, answer: asked as KubeObject });
  if (!ignored) return { kind: "ok", text: prepared.text };
  if (ignored.kind === "failed") return ignored;
  const takeover = takeoverOf(desired);
  respectIgnored({ desired: asked, live, ignored: { desired: ignored.answer, live: ignored.live }, mode, takeover });
  return { kind: "ok", text: exactText(asked) };
}

export function clusterScoped(key: ResourceKey): Failure {
  const path = keyForPeople(key);
  const text = `${key.kind} has only come to be known as a cluster-scoped kind; ${path} is applied by the next sync.`;
  return failure("KIND_UNAVAILABLE", text, { path });
}

const KIND_WAIT_MS = 5_000;
const KIND_POLL_MS = 500;

/**
 * Of a kind that the cluster did not know: waited for, for whatever brings it may be at work. That it is namespaced was a
 * guess, by which its project allowed it; so one that is not has to be compared anew before it is applied.
 */
export async function ofKnownKind<T extends DesiredObject>(
  step: Step,
  desired: T,
): Promise<{ kind: "ok"; desired: T } | { kind: "failed"; failure: Failure }> {
  if (!desired.isGuessed) return { kind: "ok", desired };
  const { group, version, kind } = desired.resource;
  const path = keyForPeople(desired.prepared.key);
  const end = step.clock.monotonic() + KIND_WAIT_MS;
  for (;;) {
    step.cluster.discovery.invalidate();
    const lookup = await step.cluster.discovery.resourceFor(group, kind, version);
    if (lookup.kind === "error") return { kind: "failed", failure: clusterFailure(lookup.error, kind) };
    if (lookup.kind === "ok" && !lookup.resource.namespaced) {
      return { kind: "failed", failure: clusterScoped(desired.prepared.key) };
    }
    if (lookup.kind === "ok") {
      return { kind: "ok", desired: { ...desired, resource: lookup.resource, isGuessed: false } };
    }
    if (step.signal.aborted || step.clock.monotonic() > end) {
      const text = `The cluster has no kind ${kind} in ${group === "" ? version : `${group}/${version}`}.`;
      return { kind: "failed", failure: failure("KIND_UNKNOWN", text, { path }) };
    }
    await step.clock.sleep(KIND_POLL_MS);
  }
}
