// Pull requests to JetStream consumers, by hand: one inbox for any number of consumers, requests that stay open
// for minutes, no heartbeats. The client's `consume()` keeps timers and heartbeats for each and prefetches 100.
import type { Msg, Subscription } from "nats";
import type { Wire } from "./wire.ts";

/** A message of a stream as a consumer hands it out. */
export interface Delivered {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly message: Msg;
  /** Subject to acknowledge on. */
  readonly ack: string;
  readonly consumer: string;
  /** How often it was handed out, this time included. */
  readonly deliveries: number;
  readonly streamSeq: number;
  readonly consumerSeq: number;
  readonly storedAt: number;
  /** How many more the consumer has. */
  readonly pending: number;
}

export interface Source {
  readonly stream: string;
  /** Name of the consumer. */
  readonly consumer: string;
}

interface Open {
  readonly source: Source;
  readonly number: number;
  outstanding: number;
  expiresAt: number;
}

const EXPIRES_MS = 110_000;
/** An answer to an expired request takes no longer than this; after it the request is believed lost. */
const GRACE_MS = 5_000;

export interface PullListener {
  message(delivered: Delivered): void;
  /** The request is used up or expired: ask again when there is room. */
  idle(source: Source): void;
  /** The consumer does not exist (any more). */
  gone(source: Source): void;
}

export class Puller {
  readonly #wire: Wire;
  readonly #listener: PullListener;
  readonly #inbox: string;
  readonly #open = new Map<string, Open>();
  readonly #subscription: Subscription;
  readonly #stopTicks: () => void;
  #count = 0;

  constructor(wire: Wire, listener: PullListener) {
    this.#wire = wire;
    this.#listener = listener;
    this.#inbox = wire.newInbox();
    this.#subscription = wire.subscribe(`${this.#inbox}.*`, (message) => this.#receive(message));
    this.#stopTicks = wire.onTick(() => this.#expire());
  }

  outstanding(source: Source): number {
    return this.#open.get(source.consumer)?.outstanding ?? 0;
  }

  pull(source: Source, batch: number): void {
    const number = ++this.#count;
    this.#open.set(source.consumer, {
      source,
      number,
      outstanding: batch,
      expiresAt: this.#wire.clock.monotonic() + EXPIRES_MS,
    });
    const request = `{"batch":${batch},"expires":${EXPIRES_MS}000000}`;
    const reply = `${this.#inbox}.${number}`;
    this.#wire.send(`$JS.API.CONSUMER.MSG.NEXT.${source.stream}.${source.consumer}`, request, { reply });
  }

  /** What was asked of this consumer is void: the connection or the consumer is another one. */
  forget(source: Source): void {
    this.#open.delete(source.consumer);
  }

  /** Messages that are on their way are still told. */
  async stop(): Promise<void> {
    this.#stopTicks();
    this.#open.clear();
    if (this.#wire.ready) {
      await this.#wire.within(1_000, this.#subscription.drain());
    } else this.#subscription.unsubscribe();
  }

  #receive(message: Msg): void {
    const delivered = message.reply ? deliveredOf(message, message.reply) : undefined;
    if (delivered) {
      const open = this.#open.get(delivered.consumer);
      if (open && open.outstanding > 0) open.outstanding--;
      this.#listener.message(delivered);
      return;
    }
    const number = Number(message.subject.slice(this.#inbox.length + 1));
    for (const open of this.#open.values()) {
      // An answer to an earlier request says nothing about the present one.
      if (open.number !== number) continue;
      open.outstanding = 0;
      const code = message.headers?.code ?? 0;
      const description = message.headers?.description ?? "";
      if (code === 503 || (code === 409 && /consumer deleted|consumer is push/i.test(description))) {
        this.#listener.gone(open.source);
      } else this.#listener.idle(open.source);
      return;
    }
  }

  #expire(): void {
    if (!this.#wire.ready) return;
    const now = this.#wire.clock.monotonic();
    for (const open of this.#open.values()) {
      if (open.outstanding === 0 || open.expiresAt + GRACE_MS > now) continue;
      open.outstanding = 0;
      this.#listener.idle(open.source);
    }
  }
}

/**
 * `$JS.ACK.<stream>.<consumer>.<deliveries>.<streamSeq>.<consumerSeq>.<timestamp>.<pending>`, or, as nats-server
 * 2.15 has it by default, with domain and account before the stream and more tokens after pending (ADR-15).
 */
function deliveredOf(message: Msg, ack: string): Delivered | undefined {
  const tokens = ack.split(".");
  if (tokens[0] !== "$JS" || tokens[1] !== "ACK") return undefined;
  const at = tokens.length === 9 ? 2 : 4;
  return {
    subject: message.subject,
    data: message.data,
    message,
    ack,
    consumer: tokens[at + 1]!,
    deliveries: Number(tokens[at + 2]),
    streamSeq: Number(tokens[at + 3]),
    consumerSeq: Number(tokens[at + 4]),
    storedAt: Math.floor(Number(tokens[at + 5]) / 1e6),
    pending: Number(tokens[at + 6]),
  };
}
