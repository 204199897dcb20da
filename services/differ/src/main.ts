// The differ as a process of its own.
import { connectBus } from "@driftless/bus/connect";
import { openControlPlane } from "@driftless/kube/clusters";
import { runProcess } from "@driftless/process/start";
import { buildRenderEngine } from "@driftless/render-engine/build";
import { createEngine } from "@driftless/render-engine/engine";
import { startDiffer } from "./differ.ts";

runProcess({
  name: "differ",
  async start(context) {
    const { clock, logger, signal, config } = context;
    const clusters = await openControlPlane({ config, clock, userAgent: "driftless-differ" });
    const bus = await connectBus({ servers: config.natsUrl, name: "differ", clock, logger, signal });
    // Only for health by scripts of argocd-cm: a child is started when the first one is met.
    const engine = createEngine({
      binary: config.renderEngine ?? (await buildRenderEngine()),
      children: 1,
      clock,
      onChildLost: (loss) => logger.warn(loss, "a render engine child was replaced"),
    });
    const differ = await startDiffer({ ...context, bus, clusters, engine });
    return {
      notReady: () => differ.notReady(),
      async stop() {
        await differ.stop();
        await engine.close();
        await bus.close();
        await clusters.close();
      },
    };
  },
});
