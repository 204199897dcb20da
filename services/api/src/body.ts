// Edge: reads a request's body up to a limit, and gives the rest of an endless one no memory.
import type { IncomingMessage } from "node:http";

export type BodyOutcome = { kind: "body"; bytes: Buffer } | { kind: "tooLarge" } | { kind: "busy" } | { kind: "gone" };

/** Bytes of all bodies being read: the bound that holds however many clients send at once. */
export class BodyBudget {
  #free: number;
  constructor(bytesMax: number) {
    this.#free = bytesMax;
  }
  take(bytes: number): boolean {
    if (bytes > this.#free) return false;
    this.#free -= bytes;
    return true;
  }
  giveBack(bytes: number): void {
    this.#free += bytes;
  }
}

/** The bytes stay counted until `giveBack`. */
export async function readBody(
  request: IncomingMessage,
  bytesMax: number,
  budget: BodyBudget,
): Promise<BodyOutcome & { giveBack(): void }> {
  let taken = 0;
  const giveBack = () => {
    budget.giveBack(taken);
    taken = 0;
  };
  // Its "close" has been and will not come again.
  if (request.destroyed) return { kind: "gone", giveBack };
  const declared = Number(request.headers["content-length"] ?? 0);
  if (declared > bytesMax) return { kind: "tooLarge", giveBack };
  const chunks: Buffer[] = [];
  const outcome = await new Promise<BodyOutcome>((resolve) => {
    request.on("data", (chunk: Buffer) => {
      if (taken + chunk.length > bytesMax) return stop({ kind: "tooLarge" });
      if (!budget.take(chunk.length)) return stop({ kind: "busy" });
      taken += chunk.length;
      chunks.push(chunk);
    });
    request.on("end", () => resolve({ kind: "body", bytes: Buffer.concat(chunks) }));
    request.on("error", () => resolve({ kind: "gone" }));
    request.on("close", () => resolve({ kind: "gone" }));
    const stop = (why: BodyOutcome) => {
      request.removeAllListeners("data");
      chunks.length = 0;
      resolve(why);
    };
  });
  return { ...outcome, giveBack };
}
