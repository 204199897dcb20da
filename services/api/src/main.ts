// The api as a process of its own.
import { connectBus } from "@driftless/bus/connect";
import { openControlPlane } from "@driftless/kube/clusters";
import { runProcess } from "@driftless/process/start";
import { startApi } from "./api.ts";

runProcess({
  name: "api",
  async start(context) {
    const { clock, logger, config, signal } = context;
    const clusters = await openControlPlane({ config, clock, userAgent: "driftless-api" });
    const bus = await connectBus({ servers: config.natsUrl, name: "api", clock, logger, signal });
    const api = await startApi({ ...context, bus, kube: clusters.controlPlane.client });
    return {
      notReady: () => api.notReady(),
      async stop() {
        await api.stop();
        await bus.close();
        await clusters.close();
      },
    };
  },
});
