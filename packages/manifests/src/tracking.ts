// Tracking: which Application an object belongs to, in Argo CD's format
// `<app>:<group>/<Kind>:<namespace>/<name>`, so that both can hand objects to each other.
import { keyText, type ResourceKey } from "./resource-key.ts";

export const TRACKING_ANNOTATION = "argocd.argoproj.io/tracking-id";
export const TRACKING_LABEL = "app.kubernetes.io/instance";

export type TrackingMethod = "annotation" | "annotation+label" | "label";

export interface TrackedApp {
  name: string;
  namespace: string;
  controlPlaneNamespace: string;
}

export interface TrackingId {
  /** `name`, or `namespace_name` for an Application outside the control plane's namespace. */
  app: string;
  key: ResourceKey;
}

/** The name an Application has in tracking ids. */
export function trackingName(app: TrackedApp): string {
  return app.namespace === "" || app.namespace === app.controlPlaneNamespace
    ? app.name
    : `${app.namespace}_${app.name}`;
}

/** CRDs are not tracked: several Applications may ship the same one. */
export function isTracked(key: Pick<ResourceKey, "group" | "kind">): boolean {
  return !(key.kind === "CustomResourceDefinition" && key.group === "apiextensions.k8s.io");
}

/** Cluster-scoped objects carry the destination namespace, as Argo CD writes it. */
export function trackingId(app: TrackedApp, key: ResourceKey, destinationNamespace: string): string {
  return `${trackingName(app)}:${key.group}/${key.kind}:${key.namespace || destinationNamespace}/${key.name}`;
}

export function parseTrackingId(text: string): TrackingId | undefined {
  // The name comes last and may hold colons (RBAC), the first two parts cannot.
  const first = text.indexOf(":");
  const second = text.indexOf(":", first + 1);
  if (first <= 0 || second < 0) return undefined;
  const kind = text.slice(first + 1, second).split("/");
  const name = text.slice(second + 1).split("/");
  if (kind.length !== 2 || name.length !== 2 || !kind[1] || !name[1]) return undefined;
  return {
    app: text.slice(0, first),
    key: { group: kind[0]!, kind: kind[1], namespace: name[0]!, name: name[1] },
  };
}

/**
 * Whether the id was made for the object that bears it. People and controllers copy annotations to other objects;
 * such an object is nobody's. The namespace of a cluster-scoped object's id is the destination's and says nothing.
 */
export function describesBearer(id: TrackingId, bearer: ResourceKey): boolean {
  const namespace = bearer.namespace === "" ? "" : id.key.namespace;
  return keyText({ ...id.key, namespace }) === keyText(bearer);
}

/** The Application (its trackingName) that an object truly belongs to by annotation, or undefined. */
export function ownerOf(annotations: unknown, bearer: ResourceKey): string | undefined {
  if (typeof annotations !== "object" || annotations === null) return undefined;
  const text = (annotations as Record<string, unknown>)[TRACKING_ANNOTATION];
  const id = typeof text === "string" ? parseTrackingId(text) : undefined;
  return id && describesBearer(id, bearer) ? id.app : undefined;
}
