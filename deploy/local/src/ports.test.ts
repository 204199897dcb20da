import { createServer, type AddressInfo, type Server } from "node:net";
import { expect, test } from "vitest";
import { PartFailed } from "./part-failed.ts";
import { freePort, isFree, withPort } from "./ports.ts";

async function listening(): Promise<{ server: Server; port: number }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, port: (server.address() as AddressInfo).port };
}

test("the usual port is taken when free and another one otherwise", async () => {
  const { server, port } = await listening();
  const other = await freePort(port);
  expect(other).not.toBe(port);
  expect(await isFree(other)).toBe(true);
  await new Promise((resolve) => server.close(resolve));
  expect(await freePort(port)).toBe(port);
});

test("a start that finds its port taken is repeated on another port, and one that fails otherwise is not", async () => {
  const tried: number[] = [];
  const answer = await withPort({}, (port) => {
    tried.push(port);
    if (tried.length < 3) throw new PartFailed("x", "no", { portTaken: true });
    return Promise.resolve("started");
  });
  expect(answer).toBe("started");
  expect(new Set(tried).size).toBe(3);
  let attempts = 0;
  const broken = withPort({}, () => {
    attempts++;
    throw new PartFailed("x", "broken");
  });
  await expect(broken).rejects.toThrow("broken");
  expect(attempts).toBe(1);
});
