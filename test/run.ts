// `npm test`: verify (format, lint, types, knip, unit, tidy) and the suites on real parts, two files at a time
// because they share two cores; ends with one line "N passed, N failed" over everything.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const bin = join(root, "node_modules", ".bin");
const scratch = mkdtempSync(join(tmpdir(), "driftless-test-"));

function run(command: string, args: string[], env: NodeJS.ProcessEnv = {}): Promise<number> {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      stdio: ["ignore", "inherit", "inherit"],
      env: { ...process.env, PATH: `${bin}:${process.env.PATH}`, ...env },
    });
    child.on("error", (error) => {
      console.error(`cannot start ${command}: ${error.message}`);
      resolve(1);
    });
    child.on("exit", (code, signal) => resolve(signal ? 1 : (code ?? 1)));
  });
}

const totals = { passed: 0, failed: 0 };

async function check(name: string, command: string, args: string[]): Promise<void> {
  const code = await run(command, args);
  console.log(`${code === 0 ? "ok" : "FAILED"}: ${name}`);
  totals[code === 0 ? "passed" : "failed"] += 1;
}

/** One Vitest run; its reporter leaves the counts in a file, so that a crash of the runner counts as a failure. */
async function suite(projects: string[], files: string[]): Promise<void> {
  const counts = join(scratch, `${projects.join("-")}.json`);
  const code = await run(
    join(bin, "node"),
    [
      join(root, "node_modules", "vitest", "vitest.mjs"),
      "run",
      "--config",
      "test/vitest.config.ts",
      ...projects.flatMap((p) => ["--project", p]),
      ...files,
    ],
    { DRIFTLESS_TEST_COUNTS: counts },
  );
  let result = { passed: 0, failed: 0 };
  try {
    result = JSON.parse(readFileSync(counts, "utf8")) as typeof result;
  } catch {
    // The runner ended before it could count.
  }
  totals.passed += result.passed;
  totals.failed += result.failed === 0 && code !== 0 ? 1 : result.failed;
}

const started = performance.now();
const files = process.argv.slice(2);
if (files.length === 0) {
  await check("format", "oxfmt", ["--check", "."]);
  await check("lint", "oxlint", ["--type-aware", "--deny-warnings"]);
  await check("types", "tsc", []);
  await check("knip", "knip", []);
  await check("parts: built once into the user's cache", "node", ["test/build.ts"]);
  await check("render engine (go test)", "go", ["test", "-C", "packages/render-engine", "./..."]);
  await suite(["unit", "tidy"], []);
}
await suite(["system", "conformance"], files);
if (files.length === 0) {
  await check("demo: the story on the example repository", "node", ["test/demo/main.ts"]);
  await check("bench: runs through, whatever its figures", "node", [
    "test/bench/main.ts",
    "--apps=10",
    "--samples=3",
    "--idle-seconds=3",
  ]);
}

rmSync(scratch, { recursive: true, force: true });
console.log(`took ${((performance.now() - started) / 60_000).toFixed(1)} min`);
console.log(`${totals.passed} passed, ${totals.failed} failed`);
process.exitCode = totals.failed === 0 ? 0 : 1;
