// Sends messages: those of one definition and subject that come within one turn of the event loop travel together.
import { hash } from "node:crypto";
import type { MessageDefinition } from "@driftless/contracts/message";
import { BLOB_STREAM_BYTES_MAX } from "@driftless/contracts/streams";
import type { Blobs } from "./blobs.ts";
import { encode } from "./frame.ts";
import { validate } from "./validate.ts";
import { BusError, type Headers, type Wire } from "./wire.ts";

/** Names the blob that is the body of a message too large for a stream. */
export const BODY_HEADER = "Driftless-Body";
export const MESSAGE_ID_HEADER = "Nats-Msg-Id";

const DEADLINE_MS = 30_000;

/** The publisher's own mistake; never retried. Says where, not what: values may be secrets. */
export class InvalidMessageError extends Error {
  override readonly name = "InvalidMessageError";
}

interface Batch {
  readonly definition: MessageDefinition;
  readonly subject: string;
  readonly deadlineMs: number;
  readonly items: Item[];
  /** By message id, so that the same one twice in a turn is sent once. */
  readonly ids: Map<string, Item>;
}

interface Item {
  readonly message: unknown;
  readonly id: string | undefined;
  readonly sent: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export interface Publisher {
  publish(definition: MessageDefinition, message: unknown, options?: { deadlineMs?: number }): Promise<void>;
  /** Resolves when nothing is under way any more. */
  idle(): Promise<void>;
}

export function createPublisher(wire: Wire, blobs: Blobs): Publisher {
  let batches = new Map<string, Batch>();
  let scheduled = false;
  const underWay = new Set<Promise<void>>();

  const flush = () => {
    scheduled = false;
    const ready = batches;
    batches = new Map();
    for (const batch of ready.values()) {
      for (let from = 0; from < batch.items.length; from += batch.definition.batchMax) {
        const sending: Promise<void> = send(batch, batch.items.slice(from, from + batch.definition.batchMax)).finally(
          () => underWay.delete(sending),
        );
        underWay.add(sending);
      }
    }
  };

  const send = async (batch: Batch, items: readonly Item[]): Promise<void> => {
    try {
      const body = encode(
        batch.definition,
        items.map((item) => item.message),
      );
      if (body.length > BLOB_STREAM_BYTES_MAX && items.length > 1) {
        const half = items.length >> 1;
        await Promise.all([send(batch, items.slice(0, half)), send(batch, items.slice(half))]);
        return;
      }
      const id = batchId(items);
      const headers: Record<string, string> = id === undefined ? {} : { [MESSAGE_ID_HEADER]: id };
      let payload: Uint8Array | undefined = body;
      if (body.length > BLOB_STREAM_BYTES_MAX) {
        headers[BODY_HEADER] = await blobs.put(body);
        payload = undefined;
      }
      await wire.store(batch.subject, payload, isEmpty(headers) ? undefined : headers, batch.deadlineMs);
      for (const item of items) item.resolve();
    } catch (error) {
      for (const item of items) item.reject(error);
    }
  };

  return {
    publish(definition, message, options) {
      if (wire.closed) return Promise.reject(new BusError("closed", "the bus is closed"));
      const checked = validate(definition, message);
      if (checked.kind === "invalid") {
        return Promise.reject(
          new InvalidMessageError(`${definition.name} does not match its contract (${checked.where})`),
        );
      }
      const subject = definition.subject(checked.message);
      const deadlineMs = options?.deadlineMs ?? DEADLINE_MS;
      const key = `${definition.name} ${subject} ${deadlineMs}`;
      let batch = batches.get(key);
      if (!batch) batches.set(key, (batch = { definition, subject, deadlineMs, items: [], ids: new Map() }));
      const id = definition.messageId?.(checked.message);
      const same = id === undefined ? undefined : batch.ids.get(id);
      if (same) return same.sent;
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const item: Item = { message: checked.message, id, sent: promise, resolve, reject };
      batch.items.push(item);
      if (id !== undefined) batch.ids.set(id, item);
      if (!scheduled) {
        scheduled = true;
        setImmediate(flush);
      }
      return promise;
    },
    async idle() {
      if (scheduled) flush();
      while (underWay.size > 0) await Promise.all(underWay);
    },
  };
}

/** The ids of all; a batch that is sent again after a fault is the same batch, so the server knows it. */
function batchId(items: readonly Item[]): string | undefined {
  if (items.length === 1) return items[0]!.id;
  if (items.some((item) => item.id === undefined)) return undefined;
  return hash("sha1", items.map((item) => item.id).join("\n"), "hex");
}

const isEmpty = (headers: Headers): boolean => {
  for (const _ in headers) return false;
  return true;
};
