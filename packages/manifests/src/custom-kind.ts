// Custom kinds (pure): what a CustomResourceDefinition in a rendered set will bring, so that objects of a kind that
// comes with them can be placed before the cluster knows it.
import type { Manifest } from "./manifest.ts";
import { groupOf } from "./resource-key.ts";

export interface CustomKind {
  group: string;
  kind: string;
  plural: string;
  namespaced: boolean;
  /** Served versions. */
  versions: string[];
}

export function isCustomResourceDefinition(manifest: Pick<Manifest, "apiVersion" | "kind">): boolean {
  return manifest.kind === "CustomResourceDefinition" && groupOf(manifest.apiVersion) === "apiextensions.k8s.io";
}

interface Specification {
  group?: unknown;
  scope?: unknown;
  names?: { kind?: unknown; plural?: unknown };
  versions?: { name?: unknown; served?: unknown }[];
}

/** undefined for every other kind, and for a definition too broken to say; the API server then says why. */
export function customKindOf(manifest: Pick<Manifest, "apiVersion" | "kind" | "body">): CustomKind | undefined {
  if (!isCustomResourceDefinition(manifest)) return undefined;
  const spec = (JSON.parse(`{${manifest.body}}`) as { spec?: Specification }).spec;
  const { kind, plural } = spec?.names ?? {};
  if (typeof spec?.group !== "string" || typeof kind !== "string" || typeof plural !== "string") return undefined;
  const versions = Array.isArray(spec.versions) ? spec.versions : [];
  return {
    group: spec.group,
    kind,
    plural,
    namespaced: spec.scope !== "Cluster",
    versions: versions.filter((v) => v.served !== false).map((v) => String(v.name)),
  };
}
