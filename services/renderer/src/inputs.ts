// What a render read, as inputs (pure): the engine's report with the bundle's oids beside it.
import { type BundleFiles } from "@driftless/manifests/bundle";
import { fileInput, type Inputs, listInput } from "@driftless/manifests/inputs";
import type { RenderReads } from "@driftless/render-engine/protocol";

/** undefined: the bundle cannot tell of something that was read. */
export function inputsOf(files: BundleFiles, reads: RenderReads): Inputs | undefined {
  const inputs = new Map<string, string>();
  const keys = [...reads.files.map(fileInput), ...reads.missed.map(fileInput), ...reads.listings.map(listInput)];
  for (const key of keys) {
    const value = files.inputValue(key);
    if (value === undefined) return undefined;
    inputs.set(key, value);
  }
  return inputs;
}
