// The syncer as a process of its own.
import { connectBus } from "@driftless/bus/connect";
import { openControlPlane } from "@driftless/kube/clusters";
import { runProcess } from "@driftless/process/start";
import { buildRenderEngine } from "@driftless/render-engine/build";
import { createEngine } from "@driftless/render-engine/engine";
import { startSyncer } from "./syncer.ts";

runProcess({
  name: "syncer",
  async start(context) {
    const { clock, logger, signal, config } = context;
    const clusters = await openControlPlane({ config, clock, userAgent: "driftless-syncer" });
    const bus = await connectBus({ servers: config.natsUrl, name: "syncer", clock, logger, signal });
    // Only for jq in ignore rules and scripts of argocd-cm: a child is started when the first one is met.
    const engine = createEngine({
      binary: config.renderEngine ?? (await buildRenderEngine()),
      children: 1,
      clock,
      onChildLost: (loss) => logger.warn(loss, "a render engine child was replaced"),
    });
    const syncer = await startSyncer({ ...context, bus, clusters, engine });
    return {
      notReady: () => syncer.notReady(),
      async stop() {
        await syncer.stop();
        await engine.close();
        await bus.close();
        await clusters.close();
      },
    };
  },
});
