// API versions of clusters (edge): bodies that commands name by digest, kept while they are in use. Of the cluster
// itself the renderer knows nothing.
import type { Bus } from "@driftless/bus/connect";
import type { ClusterVersions } from "@driftless/contracts/pipeline/3-render";

export interface KnownVersions {
  kubeVersion: string;
  apiVersions: readonly string[];
}

/** More clusters at a time than that take turns. */
const KEPT_MAX = 50;

/** `of` gives undefined where nothing was told, or what was told of is stored no more. */
export function createApiVersions(bus: Bus): { of(cluster?: ClusterVersions): Promise<KnownVersions | undefined> } {
  const kept = new Map<string, readonly string[]>();
  return {
    async of(cluster) {
      if (!cluster) return undefined;
      const { kubeVersion, apiVersionsDigest: digest } = cluster;
      let apiVersions = kept.get(digest);
      if (!apiVersions) {
        const bytes = await bus.blobs.get(digest);
        if (!bytes) return undefined;
        apiVersions = Buffer.from(bytes).toString("utf8").split("\n").filter(Boolean);
        const [oldest] = kept.keys();
        if (oldest !== undefined && kept.size >= KEPT_MAX) kept.delete(oldest);
        kept.set(digest, apiVersions);
      }
      return { kubeVersion, apiVersions };
    },
  };
}
