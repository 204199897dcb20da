// The controller as a process of its own.
import { connectBus } from "@driftless/bus/connect";
import { openControlPlane } from "@driftless/kube/clusters";
import { runProcess } from "@driftless/process/start";
import { startController } from "./controller.ts";

runProcess({
  name: "controller",
  async start(context) {
    const { clock, logger, signal, config } = context;
    const clusters = await openControlPlane({ config, clock, userAgent: "driftless-controller" });
    const bus = await connectBus({ servers: config.natsUrl, name: "controller", clock, logger, signal });
    const controller = await startController({ ...context, bus, clusters });
    return {
      notReady: () => controller.notReady(),
      async stop() {
        await controller.stop();
        await bus.close();
        await clusters.close();
      },
    };
  },
});
