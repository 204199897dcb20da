// Steps of the refresh region (pure): what a pass through fetch, render and diff makes of the context.
import { failure, failureText, isPassing, type Failure } from "@driftless/contracts/failure";
import type { Cause, ObjectKey } from "@driftless/contracts/identity";
import type { MessageOf } from "@driftless/contracts/message";
import type { ComparedObject, DiffComputed } from "@driftless/contracts/pipeline/4-diff";
import type { Prediction } from "@driftless/contracts/pipeline/5-sync";
import { fnv1a32 } from "@driftless/contracts/subject";
import { isNewer } from "@driftless/kube/resource-version";
import { keyText } from "@driftless/manifests/resource-key";
import { keyOf, mergeWishes, type Context, type ObjectState, type Operation, type Pass } from "./context.ts";
import { unsupportedInOperation } from "./unsupported.ts";
import { decide, verdictOf } from "./decision.ts";
import { othersChanged } from "./depends-on.ts";
import type { AppEvent, EventOf, Wish } from "./events.ts";
import { isAllowed, projectDenial } from "./gate.ts";
import { LOCAL_WITH_AUTOMATION, wrongManifests } from "./local-manifests.ts";
import { INFO, isFieldOfRunning, requestedBy } from "./operation-record.ts";
import { orphansWarning } from "./orphans.ts";
import { follows, inputsDigestOf, observedOf, revisionsOf, type Render } from "./render.ts";
import { rendered, wrongRevisions } from "./sources.ts";
import { nextIndex, ofSource, seenBy, timed, turnOf } from "./turns.ts";
import type { AppView } from "./view.ts";
import { endHeld } from "./window-wait.ts";

export const rfc3339 = (at: number): string => new Date(at).toISOString();

/** Kubernetes' own precision, for what Argo CD's clients parse. */
export const seconds = (at: number): string => `${new Date(at).toISOString().slice(0, 19)}Z`;

export const requestId = (context: Context): string => `${context.nonce}-${context.seq + 1}`;

/** How many hops back one pass may take before it gives up: bodies that vanish at once never end it otherwise. */
export const HOPS_BACK_MAX = 5;

/** How often a render may ask for more: each asking may show another base or value file that names the next. */
export const NEEDS_MAX = 20;

const cause = (kind: Cause["kind"], at: number, more: Omit<Cause, "kind" | "at"> = {}): Cause => ({
  kind,
  at: rfc3339(at),
  ...more,
});

export function wish(
  kind: Cause["kind"],
  at: number,
  more: Omit<Cause, "kind" | "at"> = {},
  over: Partial<Wish> = {},
): Wish {
  return {
    causes: [cause(kind, at, more)],
    hard: false,
    freshness: "observed",
    from: "fetch",
    lane: "now",
    since: at,
    ...over,
  };
}

export function want(context: Context, wished: Wish): Partial<Context> {
  // What cannot be done anyway is not remembered; a change of the Application brings its own wish.
  return context.view.desired ? { wish: mergeWishes(context.wish, wished) } : {};
}

export function onSourceChanged(context: Context, event: EventOf<"SourceChanged">): Partial<Context> {
  const { repository, observation, revision, cause: why } = event.message;
  if (observation <= observedOf(context.render, repository)) return {};
  const seen = Math.max(context.observationSeen[repository] ?? 0, observation);
  return {
    observationSeen: { ...context.observationSeen, [repository]: seen },
    ...want(context, {
      causes: [why],
      hard: false,
      freshness: "observed",
      from: "fetch",
      lane: "now",
      since: Math.min(event.at, Date.parse(why.at) || event.at),
      observation,
      repository,
      revision,
    }),
  };
}

/** A new state of the Application itself: what somebody changed is compared with what was known. */
export function updateView(context: Context, view: AppView, at: number): Partial<Context> {
  const before = context.view;
  const next: Context = { ...context, view };
  const changes: Partial<Context> = { view, refused: false };
  let wished = context.wish;
  const add = (more: Wish) => {
    if (view.desired) wished = mergeWishes(wished, more);
  };
  if (!view.desired && context.operation) changes.former = before.desired ?? context.former;
  if (view.sourceHash !== before.sourceHash) changes.render = undefined;
  if (view.desiredHash !== before.desiredHash) {
    add(wish("spec", at, { detail: "spec changed" }));
    if (!view.desired) wished = undefined;
  }
  if (othersChanged(context, before.awaited, view.awaited)) {
    add(wish("dependency", at, { detail: "what it depends on has changed" }, { from: "diff" }));
  }
  if (view.refresh !== undefined && view.refresh !== context.takenRefresh) {
    Object.assign(changes, forgetRefresh(context), { takenRefresh: view.refresh });
    if (view.desired) {
      const [mode] = view.refresh.split(" ");
      const hard = mode === "hard";
      add(wish("refresh", at, { detail: `annotation refresh: ${mode}` }, { freshness: "latest", hard }));
    } else {
      changes.answeredRefresh = view.refresh;
    }
  }
  if (view.refresh === undefined) Object.assign(changes, forgetRefresh(context));
  // The next one may say the very same.
  if (view.operation === undefined) changes.takenOperationHash = "";
  const ended = endHeld(next, view, at);
  if (ended) {
    Object.assign(changes, ended);
    add(wish("user", at, { detail: "operation terminated" }, { from: "diff" }));
  }
  Object.assign(changes, takeRequest({ ...next, ...changes }, at));
  if (changes.request && changes.request !== context.request && !ended) {
    const by = changes.request.field.initiatedBy?.username || changes.request.requestedBy;
    add(wish("user", at, { by, detail: "sync requested" }, { freshness: "latest" }));
  }
  changes.wish = wished;
  return changes;
}

/** What was asked for before is over: neither it nor a look that began with it answers what is asked for next. */
export const forgetRefresh = ({ pass }: Context): Partial<Context> => ({
  takenRefresh: undefined,
  answeredRefresh: undefined,
  ...(pass?.refreshAnnotation !== undefined && { pass: { ...pass, refreshAnnotation: undefined } }),
});

/** The `operation` field: taken as a request, or refused by ending it, never left hanging. */
export function takeRequest(context: Context, at: number): Partial<Context> {
  const { view } = context;
  if (!view.operation || view.operationHash === context.takenOperationHash) return {};
  if (isFieldOfRunning(view)) return { takenOperationHash: view.operationHash };
  if (context.request) return {};
  const refuse = (failures: readonly Failure[]): Partial<Context> => ({
    takenOperationHash: view.operationHash,
    refused: true,
    operationState: endedBeforeBegin(withWriter(view), failures, at),
  });
  // While one is running its record stays; this one is looked at again when that has ended.
  if (context.operation) return {};
  if (!view.operation.sync) return refuse([NO_OPERATION]);
  const paths = unsupportedInOperation(view.operation);
  if (paths.length > 0)
    return refuse(paths.map((path) => failure("UNSUPPORTED_FIELD", `not honoured yet: ${path}`, { path })));
  if (!view.desired) return refuse(view.blocked);
  if (view.requested && view.requested.failures.length > 0) return refuse(view.requested.failures);
  const { sources, isMultiSource } = view.requested?.desired ?? view.desired;
  const wrong = wrongRevisions(view.operation, sources, isMultiSource);
  if (wrong.length > 0) return refuse(wrong);
  const notManifests = wrongManifests(view.requested?.manifests ?? []);
  if (notManifests.length > 0) return refuse(notManifests);
  if (view.requested?.manifests && view.desired.automated && !view.operation.sync.dryRun) {
    return refuse([failure("SPEC_INVALID", LOCAL_WITH_AUTOMATION, { path: "operation.sync.manifests" })]);
  }
  return {
    takenOperationHash: view.operationHash,
    request: {
      field: view.operation,
      automated: view.operation.initiatedBy?.automated ?? false,
      ...requestedBy(view.operationBy),
      ...(view.requested && { source: view.requested }),
    },
  };
}

/** In Argo CD's words. */
const NO_OPERATION = failure("SPEC_INVALID", "Invalid operation request: no operation specified", {
  path: "operation",
});

/** A refused one says as well who wrote it. */
function withWriter({ operation, operationBy }: AppView): NonNullable<AppView["operation"]> {
  if (!operationBy) return operation!;
  const others = (operation!.info ?? []).filter(({ name }) => name !== INFO.requestedBy);
  return { ...operation, info: [...others, { name: INFO.requestedBy, value: operationBy }] };
}

export function endedBeforeBegin(
  operation: NonNullable<AppView["operation"]>,
  failures: readonly Failure[],
  at: number,
  startedAt = seconds(at),
): NonNullable<Context["operationState"]> {
  const message = failures.map(failureText).join("; ");
  return { operation, phase: "Error", message, startedAt, finishedAt: seconds(at) };
}

/** Begins the pass that is wished for. */
export function beginPass(context: Context, at: number): Partial<Context> {
  const wished = context.wish!;
  const desired = context.view.desired!;
  const { request, operation } = context;
  const source = (operation?.retryDue ? operation : request)?.source;
  const wanted = source?.desired
    ? { desired: source.desired, sourceHash: source.sourceHash, manifests: source.manifests }
    : { desired, sourceHash: context.view.sourceHash };
  const { sources } = wanted.desired;
  const render = context.render?.sourceHash === wanted.sourceHash ? context.render : undefined;
  const retried = operation?.retryDue && !refreshes(operation) ? operation : undefined;
  const { revision = "", revisions = [revision] } = request?.field.sync ?? {};
  const named = retried ? revisionsOf(retried.render) : revisions;
  const targetRevisions = sources.map((one, n) => named[n] || one.source.targetRevision);
  const pinned =
    source !== undefined || targetRevisions.some((target, n) => target !== sources[n]!.source.targetRevision);
  // What was observed before Git failed would be taken for its being back.
  const freshness = context.failed?.ofSource ? "latest" : wished.freshness;
  const pass: Pass = {
    causes: wished.causes,
    since: wished.since,
    hard: wished.hard,
    freshness,
    lane: wished.lane,
    targetRevisions,
    pinned,
    requestId: "",
    sentAt: at,
    wanted,
    turn: turnOf(nextIndex(sources, []) ?? 0, freshness),
    extras: (render?.sources ?? []).map(({ extraPaths, charts }) => ({ extraPaths, charts })),
    sources: [],
    hopsBack: 0,
    render: retried?.render,
    ...(request && { request }),
    timings: {},
    refreshAnnotation: context.takenRefresh,
  };
  const asked = rendered(sources);
  asked.push(...context.asked.slice(asked.length));
  return { wish: undefined, pass, asked, ...(wished.hard ? { render: undefined } : {}) };
}

/** An attempt takes what is newest then, instead of what the first one took. */
export const refreshes = ({ field }: Pick<Operation, "field">): boolean => field.retry?.refresh === true;

/**
 * Where a pass may begin: at the comparison when only the cluster may have changed. Not while it is told that the source
 * is broken: what was rendered last would be taken for what is desired, and the error would be gone from sight.
 */
export function beginsAtDiff(context: Context): boolean {
  const { wish: wished, operation, request, failed } = context;
  if (operation?.retryDue) return !refreshes(operation);
  return wished?.from === "diff" && request === undefined && !(failed?.ofSource && failed.shown) && followsGit(context);
}

/** The newest commit has the very inputs that failed. */
export function failBroken(context: Context, event: EventOf<"SourceFetched">): Partial<Context> {
  const pass = { ...context.pass!, timings: timed(context, "fetchMs", event.at) };
  return {
    observationSeen: seenBy(context, event.message),
    ...failPass({ ...context, pass }, [ofSource(context, context.broken!.failure)], event.at),
  };
}

/** A new request of the pass is about to be sent. */
export const send = (context: Context, at: number): Partial<Context> => ({
  seq: context.seq + 1,
  pass: { ...context.pass!, requestId: requestId(context), sentAt: at },
});

/** What was rendered last is what the Application follows, not what an operation named. */
export const followsGit = ({ view, render }: Context): boolean =>
  render !== undefined && render.sourceHash === view.sourceHash && follows(render, view.desired?.sources ?? []);

export const renderOf = (context: Context): Render => (context.pass?.render ?? context.render)!;

export function acceptDiff(context: Context, event: EventOf<"DiffComputed">): Partial<Context> {
  const { message } = event;
  const { view } = context;
  const pass = { ...context.pass!, timings: timed(context, "diffMs", event.at), render: renderOf(context) };
  const { server, images, namespaceMissing } = message;
  const comparison = { server, images, namespaceMissing };
  return {
    pass,
    objects: comparedObjects({ ...context, comparison }, message),
    hooks: message.hooks ?? [],
    comparison,
    warnings: pass.render.sources.flatMap(({ warnings }) => warnings),
    diffWarnings: [...message.warnings, ...orphansWarning(orphansOf({ ...context, comparison }, message))],
    inventory: view.desired ? message.objects.filter(({ unlisted }) => !unlisted).map(keyOf) : context.inventory,
  };
}

/** Those that an Application of the project might have. */
const orphansOf = (context: Context, { orphans = [] }: MessageOf<typeof DiffComputed>): ObjectKey[] =>
  orphans.filter((key) => isAllowed(context, key));

function comparedObjects(context: Context, message: MessageOf<typeof DiffComputed>): ObjectState[] {
  const known = new Map(context.objects.map((object) => [keyText(object.key), object]));
  const objects: ObjectState[] = [];
  for (const compared of message.objects) {
    if (isAllowed(context, compared)) {
      objects.push(withNewerHealth(stateOf(compared), known.get(keyText(compared))));
      continue;
    }
    // What the project does not allow and is in the cluster cannot be seen, not even to be pruned.
    if (compared.verdict === "Extra") continue;
    const { live: _live, health: _health, ...unseen } = stateOf(compared);
    objects.push({ ...unseen, status: "Unknown", predicted: true, failure: projectDenial(context, compared) });
  }
  return objects;
}

/** Facts and answers come by different ways: a watch event may already have told more than the comparison knew. */
function withNewerHealth(state: ObjectState, before: ObjectState | undefined): ObjectState {
  if (!state.live || !before?.live || before.live.uid !== state.live.uid) return state;
  return isNewer(before.live.resourceVersion, state.live.resourceVersion) ? { ...state, health: before.health } : state;
}

function stateOf(compared: ComparedObject): ObjectState {
  const { verdict } = compared;
  return {
    key: keyOf(compared),
    status: verdict === "Synced" ? "Synced" : verdict === "Unknown" ? "Unknown" : "OutOfSync",
    live: compared.live,
    health: compared.health,
    ...(compared.healthIgnored && { healthIgnored: true }),
    extra: verdict === "Extra",
    keep: compared.keep,
    ...(compared.healthTimeout !== undefined && { healthTimeout: compared.healthTimeout }),
    consents: compared.consents,
    ...(compared.phase && { phase: compared.phase }),
    ...(compared.wave && { wave: compared.wave }),
    ...(compared.pruneLast && { pruneLast: true }),
    ...(compared.hook && { hook: true }),
    ...(compared.ruled && { ruled: true }),
    ...(compared.extraneous && { extraneous: true }),
    ...(compared.unlisted && { unlisted: true }),
    ...(compared.remade && { remade: true }),
    predicted: verdict === "Synced" || verdict === "Extra" || verdict === "Unknown",
    fields: [],
    managers: [],
    message: compared.reason,
    failure: compared.failure,
  };
}

/** Objects whose status only the API server can tell. */
export const suspects = (objects: readonly ObjectState[]): ObjectState[] =>
  objects.filter((object) => !object.predicted && object.live !== undefined);

/**
 * Whether the pass has to ask before it can say more. An app that will be synced anyway (something is missing or to
 * be pruned) is asked about in the sync's own dry-run step instead: one question less.
 */
export function needsPrediction(context: Context): boolean {
  if (suspects(context.objects).length === 0) return false;
  if (context.operation || context.deletion) return false;
  const certain = context.objects.filter((object) => object.predicted || object.live === undefined);
  const decision = decide(
    {
      ...context,
      render: renderOf(context),
      objects: certain,
      verdict: verdictOf(certain),
      lookedFor: context.pass?.request,
    },
    context.now,
  );
  return decision.kind !== "sync";
}

export function applyPredictions(objects: readonly ObjectState[], predictions: readonly Prediction[]): ObjectState[] {
  const byKey = new Map(predictions.map((prediction) => [keyText(prediction), prediction]));
  return objects.map((object) => {
    const prediction = byKey.get(keyText(object.key));
    if (!prediction) return object;
    const same = prediction.outcome === "same";
    return {
      ...object,
      status: same ? "Synced" : "OutOfSync",
      predicted: true,
      live: prediction.live ?? object.live,
      fields: same ? [] : prediction.fields,
      managers: same ? [] : prediction.managers,
      failure: prediction.failure,
      message: prediction.failure?.message ?? object.message,
    };
  });
}

export function acceptPrediction(context: Context, event: EventOf<"StepPredicted">): Partial<Context> {
  return {
    objects: applyPredictions(context.objects, event.message.objects),
    pass: { ...context.pass!, timings: timed(context, "predictMs", event.at) },
  };
}

/** The pass is over and good. */
export function concludePass(context: Context, at: number): Partial<Context> {
  const pass = context.pass!;
  const render = pass.render!;
  const unreadable = context.objects.filter((object) => object.status === "Unknown" && object.failure);
  const failures = unreadable.map((object) => object.failure!).slice(0, 10);
  const attempts = (context.failed?.attempts ?? 0) + 1;
  return {
    render,
    lookedFor: pass.request,
    verdict: verdictOf(context.objects),
    verdictPending: true,
    failed:
      failures.length > 0
        ? { failures, since: context.failed?.since ?? at, attempts, shown: true }
        : // Git was not asked, so nothing is known of its being back.
          pass.sources.length === 0 && context.failed?.ofSource
          ? context.failed
          : undefined,
    causes: pass.causes,
    since: pass.since,
    timings: pass.timings,
    answeredRefresh: pass.refreshAnnotation ?? context.answeredRefresh,
    now: at,
  };
}

/** The pass is over and failed; what was known stays, nothing is pruned. */
export function failPass(context: Context, failures: readonly Failure[], at: number): Partial<Context> {
  const since = context.failed?.since ?? at;
  const pass = context.pass;
  // A Git server or a cluster that is away for a moment says nothing about the app: its last status stays for a while.
  const transient = failures.every((one) => isPassing(one));
  const request = context.request;
  const ended = request && request === pass?.request && !(request.resumed && transient);
  return {
    failed: {
      failures,
      since,
      attempts: (context.failed?.attempts ?? 0) + 1,
      shown: !transient || at - since >= context.view.policy.graceMs,
      ...(pass?.render === undefined && { ofSource: true }),
    },
    verdict: !transient || at - since >= context.view.policy.graceMs ? "Unknown" : context.verdict,
    verdictPending: false,
    causes: pass?.causes ?? [],
    since: pass?.since ?? at,
    timings: pass?.timings ?? {},
    answeredRefresh: pass?.refreshAnnotation ?? context.answeredRefresh,
    // Something else is watched for now; what was is to be said again.
    watched: [],
    pass: undefined,
    ...(ended
      ? {
          request: undefined,
          refused: true,
          operationState: endedBeforeBegin(request.field, failures, at, request.resumed?.startedAt || undefined),
        }
      : { refused: false }),
    now: at,
  };
}

/** Failures of an event that ends a pass, or of its deadline. */
export function failuresOf(context: Context, event: AppEvent, hop: string): readonly Failure[] {
  switch (event.type) {
    case "SourceFetchFailed":
    case "RenderFailed":
      return [ofSource(context, event.message.failure)];
    case "StepFailed":
      return [event.message.failure];
    case "DiffFailed":
      return event.message.failures.length > 0 ? event.message.failures : [event.message.failure];
    case "SourceChanged":
    case "SourceFetched":
    case "ManifestsRendered":
    case "DiffComputed":
    case "LiveChanged":
    case "StepPredicted":
    case "StepApplied":
    case "Look":
    case "ApplicationUpdated":
    case "OperationRecorded":
    case "StageRecorded":
    case "RefreshAnswered":
    case "FetcherStarted":
    case "Verdict":
    case "PassFailed":
      return [failure("INTERNAL", `hop ${hop} was given up`)];
    case "ClusterDescribed":
      return [event.message.failure ?? failure("INTERNAL", "the cluster was not described")];
    case "RenderNeedsFiles":
      return [
        ofSource(
          context,
          failure(
            "RENDER_LIMIT",
            `the render asked for more files ${NEEDS_MAX} times: ${event.message.paths.slice(0, 3).join(", ")}`,
          ),
        ),
      ];
    default:
      // The deadline's own event, whose name is XState's.
      return [failure("DEADLINE_EXCEEDED", `no answer to ${hop} in time`)];
  }
}

/** In [0, 1), the same for an app each time and spread over all of them. */
export const spreadOf = (context: Context): number => (fnv1a32(`${context.view.ref.uid}${context.seq}`) % 1000) / 1000;

export function noteWatched(context: Context): Partial<Context> {
  const { view, pass } = context;
  if (!view.desired || pass?.pinned) return {};
  const watched = watchKeys(context);
  return watched.length === 0 ? {} : { watched, asked: rendered(view.desired.sources) };
}

/** What makes another WatchSource necessary, by source; nothing for those that are not watched themselves. */
export function watchKeys({ view, render }: Context): (string | undefined)[] {
  if (!view.desired || !render || render.sourceHash !== view.sourceHash) return [];
  return view.desired.sources.map(({ source, renders }, n) => {
    const rendered = render.sources[n]!;
    if (!renders) return undefined;
    // A chart is followed by what its version leads to, whatever is read of it.
    const version =
      source.chart || source.repoURL.startsWith("oci://") ? [rendered.revision, rendered.chartDigest] : [];
    const { pollIntervalMs, pollJitterMs } = view;
    const inputsDigest = inputsDigestOf(rendered);
    return [view.sourceHash, source.targetRevision, inputsDigest, pollIntervalMs, pollJitterMs, ...version].join("|");
  });
}
