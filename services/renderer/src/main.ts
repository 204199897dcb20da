// Starts the renderer as a process of its own.
import { connectBus } from "@driftless/bus/connect";
import { runProcess } from "@driftless/process/start";
import { buildRenderEngine } from "@driftless/render-engine/build";
import { createEngine } from "@driftless/render-engine/engine";
import { startRenderer } from "./renderer.ts";

runProcess({
  name: "renderer",
  async start({ clock, logger, metrics, config, signal }) {
    const bus = await connectBus({ servers: config.natsUrl, name: "renderer", clock, logger, signal });
    const binary = config.renderEngine ?? (await buildRenderEngine());
    const engine = createEngine({
      binary,
      children: config.renderEngines,
      clock,
      onChildLost: (loss) => logger.warn(loss, "a render engine child was replaced"),
    });
    const service = await startRenderer({ bus, engine, clock, logger, metrics, config });
    return {
      ...service,
      async stop() {
        await service.stop();
        await engine.close();
        await bus.close();
      },
    };
  },
});
