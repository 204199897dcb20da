// A cluster of the user's own: Driftless does not start where Argo CD's application controller is running, because two
// engines would write the same objects against each other.
import type { KubeClient } from "@driftless/kube/client";
import { CliError } from "./cli-error.ts";

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

export async function refuseBesideArgoCd(client: KubeClient, namespace: string): Promise<void> {
  const found = await Promise.all(KINDS.map((kind) => runningOf(client, kind, namespace)));
  const first = found.flat()[0];
  if (!first) return;
  throw new CliError(
    `Argo CD's application controller is running in this cluster: ${first}.\n` +
      "Two engines would work against each other on the same objects, so Driftless does not start.\n" +
      "Scale it to 0 first, for instance:\n" +
      "  kubectl --namespace argocd scale statefulset argocd-application-controller --replicas=0",
  );
}

async function runningOf(client: KubeClient, kind: (typeof KINDS)[number], namespace: string): Promise<string[]> {
  // Argo CD may be in any namespace; without the permission to look everywhere, at least in the one it would be in.
  for (const path of [`${kind.root}/${kind.plural}`, `${kind.root}/namespaces/${namespace}/${kind.plural}`]) {
    const outcome = await client.request<{ items: Workload[] }>({
      method: "GET",
      path,
      query: { labelSelector: SELECTOR },
    });
    if (outcome.kind === "ok") {
      const running = outcome.object.items.filter((object) => kind.running(object));
      return running.map((object) => `${kind.kind} ${object.metadata.namespace}/${object.metadata.name}`);
    }
    if (outcome.error.code !== "FORBIDDEN") throw new CliError(`the cluster does not answer: ${outcome.error.message}`);
  }
  throw new CliError(
    `whether Argo CD is running in this cluster cannot be told: the account may not list ${kind.plural}. ` +
      "Give it that permission, at least in the namespace of the Applications.",
  );
}
