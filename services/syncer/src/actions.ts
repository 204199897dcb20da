// Actions (edge): which there are for live objects, what one of them would change, and changing it (contract §12).
//
// A1  Only what this Application tracks is acted on.
// A2  A change is made of the very object that the script was asked about, as it was then but for its status.
import type { Bus } from "@driftless/bus/connect";
import { on, type Handler } from "@driftless/bus/consume";
import {
  ActionPerformed,
  ActionPlanned,
  PerformAction,
  PlanAction,
  type ResourceAction,
  type SeenIdentity,
} from "@driftless/contracts/actions";
import { failure, type Failure } from "@driftless/contracts/failure";
import type { ObjectKey, Request } from "@driftless/contracts/identity";
import type { MessageOf } from "@driftless/contracts/message";
import type { Target } from "@driftless/contracts/pipeline/4-diff";
import { actionScriptsOf, type ActionScripts } from "@driftless/customizations/action-scripts";
import { LUA_TIMEOUT_MS, type Customizations } from "@driftless/customizations/customizations";
import { mergePatch } from "@driftless/kube/apply";
import type { KubeOutcome } from "@driftless/kube/outcome";
import type { ApiResource, KubeObject } from "@driftless/kube/resource";
import { keyForPeople, groupOf, versionOf } from "@driftless/manifests/resource-key";
import type { Clock } from "@driftless/process/clock";
import type { Config } from "@driftless/process/config";
import type { Engine } from "@driftless/render-engine/engine";
import type { ActionImpact } from "@driftless/render-engine/protocol";
import { applyFailure, ownedByOther } from "./apply-failure.ts";
import { identityOf, ownedBy, read, type Step } from "./step.ts";

export interface ActionsContext {
  bus: Bus;
  clock: Clock;
  config: Pick<Config, "observe">;
  engine: Pick<Engine, "actions" | "action">;
  customizations: Pick<Customizations, "rules">;
  withStep<T>(
    command: Request & { target: Target },
    perform: (step: Step) => Promise<T>,
  ): Promise<{ kind: "ok"; value: T } | Refused>;
}

type Plan = Pick<MessageOf<typeof ActionPlanned>, "objects" | "changes" | "bodiesDigest" | "failure">;
type Refused = { kind: "failed"; failure: Failure };
const refused = (why: Failure): Refused => ({ kind: "failed", failure: why });

/** As Argo CD's own actions are seen; never taken for an apply of ours. */
const FIELD_MANAGER = "argocd-server";

export function actionHandlers(context: ActionsContext): Handler[] {
  const { bus, clock, config, withStep } = context;
  const isLate = ({ deadlineAt }: Request) => clock.now() >= deadlineAt;
  const replyTo = ({ app, requestId, shard }: Request, began: number) => ({
    app,
    requestId,
    shard,
    tookMs: clock.monotonic() - began,
  });

  return [
    on(PlanAction, async (command) => {
      if (isLate(command)) return;
      const began = clock.monotonic();
      const outcome = await withStep(command, async (step) => ({
        server: step.cluster.server,
        ...(await planAction(context, step, command)),
      }));
      const nothing = { server: "", objects: [], changes: [] };
      const plan = outcome.kind === "ok" ? outcome.value : { ...nothing, failure: outcome.failure };
      await bus.publish(ActionPlanned, { ...replyTo(command, began), asked: command.asked, ...plan });
    }),
    on(PerformAction, async (command) => {
      if (isLate(command)) return;
      const began = clock.monotonic();
      const outcome = config.observe
        ? refused(failure("APPLY_FORBIDDEN", "Driftless only observes (DRIFTLESS_OBSERVE)."))
        : await withStep(command, (step) => performAction(step, command));
      const done = outcome.kind === "ok" ? outcome.value : { changed: [], failure: outcome.failure };
      await bus.publish(ActionPerformed, { ...replyTo(command, began), asked: command.asked, ...done });
    }),
  ];
}

async function planAction(
  { engine, customizations }: ActionsContext,
  step: Step,
  command: MessageOf<typeof PlanAction>,
): Promise<Plan> {
  const { action, parameters } = command.asked;
  const objects: Plan["objects"] = [];
  for (const key of command.objects) {
    const found = await findObject(step, key);
    if (found.kind === "failed") return { objects, changes: [], failure: found.failure };
    const scripts = actionScriptsOf(customizations.rules, key);
    const listed = await actionsOf(engine, scripts, found.object);
    if (listed.kind === "failed") return { objects, changes: [], failure: listed.failure };
    objects.push({ ...key, live: seenIdentity(found.object), actions: listed.actions });
    if (action === undefined) continue;
    const chosen = chosenScript(key, action, listed.actions, scripts);
    if (chosen.kind === "failed") return { objects, changes: [], failure: chosen.failure };
    const outcome = await engine.action({
      ...chosen.script,
      object: found.object,
      parameters,
      timeoutMs: LUA_TIMEOUT_MS,
    });
    if (outcome.kind === "failed")
      return { objects, changes: [], failure: failure("ACTION_FAILED", `${action}: ${outcome.message}`) };
    return { objects, ...(await changesOf(step, key, outcome.impacts)) };
  }
  return { objects, changes: [] };
}

async function performAction(
  step: Step,
  command: MessageOf<typeof PerformAction>,
): Promise<{
  changed: (MessageOf<typeof PerformAction>["changes"][number] & { message: string })[];
  failure?: Failure;
}> {
  const { changes } = command;
  let { live } = command.object;
  const bytes = await step.blobs.get(command.bodiesDigest);
  if (!bytes) return { changed: [], failure: failure("BLOB_GONE", "What the action would change is gone; ask again.") };
  const bodies = JSON.parse(Buffer.from(bytes).toString("utf8")) as Record<string, unknown>[];
  const changed = [];
  for (const [index, change] of changes.entries()) {
    const lookup = await step.cluster.discovery.resourceFor(change.group, change.kind, change.version);
    if (lookup.kind !== "ok") return { changed, failure: noSuchKind(change) };
    const outcome =
      change.operation === "create"
        ? await step.cluster.client.create(lookup.resource, change.namespace, JSON.stringify(bodies[index]))
        : await patchAsSeen(step, { key: change, resource: lookup.resource, live, body: bodies[index] });
    if (outcome.kind === "error") return { changed, failure: applyFailure(outcome.error, change, lookup.resource) };
    if (change.operation === "patch") live = seenIdentity(outcome.object);
    const done = change.operation === "create" ? "created" : "patched";
    changed.push({ ...change, message: `${keyForPeople(change)} ${done}` });
  }
  return { changed };
}

const CONFLICTS_MAX = 5;

/** A2 */
async function patchAsSeen(
  step: Step,
  change: { key: ObjectKey; resource: ApiResource; live: SeenIdentity; body: Record<string, unknown> | undefined },
): Promise<KubeOutcome<KubeObject>> {
  const { key, resource, live, body } = change;
  const { uid, generation } = live;
  let { resourceVersion } = live;
  for (let attempt = 0; ; attempt++) {
    const outcome = await mergePatch({
      client: step.cluster.client,
      resource,
      key,
      patch: { ...body, metadata: { ...metadataOf(body), uid } },
      resourceVersion,
      fieldManager: FIELD_MANAGER,
      signal: step.signal,
    });
    if (outcome.kind === "ok" || outcome.error.code !== "CONFLICT" || attempt === CONFLICTS_MAX) return outcome;
    const now = await read(step, resource, key, "newest");
    if (now.kind === "error") return now;
    const seen = seenIdentity(now.object);
    const isAsSeen = seen.uid === uid && generation !== undefined && seen.generation === generation;
    if (!isAsSeen || ownedBy(step, now.object, key) !== "this") return outcome;
    ({ resourceVersion } = seen);
  }
}

const seenIdentity = (object: KubeObject): SeenIdentity => ({
  ...identityOf(object),
  ...(object.metadata.generation !== undefined && { generation: object.metadata.generation }),
});

async function findObject(
  step: Step,
  key: ObjectKey,
): Promise<{ kind: "ok"; object: KubeObject; resource: ApiResource } | Refused> {
  const lookup = await step.cluster.discovery.resourceFor(key.group, key.kind, key.version);
  if (lookup.kind !== "ok") return refused(noSuchKind(key));
  const now = await read(step, lookup.resource, key, "newest");
  if (now.kind === "error") return refused(applyFailure(now.error, key, lookup.resource));
  const owner = ownedBy(step, now.object, key);
  if (owner !== "this") return refused(notOurs(step, key, owner)); // A1
  return { kind: "ok", object: now.object, resource: lookup.resource };
}

async function actionsOf(
  engine: Pick<Engine, "actions">,
  { discovery }: ActionScripts,
  object: KubeObject,
): Promise<{ kind: "ok"; actions: ResourceAction[] } | Refused> {
  if (discovery.length === 0) return { kind: "ok", actions: [] };
  const outcome = await engine.actions({ scripts: discovery, object, timeoutMs: LUA_TIMEOUT_MS });
  if (outcome.kind === "failed") return refused(failure("ACTION_FAILED", outcome.message));
  return { kind: "ok", actions: outcome.actions };
}

function chosenScript(key: ObjectKey, action: string, actions: readonly ResourceAction[], scripts: ActionScripts) {
  const known = actions.find(({ name }) => name === action);
  const script = scripts.definition(action);
  if (known?.disabled)
    return refused(failure("ACTION_UNKNOWN", `${keyForPeople(key)}: the action ${action} is disabled now.`));
  if (known && script) return { kind: "ok", script } as const;
  const names = actions.map(({ name }) => name).join(", ") || "none";
  return refused(failure("ACTION_UNKNOWN", `${keyForPeople(key)} has no action ${action}; there are: ${names}.`));
}

async function changesOf(step: Step, key: ObjectKey, impacts: readonly ActionImpact[]): Promise<Omit<Plan, "objects">> {
  const { group, version, kind, namespace, name } = key;
  const changes: Plan["changes"] = [];
  for (const impact of impacts) {
    if (impact.operation === "patch") {
      changes.push({ group, version, kind, namespace, name, operation: "patch" });
      continue;
    }
    const made = await keyOfNew(step, impact.resource, namespace);
    if (made.kind === "failed") return { changes: [], failure: made.failure };
    changes.push({ ...made.key, operation: "create" });
  }
  const bodies = impacts.map((impact) => (impact.operation === "patch" ? impact.patch : impact.resource));
  return { changes, bodiesDigest: await step.blobs.put(Buffer.from(JSON.stringify(bodies))) };
}

async function keyOfNew(
  step: Step,
  resource: Record<string, unknown>,
  usualNamespace: string,
): Promise<{ kind: "ok"; key: ObjectKey } | Refused> {
  const metadata = metadataOf(resource);
  const { apiVersion, kind } = resource;
  const { name } = metadata;
  if (typeof apiVersion !== "string" || typeof kind !== "string" || typeof name !== "string")
    return refused(failure("ACTION_FAILED", "The action makes an object without apiVersion, kind or metadata.name."));
  const key: ObjectKey = { group: groupOf(apiVersion), version: versionOf(apiVersion), kind, namespace: "", name };
  const lookup = await step.cluster.discovery.resourceFor(key.group, kind, key.version);
  if (lookup.kind !== "ok") return refused(noSuchKind(key));
  if (!lookup.resource.namespaced) return { kind: "ok", key };
  const namespace = typeof metadata["namespace"] === "string" ? metadata["namespace"] : usualNamespace;
  return { kind: "ok", key: { ...key, namespace } };
}

const metadataOf = (object: Record<string, unknown> | undefined): Record<string, unknown> => {
  const metadata = object?.["metadata"];
  return typeof metadata === "object" && metadata !== null ? (metadata as Record<string, unknown>) : {};
};

const notOurs = (step: Step, key: ObjectKey, owner: string | undefined): Failure =>
  owner === undefined
    ? failure("RESOURCE_OWNED_BY_OTHER", `${keyForPeople(key)} is tracked by no Application.`)
    : ownedByOther(step.app, key, owner);

const noSuchKind = (key: ObjectKey): Failure =>
  failure("KIND_UNKNOWN", `The cluster has no kind ${key.kind} (${key.group || "core"}/${key.version}).`);
