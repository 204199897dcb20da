// DesiredSet: a rendered set as one Application means it for one cluster: scopes asked of discovery, namespaces
// settled, tracking set, hashes taken. The differ and the syncer both make it, from the same blob, so that both speak
// of the same objects and the same hashes.
import { failure, type Failure } from "@driftless/contracts/failure";
import type { AppRef, ObjectKey } from "@driftless/contracts/identity";
import type { Target } from "@driftless/contracts/pipeline/4-diff";
import { customKindOf, type CustomKind } from "@driftless/manifests/custom-kind";
import { manifestKey, prepare, type Manifest, type PreparedManifest } from "@driftless/manifests/manifest";
import { groupOf, keyForPeople, keyText, versionOf } from "@driftless/manifests/resource-key";
import { unsupportedIn } from "@driftless/manifests/unsupported";
import type { Discovery, ResourceLookup } from "./discovery.ts";
import { clusterFailure } from "./cluster-failure.ts";
import type { ApiResource } from "./resource.ts";

export interface DesiredObject {
  prepared: PreparedManifest;
  resource: ApiResource;
  /** The cluster does not know the kind yet; its CRD is in the same set. */
  kindPending: boolean;
  /** For a CRD: the kind it brings. */
  defines?: CustomKind;
}

/** An object whose kind cannot be told now: its scope, hence its key, is a guess. */
export interface UnresolvedObject {
  key: ObjectKey;
  failure: Failure;
}

export interface DesiredSet {
  objects: DesiredObject[];
  unresolved: UnresolvedObject[];
  /** Of the set as a whole: nothing of it may be applied. */
  failures: Failure[];
}

export interface DesiredOptions {
  manifests: readonly Manifest[];
  app: Pick<AppRef, "name" | "namespace">;
  target: Target;
  discovery: Discovery;
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
  const lookups = await lookUpKinds(manifests, defined, discovery);
  const set: DesiredSet = { objects: [], unresolved: [], failures: [] };
  const seen = new Map<string, Manifest>();

  for (const [index, manifest] of manifests.entries()) {
    const where = { file: manifest.file, line: manifest.line };
    for (const { path } of unsupportedIn(manifest.metadata)) {
      const text = `${manifest.kind} ${nameOf(manifest)} asks for ${path}, which is not supported yet.`;
      set.failures.push(failure("UNSUPPORTED_FIELD", text, { ...where, path }));
    }
    if (nameOf(manifest) === "") {
      set.failures.push(failure("MANIFEST_INVALID", `A ${manifest.kind} has no metadata.name.`, where));
      continue;
    }
    const lookup = lookups.get(kindText(manifest.apiVersion, manifest.kind))!;
    if (lookup.kind === "failed") {
      const key = manifestKey(manifest, "Namespaced", destinationNamespace);
      const version = versionOf(manifest.apiVersion);
      set.unresolved.push({ key: { ...key, version }, failure: { ...lookup.failure, ...where } });
      continue;
    }
    const scope = lookup.resource.namespaced ? "Namespaced" : "Cluster";
    const prepared = prepare(manifest, { app, destinationNamespace, scope, trackingMethod: target.trackingMethod });
    const id = keyText(prepared.key);
    const first = seen.get(id);
    if (first) {
      const text = `${keyForPeople(prepared.key)} stands in ${place(first)} and again in ${place(manifest)}.`;
      set.failures.push(failure("DUPLICATE_RESOURCE", text, where));
      continue;
    }
    seen.set(id, manifest);
    set.objects.push({
      prepared,
      resource: lookup.resource,
      kindPending: lookup.pending,
      ...(defined[index] && { defines: defined[index] }),
    });
  }
  return set;
}

type KindLookup = { kind: "found"; resource: ApiResource; pending: boolean } | { kind: "failed"; failure: Failure };

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
