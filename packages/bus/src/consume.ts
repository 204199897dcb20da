// Consumes messages: handlers, and the work queue, which pulls from durables that workers share. Following a
// limits stream is in `follow.ts`.
//
// C1 What was handed out is acknowledged only when every message in it has been handled, or set aside.
// C2 No more is held ahead than is being handled, so that a worker who joins finds something to do.
// C3 A message that failed or killed its worker five times is set aside with its app told, and costs nobody else.
import { DELIVERIES_MAX, type DurableDefinition } from "@driftless/contracts/streams";
import type { MessageDefinition, MessageOf } from "@driftless/contracts/message";
import type { Bus } from "./connect.ts";
import { type Incoming, type IncomingItem, isOffloaded, offloadedBody, quarantine, readIncoming } from "./incoming.ts";
import { type Delivered, Puller, type Source } from "./pull.ts";
import { BusError, type Wire, wireOf } from "./wire.ts";

export { follow, replay, type FollowOptions } from "./follow.ts";

export interface Handler {
  readonly definition: MessageDefinition;
  // oxlint-disable-next-line typescript/no-explicit-any -- `on` ties it to the definition
  handle(message: any): Promise<void>;
}

export function on<D extends MessageDefinition>(
  definition: D,
  handle: (message: MessageOf<D>) => Promise<void>,
): Handler {
  return { definition, handle };
}

export interface Consumption {
  /** Waits for running handlers; what was not begun goes back at once. */
  stop(): Promise<void>;
}

export interface WorkOptions {
  /** Two are lanes: the first is served three times as often as the second. */
  readonly durables: readonly DurableDefinition[];
  readonly handlers: readonly Handler[];
  /** Messages handled at a time. */
  readonly concurrency: number;
  /** Called for each message that is set aside after DELIVERIES_MAX deliveries. */
  onPoison?(name: string, message: unknown): Promise<void>;
}

/** Resolves when all durables exist and have been asked for work. */
export async function consumeWork(bus: Bus, options: WorkOptions): Promise<Consumption> {
  const queue = new WorkQueue(bus, options);
  await queue.start();
  return queue;
}

const STREAM_NOT_FOUND = 10_059;
const NAK_DELAY_MS = 250;
/** Of two lanes, every fourth turn is the second's. */
const SECOND_LANE_EVERY = 4;
const LANE_SHARES = [0.75, 0.25] as const;
/** Below this part of what may be held ahead it is worth a request. */
const PULL_BELOW = 0.7;
const AHEAD_MIN = 4;
const FINISHED_MAX = 1_000;

interface Lane extends Source {
  readonly durable: DurableDefinition;
  readonly waiting: Held[];
  /** Messages that were handed out and not yet begun. */
  ahead: number;
  /** Messages in one NATS message, lately. */
  batchAverage: number;
  exists: boolean;
}

/** A NATS message that was handed out, with the messages in it. */
interface Held {
  readonly lane: Lane;
  readonly delivered: Delivered;
  readonly incoming: Incoming;
  readonly items: readonly IncomingItem[];
  readonly born: string | undefined;
  readonly failed: IncomingItem[];
  readonly finished: Set<number>;
  next: number;
  running: number;
  signedAt: number;
  failure: unknown;
}

class WorkQueue implements Consumption {
  readonly #bus: Bus;
  readonly #wire: Wire;
  readonly #options: WorkOptions;
  readonly #lanes: readonly Lane[];
  readonly #laneOf: ReadonlyMap<string, Lane>;
  readonly #puller: Puller;
  readonly #all = new Set<Held>();
  /** Lanes with something waiting, in the order in which they are served. */
  readonly #turns: Lane[] = [];
  /** What was done of messages that come again because others in them failed. */
  readonly #finished = new Map<string, Set<number>>();
  readonly #work = new Set<Promise<void>>();
  #unsubscribe: (() => void)[] = [];
  #turn = 0;
  #running = 0;
  #ahead = 0;
  #stopping = false;
  #preparing: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;

  constructor(bus: Bus, options: WorkOptions) {
    this.#bus = bus;
    this.#wire = wireOf(bus);
    this.#options = options;
    this.#lanes = options.durables.map((durable) => ({
      durable,
      stream: durable.stream,
      consumer: durable.name,
      waiting: [],
      ahead: 0,
      batchAverage: 1,
      exists: false,
    }));
    this.#laneOf = new Map(this.#lanes.map((lane) => [lane.consumer, lane]));
    this.#puller = new Puller(this.#wire, {
      message: (delivered) => this.#receive(delivered),
      idle: (source) => this.#pull(this.#laneOf.get(source.consumer)!),
      gone: (source) => {
        this.#laneOf.get(source.consumer)!.exists = false;
        void this.#prepare();
      },
    });
  }

  async start(): Promise<void> {
    this.#unsubscribe.push(this.#wire.stopBeforeClose(() => this.stop()));
    let first = true;
    this.#unsubscribe.push(
      this.#wire.onReady(() => {
        if (first) return;
        // Open requests died with the connection, and so may have the durables.
        for (const lane of this.#lanes) {
          lane.exists = false;
          this.#puller.forget(lane);
        }
        void this.#prepare();
      }),
      this.#wire.onTick(() => this.#signWorking()),
    );
    first = false;
    await this.#prepare();
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#stopping = true;
    for (const lane of this.#lanes) lane.waiting.length = 0;
    this.#turns.length = 0;
    for (const held of this.#all) if (held.running === 0) this.#giveBack(held);
    await this.#puller.stop();
    while (this.#work.size > 0) await Promise.allSettled(this.#work);
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
  }

  /** Makes the durables that are missing and asks for work; never rejects, tries until all are there. */
  #prepare(): Promise<void> {
    this.#preparing ??= this.#makeDurables().finally(() => {
      this.#preparing = undefined;
    });
    return this.#preparing;
  }

  async #makeDurables(): Promise<void> {
    for (let wait = 100; !this.#stopping && !this.#wire.closed; wait = Math.min(wait * 2, 2_000)) {
      try {
        await this.#wire.untilReady(Infinity);
        await Promise.all(
          this.#lanes.map(async (lane) => {
            if (lane.exists) return;
            await makeDurable(this.#wire, lane.durable);
            lane.exists = true;
            this.#pull(lane);
          }),
        );
        // A reconnect while they were being made may have made them void again.
        if (this.#lanes.every((lane) => lane.exists)) return;
      } catch (error) {
        if (this.#wire.closed || this.#stopping) return;
        if (error instanceof BusError && error.number === STREAM_NOT_FOUND) this.#wire.provisionAgain();
        this.#wire.logger.debug({ reason: (error as Error).message }, "durables not made, trying again");
        await this.#wire.clock.sleep(wait);
      }
    }
  }

  // C2
  #pull(lane: Lane): void {
    if (this.#stopping || !lane.exists || !this.#wire.ready || this.#puller.outstanding(lane) > 0) return;
    const { concurrency } = this.#options;
    // One lane may use what the other leaves, but each has room for its share of the turns, or it could not take them;
    // a durable of one owner among many keeps to its share.
    const share = LANE_SHARES[lane === this.#lanes[0] ? 0 : 1];
    const most =
      this.#lanes.length > 2
        ? Math.max(Math.ceil(concurrency / this.#lanes.length), AHEAD_MIN)
        : Math.max(concurrency - (this.#ahead - lane.ahead), Math.ceil(concurrency * share));
    if (lane.ahead > most * PULL_BELOW) return;
    this.#puller.pull(lane, Math.max(1, Math.floor((most - lane.ahead) / lane.batchAverage)));
  }

  #receive(delivered: Delivered): void {
    const lane = this.#laneOf.get(delivered.consumer);
    if (!lane) return;
    if (this.#stopping) return this.#wire.send(delivered.ack, "-NAK");
    if (isOffloaded(delivered)) {
      this.#track(
        offloadedBody(this.#bus.blobs, delivered).then((body) => {
          if (body) return this.#take(lane, delivered, body);
          return this.#refuse(lane, delivered, "its body is gone");
        }),
      );
    } else this.#take(lane, delivered, delivered.data);
  }

  #take(lane: Lane, delivered: Delivered, body: Uint8Array): void {
    if (this.#stopping) return this.#wire.send(delivered.ack, "-NAK");
    const incoming = readIncoming(this.#options.handlers, delivered, body);
    if (incoming.unreadable !== undefined || !incoming.handler) {
      this.#pull(lane);
      return this.#track(this.#refuse(lane, delivered, incoming.unreadable ?? "nobody here handles this message"));
    }
    const finished = this.#finished.get(`${lane.consumer} ${delivered.streamSeq}`) ?? new Set<number>();
    const held: Held = {
      lane,
      delivered,
      incoming,
      items: incoming.items.filter((item) => !finished.has(item.index)),
      born: this.#wire.born(lane.stream),
      failed: [],
      finished,
      next: 0,
      running: 0,
      signedAt: this.#wire.clock.monotonic(),
      failure: undefined,
    };
    lane.batchAverage += (Math.max(incoming.items.length, 1) - lane.batchAverage) / 4;
    this.#all.add(held);
    if (incoming.refused.length > 0) {
      const { handler, refused } = incoming;
      const messages = refused.map(({ item }) => item);
      this.#track(quarantine(this.#wire, lane.consumer, delivered, refused[0]!.reason, { handler, messages }));
    }
    // C3: it has killed its workers, or they could not say that it failed; not once more.
    if (delivered.deliveries > DELIVERIES_MAX) held.failed.push(...held.items);
    if (delivered.deliveries > DELIVERIES_MAX || held.items.length === 0) {
      held.next = held.items.length;
      this.#track(this.#settle(held));
      return this.#pull(lane);
    }
    lane.ahead += held.items.length;
    this.#ahead += held.items.length;
    if (lane.waiting.push(held) === 1) this.#turns.push(lane);
    this.#pull(lane);
    this.#dispatch();
  }

  #dispatch(): void {
    while (this.#running < this.#options.concurrency && !this.#stopping) {
      const lane = this.#nextLane();
      const held = lane?.waiting[0];
      if (!lane || !held) return;
      const item = held.items[held.next++]!;
      if (held.next === held.items.length) lane.waiting.shift();
      if (lane.waiting.length > 0) this.#turns.push(lane);
      this.#running++;
      held.running++;
      lane.ahead--;
      this.#ahead--;
      this.#pull(lane);
      this.#track(this.#run(held, item));
    }
  }

  /** Takes the lane out of the turns; with two lanes the first goes first, except every fourth time. */
  #nextLane(): Lane | undefined {
    if (this.#turns.length < 2 || this.#lanes.length !== 2) return this.#turns.shift();
    const lane = this.#lanes[++this.#turn % SECOND_LANE_EVERY === 0 ? 1 : 0]!;
    this.#turns.splice(this.#turns.indexOf(lane), 1);
    return lane;
  }

  async #run(held: Held, item: IncomingItem): Promise<void> {
    try {
      await held.incoming.handler!.handle(item.message);
      held.finished.add(item.index);
    } catch (error) {
      held.failed.push(item);
      held.failure = error;
    }
    this.#running--;
    held.running--;
    this.#dispatch();
    if (held.running > 0) return;
    if (held.next === held.items.length) await this.#settle(held);
    else if (this.#stopping) this.#giveBack(held);
  }

  async #settle(held: Held): Promise<void> {
    try {
      await this.#judge(held);
    } finally {
      // Also when it could not be set aside: then nobody says any more that it is being worked on.
      this.#all.delete(held);
    }
  }

  /** C1: every message in it was handled or failed. */
  async #judge(held: Held): Promise<void> {
    const { lane, delivered, failed, incoming } = held;
    const key = `${lane.consumer} ${delivered.streamSeq}`;
    if (failed.length === 0) return this.#answer(held, "+ACK");
    const name = incoming.handler!.definition.name;
    if (delivered.deliveries < DELIVERIES_MAX) {
      const delayMs = NAK_DELAY_MS * 2 ** (delivered.deliveries - 1);
      this.#wire.logger.warn(
        { err: held.failure, message: name, deliveries: delivered.deliveries },
        "a handler failed",
      );
      this.#finished.set(key, held.finished);
      if (this.#finished.size > FINISHED_MAX) this.#finished.delete(this.#finished.keys().next().value!);
      return this.#answer(held, `-NAK {"delay":${delayMs}000000}`);
    }
    this.#wire.logger.error(
      { err: held.failure, message: name, deliveries: delivered.deliveries },
      "a message failed too often",
    );
    const messages = failed.map((item) => item.message);
    const reason = `failed ${delivered.deliveries} times${held.failure instanceof Error ? ` (${held.failure.name})` : ""}`;
    await quarantine(this.#wire, lane.consumer, delivered, reason, { handler: incoming.handler!, messages });
    for (const message of messages) await this.#options.onPoison?.(name, message);
    this.#answer(held, "+TERM");
  }

  #answer(held: Held, verdict: string): void {
    this.#all.delete(held);
    if (!verdict.startsWith("-NAK")) this.#finished.delete(`${held.lane.consumer} ${held.delivered.streamSeq}`);
    // In a stream that was made anew the same numbers are another message.
    if (held.born === this.#wire.born(held.lane.stream)) this.#wire.send(held.delivered.ack, verdict);
  }

  #giveBack(held: Held): void {
    const left = held.items.length - held.next;
    if (left === 0 || !this.#all.has(held)) return;
    held.lane.ahead -= left;
    this.#ahead -= left;
    this.#answer(held, "-NAK");
  }

  async #refuse(lane: Lane, delivered: Delivered, reason: string): Promise<void> {
    await quarantine(this.#wire, lane.consumer, delivered, reason);
    this.#wire.send(delivered.ack, "+TERM");
  }

  /** What is held for long is not handed to somebody else. */
  #signWorking(): void {
    const now = this.#wire.clock.monotonic();
    for (const held of this.#all) {
      if (now - held.signedAt < held.lane.durable.ackWaitMs / 3) continue;
      held.signedAt = now;
      if (held.born === this.#wire.born(held.lane.stream)) this.#wire.send(held.delivered.ack, "+WPI");
    }
  }

  /** Work that `stop` waits for. What fails here (NATS away) is not acknowledged, hence comes again. */
  #track(work: Promise<void>): void {
    const tracked: Promise<void> = work
      .catch((error: unknown) =>
        this.#wire.logger.warn({ err: error }, "a message could not be settled; it comes again"),
      )
      .finally(() => this.#work.delete(tracked));
    this.#work.add(tracked);
  }
}

async function makeDurable(wire: Wire, durable: DurableDefinition): Promise<void> {
  await wire.api(`CONSUMER.CREATE.${durable.stream}.${durable.name}`, {
    stream_name: durable.stream,
    action: "",
    config: {
      name: durable.name,
      durable_name: durable.name,
      description: durable.description,
      ack_policy: "explicit",
      ack_wait: durable.ackWaitMs * 1e6,
      // Unlimited: after the server's own limit a message would stay in the work queue for ever, told to nobody.
      max_deliver: -1,
      max_ack_pending: 10_000,
      deliver_policy: "all",
      replay_policy: "instant",
      ...(durable.filters.length === 1 ? { filter_subject: durable.filters[0] } : { filter_subjects: durable.filters }),
    },
  });
}
