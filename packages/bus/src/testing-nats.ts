// Test support: a real nats-server on a free loopback port with a store of its own, which can be killed and wiped.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock, waitUntil } from "@driftless/process/clock";

export interface TestNats extends AsyncDisposable {
  readonly url: string;
  start(): Promise<void>;
  /** As the kernel's out-of-memory killer does it. */
  kill(): Promise<void>;
  wipe(): Promise<void>;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** The greeting comes when JetStream is there too. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const end = (answered: boolean) => {
      socket.destroy();
      resolve(answered);
    };
    socket.once("data", () => end(true)).once("error", () => end(false));
    socket.once("close", () => end(false));
  });
}

export async function startTestNats(natsServer: string): Promise<TestNats> {
  const port = await freePort();
  const directory = await mkdtemp(join(tmpdir(), "driftless-nats-"));
  let child: ChildProcess | undefined;
  const nats: TestNats = {
    url: `nats://127.0.0.1:${port}`,
    async start() {
      child = spawn(natsServer, ["-a", "127.0.0.1", "-p", String(port), "-js", "-sd", directory], { stdio: "ignore" });
      await waitUntil(systemClock, "nats-server answers", () => answers(port), { deadlineMs: 10_000, intervalMs: 20 });
    },
    async kill() {
      if (!child || child.exitCode !== null) return;
      const gone = new Promise((resolve) => child!.once("exit", resolve));
      child.kill("SIGKILL");
      await gone;
      child = undefined;
    },
    async wipe() {
      await rm(directory, { recursive: true, force: true });
    },
    async [Symbol.asyncDispose]() {
      await nats.kill();
      await nats.wipe();
    },
  };
  await nats.start();
  return nats;
}
