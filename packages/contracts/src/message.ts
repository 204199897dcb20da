// How a message is declared: name, kind, schema, subject and message id stand together, and nobody writes
// a subject anywhere else. Both ends validate against the schema; the consumer derives the subject again
// and refuses a message that came by another one.
import type { z } from "zod";

export type MessageKind =
  /** Asks a worker for work; imperative name; work queue. */
  | "command"
  /** A worker's answer to a command, read by the controller that asked and by whoever keeps caches. */
  | "result"
  /** Something observed; past tense; every interested replica reads it. */
  | "fact"
  /** Asked for or read by people and scripts; JSON on the wire. */
  | "public";

export interface MessageDefinition<Schema extends z.ZodType = z.ZodType> {
  readonly name: string;
  readonly kind: MessageKind;
  readonly schema: Schema;
  /** Pure: the same message always goes to the same subject. */
  readonly subject: (message: z.output<Schema>) => string;
  /** Deduplication id (`Nats-Msg-Id`), or undefined where sending twice does no harm. */
  readonly messageId?: (message: z.output<Schema>) => string | undefined;
  /** How many messages of one subject may travel as one NATS message; 1 for public ones. */
  readonly batchMax: number;
}

export type MessageOf<D extends MessageDefinition> = z.output<D["schema"]>;

export function defineMessage<Schema extends z.ZodType>(
  definition: Omit<MessageDefinition<Schema>, "batchMax"> & { batchMax?: number },
): MessageDefinition<Schema> {
  return { batchMax: definition.kind === "public" ? 1 : 50, ...definition };
}
