// The render key (pure): equal keys mean equal manifests, so a render is looked up instead of done again (DESIGN §3).
import { createHash } from "node:crypto";
import type { DirectoryOptions } from "@driftless/contracts/pipeline/3-render";

/** Raised whenever the engine turns the same inputs into other manifests. */
const RENDERER_VERSION = "driftless-renderer/1";

export interface RenderKeyParts {
  inputsDigest: string;
  path: string;
  directory: DirectoryOptions;
}

export function renderKey({ inputsDigest, path, directory }: RenderKeyParts): string {
  // Plain directories know neither the app's name nor namespaces or revision; Helm and Kustomize will put theirs here.
  const parts = [RENDERER_VERSION, inputsDigest, path, directory.recurse, directory.include, directory.exclude];
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex");
}
