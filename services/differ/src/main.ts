// The differ as a process of its own.
import { connectBus } from "@driftless/bus/connect";
import { openControlPlane } from "@driftless/kube/clusters";
import { runProcess } from "@driftless/process/start";
import { startDiffer } from "./differ.ts";

runProcess({
  name: "differ",
  async start(context) {
    const { clock, logger, signal, config } = context;
    const clusters = await openControlPlane({ config, clock, userAgent: "driftless-differ" });
    const bus = await connectBus({ servers: config.natsUrl, name: "differ", clock, logger, signal });
    const differ = await startDiffer({ ...context, bus, clusters });
    return {
      notReady: () => differ.notReady(),
      async stop() {
        await differ.stop();
        await bus.close();
        await clusters.close();
      },
    };
  },
});
