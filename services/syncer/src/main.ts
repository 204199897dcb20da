// The syncer as a process of its own.
import { connectBus } from "@driftless/bus/connect";
import { openControlPlane } from "@driftless/kube/clusters";
import { runProcess } from "@driftless/process/start";
import { startSyncer } from "./syncer.ts";

runProcess({
  name: "syncer",
  async start(context) {
    const { clock, logger, signal, config } = context;
    const clusters = await openControlPlane({ config, clock, userAgent: "driftless-syncer" });
    const bus = await connectBus({ servers: config.natsUrl, name: "syncer", clock, logger, signal });
    const syncer = await startSyncer({ ...context, bus, clusters });
    return {
      notReady: () => syncer.notReady(),
      async stop() {
        await syncer.stop();
        await bus.close();
        await clusters.close();
      },
    };
  },
});
