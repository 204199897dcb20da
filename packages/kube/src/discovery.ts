// Discovery (edge): which kinds a cluster has, by its two aggregated discovery documents. A group that does not answer
// (its aggregated API server is down) is unknown, not absent: nothing may be pruned or refused because of it.
import type { KubeClient } from "./client.ts";
import { kubeError, type KubeError } from "./outcome.ts";
import type { ApiResource } from "./resource.ts";

export type ResourceLookup =
  | { kind: "ok"; resource: ApiResource }
  | { kind: "absent" }
  | { kind: "error"; error: KubeError };

export interface Discovery {
  /** `absent` only when the group answered and does not have the kind; a miss asks the server again, rate limited. */
  resourceFor(group: string, kind: string, version?: string): Promise<ResourceLookup>;
  /** From what is known already, without asking. */
  known(group: string, kind: string, version?: string): ApiResource | undefined;
  /** Every `group/version` and `group/version/Kind` that can be listed and watched, sorted: Argo CD's apiVersions. */
  apiVersions(): Promise<{ kind: "ok"; names: string[] } | { kind: "error"; error: KubeError }>;
  all(): Promise<{ kind: "ok"; resources: ApiResource[]; staleGroups: string[] } | { kind: "error"; error: KubeError }>;
  /** Say so when a CRD or APIService changed: the next look-up asks again. */
  invalidate(): void;
}

export interface DiscoveryOptions {
  /** A look-up that finds nothing asks the server again at most this often. */
  missIntervalMs?: number;
  /** What is older is asked again, though still used when the server does not answer. */
  maxAgeMs?: number;
}

interface Known {
  /** `group/Kind` → version → resource. */
  kinds: Map<string, Map<string, ApiResource>>;
  staleGroups: Set<string>;
  readAtMs: number;
}

const ACCEPT =
  "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

export function createDiscovery(client: KubeClient, options: DiscoveryOptions = {}): Discovery {
  const missIntervalMs = options.missIntervalMs ?? 2_000;
  const maxAgeMs = options.maxAgeMs ?? 10 * 60_000;
  const { clock } = client;
  let known: Known | undefined;
  let invalid = false;
  let reading: Promise<KubeError | undefined> | undefined;

  /** One reading at a time; whoever comes meanwhile waits for the same one. */
  function read(): Promise<KubeError | undefined> {
    reading ??= readAll(client, known).then((outcome) => {
      reading = undefined;
      if (outcome.kind === "error") return outcome.error;
      known = outcome.known;
      return undefined;
    });
    return reading;
  }

  async function ensure(): Promise<KubeError | undefined> {
    const old = known === undefined || invalid || clock.monotonic() - known.readAtMs > maxAgeMs;
    if (!old) {
      // What is being read may be read because what is known is no longer so.
      await reading;
      return undefined;
    }
    // Before the reading, so that a change during it asks once more.
    invalid = false;
    const error = await read();
    if (error) invalid = true;
    return known === undefined ? error : undefined;
  }

  function find(group: string, kind: string, version?: string): ApiResource | undefined {
    const versions = known?.kinds.get(`${group}/${kind}`);
    if (!versions) return undefined;
    return version === undefined ? versions.values().next().value : versions.get(version);
  }

  return {
    known: find,
    invalidate() {
      invalid = true;
    },
    async resourceFor(group, kind, version) {
      const error = await ensure();
      if (error) return { kind: "error", error };
      let resource = find(group, kind, version);
      if (resource) return { kind: "ok", resource };
      if (clock.monotonic() - known!.readAtMs >= missIntervalMs) {
        const failed = await read();
        if (failed) return { kind: "error", error: failed };
        resource = find(group, kind, version);
        if (resource) return { kind: "ok", resource };
      }
      if (!known!.staleGroups.has(group)) return { kind: "absent" };
      return {
        kind: "error",
        error: kubeError("DISCOVERY_STALE", `the API group ${group} does not answer at the moment`),
      };
    },
    async apiVersions() {
      const error = await ensure();
      if (error) return { kind: "error", error };
      const names = new Set<string>();
      for (const versions of known!.kinds.values()) {
        for (const { group, version, kind, verbs } of versions.values()) {
          if (!verbs.includes("list") || !verbs.includes("watch")) continue;
          const groupVersion = group === "" ? version : `${group}/${version}`;
          names.add(groupVersion).add(`${groupVersion}/${kind}`);
        }
      }
      return { kind: "ok", names: [...names].toSorted() };
    },
    async all() {
      const error = await ensure();
      if (error) return { kind: "error", error };
      const resources = [...known!.kinds.values()].map((versions) => versions.values().next().value!);
      return { kind: "ok", resources, staleGroups: [...known!.staleGroups] };
    },
  };
}

interface DiscoveryDocument {
  items?: {
    metadata?: { name?: string };
    versions?: {
      version: string;
      freshness?: string;
      resources?: {
        resource: string;
        responseKind?: { group?: string; kind?: string };
        scope: string;
        verbs?: string[];
      }[];
    }[];
  }[];
}

async function readAll(
  client: KubeClient,
  before: Known | undefined,
): Promise<{ kind: "ok"; known: Known } | { kind: "error"; error: KubeError }> {
  const readAtMs = client.clock.monotonic();
  const answers = await Promise.all(
    ["/api", "/apis"].map((path) => client.request<DiscoveryDocument>({ method: "GET", path, accept: ACCEPT })),
  );
  const known: Known = { kinds: new Map(), staleGroups: new Set(), readAtMs };
  for (const answer of answers) {
    if (answer.kind === "error") return answer;
    if (!Array.isArray(answer.object.items)) {
      const error = kubeError(
        "SERVER_ERROR",
        `${client.server} has no aggregated discovery (Kubernetes 1.30 or newer is needed)`,
      );
      return { kind: "error", error };
    }
    for (const group of answer.object.items) {
      for (const version of group.versions ?? []) {
        const name = group.metadata?.name ?? "";
        if (version.freshness === "Stale") known.staleGroups.add(name);
        for (const found of version.resources ?? []) {
          const kind = found.responseKind?.kind;
          // An answer's own kind of another group (a Scale) is no kind of this group.
          if (!kind || (found.responseKind?.group || name) !== name) continue;
          add(known, {
            group: name,
            version: version.version,
            kind,
            plural: found.resource,
            namespaced: found.scope === "Namespaced",
            verbs: found.verbs ?? [],
            versions: [],
          });
        }
      }
    }
  }
  // What a silent group had before is still the best that is known of it.
  for (const [name, versions] of before?.kinds ?? []) {
    const group = name.slice(0, name.lastIndexOf("/"));
    if (known.staleGroups.has(group) && !known.kinds.has(name)) known.kinds.set(name, versions);
  }
  return { kind: "ok", known };
}

/** Versions come preferred first, and stay so. */
function add(known: Known, resource: ApiResource): void {
  const name = `${resource.group}/${resource.kind}`;
  let versions = known.kinds.get(name);
  if (!versions) known.kinds.set(name, (versions = new Map()));
  if (versions.has(resource.version)) return;
  versions.set(resource.version, resource);
  for (const each of versions.values()) each.versions = [...versions.keys()];
}
