import { expect, test } from "vitest";
import { BundleFiles, decodeBundle, encodeBundle, isLfsPointer } from "./bundle.ts";
import type { Bundle, BundleEntry } from "./bundle.ts";
import { decodeInputs, digestInputs, encodeInputs, fileInput, listInput } from "./inputs.ts";

const file = (text: string, kind: BundleEntry["kind"] = "file"): BundleEntry => ({
  kind,
  oid: `oid-${text}`,
  bytes: Buffer.from(text),
});
const text = (entry: BundleEntry) => Buffer.from(entry.bytes).toString();

const bundle: Bundle = {
  path: "apps/a",
  complete: ["apps/a"],
  absent: ["lib/gone"],
  entries: new Map([
    ["apps/a/x.yaml", file("x")],
    ["apps/a/sub/y.yaml", file("yy")],
    ["apps/a/link", file("x.yaml", "symlink")],
    ["apps/a/module", { kind: "submodule", oid: "oid-m", bytes: new Uint8Array() }],
    ["base/extra.yaml", file("")],
  ]),
};

test("a bundle comes back as it was, and equal files give equal bytes in whatever order", () => {
  const bytes = encodeBundle(bundle);
  const decoded = decodeBundle(bytes);
  expect(decoded).toMatchObject({ path: "apps/a", complete: ["apps/a"], absent: ["lib/gone"] });
  expect([...decoded.entries].map(([path, e]) => `${path} ${e.kind} ${text(e)}`).sort()).toEqual(
    [...bundle.entries].map(([path, e]) => `${path} ${e.kind} ${text(e)}`).sort(),
  );
  expect(encodeBundle({ ...bundle, entries: new Map([...bundle.entries].reverse()) })).toEqual(bytes);
});

test("bytes that are not a whole bundle are refused", () => {
  const bytes = encodeBundle(bundle);
  for (const odd of [
    bytes.subarray(0, 5),
    bytes.subarray(0, -1),
    Buffer.concat([bytes, Buffer.alloc(1)]),
    Buffer.from("DFB2...."),
  ])
    expect(() => decodeBundle(odd)).toThrow();
});

test("a look-up tells what is there, what is not, and what only the repository can tell", () => {
  const files = new BundleFiles(bundle);
  const kind = (path: string) => files.stat(path).kind;
  expect(kind("apps/a/x.yaml")).toBe("entry");
  expect(kind("apps/a/./sub/")).toBe("directory");
  expect(kind("apps/a/none.yaml")).toBe("absent");
  expect(kind("lib/gone/deeper")).toBe("absent");
  expect(kind("base/extra.yaml")).toBe("entry");
  // Only one file of it was brought, so its listing is not known.
  expect(kind("base")).toBe("unknown");
  expect(kind("apps")).toBe("unknown");
  expect(kind("../etc")).toBe("absent");
});

test("inputs read from a bundle have values, and survive their blob", () => {
  const files = new BundleFiles(bundle);
  const keys = [
    listInput("apps/a"),
    listInput("apps/a/x.yaml"),
    fileInput("apps/a/x.yaml"),
    fileInput("apps/a/link"),
    fileInput("lib/gone"),
  ];
  const inputs = new Map(keys.map((key) => [key, files.inputValue(key)!]));
  expect([...inputs.values()].slice(1)).toEqual(["absent", "oid-x", "oid-x.yaml symlink", "absent"]);
  expect(files.inputValue(fileInput("elsewhere"))).toBeUndefined();
  expect(decodeInputs(encodeInputs(inputs))).toEqual(inputs);
  expect(digestInputs(new Map([...inputs].reverse()))).toBe(digestInputs(inputs));
  expect(() => decodeInputs(Buffer.from('[["other:x","y"]]'))).toThrow();
});

test("trees of other repositories stand beside the own one: neither is completed by the other", () => {
  const combined: Bundle = {
    path: "",
    complete: [""],
    absent: [".git/refs/values/gone.yaml"],
    refs: { values: ".git/refs/values", self: "" },
    charts: [{ repository: "oci://h/r", name: "c", version: "^1", path: ".git/charts/a.tgz" }],
    entries: new Map([
      ["Chart.yaml", file("chart")],
      [".git/refs/values/prod.yaml", file("prod")],
      [".git/charts/a.tgz", file("archive")],
    ]),
  };
  const decoded = decodeBundle(encodeBundle(combined));
  expect(decoded).toMatchObject({ refs: combined.refs, charts: combined.charts });
  const files = new BundleFiles(decoded);
  expect(files.stat("nothing.yaml").kind).toBe("absent");
  expect(files.stat(".git/refs/values/prod.yaml").kind).toBe("entry");
  expect(files.stat(".git/refs/values/gone.yaml").kind).toBe("absent");
  expect(files.stat(".git/refs/values/other.yaml").kind).toBe("unknown");
  expect(files.stat(".git/refs/other/prod.yaml").kind).toBe("unknown");
  const root = files.stat("");
  expect(root.kind === "directory" && [...root.children.keys()]).toEqual(["Chart.yaml"]);
});

test("a bundle without other trees has the bytes it always had", () => {
  expect(encodeBundle({ ...bundle, refs: {}, charts: [] })).toEqual(encodeBundle(bundle));
  expect(encodeBundle(bundle).toString("latin1")).not.toMatch(/refs|charts/);
});

test("a pointer of Git LFS is told from a file that only mentions it", () => {
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${"a".repeat(64)}\nsize 12345\n`;
  expect(isLfsPointer(Buffer.from(pointer))).toBe(true);
  expect(isLfsPointer(Buffer.from(`# ${pointer}`))).toBe(false);
  expect(isLfsPointer(Buffer.from("version https://git-lfs.github.com/spec/v1\n"))).toBe(false);
});
