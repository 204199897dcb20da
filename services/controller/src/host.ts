// Host of the actors: gives each its events one after another, calls XState's pure transition and carries out what it
// asks for. Nothing of an actor is kept beyond the process; it is rebuilt from its Application.
//
// A1 One event at a time for each actor; an effect that leads to another event waits in the mailbox.
// A2 A timer that was cancelled or set anew after it had fired is not heard: it carries the number of its visit.
// A3 What goes wrong in one actor is logged and stays there.
import { initialTransition, transition, type SnapshotFrom } from "xstate";
import type { Clock } from "@driftless/process/clock";
import type { Logger } from "@driftless/process/telemetry";
import type { Context, Input } from "./application/context.ts";
import type { EffectName } from "./application/effect-names.ts";
import { EFFECTS, type Effect } from "./application/effects.ts";
import type { AppEvent } from "./application/events.ts";
import { applicationMachine } from "./application/machine.ts";

type Snapshot = SnapshotFrom<typeof applicationMachine>;

/** An event as it is sent; the host says when. */
export type Sent = AppEvent extends infer Event ? (Event extends AppEvent ? Omit<Event, "at"> : never) : never;

interface Letter {
  event: Sent;
  timer?: { id: string; visit: number };
}

interface Actor {
  uid: string;
  snapshot: Snapshot;
  mailbox: Letter[];
  running: boolean;
  timers: Map<string, { visit: number; cancel: () => void }>;
  visits: number;
  busy: boolean;
  /** Where it was at work when that was last asked, and since when. */
  watched?: { where: string; since: number };
  stopped: boolean;
}

export interface HostOptions {
  clock: Clock;
  logger: Logger;
  perform(uid: string, effect: Effect): void;
  /** The actor began or ended to have work under way. */
  onBusy(uid: string, busy: boolean): void;
  /** The actor has taken in all that it was sent. */
  onSettled(uid: string): void;
}

export interface Host {
  start(input: Omit<Input, "now">): void;
  stop(uid: string): void;
  send(uid: string, event: Sent): boolean;
  has(uid: string): boolean;
  contextOf(uid: string): Context | undefined;
  isBusy(uid: string): boolean;
  /** Actors that have been at the very same work for so long: whatever would have ended it is lost. To be asked again and again. */
  stuck(afterMs: number): string[];
  uids(): string[];
}

export function createHost(options: HostOptions): Host {
  const { clock, logger } = options;
  const actors = new Map<string, Actor>();

  const perform = (actor: Actor, actions: readonly HostAction[], at: number): void => {
    for (const action of actions) {
      if (actor.stopped) return;
      if (action.type === "xstate.raise") {
        // Without a delay the machine has taken the event already, within this very transition.
        const raised = action.params as RaiseParams;
        if (raised.delay !== undefined) setTimer(actor, raised);
      } else if (action.type === "xstate.cancel") cancelTimer(actor, (action.params as { sendId: string }).sendId);
      else if (action.type in EFFECTS) performEffect(actor, action, at);
    }
  };

  /** One that cannot be had must not take the timers with it that come after it: they are what looks again. */
  const performEffect = (actor: Actor, { type, info }: HostAction, at: number): void => {
    try {
      const effects = EFFECTS[type as EffectName](info.context as Context, info.event as AppEvent, at);
      for (const effect of effects) options.perform(actor.uid, effect);
    } catch (error) {
      logger.error({ err: error, uid: actor.uid, effect: type }, "an effect could not be performed");
    }
  };

  const setTimer = (actor: Actor, { id, event, delay }: RaiseParams): void => {
    const key = id ?? event.type;
    cancelTimer(actor, key);
    const visit = ++actor.visits;
    const cancel = clock.setTimer(delay ?? 0, () => {
      actor.mailbox.push({ event: event as Sent, timer: { id: key, visit } });
      run(actor);
    });
    actor.timers.set(key, { visit, cancel });
  };

  const cancelTimer = (actor: Actor, id: string): void => {
    actor.timers.get(id)?.cancel();
    actor.timers.delete(id);
  };

  const run = (actor: Actor): void => {
    if (actor.running) return;
    actor.running = true;
    while (actor.mailbox.length > 0 && !actor.stopped) {
      const { event, timer } = actor.mailbox.shift()!;
      if (timer) {
        if (actor.timers.get(timer.id)?.visit !== timer.visit) continue;
        actor.timers.delete(timer.id);
      }
      const at = clock.now();
      try {
        const [snapshot, actions] = transition(applicationMachine, actor.snapshot, { ...event, at } as AppEvent);
        actor.snapshot = snapshot;
        perform(actor, actions as unknown as HostAction[], at);
      } catch (error) {
        logger.error({ err: error, uid: actor.uid, event: event.type }, "an event could not be handled");
      }
    }
    actor.running = false;
    if (actor.stopped) return;
    tellBusy(actor);
    options.onSettled(actor.uid);
  };

  const tellBusy = (actor: Actor): void => {
    const busy = isBusy(actor.snapshot);
    if (busy === actor.busy) return;
    actor.busy = busy;
    options.onBusy(actor.uid, busy);
  };

  return {
    start(input) {
      const now = clock.now();
      const [snapshot, actions] = initialTransition(applicationMachine, { ...input, now });
      const actor: Actor = {
        uid: input.view.ref.uid,
        snapshot,
        mailbox: [],
        running: false,
        timers: new Map(),
        visits: 0,
        busy: false,
        stopped: false,
      };
      actors.set(actor.uid, actor);
      perform(actor, actions as unknown as HostAction[], now);
      tellBusy(actor);
    },
    stop(uid) {
      const actor = actors.get(uid);
      if (!actor) return;
      actor.stopped = true;
      for (const timer of actor.timers.values()) timer.cancel();
      actors.delete(uid);
      if (actor.busy) options.onBusy(uid, false);
    },
    send(uid, event) {
      const actor = actors.get(uid);
      if (!actor) return false;
      actor.mailbox.push({ event });
      run(actor);
      return true;
    },
    has: (uid) => actors.has(uid),
    contextOf: (uid) => actors.get(uid)?.snapshot.context,
    isBusy: (uid) => actors.get(uid)?.busy ?? false,
    stuck(afterMs) {
      const now = clock.monotonic();
      return [...actors.values()].flatMap((actor) => {
        const where = actor.busy ? whereabouts(actor.snapshot) : undefined;
        if (where === undefined) actor.watched = undefined;
        else if (actor.watched?.where !== where) actor.watched = { where, since: now };
        return actor.watched && now - actor.watched.since >= afterMs ? [actor.uid] : [];
      });
    },
    uids: () => [...actors.keys()],
  };
}

interface HostAction {
  type: string;
  params: unknown;
  info: { context: unknown; event: unknown };
}

interface RaiseParams {
  id?: string;
  delay?: number;
  event: { type: string };
}

function whereabouts({ value, context }: Snapshot): string {
  return JSON.stringify([value, context.seq]);
}

/** Something is on its way to a worker; waiting for a pause or a person is not work. */
function isBusy(snapshot: Snapshot): boolean {
  const { refresh, sync } = snapshot.value as { refresh: unknown; sync: unknown };
  if (typeof refresh !== "object" || refresh === null || !("Idle" in refresh)) return true;
  if (typeof sync !== "object" || sync === null || !("Syncing" in sync)) return false;
  const { Syncing } = sync as { Syncing: unknown };
  return Syncing !== "retrying" && Syncing !== "waiting";
}
