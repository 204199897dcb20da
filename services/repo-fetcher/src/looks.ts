// Looking at a server for many who ask: one at a time, shared, numbered, and repeated by itself.
//
// R1  At most one look runs; whoever asks meanwhile shares exactly one more after it, because what the running one
//     sees may be older than their question.
// R2  Each look has an observation number that only rises (also over a restart: it begins at the wall clock). It orders
//     revisions; ancestry and dates do not, so a force-push back is simply newer.
// R4  After a failed look the next comes by itself, with growing pauses up to the usual one.
import type { Cause } from "@driftless/contracts/identity";
import { jittered } from "@driftless/process/clock";
import type { Clock } from "@driftless/process/clock";
import type { Outcome } from "./git-failure.ts";

/** `failing`: what was answered holds, and yet the look is to be repeated soon. */
export type Looked<T> = { outcome: Outcome<T>; failing: boolean };

type Look<T> = { outcome: Promise<Outcome<T>>; begun: boolean; cause: Cause };

export class Looks<T> {
  readonly #clock: Clock;
  readonly #look: (cause: Cause) => Promise<Looked<T>>;
  #pollMs: number;
  #pollJitterMs: number;
  #running: Look<T> | undefined;
  #next: Look<T> | undefined;
  #stopPoll = () => {};
  #failures = 0;
  #lastNumber = 0;
  #closed = false;

  constructor(options: {
    clock: Clock;
    /** Must not reject. */
    look: (cause: Cause) => Promise<Looked<T>>;
    pollMs?: number | undefined;
    pollJitterMs?: number | undefined;
  }) {
    this.#clock = options.clock;
    this.#look = options.look;
    this.#pollMs = options.pollMs ?? 120_000;
    this.#pollJitterMs = options.pollJitterMs ?? 60_000;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Look now, or once more after the look that is running (R1). */
  nudge(cause: Cause): Promise<Outcome<T>> {
    if (this.#next) return this.#next.outcome;
    if (this.#running && !this.#running.begun) return this.#running.outcome;
    if (!this.#running) return (this.#running = this.#begin(cause)).outcome;
    const next: Look<T> = { begun: false, cause, outcome: this.#running.outcome.then(() => this.#promote(next)) };
    this.#next = next;
    return next.outcome;
  }

  /** The number of a look that has just seen something (R2). */
  newNumber(): number {
    return (this.#lastNumber = Math.max(this.#lastNumber + 1, Math.floor(this.#clock.now())));
  }

  /** The number of the newest look, or of now when there was none. */
  number(): number {
    return (this.#lastNumber ||= Math.floor(this.#clock.now()));
  }

  /** 0 = never by itself. */
  pollEvery(pollMs: number, pollJitterMs: number): void {
    if (pollMs === this.#pollMs && pollJitterMs === this.#pollJitterMs) return;
    this.#pollMs = pollMs;
    this.#pollJitterMs = pollJitterMs;
    if (this.#running || this.#closed) return;
    this.#stopPoll();
    this.#schedulePoll();
  }

  /** The server is another now: its failures do not count. */
  forgetFailures(): void {
    this.#failures = 0;
  }

  close(): void {
    this.#closed = true;
    this.#stopPoll();
  }

  /** Begins a look after the present turn of the event loop, so that all who ask in it share it. */
  #begin(cause: Cause): Look<T> {
    const look: Look<T> = { begun: false, cause, outcome: Promise.resolve(undefined as never) };
    look.outcome = new Promise<void>((resolve) => setImmediate(resolve)).then(() => this.#run(look));
    return look;
  }

  async #promote(next: Look<T>): Promise<Outcome<T>> {
    this.#next = undefined;
    this.#running = next;
    return this.#run(next);
  }

  async #run(look: Look<T>): Promise<Outcome<T>> {
    look.begun = true;
    this.#stopPoll();
    try {
      const { outcome, failing } = await this.#look(look.cause);
      this.#failures = failing ? this.#failures + 1 : 0;
      return outcome;
    } finally {
      if (this.#running === look) this.#running = undefined;
      if (!this.#closed && !this.#next) this.#schedulePoll();
    }
  }

  #schedulePoll(): void {
    if (this.#pollMs === 0) return;
    const pause = this.#failures === 0 ? this.#pollMs : Math.min(this.#pollMs, 1_000 * 2 ** (this.#failures - 1));
    const jitter = this.#failures === 0 ? this.#pollJitterMs : pause / 2;
    this.#stopPoll = this.#clock.setTimer(jittered(this.#clock, pause, jitter), () => {
      void this.nudge({ kind: "poll", at: new Date(this.#clock.now()).toISOString() });
    });
  }
}
