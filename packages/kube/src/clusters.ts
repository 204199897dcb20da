// Clusters (edge): from an Application's destination to the client of its API server. The control plane's own cluster
// is `https://kubernetes.default.svc`, name `in-cluster`; all others are Argo CD's cluster Secrets, watched.
import { failure, type Failure } from "@driftless/contracts/failure";
import type { Destination } from "@driftless/contracts/identity";
import type { Clock } from "@driftless/process/clock";
import type { Config } from "@driftless/process/config";
import { createClient, type KubeClient } from "./client.ts";
import { loadConfig, type ClusterConfig } from "./config.ts";
import { createDiscovery, type Discovery } from "./discovery.ts";
import { SECRETS, type KubeObject } from "./resource.ts";
import { watchResource } from "./watch.ts";

export const IN_CLUSTER_SERVER = "https://kubernetes.default.svc";
export const IN_CLUSTER_NAME = "in-cluster";

export interface Cluster {
  /** As destinations and cluster Secrets name it, which for in-cluster is not the address that is dialled. */
  server: string;
  client: KubeClient;
  discovery: Discovery;
}

export type ClusterLookup = { kind: "ok"; cluster: Cluster } | { kind: "error"; failure: Failure };

/** What its Secret says of a cluster, whether or not it can be used. */
export interface ClusterIdentity {
  server: string;
  name: string;
  /** It belongs to this AppProject. */
  project?: string;
}

export interface Clusters {
  readonly controlPlane: Cluster;
  /** Those of Secrets, and in-cluster. */
  known(): readonly ClusterIdentity[];
  /** The one that is meant, where there is one and not several. */
  identify(destination: Pick<Destination, "server" | "name">): ClusterIdentity | undefined;
  /** Calls `changed` whenever what is known may be another; the answer ends that. */
  onChange(changed: () => void): () => void;
  /** The Secrets have been listed once, or take too long. */
  ready(): Promise<void>;
  find(destination: Pick<Destination, "server" | "name">): Promise<ClusterLookup>;
  /** Its Secret says `skip-reconcile`: nothing is done for Applications of that cluster. */
  isSkipped(destination: Pick<Destination, "server" | "name">): boolean;
  close(): Promise<void>;
}

/** From the process's configuration: a kubeconfig file when one was named, else the pod's own service account. */
export async function openControlPlane(options: {
  config: Pick<Config, "kubeconfig" | "kubeContext" | "namespace" | "kubeRequestsMax"> &
    Partial<Pick<Config, "observe">>;
  clock: Clock;
  userAgent: string;
}): Promise<Clusters> {
  const { kubeconfig, kubeContext, namespace, kubeRequestsMax, observe } = options.config;
  const loaded = await loadConfig(
    kubeconfig === undefined
      ? { kind: "in-cluster" }
      : { kind: "kubeconfig", path: kubeconfig, ...(kubeContext !== undefined && { context: kubeContext }) },
  );
  if (loaded.kind === "error") throw new Error(`the control plane's cluster cannot be used: ${loaded.error.message}`);
  const { clock, userAgent } = options;
  const connections = kubeRequestsMax;
  return openClusters({ config: loaded.config, namespace, clock, userAgent, connections, readOnly: observe === true });
}

export interface ClustersOptions {
  /** Of the control plane's cluster. */
  config: ClusterConfig;
  /** Where Applications and cluster Secrets are. */
  namespace: string;
  clock: Clock;
  connections?: number;
  userAgent?: string;
  /** Of every cluster. */
  readOnly?: boolean;
}

interface ClusterSecret {
  secretName: string;
  resourceVersion: string;
  server: string;
  name: string;
  project: string;
  config: string;
  /** What the Secret restricts that Driftless does not restrict yet. */
  unsupported: string[];
  skipped: boolean;
}

const SKIP_RECONCILE = "argocd.argoproj.io/skip-reconcile";

/** Answers are held back for so long while the Secrets have not been listed. */
const SECRETS_DEADLINE_MS = 5_000;

export function openClusters(options: ClustersOptions): Clusters {
  const { clock, namespace, connections, userAgent, readOnly = false } = options;
  const open = (server: string, config: ClusterConfig): Cluster => {
    const client = createClient(config, {
      clock,
      readOnly,
      ...(connections !== undefined && { connections }),
      ...(userAgent !== undefined && { userAgent }),
    });
    return { server, client, discovery: createDiscovery(client) };
  };

  const controlPlane = open(IN_CLUSTER_SERVER, options.config);
  const secrets = new Map<string, ClusterSecret>();
  let listed = false;
  const opened = new Map<string, { from: string; cluster: Promise<ClusterLookup> }>();
  const listeners = new Set<() => void>();
  const changed = () => listeners.forEach((listener) => listener());

  const watch = watchResource<ClusterSecret>({
    client: controlPlane.client,
    resource: SECRETS,
    namespace,
    labelSelector: "argocd.argoproj.io/secret-type=cluster",
    select: clusterSecret,
    onState: ({ objects }) => {
      listed = true;
      secrets.clear();
      for (const secret of objects) secrets.set(secret.secretName, secret);
      changed();
    },
    onEvent: ({ type, object }) => {
      if (type === "DELETED") secrets.delete(object.secretName);
      else secrets.set(object.secretName, object);
      changed();
    },
  });

  async function openSecret(secret: ClusterSecret): Promise<ClusterLookup> {
    const loaded = await loadConfig({ kind: "cluster-secret", server: secret.server, config: secret.config });
    if (loaded.kind === "ok") return { kind: "ok", cluster: open(secret.server, loaded.config) };
    const text = `The cluster Secret ${secret.secretName} cannot be used: ${loaded.error.message}`;
    return { kind: "error", failure: failure("DESTINATION_INVALID", text, { path: "spec.destination" }) };
  }

  function ofSecret(secret: ClusterSecret): Promise<ClusterLookup> {
    const from = `${secret.secretName}@${secret.resourceVersion}`;
    const known = opened.get(secret.server);
    if (known?.from === from) return known.cluster;
    // Changed credentials: requests under way on the old client still end by their own deadlines.
    if (known) void known.cluster.then((old) => (old.kind === "ok" ? old.cluster.client.close() : undefined));
    const cluster = openSecret(secret);
    opened.set(secret.server, { from, cluster });
    return cluster;
  }

  const ready = async (): Promise<void> => {
    if (!listed) await Promise.race([watch.synced, clock.sleep(SECRETS_DEADLINE_MS)]);
  };

  const isOf = (secret: ClusterIdentity, { server = "", name }: Pick<Destination, "server" | "name">): boolean =>
    server !== ""
      ? secret.server === trimmed(server)
      : secret.name === name || (name === IN_CLUSTER_NAME && secret.server === IN_CLUSTER_SERVER);

  const known = (): ClusterIdentity[] => {
    const ours = [...secrets.values()];
    const identities = ours.map(({ server, name, project }) => ({ server, name, ...(project && { project }) }));
    const isNamed = identities.some(({ server }) => server === IN_CLUSTER_SERVER);
    return isNamed ? identities : [...identities, { server: IN_CLUSTER_SERVER, name: IN_CLUSTER_NAME }];
  };

  return {
    controlPlane,
    known,
    identify(destination) {
      const meant = known().filter((cluster) => isOf(cluster, destination));
      return meant.length === 1 ? meant[0] : undefined;
    },
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    ready,
    isSkipped: (destination) => [...secrets.values()].some((secret) => secret.skipped && isOf(secret, destination)),
    async find({ server, name }) {
      const wanted = trimmed(server ?? "");
      if (wanted === IN_CLUSTER_SERVER || (wanted === "" && name === IN_CLUSTER_NAME)) {
        return { kind: "ok", cluster: controlPlane };
      }
      await ready();
      const matching = [...secrets.values()].filter((secret) => isOf(secret, { server: wanted, name }));
      const [only] = matching;
      if (only && matching.length === 1) {
        if (only.server === IN_CLUSTER_SERVER) return { kind: "ok", cluster: controlPlane };
        // Whoever restricts a cluster must not get one without the restriction.
        const [path] = only.unsupported;
        if (path === undefined) return ofSecret(only);
        const text = `The cluster Secret ${only.secretName} has ${path}, which is not supported yet.`;
        return { kind: "error", failure: failure("UNSUPPORTED_FIELD", text, { path }) };
      }
      // A list that is still to come may have it: what is not known is not unknown.
      if (!listed) {
        const text = "The cluster Secrets have not been listed yet.";
        return { kind: "error", failure: failure("CLUSTER_UNREACHABLE", text) };
      }
      const asked = wanted === "" ? `named "${name ?? ""}"` : `with server ${wanted}`;
      const where = { path: "spec.destination" };
      return {
        kind: "error",
        failure:
          matching.length === 0
            ? failure("DESTINATION_UNKNOWN", `There is no cluster ${asked}.`, where)
            : failure("DESTINATION_INVALID", `More than one cluster Secret is for the cluster ${asked}.`, where),
      };
    },
    async close() {
      watch.stop();
      for (const { cluster } of opened.values()) {
        const lookup = await cluster;
        if (lookup.kind === "ok") await lookup.cluster.client.close();
      }
      await controlPlane.client.close();
    },
  };
}

const trimmed = (server: string): string => server.replace(/\/+$/, "");

function clusterSecret(secret: KubeObject): ClusterSecret | undefined {
  const field = (name: string): string => {
    const value = (secret["data"] as Record<string, unknown> | undefined)?.[name];
    return typeof value === "string" ? Buffer.from(value, "base64").toString("utf8") : "";
  };
  const server = trimmed(field("server"));
  if (server === "") return undefined;
  return {
    secretName: secret.metadata.name,
    resourceVersion: secret.metadata.resourceVersion,
    server,
    name: field("name") || (server === IN_CLUSTER_SERVER ? IN_CLUSTER_NAME : ""),
    project: field("project"),
    config: field("config"),
    unsupported: ["namespaces", "clusterResources"].filter((name) => field(name) !== "").map((name) => `data.${name}`),
    skipped: secret.metadata.annotations?.[SKIP_RECONCILE] === "true",
  };
}
