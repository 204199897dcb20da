// Pointers of Git LFS and submodules are refused where something is read of them, and only there.
import { expect, test } from "vitest";
import { BundleFiles, type BundleEntry } from "@driftless/manifests/bundle";
import type { Rendered } from "@driftless/render-engine/protocol";
import { contentless } from "./contentless.ts";

const POINTER = `version https://git-lfs.github.com/spec/v1\noid sha256:${"a".repeat(64)}\nsize 9\n`;
const entry = (text: string, kind: BundleEntry["kind"] = "file"): BundleEntry => ({
  kind,
  oid: "o",
  bytes: Buffer.from(text),
});
const files = new BundleFiles({
  path: "app",
  complete: [""],
  absent: [],
  entries: new Map([
    ["app/good.yaml", entry("kind: A")],
    ["app/big.yaml", entry(POINTER)],
    ["app/logo.png", entry(POINTER)],
    ["app/module", entry("", "submodule")],
  ]),
});

const rendered = (over: Partial<Rendered>, read: string[] = [], body = ""): Rendered => ({
  kind: "rendered",
  type: "Directory",
  manifests: [{ apiVersion: "v1", kind: "A", metadata: "{}", body, file: "f", line: 1, images: [], warnings: [] }],
  reads: { files: read, listings: ["app"], missed: [] },
  uses: { variables: [], nondeterministic: [], lookup: false },
  empty: false,
  warnings: [],
  ...over,
});
const missing = (path: string) => ({ reads: { files: [], listings: [], missed: [path] } });
const warned = (file: string) => ({ warnings: [{ message: "A submodule is not followed.", file }] });
const failed = (path: string, file?: string) =>
  ({ kind: "failed", code: "MANIFEST_INVALID", message: "no", file, reads: rendered({}, [path]).reads }) as const;

test.each([
  ["a file that is none", rendered({}, ["app/good.yaml"]), undefined],
  ["a pointer among manifests", rendered({}, ["app/big.yaml"]), "RENDER_LFS_POINTER app/big.yaml"],
  ["whatever its name", rendered({ type: "Kustomize" }, ["app/logo.png"]), "RENDER_LFS_POINTER app/logo.png"],
  ["a chart's picture", rendered({ type: "Helm" }, ["app/logo.png"]), undefined],
  ["a chart's values", rendered({ type: "Helm" }, ["app/big.yaml"]), "RENDER_LFS_POINTER app/big.yaml"],
  [
    "a picture that a chart puts into a ConfigMap",
    rendered({ type: "Helm" }, ["app/logo.png"], `"data":{"a":${JSON.stringify(POINTER)}}`),
    "RENDER_LFS_POINTER app/logo.png",
  ],
  [
    "or a plugin into a Secret",
    rendered({ type: "Plugin" }, ["app/logo.png"], `"data":{"a":"${Buffer.from(POINTER).toString("base64")}"}`),
    "RENDER_LFS_POINTER app/logo.png",
  ],
  ["what else a plugin is given", rendered({ type: "Plugin" }, ["app/big.yaml"]), undefined],
  ["a render that failed of it", failed("app/big.yaml", "app/big.yaml"), "RENDER_LFS_POINTER app/big.yaml"],
  ["a render that failed of something else", failed("app/logo.png", "app/good.yaml"), undefined],
  ["a submodule that nobody looks into", rendered({}), undefined],
  ["a file in a submodule", rendered(missing("app/module/base.yaml")), "RENDER_SUBMODULE app/module"],
  [
    "a directory that Kustomize did not find",
    { ...failed("app/kustomization.yaml"), message: "lstat app/module: file does not exist" },
    "RENDER_SUBMODULE app/module",
  ],
  ["the submodule itself", failed("app/module"), "RENDER_SUBMODULE app/module"],
  ["one among directories that are walked", rendered(warned("app/module")), "RENDER_SUBMODULE app/module"],
  ["one beside a chart's templates", rendered({ type: "Helm", ...warned("app/module") }), undefined],
  ["a chart's dependency", rendered({ type: "Helm", ...warned("app/charts/db") }), "RENDER_SUBMODULE app/charts/db"],
])("%s", (_, outcome, refused) => {
  const why = contentless(files, outcome);
  expect(why && `${why.code} ${why.file}`).toBe(refused);
});
