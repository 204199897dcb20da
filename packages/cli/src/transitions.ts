// Transitions out of APP_TRANSITIONS, for `watch`, `start` and `app diff`.
import { follow, on, replay, type Consumption } from "@driftless/bus/consume";
import type { Bus } from "@driftless/bus/connect";
import { ApplicationChanged } from "@driftless/contracts/pipeline/6-application";
import { STREAMS } from "@driftless/contracts/streams";
import { encodeToken, subject } from "@driftless/contracts/subject";
import type { AppName } from "./applications.ts";
import { say } from "./output.ts";
import { transitionText, type Transition } from "./transition-text.ts";

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
  await replay(bus, {
    stream: STREAMS.transitions,
    filters: [filterOf(app, state)],
    which: "last-per-subject",
    // One subject for each project that the Application has been in.
    handlers: [on(ApplicationChanged, async (transition) => void (newest = transition))],
  });
  return newest;
}
