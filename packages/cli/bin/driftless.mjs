#!/usr/bin/env node
// Entry of the `driftless` command for whatever node is in the PATH, as old as 20: the program itself is TypeScript run
// from source, for which the node among this clone's dependencies is taken.
import { spawn } from "node:child_process";
import { existsSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(realpathSync(fileURLToPath(import.meta.url)));
const main = join(here, "../src/main.ts");
const ours = join(here, "../../../node_modules/.bin/node");

if (Number.parseInt(process.versions.node, 10) >= 24) {
  await import(main);
} else if (!existsSync(ours)) {
  process.stderr.write("driftless: needs Node 24, which `npm install` in the clone brings along. Run that first.\n");
  process.exitCode = 2;
} else {
  // Not a shell: arguments go through as they are. A terminal sends Ctrl-C to the child too; other signals are ours to pass on.
  const child = spawn(ours, [main, ...process.argv.slice(2)], { stdio: "inherit" });
  const passOn = (signal) => child.kill(signal);
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, passOn);
  process.on("SIGINT", () => process.stdin.isTTY || child.kill("SIGINT"));
  child.on("error", (error) => {
    process.stderr.write(`driftless: ${error.message}\n`);
    process.exitCode = 1;
  });
  child.on("exit", (code, signal) => {
    process.exitCode = signal ? 1 : (code ?? 1);
  });
}
