// The background process of `driftless up`: holds everything that runs, until `driftless down` ends it.
import { systemClock } from "@driftless/process/clock";
import { ownKubeconfig, ownNats } from "./connection.ts";
import { namespaceToRun, observing } from "./commands/start-options.ts";
import { startStack } from "./stack.ts";

const log = (text: string) => process.stdout.write(`${new Date(systemClock.now()).toISOString()} ${text}\n`);

const stopping = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => stopping.abort(new Error(`stopped by ${signal}`)));
}

try {
  const stack = await startStack({
    kubeconfig: ownKubeconfig({}),
    nats: ownNats({}),
    namespace: namespaceToRun({}),
    observe: observing({}),
    progress: { update() {}, say: log, clear() {} },
    signal: stopping.signal,
  });
  log("ready");
  const failure = await Promise.race([
    stack.failed,
    new Promise<undefined>((resolve) => {
      if (stopping.signal.aborted) return resolve(undefined);
      stopping.signal.addEventListener("abort", () => resolve(undefined), { once: true });
    }),
  ]);
  log(failure ? `ending, because ${failure.message}` : "ending");
  await stack.stop(failure);
  log("ended");
  process.exitCode = failure ? 1 : 0;
} catch (error) {
  log((error as Error).message);
  process.exitCode = 1;
}
