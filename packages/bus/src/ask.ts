// Asking a worker outside: one question, one answer, nothing stored.
import type { Bus } from "./connect.ts";
import { BusError, wireOf } from "./wire.ts";

export type AskOutcome =
  | { kind: "answered"; data: Uint8Array }
  /** Nobody listens on the subject. */
  | { kind: "nobody" }
  /** Somebody may have taken it, but said nothing in time. */
  | { kind: "silent" }
  /** The question does not fit into one message. */
  | { kind: "too-large" };

/** Rejects with a BusError when NATS is away. */
export async function ask(bus: Bus, subject: string, question: string, timeoutMs: number): Promise<AskOutcome> {
  try {
    return { kind: "answered", data: (await wireOf(bus).request(subject, question, undefined, timeoutMs)).data };
  } catch (error) {
    if (!(error instanceof BusError)) throw error;
    if (error.code === "no-responders") return { kind: "nobody" };
    if (error.code === "timeout") return { kind: "silent" };
    if (error.code === "too-large") return { kind: "too-large" };
    throw error;
  }
}

/** The subject to which an empty request answers with a stored body, in every client's own words. */
export const blobQuestion = (stream: string, digest: string): string => `$JS.API.DIRECT.GET.${stream}.blob.${digest}`;
