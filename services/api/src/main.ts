// The api service as a process of its own.
import { connectBus } from "@driftless/bus/connect";
import { createClient } from "@driftless/kube/client";
import { loadConfig } from "@driftless/kube/config";
import { runProcess } from "@driftless/process/start";
import { startApi } from "./api.ts";

runProcess({
  name: "api",
  async start({ clock, logger, metrics, config, signal }) {
    const cluster = await loadConfig(
      config.kubeconfig
        ? { kind: "kubeconfig", path: config.kubeconfig, context: config.kubeContext }
        : { kind: "in-cluster" },
    );
    if (cluster.kind === "error") throw new Error(cluster.error.message);
    const kube = createClient(cluster.config, { clock });
    const bus = await connectBus({ servers: config.natsUrl, name: "api", clock, logger, signal });
    const api = await startApi({ bus, kube, clock, logger, metrics, config });
    return {
      notReady: api.notReady,
      async stop() {
        await api.stop();
        await bus.close();
        await kube.close();
      },
    };
  },
});
