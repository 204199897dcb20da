// Versions of clusters (edge): what a cluster runs and serves, told to whoever's renders depend on it. A cluster of which
// nobody asked costs nothing; of one that was asked for, CRDs and APIServices are followed, so that a new kind is told.
import type { Blobs } from "@driftless/bus/blobs";
import type { Failure } from "@driftless/contracts/failure";
import type { ClusterVersions } from "@driftless/contracts/pipeline/3-render";
import { clusterFailure } from "@driftless/kube/cluster-failure";
import type { Cluster } from "@driftless/kube/clusters";
import type { KubeError } from "@driftless/kube/outcome";
import type { ApiResource } from "@driftless/kube/resource";
import { watchResource, type Watch } from "@driftless/kube/watch";
import type { Clock } from "@driftless/process/clock";

export interface VersionsOptions {
  blobs: Pick<Blobs, "put">;
  clock: Clock;
  changed(cluster: ClusterVersions): void;
}

export type Description = { kind: "described"; cluster: ClusterVersions } | { kind: "failed"; failure: Failure };

export interface Versions {
  describe(cluster: Cluster): Promise<Description>;
  stop(): void;
}

/** What came in so long after another is read together with it. */
const GATHER_MS = 300;
/** A kind is served a moment after its CRD says so: what was read too early is read once more. */
const SETTLE_MS = 2_000;
/** An upgrade of the API server shows in no object. */
const UPGRADE_LOOK_MS = 5 * 60_000;

const watched = (group: string, kind: string, plural: string): ApiResource => ({
  group,
  version: "v1",
  kind,
  plural,
  namespaced: false,
  verbs: ["list", "watch"],
  versions: ["v1"],
});
const SERVED_BY = [
  watched("apiextensions.k8s.io", "CustomResourceDefinition", "customresourcedefinitions"),
  watched("apiregistration.k8s.io", "APIService", "apiservices"),
];

interface Followed {
  cluster: Cluster;
  watches: Watch[];
  told: ClusterVersions;
  cancel?: () => void;
}

export function createVersions({ blobs, clock, changed }: VersionsOptions): Versions {
  const followed = new Map<string, Followed>();

  async function read({ server, client, discovery }: Cluster): Promise<Description> {
    const wrong = (error: KubeError): Description => ({
      kind: "failed",
      failure: clusterFailure(error, "its versions"),
    });
    const [version, versions] = await Promise.all([
      client.request<{ gitVersion?: string }>({ method: "GET", path: "/version" }),
      discovery.apiVersions(),
    ]);
    if (version.kind === "error") return wrong(version.error);
    if (versions.kind === "error") return wrong(versions.error);
    const plain = /^v?(\d+(?:\.\d+)*)/.exec(version.object.gitVersion ?? "")?.[1] ?? "";
    const apiVersionsDigest = await blobs.put(Buffer.from(versions.names.join("\n")));
    return { kind: "described", cluster: { server, kubeVersion: `v${plain}`, apiVersionsDigest } };
  }

  function lookSoon(one: Followed, delayMs: number, again: boolean): void {
    one.cancel?.();
    one.cancel = clock.setTimer(delayMs, () => {
      one.cluster.discovery.invalidate();
      // While NATS is away nothing can be stored: the next look will.
      const reading = read(one.cluster).catch(() => undefined);
      void reading.then((outcome) => {
        if (followed.get(one.cluster.server) !== one) return;
        lookSoon(one, again ? SETTLE_MS : UPGRADE_LOOK_MS, false);
        if (outcome?.kind !== "described" || sameVersions(outcome.cluster, one.told)) return;
        one.told = outcome.cluster;
        changed(outcome.cluster);
      });
    });
  }

  function follow(cluster: Cluster, told: ClusterVersions): void {
    const known = followed.get(cluster.server);
    if (known?.cluster === cluster) return void (known.told = told);
    // Other credentials.
    if (known) unfollow(known);
    const one: Followed = { cluster, told, watches: [] };
    const look = () => lookSoon(one, GATHER_MS, true);
    one.watches = SERVED_BY.map((resource) =>
      watchResource<true>({
        client: cluster.client,
        resource,
        select: () => true,
        pageSize: 50,
        onState: look,
        onEvent: look,
      }),
    );
    followed.set(cluster.server, one);
  }

  function unfollow(one: Followed): void {
    one.cancel?.();
    for (const watch of one.watches) watch.stop();
    followed.delete(one.cluster.server);
  }

  return {
    async describe(cluster) {
      const outcome = await read(cluster);
      if (outcome.kind === "described") follow(cluster, outcome.cluster);
      return outcome;
    },
    stop() {
      for (const one of followed.values()) unfollow(one);
    },
  };
}

const sameVersions = (a: ClusterVersions, b: ClusterVersions): boolean =>
  a.kubeVersion === b.kubeVersion && a.apiVersionsDigest === b.apiVersionsDigest;
