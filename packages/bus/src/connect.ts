// The bus: what services use of NATS. It connects, provisions on every connect, sends, and reads and writes blobs
// and buckets; consuming is in `consume.ts`, ownership in `replicas.ts`.
import type { MessageDefinition, MessageOf } from "@driftless/contracts/message";
import type { BucketDefinition } from "@driftless/contracts/streams";
import type { Clock } from "@driftless/process/clock";
import type { Logger } from "@driftless/process/telemetry";
import { type Blobs, createBlobs } from "./blobs.ts";
import { type KvBucket, openKv } from "./kv.ts";
import { createPublisher } from "./publish.ts";
import { setWire, Wire } from "./wire.ts";

export interface Bus {
  readonly name: string;
  readonly connected: boolean;
  /** After every (re)connect once provisioning has succeeded; at once if that is so already. Answers how to unsubscribe. */
  onReady(listener: () => void): () => void;
  onDisconnect(listener: () => void): () => void;
  /**
   * Resolves once JetStream has stored it; while NATS is away it is tried again until `deadlineMs` (30 s) is over,
   * then rejects with a BusError. A message that does not match its contract is an InvalidMessageError at once.
   */
  publish<D extends MessageDefinition>(
    definition: D,
    message: MessageOf<D>,
    options?: { deadlineMs?: number },
  ): Promise<void>;
  readonly blobs: Blobs;
  kv(bucket: BucketDefinition): Promise<KvBucket>;
  /** Ends consumers, sends what is under way, closes. */
  close(): Promise<void>;
}

export interface BusOptions {
  readonly servers: string;
  readonly name: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal?: AbortSignal;
}

const CLOSE_FLUSH_MS = 5_000;

/** Waits for NATS, however long it takes; the signal ends the waiting. */
export async function connectBus(options: BusOptions): Promise<Bus> {
  const wire = await Wire.open(options);
  const blobs = createBlobs(wire);
  const publisher = createPublisher(wire, blobs);
  let closing: Promise<void> | undefined;

  const bus: Bus = {
    name: options.name,
    get connected() {
      return wire.connected;
    },
    onReady: (listener) => wire.onReady(listener),
    onDisconnect: (listener) => wire.onDisconnect(listener),
    publish: (definition, message, publishOptions) => publisher.publish(definition, message, publishOptions),
    blobs,
    kv: (bucket) => openKv(wire, bucket),
    close: () =>
      (closing ??= (async () => {
        await wire.stopConsumers();
        if (wire.connected) await wire.within(CLOSE_FLUSH_MS, publisher.idle());
        await wire.close();
      })()),
  };
  setWire(bus, wire);
  return bus;
}
