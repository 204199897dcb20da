// From a NATS message to validated messages with their handlers, and where it goes when that fails.
import { subject } from "@driftless/contracts/subject";
import type { Blobs } from "./blobs.ts";
import type { Handler } from "./consume.ts";
import { decode, encode, subjectFits } from "./frame.ts";
import { BODY_HEADER, MESSAGE_ID_HEADER } from "./publish.ts";
import type { Delivered } from "./pull.ts";
import { validate } from "./validate.ts";
import type { Headers, Wire } from "./wire.ts";

export interface IncomingItem {
  /** Position in its NATS message. */
  readonly index: number;
  readonly message: unknown;
}

export interface Incoming {
  /** Undefined: nothing here is for one of the handlers. */
  readonly handler: Handler | undefined;
  readonly items: readonly IncomingItem[];
  /** What does not match its contract, or came by another's subject, with the reason. */
  readonly refused: readonly { readonly item: unknown; readonly reason: string }[];
  /** Why nothing at all could be read. */
  readonly unreadable?: string;
}

const nothing = (unreadable: string): Incoming => ({ handler: undefined, items: [], refused: [], unreadable });

export function isOffloaded(delivered: Delivered): boolean {
  return delivered.data.length === 0 && (delivered.message.headers?.has(BODY_HEADER) ?? false);
}

/** The body of a message that was too large for its stream; undefined: gone. */
export function offloadedBody(blobs: Blobs, delivered: Delivered): Promise<Uint8Array | undefined> {
  return blobs.get(delivered.message.headers!.get(BODY_HEADER));
}

export function readIncoming(handlers: readonly Handler[], delivered: Delivered, body: Uint8Array): Incoming {
  const decoded = decode(delivered.subject, body);
  switch (decoded.kind) {
    case "invalid":
      return nothing("not a message of the bus");
    case "public": {
      let where = "no handler";
      for (const handler of handlers) {
        if (handler.definition.kind !== "public") continue;
        const checked = check(handler, decoded.item, delivered.subject);
        if (checked.kind === "valid") return { handler, items: [{ index: 0, message: checked.message }], refused: [] };
        where = checked.where;
      }
      return nothing(where);
    }
    case "frame": {
      const handler = handlers.find(
        ({ definition }) => definition.name === decoded.name && definition.kind !== "public",
      );
      if (!handler) return { handler: undefined, items: [], refused: [] };
      const items: IncomingItem[] = [];
      const refused: { item: unknown; reason: string }[] = [];
      decoded.items.forEach((item, index) => {
        const checked = check(handler, item, delivered.subject);
        if (checked.kind === "valid") items.push({ index, message: checked.message });
        else refused.push({ item, reason: checked.where });
      });
      return { handler, items, refused };
    }
  }
}

function check({ definition }: Handler, item: unknown, deliveredSubject: string) {
  const checked = validate(definition, item);
  if (checked.kind === "valid" && !subjectFits(definition, checked.message, deliveredSubject)) {
    return { kind: "invalid", where: "came by a subject that is not its own" } as const;
  }
  return checked;
}

const QUARANTINE_DEADLINE_MS = 10_000;

/**
 * Puts a message, or some items of it, where people can look at it. Its id is that of its place in the stream:
 * several replicas that follow the same stream set it aside once.
 */
export async function quarantine(
  wire: Wire,
  by: string,
  delivered: Delivered,
  reason: string,
  items?: { handler: Handler; messages: readonly unknown[] },
): Promise<void> {
  const headers: Record<string, string> = {
    "Driftless-Reason": reason.replaceAll(/[^\x20-\x7e]/g, "?").slice(0, 512),
    "Driftless-Subject": delivered.subject,
    "Driftless-Deliveries": String(delivered.deliveries),
    [MESSAGE_ID_HEADER]: `${by} ${delivered.streamSeq} ${delivered.storedAt} ${reason}`,
  };
  const offloaded = isOffloaded(delivered);
  if (offloaded) headers[BODY_HEADER] = delivered.message.headers!.get(BODY_HEADER);
  const body = offloaded ? undefined : items ? encode(items.handler.definition, items.messages) : delivered.data;
  await wire.store(subject("quarantine", by), body, headers satisfies Headers, QUARANTINE_DEADLINE_MS);
  wire.logger.error({ by, subject: delivered.subject, reason, deliveries: delivered.deliveries }, "message set aside");
}
