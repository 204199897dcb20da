// The cluster that an Application deploys to, as the services find it: the control plane's own, or a cluster Secret.
import type { Application } from "@driftless/contracts/application";
import { failureText } from "@driftless/contracts/failure";
import type { KubeClient } from "@driftless/kube/client";
import { openClusters, type Cluster } from "@driftless/kube/clusters";
import { systemClock } from "@driftless/process/clock";
import { CliError } from "./cli-error.ts";

/** For reading only. */
export async function withDestination<T>(
  client: KubeClient,
  app: Application,
  work: (cluster: Cluster) => Promise<T>,
): Promise<T> {
  const { config } = client;
  const clusters = openClusters({ config, namespace: app.metadata.namespace, clock: systemClock, readOnly: true });
  try {
    const { server, name } = app.spec?.destination ?? {};
    const found = await clusters.find({ ...(server && { server }), ...(name && { name }) });
    if (found.kind === "error") throw new CliError(failureText(found.failure));
    return await work(found.cluster);
  } finally {
    await clusters.close();
  }
}
