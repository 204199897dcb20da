// Runs the Go side's own tests, so that `npm test` covers both languages. The first run builds helm and kustomize, minutes on two cores.
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";

it("the engine's Go tests pass", { timeout: 900_000 }, async () => {
  const run = promisify(execFile);
  const { stdout } = await run("go", ["test", "./..."], {
    cwd: join(import.meta.dirname, ".."),
    env: { ...process.env, GOTOOLCHAIN: "local" },
  }).catch((error: { stdout: string; stderr: string }) => ({ stdout: `${error.stdout}${error.stderr}` }));
  expect(stdout).toMatch(/^ok\s/);
});
