// The tree keeps its word: subjects are written in one place, named files exist, imports point one way.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";

const root = join(import.meta.dirname, "..", "..");
const tracked = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  cwd: root,
  encoding: "utf8",
})
  .split("\n")
  .filter((file) => file !== "" && existsSync(join(root, file)));
const sources = tracked.filter((file) => /\.(ts|mjs)$/.test(file));
const product = sources.filter((file) => /^(packages|services)\//.test(file) && !file.endsWith(".test.ts"));
const read = (file: string): string => readFileSync(join(root, file), "utf8");

test("subjects are written in packages/contracts and nowhere else", () => {
  const strays = product
    .filter((file) => !file.startsWith("packages/contracts/"))
    .flatMap((file) =>
      read(file)
        .split("\n")
        // Comments and help texts may show a subject to people.
        .filter((line) => /["'`]driftless\.v1\./.test(line) && !/^\s*(\/\/|\*)/.test(line))
        .map((line) => `${file}: ${line.trim()}`),
    )
    .filter((line) => !line.startsWith("packages/cli/"));
  expect(strays).toEqual([]);
});

test("every path that Markdown links to or a comment names exists", () => {
  const missing: string[] = [];
  for (const file of tracked.filter((name) => name.endsWith(".md"))) {
    for (const [, target] of read(file).matchAll(/\]\(((?!https?:|#|mailto:)[^)#\s]+)[^)]*\)/g)) {
      if (!existsSync(join(root, dirname(file), target!))) missing.push(`${file}: ${target}`);
    }
  }
  for (const file of sources) {
    for (const [, target] of read(file).matchAll(
      /^\s*(?:\/\/|\*).*?\b((?:packages|services|deploy|test)\/[\w./-]+\.(?:ts|go|md|json|yaml))\b/gm,
    )) {
      if (!existsSync(join(root, target!))) missing.push(`${file}: ${target}`);
    }
  }
  expect(missing).toEqual([]);
});

describe("arrows point one way", () => {
  const importsOf = (file: string): string[] =>
    [...read(file).matchAll(/from "(@driftless\/[\w-]+)/g)].map((match) => match[1]!.slice("@driftless/".length));
  const allowed: Record<string, string[]> = {
    contracts: [],
    process: [],
    manifests: ["contracts"],
    bus: ["contracts", "process"],
    kube: ["contracts", "manifests", "process"],
    "render-engine": ["contracts", "process", "local"],
  };
  const services = ["api", "controller", "differ", "renderer", "repo-fetcher", "syncer"];

  test.each(Object.entries(allowed))("packages/%s imports only %j", (name, may) => {
    const strays = product
      .filter((file) => file.startsWith(`packages/${name}/`))
      .flatMap((file) =>
        importsOf(file)
          .filter((to) => to !== name && !may.includes(to))
          .map((to) => `${file} → ${to}`),
      );
    expect(strays).toEqual([]);
  });

  test.each(services)("services/%s imports no other service", (name) => {
    const strays = product
      .filter((file) => file.startsWith(`services/${name}/`))
      .flatMap((file) =>
        importsOf(file)
          .filter((to) => to !== name && [...services, "all", "cli"].includes(to))
          .map((to) => `${file} → ${to}`),
      );
    expect(strays).toEqual([]);
  });
});

test("time and chance come through the clock alone", () => {
  const strays = product
    .filter((file) => file !== "packages/process/src/clock.ts")
    .filter((file) =>
      /(?<![.\w])(Date\.now|Math\.random|setTimeout|setInterval|performance\.now)\(|new Date\(\)/.test(read(file)),
    );
  expect(strays).toEqual([]);
});

test("no file has a name that says nothing", () => {
  const banned = /(^|\/)(utils?|helpers?|common|shared|misc|types|base|manager|impl|data)\.(ts|go)$/;
  expect(tracked.filter((file) => banned.test(file))).toEqual([]);
});

test("source files are kebab-case and open with a line that says what they are", () => {
  const wrong = sources
    .filter((file) => !file.endsWith(".d.ts"))
    .filter(
      (file) =>
        !/^[a-z0-9-]+(\.[a-z]+)*\.(ts|mjs)$/.test(file.split("/").at(-1)!) || !/^(#!.*\n)?(\/\/|\/\*)/.test(read(file)),
    )
    .filter((file) => !file.endsWith(".test.ts"));
  expect(wrong).toEqual([]);
});
