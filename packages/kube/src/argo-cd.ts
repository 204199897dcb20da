// Whether Argo CD's application controller runs in a cluster: beside it two engines would write the same objects against
// each other, so that Driftless only observes there.
import type { KubeClient } from "./client.ts";

const SELECTOR = "app.kubernetes.io/name=argocd-application-controller";

interface Workload {
  metadata: { name: string; namespace: string };
  spec?: { replicas?: number };
  status?: { phase?: string };
}

const KINDS: { kind: string; root: string; plural: string; running(object: Workload): boolean }[] = [
  { kind: "StatefulSet", root: "/apis/apps/v1", plural: "statefulsets", running: (o) => (o.spec?.replicas ?? 1) > 0 },
  { kind: "Deployment", root: "/apis/apps/v1", plural: "deployments", running: (o) => (o.spec?.replicas ?? 1) > 0 },
  {
    kind: "Pod",
    root: "/api/v1",
    plural: "pods",
    running: (o) => !["Succeeded", "Failed"].includes(o.status?.phase ?? ""),
  },
];

type Found = { kind: "told"; running: string[] } | { kind: "unknown"; why: string };

/** Undefined when it does not run; else, or when that cannot be told, why Driftless must not write there. */
export async function whyNotBesideArgoCd(client: KubeClient, namespace: string): Promise<string | undefined> {
  const found = await Promise.all(KINDS.map((kind) => runningOf(client, kind, namespace)));
  const unknown = found.find((one) => one.kind === "unknown");
  if (unknown) return unknown.why;
  const first = found.flatMap((one) => (one.kind === "told" ? one.running : []))[0];
  if (first === undefined) return undefined;
  return (
    `Argo CD's application controller is running in this cluster: ${first}.\n` +
    "Two engines would work against each other on the same objects, so Driftless does not start.\n" +
    "Compare the two first, without a single write: driftless start --observe (or DRIFTLESS_OBSERVE=true).\n" +
    "To hand over, scale it to 0, for instance:\n" +
    "  kubectl --namespace argocd scale statefulset argocd-application-controller --replicas=0"
  );
}

async function runningOf(client: KubeClient, kind: (typeof KINDS)[number], namespace: string): Promise<Found> {
  // Argo CD may be in any namespace; without the permission to look everywhere, at least in the one it would be in.
  for (const path of [`${kind.root}/${kind.plural}`, `${kind.root}/namespaces/${namespace}/${kind.plural}`]) {
    const outcome = await client.request<{ items: Workload[] }>({
      method: "GET",
      path,
      query: { labelSelector: SELECTOR },
    });
    if (outcome.kind === "ok") {
      const running = outcome.object.items.filter((object) => kind.running(object));
      return {
        kind: "told",
        running: running.map((object) => `${kind.kind} ${object.metadata.namespace}/${object.metadata.name}`),
      };
    }
    if (outcome.error.code !== "FORBIDDEN")
      return { kind: "unknown", why: `the cluster does not answer: ${outcome.error.message}` };
  }
  return {
    kind: "unknown",
    why:
      `whether Argo CD is running in this cluster cannot be told: the account may not list ${kind.plural}. ` +
      "Give it that permission, at least in the namespace of the Applications.",
  };
}
