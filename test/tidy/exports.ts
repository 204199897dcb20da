// Which files of each workspace others import, for its package.json: listed one by one, because with a pattern the
// search for unused code would take every file for wanted. `node test/tidy/exports.ts` writes the lists anew.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const root = join(import.meta.dirname, "..", "..");

interface Workspace {
  file: string;
  manifest: { name: string; exports?: Record<string, string> };
  wanted: Record<string, string>;
}

export function workspaces(): Workspace[] {
  const tracked = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
    cwd: root,
    encoding: "utf8",
  })
    .split("\n")
    .filter((file) => file !== "" && existsSync(join(root, file)));
  const sources = tracked
    .filter((file) => file.endsWith(".ts"))
    .map((file) => ({ file, text: readFileSync(join(root, file), "utf8") }));
  return tracked
    .filter((file) => /^(packages|services|deploy)\/[\w-]+\/package\.json$/.test(file))
    .map((file) => {
      const manifest = JSON.parse(readFileSync(join(root, file), "utf8")) as Workspace["manifest"];
      const pattern = new RegExp(`(?:from|import\\() ?"${manifest.name}/([\\w./-]+)"`, "g");
      const names = new Set<string>();
      for (const source of sources) {
        if (source.file.startsWith(`${dirname(file)}/`)) continue;
        for (const [, name] of source.text.matchAll(pattern)) names.add(name!);
      }
      const wanted = Object.fromEntries([...names].toSorted().map((name) => [`./${name}`, `./src/${name}.ts`]));
      return { file, manifest, wanted };
    });
}

if (process.argv[1] === import.meta.filename) {
  for (const { file, manifest, wanted } of workspaces()) {
    if (Object.keys(wanted).length === 0) delete manifest.exports;
    else manifest.exports = wanted;
    writeFileSync(join(root, file), `${JSON.stringify(manifest, null, 2)}\n`);
  }
}
