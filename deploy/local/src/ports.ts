// Ports on loopback: the usual one when it is free, another otherwise.
//
// Looking is not having: until the program we start listens, another process may take the port. So whoever starts
// one goes through withPort, which tries again when the program says that its port was taken.
import { createServer } from "node:net";
import { systemClock } from "@driftless/process/clock";
import { PartFailed } from "./part-failed.ts";

// Below the range from which Linux draws ports for outgoing connections, any of which could take ours.
const firstPort = 20_000;
const portsCount = 12_000;
const attemptsMax = 4;

// Two parts of one process that start at the same time must not be handed the same port.
const handedOut = new Set<number>();

export async function freePort(usual?: number): Promise<number> {
  if (usual !== undefined && !handedOut.has(usual) && (await isFree(usual))) return usual;
  for (;;) {
    const port = firstPort + Math.floor(systemClock.random() * portsCount);
    if (handedOut.has(port) || !(await isFree(port))) continue;
    handedOut.add(port);
    systemClock.setTimer(10_000, () => handedOut.delete(port));
    return port;
  }
}

/** On `exactly` that port, or the usual one, or any; `start` is repeated while it finds one of its ports taken. */
export async function withPort<T>(
  wish: { usual?: number; exactly?: number },
  start: (port: number) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const port = wish.exactly ?? (await freePort(attempt === 1 ? wish.usual : undefined));
    try {
      return await start(port);
    } catch (error) {
      if (!(error instanceof PartFailed && error.portTaken) || attempt === attemptsMax) throw error;
    }
  }
}

export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => server.close(() => resolve(true)));
  });
}
