// Reads a stream in order with a consumer of its own that is made anew wherever the last one ended: after a
// reconnect, after a gap, and after the stream was lost, then from the new stream's beginning.
import type { Consumption } from "./consume.ts";
import { streamInfo } from "./provision.ts";
import { type Delivered, Puller, type Source } from "./pull.ts";
import type { Wire } from "./wire.ts";

export type Start = "new" | "all" | "last-per-subject" | { readonly sinceMs: number };

export interface OrderedOptions {
  readonly stream: string;
  readonly filters: readonly string[];
  readonly start: Start;
  /** Called in order, one after the other. */
  message(delivered: Delivered): Promise<void> | void;
  /** The stream as it was when reading began has been told; once. */
  caughtUp?(): void;
}

const BATCH = 256;
const QUEUE_MAX = 256;
const INACTIVE_SECONDS = 300;

/** Resolves when the consumer exists, so that whatever is published from then on is told. */
export async function readOrdered(wire: Wire, options: OrderedOptions): Promise<Consumption> {
  const reader = new OrderedReader(wire, options);
  await reader.start();
  return reader;
}

class OrderedReader implements Consumption {
  readonly #wire: Wire;
  readonly #options: OrderedOptions;
  readonly #puller: Puller;
  readonly #startedAt: string;
  readonly #queue: Delivered[] = [];
  #source: Source | undefined;
  #lastSeq: number | undefined;
  #born: string | undefined;
  #lost = false;
  #consumerSeq = 0;
  #caughtUp = false;
  #stopped = false;
  #consumerCount = 0;
  #making: Promise<void> | undefined;
  #pumping: Promise<void> | undefined;
  #unsubscribe: (() => void)[] = [];

  constructor(wire: Wire, options: OrderedOptions) {
    this.#wire = wire;
    this.#options = options;
    const { start } = options;
    this.#startedAt = new Date(wire.clock.now() - (typeof start === "object" ? start.sinceMs : 0)).toISOString();
    this.#puller = new Puller(wire, {
      message: (delivered) => this.#receive(delivered),
      idle: (source) => {
        if (source === this.#source) this.#pull();
      },
      gone: (source) => {
        if (source === this.#source) void this.#renew();
      },
    });
  }

  async start(): Promise<void> {
    this.#unsubscribe.push(this.#wire.stopBeforeClose(() => this.stop()));
    await this.#renew();
    let first = true;
    this.#unsubscribe.push(
      this.#wire.onReady(() => {
        if (!first) void this.#renew();
      }),
    );
    first = false;
  }

  async stop(): Promise<void> {
    if (!this.#stopped) {
      this.#stopped = true;
      for (const unsubscribe of this.#unsubscribe) unsubscribe();
      this.#queue.length = 0;
      await this.#puller.stop();
      this.#drop(this.#source);
    }
    await this.#pumping;
  }

  /** Never rejects: tries until the consumer is there or nobody wants it any more. */
  #renew(): Promise<void> {
    this.#making ??= this.#make().finally(() => {
      this.#making = undefined;
    });
    return this.#making;
  }

  async #make(): Promise<void> {
    const { stream, filters } = this.#options;
    for (let wait = 100; !this.#stopped; wait = Math.min(wait * 2, 2_000)) {
      try {
        await this.#wire.untilReady(Infinity);
        const info = await streamInfo(this.#wire, stream);
        if (!info) {
          this.#wire.provisionAgain();
          throw new Error(`stream ${stream} is missing`);
        }
        if (this.#born !== undefined && this.#born !== info.created) {
          this.#lost = true;
          this.#lastSeq = undefined;
        }
        this.#born = info.created;
        if (this.#options.start === "new" && !this.#lost) this.#lastSeq ??= info.state.last_seq;
        this.#drop(this.#source);
        const consumer = `${this.#wire.name.replaceAll(/[^A-Za-z0-9_-]/g, "-")}-${this.#wire.newInbox().slice(-10)}-${++this.#consumerCount}`;
        const source: Source = { stream, consumer };
        // Set before it is asked for: its first message may not come before our own answer, but nothing says so.
        this.#consumerSeq = 0;
        this.#source = source;
        const created = await this.#wire.api<{ num_pending: number }>(`CONSUMER.CREATE.${stream}.${consumer}`, {
          stream_name: stream,
          action: "create",
          config: {
            name: consumer,
            ack_policy: "none",
            replay_policy: "instant",
            mem_storage: true,
            num_replicas: 1,
            inactive_threshold: INACTIVE_SECONDS * 1e9,
            ...(filters.length === 1 ? { filter_subject: filters[0] } : { filter_subjects: filters }),
            ...this.#from(),
          },
        });
        if (this.#stopped) return this.#drop(source);
        this.#pull();
        if (created.num_pending === 0 && this.#queue.length === 0) this.#tellCaughtUp();
        return;
      } catch (error) {
        if (this.#wire.closed || this.#stopped) return;
        this.#wire.logger.debug(
          { stream, reason: (error as Error).message },
          "ordered consumer not made, trying again",
        );
        await this.#wire.clock.sleep(wait);
      }
    }
  }

  #from(): Record<string, unknown> {
    if (this.#lastSeq !== undefined) return { deliver_policy: "by_start_sequence", opt_start_seq: this.#lastSeq + 1 };
    const { start } = this.#options;
    if (start === "last-per-subject") return { deliver_policy: "last_per_subject" };
    if (typeof start === "object" && !this.#lost) {
      return { deliver_policy: "by_start_time", opt_start_time: this.#startedAt };
    }
    return { deliver_policy: "all" };
  }

  #drop(source: Source | undefined): void {
    if (!source) return;
    if (this.#source === source) this.#source = undefined;
    this.#puller.forget(source);
    this.#wire.send(`$JS.API.CONSUMER.DELETE.${source.stream}.${source.consumer}`);
  }

  #pull(): void {
    const source = this.#source;
    if (!source || this.#stopped || this.#queue.length >= QUEUE_MAX || this.#puller.outstanding(source) > 0) return;
    this.#puller.pull(source, BATCH);
  }

  #receive(delivered: Delivered): void {
    if (this.#stopped || delivered.consumer !== this.#source?.consumer) return;
    if (delivered.consumerSeq !== this.#consumerSeq + 1) {
      void this.#renew();
      return;
    }
    this.#consumerSeq = delivered.consumerSeq;
    this.#lastSeq = delivered.streamSeq;
    this.#queue.push(delivered);
    this.#pull();
    this.#pumping ??= this.#pump().finally(() => {
      this.#pumping = undefined;
    });
  }

  async #pump(): Promise<void> {
    for (let next = this.#queue.shift(); next && !this.#stopped; next = this.#queue.shift()) {
      try {
        await this.#options.message(next);
      } catch (error) {
        this.#wire.logger.error({ err: error, stream: this.#options.stream }, "handling a followed message failed");
      }
      if (next.pending === 0) this.#tellCaughtUp();
      this.#pull();
    }
  }

  #tellCaughtUp(): void {
    if (this.#caughtUp) return;
    this.#caughtUp = true;
    this.#options.caughtUp?.();
  }
}
