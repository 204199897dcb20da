// Test projects: unit tests beside the code, tidy checks, and suites on real parts.
import { join } from "node:path";
import { defineConfig } from "vitest/config";

const root = join(import.meta.dirname, "..");

export default defineConfig({
  root,
  test: {
    reporters: ["default", join(import.meta.dirname, "count-reporter.ts")],
    projects: [
      {
        test: {
          name: "unit",
          root,
          include: ["packages/*/src/**/*.test.ts", "services/*/src/**/*.test.ts", "deploy/local/src/**/*.test.ts"],
        },
      },
      { test: { name: "tidy", root, include: ["test/tidy/**/*.test.ts"] } },
      {
        test: {
          name: "system",
          root,
          include: ["test/system/**/*.test.ts"],
          // Each file starts a control plane of its own; two fill each other's waits on a small machine.
          maxWorkers: 2,
          testTimeout: 120_000,
          // The very first start on a machine builds the programs.
          hookTimeout: 1_200_000,
        },
      },
      {
        test: {
          name: "conformance",
          root,
          include: ["test/conformance/**/*.test.ts"],
          maxWorkers: 2,
          testTimeout: 120_000,
          hookTimeout: 1_200_000,
        },
      },
    ],
  },
});
