// A real nats-server with JetStream on disk.
import { randomBytes } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { connect } from "node:net";
import path from "node:path";
import { startPart, type Part } from "./part.ts";
import { freePort, withPort } from "./ports.ts";
import type { Programs } from "./programs.ts";
import { writeState, type State } from "./state.ts";

export interface Nats extends Part {
  url: string;
  monitorUrl: string;
  port: number;
}

export interface NatsOptions {
  /** Exactly this port, as after a kill; the usual 4222 or any other when not given. */
  port?: number;
  /** Begins with an empty store. */
  fresh?: boolean;
}

const usualPort = 4222;
const usualMonitorPort = 8222;

export async function startNats(state: State, programs: Programs, options: NatsOptions = {}): Promise<Nats> {
  if (options.fresh) await rm(state.nats, { recursive: true, force: true });
  await mkdir(state.nats, { recursive: true });
  return withPort({ usual: usualPort, exactly: options.port }, (port) => startOn(state, programs, port));
}

async function startOn(state: State, programs: Programs, port: number): Promise<Nats> {
  const monitorPort = await freePort(usualMonitorPort);
  const serverName = `driftless-${randomBytes(6).toString("hex")}`;
  const config = path.join(state.home, "nats.conf");
  await writeState(config, configuration({ port, monitorPort, serverName, storeDir: state.nats }));
  const part = await startPart(state, "nats-server", [
    programs.driftlessLocal,
    "leash",
    programs.natsServer,
    "--config",
    config,
  ]);
  try {
    // By name, because the server that answers could be the one that took our port.
    await part.whenReady(async () => (await greeting(port)).includes(serverName));
  } catch (error) {
    await part.kill();
    throw error;
  }
  const url = `nats://127.0.0.1:${port}`;
  const monitorUrl = `http://127.0.0.1:${monitorPort}`;
  await writeState(state.natsJson, `${JSON.stringify({ url, monitorUrl })}\n`);
  return { ...part, url, monitorUrl, port };
}

/** NATS's own format; JSON strings are valid in it. */
export function configuration(options: {
  port: number;
  monitorPort: number;
  serverName: string;
  storeDir: string;
}): string {
  return `server_name: ${options.serverName}
listen: "127.0.0.1:${options.port}"
http: "127.0.0.1:${options.monitorPort}"
max_payload: 8MB
jetstream {
  store_dir: ${JSON.stringify(options.storeDir)}
  # A crash of the server loses nothing; only a power cut can lose this much, and everything in NATS is
  # recomputed from Git and the cluster then. The server's own default is 2 minutes.
  sync_interval: "10s"
}
`;
}

/** The INFO line a NATS server sends to whoever connects, once JetStream is recovered and clients are welcome. */
function greeting(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", timeout: 1000 });
    socket.once("data", (bytes) => {
      resolve(bytes.toString());
      socket.destroy();
    });
    socket.once("timeout", () => socket.destroy(new Error("no greeting")));
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("closed without a greeting")));
  });
}
