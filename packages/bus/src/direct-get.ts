// Reads the last message of a subject straight from its stream, without a consumer (ADR-31).
import { BusError, type Wire } from "./wire.ts";

export interface LastMessage {
  readonly data: Uint8Array;
  readonly seq: number;
  readonly storedAt: number;
  header(name: string): string | undefined;
}

/** Undefined: no message has this subject. Throws a BusError when NATS cannot be asked before the deadline. */
export async function lastMessage(
  wire: Wire,
  stream: string,
  subject: string,
  deadlineMs = 10_000,
): Promise<LastMessage | undefined> {
  const deadline = wire.clock.monotonic() + deadlineMs;
  for (let wait = 50; ; wait = Math.min(wait * 2, 1_000)) {
    await wire.untilReady(deadline);
    try {
      const answer = await wire.request(`$JS.API.DIRECT.GET.${stream}.${subject}`);
      const { headers } = answer;
      if (headers?.code === 404) return undefined;
      if (!headers || headers.code >= 400) throw new BusError("refused", `direct get answers ${headers?.code}`);
      return {
        data: answer.data,
        seq: Number(headers.get("Nats-Sequence")),
        storedAt: Date.parse(headers.get("Nats-Time-Stamp")),
        header: (name) => headers.get(name) || undefined,
      };
    } catch (error) {
      if (!(error instanceof BusError) || error.code === "closed") throw error;
      if (wire.clock.monotonic() + wait >= deadline) throw error;
      if (error.code === "no-responders") wire.provisionAgain();
      await wire.clock.sleep(wait);
    }
  }
}
