// What a fresh machine installs: the lockfile is complete and names no host, and versions are above the floors that
// published advisories set.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "..", "..");
interface Locked {
  version?: string;
  resolved?: string;
  optionalDependencies?: Record<string, string>;
}
const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as { packages: Record<string, Locked> };

/** Other systems have no control plane to be built either; npm leaves their packages out where it likes. */
const otherPlatform =
  /(darwin|win32|freebsd|android|openharmony|netbsd|wasm32|linux-(arm(?!64)|riscv64|ppc64|s390x|loong64|mips))/;

test("every optional dependency for Linux that the lockfile names has its entry, so that npm ci installs it", () => {
  const names = new Set(
    Object.keys(lock.packages).map((path) => path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length)),
  );
  const missing = Object.entries(lock.packages).flatMap(([path, locked]) =>
    Object.keys(locked.optionalDependencies ?? {})
      .filter((name) => !names.has(name) && !otherPlatform.test(name))
      .map((name) => `${path || "."} wants ${name}`),
  );
  expect(missing).toEqual([]);
});

test("the lockfile names no registry host", () => {
  expect(Object.values(lock.packages).filter((locked) => locked.resolved?.startsWith("http"))).toEqual([]);
});

const newer = (version: string, floor: string): boolean => {
  const [a, b] = [version, floor].map((text) => text.replace(/^v/, "").split(/[.-]/).map(Number));
  for (let n = 0; n < 3; n++) if (a![n] !== b![n]) return a![n]! > b![n]!;
  return true;
};

test.each([
  ["isomorphic-git", "1.42.0"],
  ["js-yaml", "4.1.1"],
  ["jsonpath-plus", "10.0.7"],
])("%s is at least %s", (name, floor) => {
  const versions = Object.entries(lock.packages).filter(([path]) => path.endsWith(`node_modules/${name}`));
  for (const [path, { version }] of versions) expect(newer(version!, floor), `${path} ${version}`).toBe(true);
});

test("nats-server is at least 2.14.3", () => {
  const version = /nats-server\/v2 (v[\d.]+)/.exec(readFileSync(join(root, "deploy/local/go.mod"), "utf8"))?.[1];
  expect(newer(version!, "2.14.3"), version).toBe(true);
});
