// Manifest: one rendered object as the render engine hands it over, and PreparedManifest: the same object as one
// Application applies it (namespace settled, tracking set, hash taken).
//
// Only `metadata` is ever parsed. All other members stay JSON text, so that integers above 2^53 go on unchanged and a
// large ConfigMap costs nothing. Texts begin with `{"metadata":{`, which lets an apply put its fences in by splicing.
import { createHash } from "node:crypto";
import { readAnnotations, type ManifestAnnotations } from "./annotations.ts";
import { foldDuplicates } from "./fold-duplicates.ts";
import { normalForm } from "./normal-form.ts";
import { groupOf, type ResourceKey } from "./resource-key.ts";
import {
  INSTALLATION_ANNOTATION,
  TRACKING_ANNOTATION,
  TRACKING_LABEL,
  isTracked,
  trackingId,
  trackingName,
  type Tracking,
} from "./tracking.ts";

export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: Record<string, unknown>;
  /** JSON text of all other members, without outer braces; may be empty. */
  body: string;
  images: string[];
  file: string;
  line: number;
  warnings: string[];
}

export interface PrepareOptions extends Tracking {
  app: { name: string; namespace: string; controlPlaneNamespace: string };
  destinationNamespace: string;
  scope: "Namespaced" | "Cluster";
  /** It is nobody's, so that nobody ever prunes it. */
  isUntracked?: boolean;
}

export interface PreparedManifest {
  key: ResourceKey;
  apiVersion: string;
  /** JSON text to be applied; begins with `{"metadata":{`. */
  text: string;
  /** SHA-256 of `text`, hex. */
  desiredHash: string;
  annotations: ManifestAnnotations;
  images: string[];
  file: string;
  line: number;
  warnings: string[];
}

/** The text that stands before the first metadata member of every text made here. */
const OPENING = '{"metadata":{';

export function manifestText(manifest: Manifest): string {
  const rest = manifest.body === "" ? "" : `,${manifest.body}`;
  return `{"metadata":${JSON.stringify(manifest.metadata)},"apiVersion":${JSON.stringify(manifest.apiVersion)},"kind":${JSON.stringify(manifest.kind)}${rest}}`;
}

/** Puts members into the metadata of a text made here, without parsing it; they must not be there yet. */
export function withMetadata(text: string, members: Record<string, string>): string {
  if (!text.startsWith(OPENING)) throw new Error("not a text made by manifestText");
  const inserted = Object.entries(members)
    .map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`)
    .join(",");
  if (inserted === "") return text;
  const rest = text.slice(OPENING.length);
  return `${OPENING}${inserted}${rest.startsWith("}") ? "" : ","}${rest}`;
}

/** The key a manifest has once its namespace is settled; the scope comes from discovery. */
export function manifestKey(
  manifest: Pick<Manifest, "apiVersion" | "kind" | "metadata">,
  scope: "Namespaced" | "Cluster",
  destinationNamespace: string,
): ResourceKey {
  const { namespace: own, name } = manifest.metadata;
  const namespace = scope === "Cluster" ? "" : typeof own === "string" && own !== "" ? own : destinationNamespace;
  return {
    group: groupOf(manifest.apiVersion),
    kind: manifest.kind,
    namespace,
    name: typeof name === "string" ? name : "",
  };
}

export function prepare(manifest: Manifest, options: PrepareOptions): PreparedManifest {
  const key = manifestKey(manifest, options.scope, options.destinationNamespace);
  const metadata = preparedMetadata(manifest, key, options);
  const folded = foldDuplicates(manifest.kind, key.group, manifest.body);
  const text = manifestText({ ...manifest, metadata, body: normalForm(manifest.kind, key.group, folded.body) });
  return {
    key,
    apiVersion: manifest.apiVersion,
    text,
    desiredHash: createHash("sha256").update(text).digest("hex"),
    annotations: readAnnotations(manifest.metadata["annotations"]),
    images: manifest.images,
    file: manifest.file,
    line: manifest.line,
    warnings: [...manifest.warnings, ...folded.warnings],
  };
}

// uid, resourceVersion and managedFields of a manifest copied from a cluster would collide with the apply's own fences.
const NEVER_SENT = new Set(["uid", "resourceVersion", "managedFields", "namespace"]);

function preparedMetadata(manifest: Manifest, key: ResourceKey, options: PrepareOptions): Record<string, unknown> {
  const entries = Object.entries(manifest.metadata).filter(([name]) => !NEVER_SENT.has(name));
  if (key.namespace !== "") entries.push(["namespace", key.namespace]);
  const metadata = new Map(entries);
  if (isTracked(key) && !options.isUntracked) {
    const { trackingMethod: method, instanceLabelKey = TRACKING_LABEL, installationId, app } = options;
    if (method !== "label") {
      const annotations = withoutNulls(metadata.get("annotations"));
      annotations[TRACKING_ANNOTATION] = trackingId(app, key, options.destinationNamespace);
      // A manifest that was copied from another installation's cluster must not say that it is theirs.
      if (installationId === undefined) delete annotations[INSTALLATION_ANNOTATION];
      else annotations[INSTALLATION_ANNOTATION] = installationId;
      metadata.set("annotations", annotations);
    }
    if (method !== "annotation") {
      const labels = withoutNulls(metadata.get("labels"));
      // Only the method that has the annotation as well may cut the name: by label alone it is the identity.
      const name = trackingName(app);
      labels[instanceLabelKey] = method === "label" ? name : cutToLabel(name);
      metadata.set("labels", labels);
    }
  }
  // Sorted, so that the hash does not depend on who wrote the manifest in which order.
  return withoutNulls(Object.fromEntries([...metadata].toSorted(([a], [b]) => (a < b ? -1 : 1))));
}

/** A label value holds 63 characters and ends in a letter or digit. */
function cutToLabel(name: string): string {
  return name.length <= 63 ? name : name.slice(0, 63).replace(/[^A-Za-z0-9]+$/, "");
}

function withoutNulls(value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return {};
  const kept: Record<string, unknown> = {};
  for (const [name, member] of Object.entries(value)) {
    if (member === null) continue;
    kept[name] = typeof member === "object" && !Array.isArray(member) ? withoutNulls(member) : member;
  }
  return kept;
}
