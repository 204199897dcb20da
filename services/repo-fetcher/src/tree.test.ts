import { expect, test } from "vitest";
import { entryAt, parseTree } from "./tree.ts";

const row = (mode: string, name: string, fill = 1) =>
  Buffer.concat([Buffer.from(`${mode} ${name}\0`), Buffer.alloc(20, fill)]);

test("files, directories, links and submodules are reported as such", () => {
  const entries = parseTree(
    Buffer.concat([
      row("100644", "a"),
      row("100755", "b"),
      row("120000", "c"),
      row("160000", "d"),
      row("40000", "e", 7),
    ]),
  );
  expect(entries.map((e) => `${e.name} ${e.kind}`)).toEqual([
    "a file",
    "b executable",
    "c symlink",
    "d submodule",
    "e tree",
  ]);
  expect(entryAt((oid) => (oid === "root" ? entries : []), "root", "e/x")).toBeUndefined();
  expect(entryAt(() => entries, "root", "a/x")).toBeUndefined();
});

test.each(["", ".", "..", "a/b", "a\\b", ".git", ".GIT", ".git.", ".git::$INDEX_ALLOCATION", "git~1", ".g\u200cit"])(
  "the entry name %j is refused",
  (name) => expect(() => parseTree(row("100644", name))).toThrow(/refused/),
);

test("a duplicate, an unknown mode and a truncated tree are refused", () => {
  const good = row("100644", "a");
  for (const bytes of [Buffer.concat([good, good]), row("100000", "a"), good.subarray(0, 20), Buffer.from("x")])
    expect(() => parseTree(bytes)).toThrow();
});
