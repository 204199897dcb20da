// `driftless start` (npm start): everything in the foreground, then the transitions live, until Ctrl-C.
import { systemClock } from "@driftless/process/clock";
import { CliError } from "../cli-error.ts";
import { ownKubeconfig, ownNats, withBus, type ConnectionOptions } from "../connection.ts";
import { note, paint, say } from "../output.ts";
import { terminalProgress } from "../progress.ts";
import type { RunRecord } from "../run-record.ts";
import { startStack } from "../stack.ts";
import { followTransitions } from "../transitions.ts";
import { namespaceToRun, observing, refuseMisread, type StartOptions } from "./start-options.ts";

export async function start(extra: string[], options: ConnectionOptions & StartOptions): Promise<void> {
  refuseMisread(extra, options, "npm start --");
  const stopping = new AbortController();
  let signals = 0;
  const onSignal = () => {
    signals++;
    if (signals === 1) stopping.abort(new Error("stopped"));
    // Whoever presses again does not want to wait; the parts end by their pipes then.
    if (signals === 3) process.exit(1);
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, onSignal);

  const namespace = namespaceToRun(options);
  const startedAt = systemClock.monotonic();
  const stack = await startStack({
    kubeconfig: ownKubeconfig(options),
    nats: ownNats(options),
    namespace,
    observe: observing(options),
    progress: terminalProgress(),
    signal: stopping.signal,
  }).catch((error: unknown) => {
    // Whatever broke off then was meant to.
    throw stopping.signal.aborted ? new CliError("stopped before it was ready; nothing is left running") : error;
  });
  let failure: Error | undefined;
  try {
    welcome(stack.record, systemClock.monotonic() - startedAt);
    const ended = new Promise<void>((resolve) => {
      if (stopping.signal.aborted) return resolve();
      stopping.signal.addEventListener("abort", () => resolve(), { once: true });
    });
    await withBus({ nats: stack.record.natsUrl }, async (bus) => {
      const following = await followTransitions(bus, {
        namespace,
        from: { sinceMs: systemClock.monotonic() - startedAt },
      });
      failure = await Promise.race([ended.then(() => undefined), stack.failed]);
      await following.stop();
    });
  } finally {
    note(paint("dim", "\nending everything …"));
    await stack.stop(failure);
  }
  if (failure) throw failure;
  note("Everything has ended; the data stays in the state directory for the next start.");
}

function welcome(record: RunRecord, tookMs: number): void {
  say(paint("green", `Driftless is ready (${(tookMs / 1000).toFixed(1)} s).`));
  say(`  cluster   ${record.kubeconfig}`);
  say(`  NATS      ${record.natsUrl}`);
  if (record.gitUrl) say(`  Git       ${record.gitUrl}/example.git`);
  say(`  webhook   ${record.apiUrl}/api/webhook`);
  say();
  if (record.observe) {
    say("It only observes: nothing is written to any cluster. What it would judge or do differently:");
    say("  npx driftless observe");
    say();
    return say(paint("dim", "Transitions, live (Ctrl-C ends everything):"));
  }
  say("In another terminal, in this folder:");
  say(`  eval "$(npx driftless env)"`);
  if (record.gitUrl)
    say("  kubectl --namespace guestbook scale deployment/guestbook --replicas=5   # and watch it go back");
  say("  npx driftless app list");
  say();
  say(paint("dim", "Transitions, live (Ctrl-C ends everything):"));
}
