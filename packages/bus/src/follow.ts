// Reads a limits stream (results, facts, pushes, transitions) with a consumer of one's own: every replica gets all.
import type { StreamDefinition } from "@driftless/contracts/streams";
import type { Bus } from "./connect.ts";
import type { Consumption, Handler } from "./consume.ts";
import { isOffloaded, offloadedBody, quarantine, readIncoming } from "./incoming.ts";
import { readOrdered, type Start } from "./ordered.ts";
import type { Delivered } from "./pull.ts";
import { wireOf } from "./wire.ts";

export interface FollowOptions {
  readonly stream: StreamDefinition;
  readonly filters: readonly string[];
  readonly handlers: readonly Handler[];
  /** After the stream was lost, reading starts at the beginning of the new one whatever stands here. */
  readonly from: "new" | "all" | { readonly sinceMs: number };
}

/** Handlers are called in order and awaited; one that throws is logged, and reading goes on. */
export async function follow(bus: Bus, options: FollowOptions): Promise<Consumption> {
  return readOrdered(wireOf(bus), {
    stream: options.stream.name,
    filters: options.filters,
    start: options.from,
    message: handling(bus, options.stream, options.handlers),
  });
}

/** What is stored now, and no more: resolves when it has been told. For people who ask what was or is. */
export async function replay(
  bus: Bus,
  options: {
    readonly stream: StreamDefinition;
    readonly filters: readonly string[];
    readonly handlers: readonly Handler[];
    readonly which: Extract<Start, "all" | "last-per-subject" | object>;
  },
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const reading = await readOrdered(wireOf(bus), {
    stream: options.stream.name,
    filters: options.filters,
    start: options.which,
    message: handling(bus, options.stream, options.handlers),
    caughtUp: resolve,
  });
  await promise;
  await reading.stop();
}

function handling(bus: Bus, stream: StreamDefinition, handlers: readonly Handler[]) {
  const wire = wireOf(bus);
  const by = stream.name.toLowerCase();
  const setAside = (delivered: Delivered, reason: string) =>
    quarantine(wire, by, delivered, reason).catch((error: unknown) =>
      wire.logger.warn({ err: error, subject: delivered.subject }, "a broken message could not be set aside"),
    );
  return async (delivered: Delivered): Promise<void> => {
    const body = isOffloaded(delivered) ? await offloadedBody(bus.blobs, delivered) : delivered.data;
    if (!body) return setAside(delivered, "its body is gone");
    const incoming = readIncoming(handlers, delivered, body);
    if (incoming.unreadable !== undefined) return setAside(delivered, incoming.unreadable);
    for (const { message } of incoming.items) {
      try {
        await incoming.handler!.handle(message);
      } catch (error) {
        wire.logger.error({ err: error, message: incoming.handler!.definition.name }, "a handler failed");
      }
    }
    if (incoming.refused.length > 0) await setAside(delivered, incoming.refused[0]!.reason);
  };
}
