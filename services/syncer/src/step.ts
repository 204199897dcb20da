// Step: what carrying out one command has at hand, and reading the live object.
import type { Blobs } from "@driftless/bus/blobs";
import type { AppRef, LiveIdentity } from "@driftless/contracts/identity";
import type { Target } from "@driftless/contracts/pipeline/4-diff";
import type { Customizations } from "@driftless/customizations/customizations";
import type { Cluster } from "@driftless/kube/clusters";
import type { KubeOutcome } from "@driftless/kube/outcome";
import { pathOf, type ApiResource, type KubeObject } from "@driftless/kube/resource";
import { isTracked, trackerOf, trackingName } from "@driftless/manifests/tracking";
import type { ResourceKey } from "@driftless/manifests/resource-key";
import type { Engine } from "@driftless/render-engine/engine";
import type { Clock } from "@driftless/process/clock";

export interface Step {
  app: AppRef;
  target: Target;
  cluster: Cluster;
  /** Where the Application is. */
  controlPlane: Cluster;
  blobs: Blobs;
  /** For jq in ignore rules. */
  engine: Pick<Engine, "jq">;
  customizations: Pick<Customizations, "healthOf">;
  clock: Clock;
  /** Bounds the requests of this process that cost the API server most. */
  limit: <T>(send: () => Promise<T>) => Promise<T>;
  /** Aborted when the command's time is up. */
  signal: AbortSignal;
}

export function read(
  { cluster, signal }: Step,
  resource: ApiResource,
  key: ResourceKey,
  how: "newest" | "cached",
): Promise<KubeOutcome<KubeObject>> {
  return cluster.client.request<KubeObject>({
    method: "GET",
    path: pathOf(resource, key.namespace, key.name),
    // From the API server's own cache, which costs it next to nothing; whoever asks so checks the resourceVersion.
    ...(how === "cached" && { query: { resourceVersion: 0 } }),
    kind: resource.kind,
    signal,
  });
}

export const identityOf = (object: KubeObject): LiveIdentity => ({
  uid: object.metadata.uid,
  resourceVersion: object.metadata.resourceVersion,
});

export const trackingNameOf = ({ app, target }: Step): string =>
  trackingName({ name: app.name, namespace: app.namespace, controlPlaneNamespace: target.controlPlaneNamespace });

/** "this" Application, another's name, or undefined where nobody tracks it. */
export function ownedBy(step: Step, live: KubeObject, key: ResourceKey): string | undefined {
  const owner = trackerOf(live.metadata, key, step.target);
  return owner === trackingNameOf(step) ? "this" : owner;
}

/** The other Application that tracks a live object. */
export function otherOwner(step: Step, live: KubeObject, key: ResourceKey): string | undefined {
  if (!isTracked(key)) return undefined;
  const owner = ownedBy(step, live, key);
  return owner === "this" ? undefined : owner;
}
