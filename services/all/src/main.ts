// All services in one process over one bus connection: `npm start` and small installations. The only file that imports
// more than one service.
//
// The api starts first and stops last: its /healthz and /readyz answer for all while the others come and go.
import { startApi } from "@driftless/api/api";
import { connectBus } from "@driftless/bus/connect";
import { startController } from "@driftless/controller/controller";
import { startDiffer } from "@driftless/differ/differ";
import { openControlPlane } from "@driftless/kube/clusters";
import { runProcess, type Service } from "@driftless/process/start";
import { createLogger } from "@driftless/process/telemetry";
import { buildRenderEngine } from "@driftless/render-engine/build";
import { createEngine } from "@driftless/render-engine/engine";
import { startRenderer } from "@driftless/renderer/renderer";
import { startRepoFetcher } from "@driftless/repo-fetcher/repo-fetcher";
import { startSyncer } from "@driftless/syncer/syncer";

// A supervisor that holds the other end of stdin ends us by being gone, whatever it dies of.
if (process.env["DRIFTLESS_END_WITH_STDIN"] === "true") {
  const end = () => process.kill(process.pid, "SIGTERM");
  process.stdin.once("end", end).once("error", end).resume();
}

runProcess({
  name: "driftless",
  async start(context) {
    const { clock, logger, signal, config } = context;
    // Each has its own connections to the API server, so that the watches of one never make the applies of another wait.
    const clustersOf = (service: string) => openControlPlane({ config, clock, userAgent: `driftless-${service}` });
    const [controlling, diffing, syncing] = await Promise.all(["controller", "differ", "syncer"].map(clustersOf));
    const bus = await connectBus({ servers: config.natsUrl, name: "driftless", clock, logger, signal });
    const engine = createEngine({
      binary: config.renderEngine ?? (await buildRenderEngine()),
      children: config.renderEngines,
      clock,
      onChildLost: (loss) => logger.warn(loss, "a render engine child was replaced"),
    });

    const services = new Map<string, Service>();
    const starting = new Set(["controller", "repo-fetcher", "renderer", "differ", "syncer"]);
    const others = () => ({
      ...Object.fromEntries([...services].map(([name, service]) => [name, service.notReady()])),
      ...Object.fromEntries([...starting].map((name) => [name, "starting"])),
    });
    const named = (service: string) => ({ ...context, bus, logger: createLogger({ service, level: config.logLevel }) });
    const api = await startApi({ ...named("api"), kube: controlling!.controlPlane.client, others });
    const start = async (name: string, started: Promise<Service>) => {
      services.set(name, await started);
      starting.delete(name);
    };
    // The controller comes last: what it asks for is then worked on at once.
    await Promise.all([
      start("repo-fetcher", startRepoFetcher({ ...named("repo-fetcher"), engine, clusters: controlling! })),
      start("renderer", startRenderer({ ...named("renderer"), engine })),
      start("differ", startDiffer({ ...named("differ"), engine, clusters: diffing! })),
      start("syncer", startSyncer({ ...named("syncer"), engine, clusters: syncing! })),
    ]);
    await start("controller", startController({ ...named("controller"), clusters: controlling! }));

    return {
      notReady: () => Object.values({ api: api.notReady(), ...others() }).find((why) => why !== undefined),
      async stop() {
        await services.get("controller")?.stop();
        await Promise.all([...services].filter(([name]) => name !== "controller").map(([, service]) => service.stop()));
        await api.stop();
        await engine.close();
        await bus.close();
        await Promise.all([controlling!, diffing!, syncing!].map((clusters) => clusters.close()));
      },
    };
  },
});
