// Transitions out of APP_TRANSITIONS, for `watch`, `start` and `app diff`.
import { follow, on, type Consumption } from "@driftless/bus/consume";
import type { Bus } from "@driftless/bus/connect";
import { ApplicationChanged } from "@driftless/contracts/pipeline/6-application";
import { STREAMS } from "@driftless/contracts/streams";
import { encodeToken, subject } from "@driftless/contracts/subject";
import { systemClock } from "@driftless/process/clock";
import type { AppName } from "./applications.ts";
import { say } from "./output.ts";
import { transitionText, type Transition } from "./transition-text.ts";

/** A replay has no end mark: it is over when nothing has come for so long. */
const REPLAY_QUIET_MS = 300;
const REPLAY_FIRST_MS = 1_000;

export function filterOf(app: AppName | undefined, state = "*"): string {
  if (!app) return subject("app", ">");
  return subject("app", "*", encodeToken(app.namespace), encodeToken(app.name), state);
}

export function followTransitions(
  bus: Bus,
  options: { namespace: string; app?: AppName; from: "new" | "all" | { sinceMs: number }; json?: boolean },
): Promise<Consumption> {
  return follow(bus, {
    stream: STREAMS.transitions,
    filters: [filterOf(options.app)],
    from: options.from,
    handlers: [
      on(ApplicationChanged, async (transition) =>
        say(options.json ? JSON.stringify(transition) : transitionText(transition, options)),
      ),
    ],
  });
}

/** The newest transition of an Application into a state, if the stream still has one. */
export async function newestTransition(bus: Bus, app: AppName, state: string): Promise<Transition | undefined> {
  let newest: Transition | undefined;
  let lastAt = systemClock.monotonic();
  const following = await follow(bus, {
    stream: STREAMS.transitions,
    filters: [filterOf(app, state)],
    from: "all",
    handlers: [
      on(ApplicationChanged, async (transition) => {
        newest = transition;
        lastAt = systemClock.monotonic();
      }),
    ],
  });
  while (systemClock.monotonic() - lastAt < (newest ? REPLAY_QUIET_MS : REPLAY_FIRST_MS)) await systemClock.sleep(20);
  await following.stop();
  return newest;
}
