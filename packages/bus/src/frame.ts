// What a NATS message's body looks like: JSON of the message itself for public ones, otherwise one msgpackr frame
// with the name and up to 50 messages of it. They are told apart by their first byte.
import { Packr } from "msgpackr";
import type { MessageDefinition } from "@driftless/contracts/message";
import { subject as subjectOf, decodeToken, shardOf } from "@driftless/contracts/subject";

export type Decoded =
  | { readonly kind: "frame"; readonly name: string; readonly items: readonly unknown[] }
  /** The name is not in the body: the handler whose schema and subject fit takes it. */
  | { readonly kind: "public"; readonly item: unknown }
  | { readonly kind: "invalid" };

// Records: the member names stand once per frame, which halves a batch.
const packr = new Packr({ useRecords: true, mapsAsObjects: true });

export function encode(definition: MessageDefinition, items: readonly unknown[]): Uint8Array {
  return definition.kind === "public"
    ? Buffer.from(JSON.stringify(items[0]))
    : packr.pack({ name: definition.name, items });
}

const OPENING_BRACE = 0x7b;
const isSpace = (byte: number) => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;

export function decode(subject: string, body: Uint8Array): Decoded {
  try {
    const first = body[0];
    if (first === undefined || first === OPENING_BRACE || isSpace(first)) {
      const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString().trim();
      const item: unknown = text === "" ? {} : JSON.parse(text);
      if (typeof item !== "object" || item === null || Array.isArray(item)) return { kind: "invalid" };
      return { kind: "public", item: { ...namedBySubject(subject), ...item } };
    }
    const frame = packr.unpack(body) as { name?: unknown; items?: unknown } | undefined;
    if (typeof frame?.name !== "string" || !Array.isArray(frame.items)) return { kind: "invalid" };
    return { kind: "frame", name: frame.name, items: frame.items };
  } catch {
    return { kind: "invalid" };
  }
}

const REFRESH = subjectOf("refresh");
const TRIGGER = subjectOf("trigger");
const ALL = "_all";

/** A refresh request may be empty: which Application is meant stands in its subject. */
function namedBySubject(subject: string): { namespace: string; name: string } | undefined {
  const published = publishedSubject(subject);
  if (!published?.startsWith(`${REFRESH}.`)) return undefined;
  const [namespace = ALL, name = ALL] = published
    .slice(REFRESH.length + 1)
    .split(".")
    .map((token) => (token === ALL ? ALL : decodeToken(token)));
  return { namespace, name };
}

/** Undoes the trigger stream's transform; undefined when the shard is not that of the Application. */
export function publishedSubject(delivered: string): string | undefined {
  if (!delivered.startsWith(`${TRIGGER}.`)) return delivered;
  const [shard = "", namespace = "", name = "", ...rest] = delivered.slice(TRIGGER.length + 1).split(".");
  if (rest.length > 0 || String(shardOf(decodeToken(namespace), decodeToken(name))) !== shard) return undefined;
  return `${REFRESH}.${namespace}.${name}`;
}

/** Does the subject that a message came by belong to it? Whoever may write one app's subject cannot speak for another. */
export function subjectFits(definition: MessageDefinition, message: unknown, delivered: string): boolean {
  const published = publishedSubject(delivered);
  if (published === undefined) return false;
  const derived = definition.subject(message);
  return published === derived || (published === `${REFRESH}.${ALL}` && derived === `${REFRESH}.${ALL}.${ALL}`);
}
