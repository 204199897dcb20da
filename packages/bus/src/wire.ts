// Edge: the one NATS connection of a process. Requests with our own inbox, since the client's neither fail on
// a disconnect nor come back after one, and "ready": connected, and everything in `streams.ts` is provisioned.
import {
  connect,
  createInbox,
  headers as newHeaders,
  type Msg,
  type MsgHdrs,
  type NatsConnection,
  type Subscription,
} from "nats";
import { type Clock, jittered } from "@driftless/process/clock";
import type { Logger } from "@driftless/process/telemetry";
import { provision } from "./provision.ts";

/** NATS could not be asked, or refused; retryable unless `code` says otherwise. */
export class BusError extends Error {
  override readonly name = "BusError";
  readonly code: "disconnected" | "timeout" | "no-responders" | "closed" | "refused" | "too-large";
  /** JetStream's own error number, where it answered with one. */
  readonly number: number | undefined;
  constructor(code: BusError["code"], message: string, number?: number) {
    super(message);
    this.code = code;
    this.number = number;
  }
}

export interface Stored {
  readonly stream: string;
  readonly seq: number;
  readonly duplicate?: boolean;
}

interface Asked {
  readonly resolve: (message: Msg) => void;
  readonly reject: (error: Error) => void;
  readonly until: number;
  readonly subject: string;
}

const REQUEST_TIMEOUT_MS = 5_000;
const TIMEOUT_CHECK_MS = 250;
const TICK_MS = 5_000;
const RECONNECT_WAIT_MS = 150;
const PROVISION_BACKOFF_MAX_MS = 2_000;

export type Headers = Readonly<Record<string, string>>;

export interface WireOptions {
  servers: string;
  name: string;
  clock: Clock;
  logger: Logger;
  signal?: AbortSignal;
}

export class Wire {
  readonly name: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly #connection: NatsConnection;
  readonly #inbox = createInbox();
  readonly #asked = new Map<string, Asked>();
  readonly #readyListeners = new Set<() => void>();
  readonly #disconnectListeners = new Set<() => void>();
  readonly #waitingForReady = new Set<{ resolve: () => void; reject: (error: Error) => void }>();
  readonly #tickers = new Set<() => void>();
  /** Stream → when it was created: another value means that its content was lost. */
  readonly #born = new Map<string, string>();
  readonly #stopFirst = new Set<() => Promise<void>>();
  #askedCount = 0;
  #checking = false;
  #ticking: (() => void) | undefined;
  #connected = true;
  #ready = false;
  #closed = false;
  #provisioning: Promise<void> | undefined;

  private constructor(connection: NatsConnection, options: WireOptions) {
    this.#connection = connection;
    this.name = options.name;
    this.clock = options.clock;
    this.logger = options.logger;
    connection.subscribe(`${this.#inbox}.*`, { callback: (_error, message) => this.#answer(message) });
    void this.#followStatus();
  }

  static async open(options: WireOptions): Promise<Wire> {
    const { clock, logger, signal } = options;
    for (let wait = 100; ; wait = Math.min(wait * 2, 2_000)) {
      signal?.throwIfAborted();
      try {
        const connection = await connect({
          servers: options.servers,
          name: options.name,
          maxReconnectAttempts: -1,
          reconnectTimeWait: RECONNECT_WAIT_MS,
          reconnectJitter: RECONNECT_WAIT_MS,
          pingInterval: 20_000,
          timeout: 5_000,
        });
        const wire = new Wire(connection, options);
        const abort = () => void wire.close().catch(() => undefined);
        signal?.addEventListener("abort", abort, { once: true });
        try {
          await wire.provisioned();
          signal?.throwIfAborted();
          return wire;
        } finally {
          signal?.removeEventListener("abort", abort);
        }
      } catch (error) {
        if (signal?.aborted) throw signal.reason as Error;
        if (wait === 100) logger.warn({ reason: (error as Error).message }, "waiting for NATS");
        await clock.sleep(jittered(clock, wait, wait / 2), signal);
      }
    }
  }

  get connected(): boolean {
    return this.#connected && !this.#closed;
  }

  get ready(): boolean {
    return this.#ready;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get payloadBytesMax(): number {
    return this.#connection.info?.max_payload ?? 1024 * 1024;
  }

  /** Changes when the stream's content was lost. */
  born(stream: string): string | undefined {
    return this.#born.get(stream);
  }

  setBorn(stream: string, created: string): void {
    this.#born.set(stream, created);
  }

  onReady(listener: () => void): () => void {
    this.#readyListeners.add(listener);
    if (this.#ready) listener();
    return () => this.#readyListeners.delete(listener);
  }

  onDisconnect(listener: () => void): () => void {
    this.#disconnectListeners.add(listener);
    return () => this.#disconnectListeners.delete(listener);
  }

  /** Called every 5 s while anybody wants it: one timer for all consumers. */
  onTick(listener: () => void): () => void {
    this.#tickers.add(listener);
    const arm = () => {
      this.#ticking = this.clock.setTimer(TICK_MS, () => {
        for (const ticker of this.#tickers) ticker();
        if (this.#tickers.size > 0) arm();
        else this.#ticking = undefined;
      });
    };
    if (!this.#ticking) arm();
    return () => this.#tickers.delete(listener);
  }

  /** Resolves when ready, rejects at the deadline (monotonic) or when the bus is closed. */
  untilReady(deadline: number): Promise<void> {
    if (this.#closed) return Promise.reject(new BusError("closed", "the bus is closed"));
    if (this.#ready) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const entry = {
        resolve: () => {
          cancel();
          resolve();
        },
        reject: (error: Error) => {
          cancel();
          reject(error);
        },
      };
      const expire = () => {
        this.#waitingForReady.delete(entry);
        reject(new BusError("disconnected", "NATS is not reachable"));
      };
      const cancel = Number.isFinite(deadline)
        ? this.clock.setTimer(Math.max(0, deadline - this.clock.monotonic()), expire)
        : () => undefined;
      this.#waitingForReady.add(entry);
    });
  }

  /** Consumers end before the connection does, or the process hangs (DESIGN §7). */
  stopBeforeClose(stop: () => Promise<void>): () => void {
    this.#stopFirst.add(stop);
    return () => this.#stopFirst.delete(stop);
  }

  async stopConsumers(): Promise<void> {
    await Promise.all([...this.#stopFirst].map((stop) => stop()));
  }

  send(subject: string, payload?: Uint8Array | string, options?: { headers?: Headers; reply?: string }): void {
    if (!this.connected) return;
    this.#connection.publish(subject, payload, {
      ...(options?.headers && { headers: headersOf(options.headers) }),
      ...(options?.reply && { reply: options.reply }),
    });
  }

  subscribe(subject: string, callback: (message: Msg) => void): Subscription {
    return this.#connection.subscribe(subject, { callback: (_error, message) => callback(message) });
  }

  newInbox(): string {
    return createInbox();
  }

  /** One question, one answer; rejects with a BusError on timeout, disconnect and when nobody listens. */
  request(
    subject: string,
    payload?: Uint8Array | string,
    headers?: Headers,
    timeoutMs = REQUEST_TIMEOUT_MS,
  ): Promise<Msg> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(new BusError("closed", "the bus is closed"));
      if (!this.#connected) return reject(new BusError("disconnected", "NATS is not reachable"));
      const token = String(++this.#askedCount);
      this.#asked.set(token, { resolve, reject, until: this.clock.monotonic() + timeoutMs, subject });
      try {
        this.#connection.publish(subject, payload, {
          reply: `${this.#inbox}.${token}`,
          ...(headers && { headers: headersOf(headers) }),
        });
      } catch (error) {
        this.#asked.delete(token);
        const tooLarge = (error as { code?: string }).code === "MAX_PAYLOAD_EXCEEDED";
        return reject(new BusError(tooLarge ? "too-large" : "disconnected", (error as Error).message));
      }
      if (!this.#checking) this.#checkTimeouts();
    });
  }

  /** A question to the JetStream API. */
  async api<T>(subject: string, body?: unknown): Promise<T> {
    const answer = await this.request(`$JS.API.${subject}`, body === undefined ? undefined : JSON.stringify(body));
    return jetStreamAnswer<T>(answer);
  }

  /** Stores a message, and asks again while NATS is away, until the deadline. */
  async store(
    subject: string,
    payload: Uint8Array | string | undefined,
    headers: Headers | undefined,
    deadlineMs: number,
  ): Promise<Stored> {
    const deadline = this.clock.monotonic() + deadlineMs;
    for (let wait = 50; ; wait = Math.min(wait * 2, 1_000)) {
      await this.untilReady(deadline);
      try {
        return jetStreamAnswer<Stored>(await this.request(subject, payload, headers));
      } catch (error) {
        if (!(error instanceof BusError) || error.code === "closed" || error.code === "too-large") throw error;
        // Wrong last sequence and the like: an answer, not a fault.
        if (error.number !== undefined && error.number >= 10_070 && error.number <= 10_073) throw error;
        if (this.clock.monotonic() + wait >= deadline) throw error;
        // No stream takes the subject: its streams were deleted while we were connected.
        if (error.code === "no-responders") this.provisionAgain();
        await this.clock.sleep(jittered(this.clock, wait, wait));
      }
    }
  }

  provisionAgain(): void {
    if (this.#provisioning || this.#closed || !this.#connected) return;
    this.#ready = false;
    void this.provisioned().catch(() => undefined);
  }

  /** Provisions until it succeeds or the connection is lost (then the reconnect does it again). */
  provisioned(): Promise<void> {
    this.#provisioning ??= this.#provision().finally(() => {
      this.#provisioning = undefined;
    });
    return this.#provisioning;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    await this.stopConsumers();
    const drained = this.#connected ? this.#connection.drain().catch(() => undefined) : Promise.resolve();
    // A peer that does not answer must not hold up the end of the process.
    await this.within(2_000, drained);
    this.#closed = true;
    this.#ready = false;
    this.#ticking?.();
    this.#failAsked("closed", "the bus is closed");
    for (const entry of this.#waitingForReady) entry.reject(new BusError("closed", "the bus is closed"));
    this.#waitingForReady.clear();
    await this.#connection.close();
  }

  /** Waits for it, but no longer; the timer does not keep the process alive. */
  within(ms: number, what: Promise<unknown>): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.clock.setTimer(ms, resolve);
      const end = () => {
        cancel();
        resolve();
      };
      what.then(end, end);
    });
  }

  async #provision(): Promise<void> {
    for (let wait = 100; ; wait = Math.min(wait * 2, PROVISION_BACKOFF_MAX_MS)) {
      try {
        await provision(this);
        break;
      } catch (error) {
        if (this.#closed || !this.#connected) throw error;
        this.logger.warn({ reason: (error as Error).message }, "provisioning NATS failed, trying again");
        await this.clock.sleep(jittered(this.clock, wait, wait / 2));
        if (this.#closed || !this.#connected) throw error;
      }
    }
    this.#ready = true;
    for (const entry of this.#waitingForReady) entry.resolve();
    this.#waitingForReady.clear();
    for (const listener of this.#readyListeners) listener();
  }

  async #followStatus(): Promise<void> {
    for await (const status of this.#connection.status()) {
      switch (String(status.type)) {
        case "disconnect": {
          if (!this.#connected) break;
          this.#connected = false;
          this.#ready = false;
          if (!this.#closed) this.logger.warn("NATS connection lost");
          this.#failAsked("disconnected", "NATS connection lost");
          for (const listener of this.#disconnectListeners) listener();
          break;
        }
        case "reconnect": {
          this.#connected = true;
          this.logger.info("NATS connection is back");
          // A provisioning that the disconnect interrupted ends first; it must not count for this connection.
          void (this.#provisioning ?? Promise.resolve())
            .catch(() => undefined)
            .then(() => (this.#connected && !this.#closed ? this.provisioned() : undefined))
            .catch(() => undefined);
          break;
        }
        case "error":
          this.logger.warn({ reason: JSON.stringify(status.data) }, "NATS reports an error");
          break;
        default:
      }
    }
  }

  #answer(message: Msg): void {
    const token = message.subject.slice(this.#inbox.length + 1);
    const asked = this.#asked.get(token);
    if (!asked) return;
    this.#asked.delete(token);
    if (message.data.length === 0 && message.headers?.code === 503) {
      asked.reject(new BusError("no-responders", `nobody answers ${asked.subject}`));
    } else asked.resolve(message);
  }

  #failAsked(code: BusError["code"], text: string): void {
    const all = [...this.#asked.values()];
    this.#asked.clear();
    for (const asked of all) asked.reject(new BusError(code, text));
  }

  // One timer for all questions, since thousands may be open and hardly any ever times out.
  #checkTimeouts(): void {
    this.#checking = true;
    this.clock.setTimer(TIMEOUT_CHECK_MS, () => {
      const now = this.clock.monotonic();
      for (const [token, asked] of this.#asked) {
        if (asked.until > now) continue;
        this.#asked.delete(token);
        asked.reject(new BusError("timeout", `no answer in time: ${asked.subject}`));
      }
      if (this.#asked.size > 0) this.#checkTimeouts();
      else this.#checking = false;
    });
  }
}

const wires = new WeakMap<object, Wire>();

/** What a bus is made on; not part of its interface, so that services cannot reach NATS through it. */
export function wireOf(bus: object): Wire {
  const wire = wires.get(bus);
  if (!wire) throw new Error("not a bus of connectBus()");
  return wire;
}

export function setWire(bus: object, wire: Wire): void {
  wires.set(bus, wire);
}

function headersOf(values: Headers): MsgHdrs {
  const result = newHeaders();
  for (const key in values) result.set(key, values[key]!);
  return result;
}

function jetStreamAnswer<T>(message: Msg): T {
  const body = JSON.parse(Buffer.from(message.data).toString()) as T & {
    error?: { err_code?: number; description?: string; code?: number };
  };
  if (body.error) {
    throw new BusError(
      "refused",
      body.error.description ?? "JetStream refused",
      body.error.err_code ?? body.error.code,
    );
  }
  return body;
}
