// Tracking: which Application an object belongs to, in Argo CD's format
// `<app>:<group>/<Kind>:<namespace>/<name>`, so that both can hand objects to each other.
import { keyText, type ResourceKey } from "./resource-key.ts";

export const TRACKING_ANNOTATION = "argocd.argoproj.io/tracking-id";
export const TRACKING_LABEL = "app.kubernetes.io/instance";
export const INSTALLATION_ANNOTATION = "argocd.argoproj.io/installation-id";

export type TrackingMethod = "annotation" | "annotation+label" | "label";

/** How an installation marks what belongs to its Applications. */
export interface Tracking {
  trackingMethod: TrackingMethod;
  /** `application.instanceLabelKey` of argocd-cm; Kubernetes' own label without it. */
  instanceLabelKey?: string | undefined;
  /** `installationID`: what another installation tracks is none of ours, though its apps may have the same names. */
  installationId?: string | undefined;
}

/** What a live object says of whose it is, by every method. */
export interface Marks {
  /** Application by tracking annotation, as written there; only when that describes the object. */
  owner?: string;
  installation?: string;
  /** Application by Kubernetes' own label. */
  instance?: string;
  /** Values of other label keys that were asked for. */
  labels?: Record<string, string>;
}

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

export function marksOf(
  { annotations, labels }: { annotations?: unknown; labels?: unknown },
  bearer: ResourceKey,
  otherLabelKeys: Iterable<string> = [],
): Marks {
  const marks: Marks = {};
  const text = textOf(annotations, TRACKING_ANNOTATION);
  const id = text === undefined ? undefined : parseTrackingId(text);
  if (id && describesBearer(id, bearer)) marks.owner = id.app;
  const installation = textOf(annotations, INSTALLATION_ANNOTATION);
  if (installation !== undefined) marks.installation = installation;
  const instance = textOf(labels, TRACKING_LABEL);
  if (instance !== undefined) marks.instance = instance;
  for (const key of otherLabelKeys) {
    const value = textOf(labels, key);
    if (value !== undefined) (marks.labels ??= {})[key] = value;
  }
  return marks;
}

function textOf(map: unknown, name: string): string | undefined {
  if (typeof map !== "object" || map === null) return undefined;
  const value = (map as Record<string, unknown>)[name];
  return typeof value === "string" ? value : undefined;
}

/** The Application (its trackingName) that an object with these marks belongs to, or undefined. */
export function trackedBy(marks: Marks, tracking: Tracking): string | undefined {
  const { trackingMethod, instanceLabelKey = TRACKING_LABEL, installationId } = tracking;
  if (trackingMethod === "label")
    return instanceLabelKey === TRACKING_LABEL ? marks.instance : marks.labels?.[instanceLabelKey];
  return installationId !== undefined && marks.installation !== installationId ? undefined : marks.owner;
}

export const trackerOf = (
  metadata: { annotations?: unknown; labels?: unknown },
  bearer: ResourceKey,
  tracking: Tracking,
): string | undefined =>
  trackedBy(marksOf(metadata, bearer, tracking.instanceLabelKey ? [tracking.instanceLabelKey] : []), tracking);

/** As Argo CD says it: Applications by namespace and name, the other one without a namespace where it is the control plane's. */
export function sharedText(key: ResourceKey, app: { namespace: string; name: string }, other: string): string {
  return `${key.kind}/${key.name} is part of applications ${app.namespace}/${app.name} and ${other.replace("_", "/")}`;
}
