import { expect, test } from "vitest";
import { BundleFiles, decodeBundle, encodeBundle } from "./bundle.ts";
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
