// The repo-fetcher as a process of its own.
import { connectBus } from "@driftless/bus/connect";
import { openControlPlane } from "@driftless/kube/clusters";
import { runProcess } from "@driftless/process/start";
import { buildRenderEngine } from "@driftless/render-engine/build";
import { createEngine } from "@driftless/render-engine/engine";
import { startRepoFetcher } from "./repo-fetcher.ts";

runProcess({
  name: "repo-fetcher",
  async start(context) {
    const { clock, logger, signal, config } = context;
    const clusters = await openControlPlane({ config, clock, userAgent: "driftless-repo-fetcher" });
    const bus = await connectBus({ servers: config.natsUrl, name: "repo-fetcher", clock, logger, signal });
    // One child: it only answers version constraints here.
    const engine = createEngine({ binary: config.renderEngine ?? (await buildRenderEngine()), children: 1, clock });
    const fetcher = await startRepoFetcher({ ...context, bus, engine, clusters });
    return {
      notReady: () => fetcher.notReady(),
      async stop() {
        await fetcher.stop();
        await engine.close();
        await bus.close();
        await clusters.close();
      },
    };
  },
});
