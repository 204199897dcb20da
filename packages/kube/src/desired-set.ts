// DesiredSet: a rendered set as one Application means it for one cluster: scopes asked of discovery, namespaces
// settled, tracking set, hashes taken. The differ and the syncer both make it, from the same blob, so that both speak
// of the same objects and the same hashes.
import { failure, type Failure } from "@driftless/contracts/failure";
import type { AppRef, ObjectKey } from "@driftless/contracts/identity";
import type { IgnoreRule, Target } from "@driftless/contracts/pipeline/4-diff";
import { isExcluded } from "@driftless/manifests/resource-filter";
import { unusual, type ApplyOptions } from "@driftless/manifests/apply-options";
import { readAnnotations } from "@driftless/manifests/annotations";
import { customKindOf, type CustomKind } from "@driftless/manifests/custom-kind";
import { rulesDigest, rulesFor } from "@driftless/manifests/ignore-rule";
import {
  HOOK_FINALIZER,
  HOOK_RUN,
  hookWish,
  isDeletePhase,
  type HookDeletePolicy,
  type HookPhase,
} from "@driftless/manifests/hooks";
import { manifestKey, prepare, type Manifest, type PreparedManifest } from "@driftless/manifests/manifest";
import { applyOrder, slotOf, type Ordered, type Slot } from "@driftless/manifests/order";
import { groupOf, keyForPeople, keyText, versionOf, type ResourceKey } from "@driftless/manifests/resource-key";
import type { Tracking } from "@driftless/manifests/tracking";
import { unsupportedIn } from "@driftless/manifests/unsupported";
import type { Discovery, ResourceLookup } from "./discovery.ts";
import { clusterFailure } from "./cluster-failure.ts";
import { NAMESPACES, type ApiResource } from "./resource.ts";

export interface DesiredObject {
  prepared: PreparedManifest;
  resource: ApiResource;
  /** The cluster does not know the kind yet; its CRD is in the same set, or whatever brings it is waited for. */
  kindPending: boolean;
  /** Nothing of the kind is known but its name: that it is namespaced is a guess, to be checked before anything is sent. */
  isGuessed?: boolean;
  /** Its own over the Application's; absent where it is applied as usual. */
  options?: ApplyOptions;
  /** The destination namespace, only for its labels and annotations. */
  isUnlisted?: boolean;
  /** For a CRD: the kind it brings. */
  defines?: CustomKind;
  /** What of it does not count; a part of its hash. Absent where everything does. */
  rules?: IgnoreRule[];
  /** When it is applied, absent for the Sync phase's wave 0. */
  slot?: Slot;
}

/** Run as part of a sync or of its Application's deletion, not kept. */
export interface DesiredHook extends DesiredObject {
  /** Its place in the rendered set. */
  index: number;
  /** Then its key has no name until it is run. */
  generateName?: string;
  phases: HookPhase[];
  wave: number;
  deletePolicies: HookDeletePolicy[];
  /** As it is made for one run: under a settled name, marked with the run, and held until its result is written down. */
  preparedFor(name: string, run: string): PreparedManifest;
}

/** An object whose kind cannot be told now: its scope, hence its key, is a guess. */
export interface UnresolvedObject {
  key: ObjectKey;
  hook?: boolean;
  failure: Failure;
}

export interface ExcludedObject {
  key: ResourceKey;
  file: string;
  line: number;
}

export interface DesiredSet {
  objects: DesiredObject[];
  hooks: DesiredHook[];
  /** In the set, but neither applied nor run; not to be pruned either. */
  skipped: ResourceKey[];
  unresolved: UnresolvedObject[];
  /** Of kinds that are left alone: in Git, and nothing is made of it. */
  excluded: ExcludedObject[];
  /** Of the set as a whole: nothing of it may be applied. */
  failures: Failure[];
  /** Objects that stand in it more than once; the last one of each is the one that counts. */
  repeated: Failure[];
}

const PLACES_TOLD_MAX = 4;

export interface DesiredOptions {
  manifests: readonly Manifest[];
  app: Pick<AppRef, "name" | "namespace">;
  target: Target;
  discovery: Discovery;
  /** Of the destination's cluster. */
  server: string;
}

export async function resolveDesired(options: DesiredOptions): Promise<DesiredSet> {
  const { manifests, target, discovery } = options;
  const destinationNamespace = target.destination.namespace ?? "";
  const app = {
    name: options.app.name,
    namespace: options.app.namespace,
    controlPlaneNamespace: target.controlPlaneNamespace,
  };
  const defined = manifests.map(customKindOf);
  const isLeftAlone = ({ apiVersion, kind }: Manifest) =>
    isExcluded({ group: groupOf(apiVersion), kind }, options.server, target.resourceFilter);
  let lookups = await lookUpKinds(manifests, defined, discovery);
  if (
    manifests.some((manifest) =>
      isWaitedFor(manifest, lookups.get(kindText(manifest.apiVersion, manifest.kind))!, target),
    )
  ) {
    // Nothing is guessed of what may be known by now.
    discovery.invalidate();
    lookups = await lookUpKinds(manifests, defined, discovery);
  }
  const set: DesiredSet = {
    objects: [],
    hooks: [],
    skipped: [],
    unresolved: [],
    excluded: [],
    failures: [],
    repeated: [],
  };
  const all = new Map<string, Manifest[]>();
  const kept = new Map<string, DesiredObject | DesiredHook>();

  for (const [index, manifest] of manifests.entries()) {
    const where = { file: manifest.file, line: manifest.line };
    if (isLeftAlone(manifest)) {
      set.excluded.push({ key: manifestKey(manifest, "Namespaced", destinationNamespace), ...where });
      continue;
    }
    for (const { path } of unsupportedIn(manifest.metadata)) {
      const text = `${manifest.kind} ${nameOf(manifest)} asks for ${path}, which is not supported yet.`;
      set.failures.push(failure("UNSUPPORTED_FIELD", text, { ...where, path }));
    }
    const wish = hookWish(manifest.metadata["annotations"]);
    const { generateName } = manifest.metadata;
    const isGenerated = wish.kind !== "none" && typeof generateName === "string" && generateName !== "";
    if (nameOf(manifest) === "" && !isGenerated) {
      set.failures.push(failure("MANIFEST_INVALID", `A ${manifest.kind} has no metadata.name.`, where));
      continue;
    }
    const found = lookups.get(kindText(manifest.apiVersion, manifest.kind))!;
    const lookup = isWaitedFor(manifest, found, target) ? guessedKind(manifest) : found;
    if (lookup.kind === "failed") {
      const key = manifestKey(manifest, "Namespaced", destinationNamespace);
      const version = versionOf(manifest.apiVersion);
      set.unresolved.push({
        key: { ...key, version },
        ...(wish.kind === "hook" && { hook: true }),
        failure: { ...lookup.failure, ...where },
      });
      continue;
    }
    const scope = lookup.resource.namespaced ? "Namespaced" : "Cluster";
    const prepareOptions = { app, destinationNamespace, scope, ...trackingIn(target) } as const;
    const prepared = prepare(manifest, prepareOptions);
    if (wish.kind === "skip") {
      set.skipped.push(prepared.key);
      continue;
    }
    // A generated name is another for each run, so that two of them are two hooks.
    const id = prepared.key.name === "" ? `hook ${index}` : keyText(prepared.key);
    const same = all.get(id);
    if (same) same.push(manifest);
    else all.set(id, [manifest]);
    const object: DesiredObject = {
      prepared,
      resource: lookup.resource,
      kindPending: lookup.pending,
      ...(lookup.isGuessed && { isGuessed: true }),
      ...optionsOf(prepared, target),
      ...(defined[index] && { defines: defined[index] }),
    };
    if (wish.kind === "none") {
      kept.set(id, withRules(object, target.ignoreDifferences ?? []));
      continue;
    }
    kept.set(id, {
      ...object,
      index,
      phases: wish.phases,
      wave: prepared.annotations.syncWave,
      deletePolicies: wish.deletePolicies,
      ...(prepared.key.name === "" && { generateName: String(generateName) }),
      preparedFor: (name, run) => prepare(markedHook(manifest, name, run), prepareOptions),
    });
  }
  for (const one of kept.values()) {
    if ("phases" in one) set.hooks.push(one);
    else set.objects.push(one);
  }
  for (const [id, manifests] of all) {
    if (manifests.length > 1) set.repeated.push(repeated(kept.get(id)!.prepared.key, manifests));
  }
  const namespace = managedNamespace(options, set);
  if (namespace) set.objects.push(namespace);
  setSlots(set);
  return set;
}

const trackingIn = ({ trackingMethod, instanceLabelKey, installationId }: Target): Tracking => ({
  trackingMethod,
  instanceLabelKey,
  installationId,
});
function optionsOf({ annotations }: PreparedManifest, target: Target): Pick<DesiredObject, "options"> {
  const options = unusual(annotations.applyOptions, target.applyOptions);
  return options ? { options } : {};
}

/** For `managedNamespaceMetadata`; a Namespace of that name in the set itself takes precedence, as in Argo CD. */
function managedNamespace({ app, target }: DesiredOptions, set: DesiredSet): DesiredObject | undefined {
  const name = target.destination.namespace ?? "";
  const isInSet = ({ key }: { key: ResourceKey }) => key.kind === "Namespace" && key.group === "" && key.name === name;
  if (!target.managedNamespace || name === "" || set.objects.some(({ prepared }) => isInSet(prepared)))
    return undefined;
  const manifest: Manifest = {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name, ...target.managedNamespace },
    body: "",
    images: [],
    file: "spec.syncPolicy.managedNamespaceMetadata",
    line: 0,
    warnings: [],
  };
  const prepared = prepare(manifest, {
    app: { ...app, controlPlaneNamespace: target.controlPlaneNamespace },
    destinationNamespace: name,
    scope: "Cluster",
    ...trackingIn(target),
    isUntracked: true,
  });
  return { prepared, resource: NAMESPACES, kindPending: false, isUnlisted: true };
}

/** As Argo CD says it, and where they stand. */
function repeated(key: ResourceKey, manifests: readonly Manifest[]): Failure {
  const places = manifests.slice(-PLACES_TOLD_MAX).map(place);
  const times = `Resource ${keyForPeople(key)} appeared ${manifests.length} times among application resources`;
  return failure("DUPLICATE_RESOURCE", `${times}, in ${places.join(" and ")}; the last one counts.`);
}

function withRules(object: DesiredObject, all: readonly IgnoreRule[]): DesiredObject {
  const { prepared } = object;
  const rules = rulesFor(all, prepared.key);
  if (rules.length === 0) return object;
  return { ...object, rules, prepared: { ...prepared, desiredHash: `${prepared.desiredHash}.${rulesDigest(rules)}` } };
}

function markedHook(manifest: Manifest, name: string, run: string): Manifest {
  const { generateName: _generateName, annotations, finalizers, ...metadata } = manifest.metadata;
  const others = Array.isArray(finalizers) ? finalizers.filter((one) => one !== HOOK_FINALIZER) : [];
  return {
    ...manifest,
    metadata: {
      ...metadata,
      name,
      annotations: { ...(annotations as Record<string, unknown> | undefined), [HOOK_RUN]: run },
      finalizers: [...others, HOOK_FINALIZER],
    },
  };
}

/** Phases and waves; a Namespace or CRD that comes later than what needs it is lifted before it. */
function setSlots(set: DesiredSet): void {
  const waves = set.objects.some(({ prepared }) => prepared.annotations.syncWave !== 0);
  if (!waves && set.hooks.length === 0) return;
  const items: (Ordered & { object?: DesiredObject; defines?: CustomKind })[] = set.objects.map((object) => ({
    key: object.prepared.key,
    wave: object.prepared.annotations.syncWave,
    object,
    defines: object.defines,
  }));
  for (const hook of set.hooks) {
    const { key } = hook.prepared;
    for (const phase of hook.phases) if (!isDeletePhase(phase)) items.push({ key, phase, wave: hook.wave });
  }
  for (const item of applyOrder(items, ({ defines }) => defines)) {
    if (item.object) item.object.slot = slotOf(item);
  }
}

type KindLookup =
  | { kind: "found"; resource: ApiResource; pending: boolean; isGuessed?: boolean }
  | { kind: "failed"; failure: Failure };

/** SkipDryRunOnMissingResource: whatever brings the kind may come with the sync itself. */
const isWaitedFor = ({ metadata }: Manifest, lookup: KindLookup, { applyOptions }: Target): boolean =>
  lookup.kind === "failed" &&
  lookup.failure.code === "KIND_UNKNOWN" &&
  unusual(readAnnotations(metadata["annotations"]).applyOptions, applyOptions)?.skipDryRunOnMissingResource === true;

function guessedKind({ apiVersion, kind }: Manifest): KindLookup {
  const version = versionOf(apiVersion);
  const resource = { group: groupOf(apiVersion), version, kind, plural: "", namespaced: true, verbs: [], versions: [] };
  return { kind: "found", resource, pending: true, isGuessed: true };
}

async function lookUpKinds(
  manifests: readonly Manifest[],
  defined: readonly (CustomKind | undefined)[],
  discovery: Discovery,
): Promise<Map<string, KindLookup>> {
  const kinds = new Map(manifests.map((m) => [kindText(m.apiVersion, m.kind), m]));
  const found = await Promise.all(
    [...kinds].map(async ([id, { apiVersion, kind }]): Promise<[string, KindLookup]> => {
      const group = groupOf(apiVersion);
      const version = versionOf(apiVersion);
      const own = defined.find((d) => d?.group === group && d.kind === kind && d.versions.includes(version));
      const lookup = await discovery.resourceFor(group, kind, version);
      return [id, kindLookup(lookup, own, { group, kind, version })];
    }),
  );
  return new Map(found);
}

function kindLookup(
  lookup: ResourceLookup,
  own: CustomKind | undefined,
  { group, kind, version }: { group: string; kind: string; version: string },
): KindLookup {
  switch (lookup.kind) {
    case "ok":
      return { kind: "found", resource: lookup.resource, pending: false };
    case "error":
      return { kind: "failed", failure: clusterFailure(lookup.error, `${kind} (${group || "core"}/${version})`) };
    case "absent": {
      if (!own) {
        const text = `The cluster has no kind ${kind} in ${group === "" ? version : `${group}/${version}`}.`;
        return { kind: "failed", failure: failure("KIND_UNKNOWN", text) };
      }
      const { plural, namespaced, versions } = own;
      return {
        kind: "found",
        pending: true,
        resource: { group, version, kind, plural, namespaced, verbs: [], versions },
      };
    }
  }
}

const kindText = (apiVersion: string, kind: string): string => `${apiVersion}/${kind}`;
const nameOf = ({ metadata: { name } }: Manifest): string => (typeof name === "string" ? name : "");
const place = (manifest: Manifest): string => `${manifest.file}:${manifest.line}`;
