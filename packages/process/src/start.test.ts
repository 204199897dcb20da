// A process from start to exit code, as a real child process.
// oxlint-disable-next-line no-restricted-imports -- how a process ends can only be seen from outside it
import { spawn } from "node:child_process";
import { expect, test } from "vitest";

interface Ended {
  readonly code: number | null;
  readonly output: string;
}

/** `service` is the body of `start`; SIGTERM is sent as soon as the child prints "up". */
function run(service: string, env: Record<string, string> = {}): Promise<Ended> {
  const script = `
    import { runProcess } from "@driftless/process/start";
    runProcess({ name: "child", async start(context) { ${service} } });`;
  const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", script], {
    cwd: import.meta.dirname,
    env: { PATH: process.env["PATH"], ...env },
  });
  let output = "";
  let told = false;
  const take = (bytes: Buffer) => {
    output += String(bytes);
    if (!told && output.includes("up\n")) {
      told = true;
      child.kill("SIGTERM");
    }
  };
  child.stdout.on("data", take);
  child.stderr.on("data", take);
  return new Promise((resolve) => child.once("close", (code) => resolve({ code, output })));
}

const UP = `setInterval(() => undefined, 1000); setImmediate(() => console.log("up"));`;

test("SIGTERM stops the service once and exits 0", async () => {
  const { code, output } = await run(
    `${UP} return { notReady: () => undefined, stop: async () => console.log("aborted " + context.signal.aborted) };`,
  );
  expect(output).toContain("aborted true");
  expect(code).toBe(0);
});

test("a signal during start ends the start", async () => {
  const { code } = await run(`${UP} await context.clock.sleep(60_000, context.signal); return undefined!;`);
  expect(code).toBe(0);
});

test("a start that fails exits 1 and says why, without credentials", async () => {
  const { code, output } = await run(`throw new Error("no answer from nats://user:hunter2@nats:4222");`);
  expect(code).toBe(1);
  expect(output).toContain("no answer from nats://***@nats:4222");
  expect(output).not.toContain("hunter2");
});

test("an unhandled rejection exits 1", async () => {
  const { code } = await run(
    `setInterval(() => undefined, 1000); void Promise.reject(new Error("lost")); return undefined!;`,
  );
  expect(code).toBe(1);
});

test("wrong configuration exits 2 and names the variable", async () => {
  const { code, output } = await run("return undefined!;", { DRIFTLESS_API_PORT: "x" });
  expect(code).toBe(2);
  expect(output).toContain("DRIFTLESS_API_PORT");
});

test("secrets in what is logged are redacted", async () => {
  const { output } = await run(
    `context.logger.info({ repository: { password: "hunter2" }, token: "hunter3" }, "x"); throw new Error("end");`,
  );
  expect(output).toContain("[redacted]");
  expect(output).not.toMatch(/hunter/);
});
