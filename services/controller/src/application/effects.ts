// Effects of the Application machine (pure): what each name in the chart means, as messages and writes for the host.
import { failureText } from "@driftless/contracts/failure";
import type { MessageDefinition, MessageOf } from "@driftless/contracts/message";
import { FetchSource, ForgetSource, WatchSource } from "@driftless/contracts/pipeline/2-fetch";
import { RenderManifests } from "@driftless/contracts/pipeline/3-render";
import { ComputeDiff, DescribeCluster, type Target } from "@driftless/contracts/pipeline/4-diff";
import { ApplyStep, PredictStep } from "@driftless/contracts/pipeline/5-sync";
import { ApplicationChanged, type SyncState } from "@driftless/contracts/pipeline/6-application";
import { unusual } from "@driftless/manifests/apply-options";
import { wasPlugin } from "./former-type.ts";
import type { Context } from "./context.ts";
import type { EffectName } from "./effect-names.ts";
import type { AppEvent } from "./events.ts";
import { appHealth } from "./health.ts";
import { localBundle } from "./local-manifests.ts";
import { requestId, rfc3339, suspects, watchKeys } from "./look.ts";
import { isApproved } from "./approval.ts";
import { deletionReleases, stagesLeft } from "./deletion-plan.ts";
import { denials } from "./gate.ts";
import { asksForOrphans } from "./orphans.ts";
import { inputsDigestOf, toldRevisions, type SourceRender } from "./render.ts";
import type { DesiredSource } from "./sources.ts";
import { conditionsOf } from "./status.ts";
import { planned, plannedHook, releases } from "./sync-plan.ts";
import { toldDeletion, toldOperation } from "./told-operation.ts";
import { FETCH_DEADLINE_MS, STEP_DEADLINE_MS } from "./steps.ts";
import { brokenSource, extrasOf, knownSource, refsOf, settledCommit, sourceOf } from "./turns.ts";
import { hooksOf, inventoryOf } from "./view.ts";

export type Effect =
  /** With a `bundle`: that is stored first, and the message's `bundleDigest` is its. */
  | { kind: "publish"; definition: MessageDefinition; message: unknown; bundle?: Uint8Array }
  | { kind: "write"; urgency: "now" | "soon" }
  | { kind: "measure"; what: "pass" | "operation"; result: string; seconds: Record<string, number> };

const publish = <D extends MessageDefinition>(definition: D, message: MessageOf<D>): Effect[] => [
  { kind: "publish", definition, message },
];

const RESOURCES_TOLD_MAX = 100;

const request = (context: Context, requestId: string, lane: "now" | "bulk", at: number, deadlineMs: number) => ({
  app: context.view.ref,
  requestId,
  shard: context.view.shard,
  lane,
  deadlineAt: at + deadlineMs,
});

const passRequest = (context: Context, at: number, deadlineMs = STEP_DEADLINE_MS) =>
  request(context, context.pass!.requestId, context.pass!.lane, at, deadlineMs);

/** Options are those of the operation that runs, else of the Application. */
function target(context: Context, manifestsDigest: string): Target {
  const desired = (context.view.desired ?? context.former)!;
  const applyOptions = unusual((context.operation ?? desired).options.apply);
  return {
    ...bareTarget(context, manifestsDigest),
    ...(applyOptions && { applyOptions }),
    ...(desired.managedNamespace && { managedNamespace: desired.managedNamespace }),
    ...(desired.ignoreRules.length > 0 && { ignoreDifferences: desired.ignoreRules }),
  };
}

export function bareTarget(context: Context, manifestsDigest: string): Target {
  const desired = (context.view.desired ?? context.former)!;
  return {
    destination: desired.destination,
    manifestsDigest,
    ...desired.tracking,
    controlPlaneNamespace: context.view.controlPlaneNamespace,
    ...(desired.resourceFilter && { resourceFilter: desired.resourceFilter }),
  };
}

function applicationChanged(context: Context, from: SyncState, to: SyncState, at: number): Effect[] {
  const { operation, operationState, deletion } = context;
  const hasEnded = from === "Syncing" || context.refused;
  // What is Unknown was not compared: the differences of the last comparison would be taken for its reason.
  const compared = to === "Unknown" ? [] : context.objects;
  const differing = compared.filter(
    (object) => object.status !== "Synced" || object.fields.length > 0 || (object.takenFrom?.length ?? 0) > 0,
  );
  return publish(ApplicationChanged, {
    app: context.view.ref,
    from,
    to,
    at: rfc3339(at),
    ...(context.render && toldRevisions(context.render)),
    manifestsDigest: context.render?.manifestsDigest,
    health: context.objects.length > 0 ? appHealth(context) : undefined,
    causes: [...context.causes],
    resources: differing.slice(0, RESOURCES_TOLD_MAX).map((object) => ({
      ...object.key,
      status: object.status,
      message: object.failure?.message ?? object.message,
      fields: [...object.fields],
      takenFrom: [...(object.takenFrom ?? [])],
    })),
    resourcesTotal: differing.length,
    operation: deletion?.results.length
      ? toldDeletion(context, stagesLeft(context).length)
      : operationState && (operation || hasEnded)
        ? toldOperation(context, operationState)
        : undefined,
    conditions: conditionsOf(context).map(({ type = "", message = "" }) => ({ type, message })),
    timings: { ...context.timings, totalMs: Math.max(0, at - context.since) },
  });
}

/** The one way to a write of a cluster. What the gate would not let through was not to be planned: an error in Driftless. */
function applyStep(context: Context, step: MessageOf<typeof ApplyStep>): Effect[] {
  const [denied] = denials(context, [...step.apply, ...step.prune, ...(step.hooks ?? [])]);
  // Letting go of hooks that were run is no new write.
  if (denied && step.purpose !== "release") throw new Error(failureText(denied));
  return publish(ApplyStep, step);
}

function watch(
  context: Context,
  at: number,
  sources: readonly DesiredSource[],
  { source, refs }: DesiredSource,
  given: { inputsDigest?: string } & Partial<Pick<SourceRender, "revision" | "chartDigest" | "refRevisions">>,
): Effect[] {
  const { pollIntervalMs, pollJitterMs } = context.view;
  const { inputsDigest, revision, chartDigest, refRevisions } = given;
  const referred = refs.map((name) => ({ name, source: sources.find(({ field }) => field.ref === name)!.source }));
  return publish(WatchSource, {
    ...request(context, `${requestId(context)}-watch${source.key ?? ""}`, "bulk", at, FETCH_DEADLINE_MS),
    source,
    inputsDigest,
    revision,
    chartDigest,
    ...(refs.length > 0 && { refs: referred, refRevisions }),
    pollIntervalMs,
    pollJitterMs,
  });
}

type EffectFunction = (context: Context, event: AppEvent, at: number) => Effect[];

export const EFFECTS: Record<EffectName, EffectFunction> = {
  fetchSource: (context, _event, at) => {
    const pass = context.pass!;
    if (pass.wanted.manifests) return [];
    const { turn, targetRevisions } = pass;
    const { source, renders } = sourceOf(context);
    // Once a render has asked for more, it needs a bundle.
    const begins = turn.fetched === undefined;
    const inputsDigest = brokenSource(context)?.inputsDigest ?? inputsDigestOf(knownSource(context));
    const { extraPaths, charts } = extrasOf(pass);
    const refs = refsOf(context);
    const commit = settledCommit(pass, turn.index)?.revision;
    return publish(FetchSource, {
      ...passRequest(context, at, FETCH_DEADLINE_MS),
      source: { ...source, targetRevision: targetRevisions[turn.index]! },
      freshness: turn.freshness,
      ...(commit && { commit }),
      ...(!renders && { revisionOnly: true }),
      inputsDigest: begins ? inputsDigest : undefined,
      extraPaths: [...extraPaths],
      ...(refs.length > 0 ? { refs } : {}),
      ...(charts.length > 0 ? { charts: [...charts] } : {}),
    });
  },

  renderManifests: (context, _event, at) => {
    const { desired, manifests } = context.pass!.wanted;
    const { appName, buildOptions } = desired;
    const { source, options, environment } = sourceOf(context);
    const { bundleDigest, revision } = context.pass!.turn.fetched!;
    const bundle = manifests && localBundle(manifests);
    const command = publish(RenderManifests, {
      ...passRequest(context, at),
      bundleDigest: bundleDigest!,
      path: source.path,
      appName,
      options,
      environment: { ...environment, revision },
      buildOptions,
      ...(wasPlugin(context) && { wasPlugin: true }),
    });
    return bundle ? command.map((effect) => ({ ...effect, bundle })) : command;
  },

  describeCluster: (context, event, at) =>
    publish(DescribeCluster, {
      ...passRequest(context, at),
      destination: context.pass!.wanted.desired.destination,
      ...(event.type === "RenderNeedsFiles" && event.message.cluster === "gone" && { gone: true }),
    }),

  computeDiff: (context, _event, at) =>
    publish(ComputeDiff, {
      ...passRequest(context, at),
      target: target(context, (context.pass!.render ?? context.render)!.manifestsDigest),
      inventory: [...context.inventory],
      ...(asksForOrphans(context) && {
        orphans: { ignore: context.view.desired!.project.orphanedResources?.ignore ?? [] },
      }),
    }),

  predictSuspects: (context, _event, at) =>
    publish(PredictStep, {
      ...passRequest(context, at),
      target: target(context, (context.pass!.render ?? context.render)!.manifestsDigest),
      objects: suspects(context.objects).map((object) => ({ ...object.key, live: object.live })),
      createsNamespace: createsNamespace(context, context.view.desired!.options.createNamespace),
    }),

  watchSource: (context, _event, at) => {
    const { view, render, pass, watched, asked } = context;
    const keys = pass?.pinned ? [] : watchKeys(context);
    if (keys.length === 0) return [];
    const { sources } = view.desired!;
    const following = new Set(sources.map(({ source }) => source.key));
    return [
      ...keys.flatMap((key, n) => {
        if (key === undefined || key === watched[n]) return [];
        const rendered = render!.sources[n]!;
        return watch(context, at, sources, sources[n]!, { ...rendered, inputsDigest: inputsDigestOf(rendered) });
      }),
      // Sources that went: nobody is to be told of them any more.
      ...asked
        .filter(({ key }) => !following.has(key))
        .flatMap((source) =>
          publish(ForgetSource, {
            ...request(context, `${requestId(context)}-forget${source.key}`, "bulk", at, FETCH_DEADLINE_MS),
            source,
          }),
        ),
    ];
  },

  // So that the push which repairs it is noticed: without inputs, any move of the ref counts.
  watchBroken: (context, event, at) => {
    const { view, pass } = context;
    if (!view.desired || !pass || pass.pinned) return [];
    const source = sourceOf(context);
    if (!source.renders) return [];
    const given =
      event.type === "RenderFailed"
        ? { ...pass.turn.fetched, inputsDigest: event.message.inputsDigest }
        : event.type === "SourceFetched"
          ? { ...event.message, inputsDigest: brokenSource(context)?.inputsDigest }
          : { ...pass.turn.fetched };
    return watch(context, at, pass.wanted.desired.sources, source, given);
  },

  predictStep: (context, _event, at) => {
    const operation = context.operation!;
    if (operation.predicted) return [];
    return publish(PredictStep, {
      ...request(context, operation.requestId, operation.lane, at, STEP_DEADLINE_MS),
      target: target(context, operation.render.manifestsDigest),
      objects: [...operation.toPredict],
      ...(operation.hooks.length > 0 && { hooks: operation.hooks.map(plannedHook) }),
      createsNamespace: createsNamespace(context, operation.options.createNamespace),
    });
  },

  applyStep: (context, _event, at) => {
    const operation = context.operation!;
    if (operation.next?.kind !== "apply") return [];
    const { slot, apply, prunes, hooks } = operation.next;
    return applyStep(context, {
      ...operationStep(context, at),
      ...slot,
      purpose: "sync",
      apply,
      prune: prunes,
      consents: operation.options.consents,
      approved: isApproved(context, operation.startedAt),
      ...(hooks.length > 0 && { hooks: hooks.map(plannedHook) }),
      createNamespace: createsNamespace(context, operation.options.createNamespace),
    });
  },

  lookAtAwaited: (context, _event, at) => {
    const operation = context.operation!;
    if (operation.next?.kind === "wait" && operation.next.window) return [];
    const running = operation.hooks.filter(({ state }) => state === "running");
    return publish(ComputeDiff, {
      ...request(context, operation.requestId, operation.lane, at, STEP_DEADLINE_MS),
      target: target(context, operation.render.manifestsDigest),
      inventory: [...context.inventory],
      awaited: [...running, ...operation.deleting].map(({ key }) => key),
    });
  },

  releaseHooks: (context, _event, at) =>
    applyStep(context, {
      ...operationStep(context, at),
      phase: "Sync",
      wave: 0,
      purpose: "release",
      apply: [],
      prune: [],
      releases: releases(context.operation!),
      createNamespace: false,
    }),

  healStep: (context, _event, at) =>
    applyStep(context, {
      ...request(context, context.heal.requestId, "now", at, STEP_DEADLINE_MS),
      operationId: `${context.view.ref.uid.slice(0, 8)}-${context.heal.requestId}`,
      epoch: context.epoch,
      phase: "Sync",
      wave: 0,
      target: target(context, context.render!.manifestsDigest),
      purpose: "heal",
      apply: [...context.heal.objects],
      prune: [],
      createNamespace: false,
      propagation: "Foreground",
    }),

  compareForDeletion: (context, _event, at) =>
    publish(ComputeDiff, {
      ...request(context, context.deletion!.requestId, "now", at, STEP_DEADLINE_MS),
      target: bareTarget(context, context.emptyManifestsDigest),
      inventory: [
        ...(context.objects.length > 0 ? context.inventory : inventoryOf(context.view.status)),
        ...hooksOf(context.operationState),
      ],
      ...(context.deletion!.next?.kind === "watch" && { awaited: context.deletion!.next.hooks.map(({ key }) => key) }),
    }),

  deleteStep: (context, _event, at) => {
    const { next } = context.deletion!;
    if (next?.kind !== "remove") return [];
    return applyStep(context, {
      ...deletionStep(context, at),
      prune: next.objects.map(planned),
      consents: context.view.desired?.options.consents,
      approved: isApproved(context, context.view.deletion!.at),
    });
  },

  runDeletionHooks: (context, _event, at) => {
    const { next } = context.deletion!;
    if (next?.kind !== "run") return [];
    return applyStep(context, {
      ...deletionStep(context, at),
      phase: next.phase,
      wave: next.wave,
      target: target(context, context.render!.manifestsDigest),
      hooks: next.hooks.map(plannedHook),
    });
  },

  releaseDeletionHooks: (context, _event, at) => {
    const { next } = context.deletion!;
    if (next?.kind !== "release") return [];
    return applyStep(context, {
      ...deletionStep(context, at),
      phase: next.phase,
      releases: deletionReleases(context, next),
    });
  },

  publishTransition: (context, _event, at) =>
    context.transition ? applicationChanged(context, context.transition.from, context.transition.to, at) : [],

  // A deletion changes no state until its end.
  publishDeletion: (context, _event, at) => applicationChanged(context, "Deleting", "Deleting", at),

  // Ended before it began, it changed no state; whoever asked for it is told all the same.
  publishRefusal: (context, _event, at) =>
    context.refused ? applicationChanged(context, context.reported, context.reported, at) : [],

  // A heal at once is told like the sync it was, though the machine never left Synced.
  publishHeal: (context, _event, at) => [
    ...applicationChanged(context, "Synced", "OutOfSync", context.since),
    ...applicationChanged(context, "OutOfSync", "Syncing", context.since),
    ...applicationChanged(context, "Syncing", "Synced", at),
  ],

  writeStatus: () => [{ kind: "write", urgency: "now" }],
  writeSoon: () => [{ kind: "write", urgency: "soon" }],

  measurePass: (context) => [
    { kind: "measure", what: "pass", result: context.verdict, seconds: hopSeconds(context.timings) },
  ],
  measureOperation: (context) => [
    {
      kind: "measure",
      what: "operation",
      result: context.operationState?.phase ?? "",
      seconds: hopSeconds({ predictMs: context.timings.predictMs, applyMs: context.timings.applyMs }),
    },
  ],
};

function operationStep(context: Context, at: number) {
  const operation = context.operation!;
  return {
    ...request(context, operation.requestId, operation.lane, at, STEP_DEADLINE_MS),
    operationId: operation.id,
    epoch: operation.epoch,
    target: target(context, operation.render.manifestsDigest),
    propagation: operation.options.propagation,
  };
}

function deletionStep(context: Context, at: number) {
  const { deletion, view } = context;
  return {
    ...request(context, deletion!.requestId, "now", at, STEP_DEADLINE_MS),
    operationId: `${view.ref.uid.slice(0, 8)}-${deletion!.requestId}`,
    epoch: context.epoch,
    phase: "Sync" as const,
    wave: 0,
    target: bareTarget(context, context.emptyManifestsDigest),
    purpose: "delete" as const,
    apply: [],
    prune: [],
    createNamespace: false,
    propagation: view.deletion?.cascade ?? ("Foreground" as const),
  };
}

const createsNamespace = (context: Context, wanted: boolean): boolean =>
  wanted && (context.comparison?.namespaceMissing ?? false);

const hopSeconds = (timings: Context["timings"]): Record<string, number> =>
  Object.fromEntries(
    Object.entries(timings)
      .filter(([, ms]) => typeof ms === "number")
      .map(([hop, ms]) => [hop.replace(/Ms$/, ""), Number(ms) / 1000]),
  );
