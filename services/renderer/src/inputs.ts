// What a render read, as inputs (pure): the engine's report with the bundle's oids beside it.
import { type BundleFiles } from "@driftless/manifests/bundle";
import { fileInput, type Inputs, listInput } from "@driftless/manifests/inputs";
import type { RenderReads } from "@driftless/render-engine/protocol";

export function inputsOf(files: BundleFiles, reads: RenderReads): Inputs {
  const inputs = new Map<string, string>();
  const keys = [...reads.files.map(fileInput), ...reads.missed.map(fileInput), ...reads.listings.map(listInput)];
  for (const key of keys) {
    const value = files.inputValue(key);
    // The engine cannot have read what the bundle does not know; were it so, the key would cover too little.
    if (value === undefined) throw new Error(`the engine reports ${key}, which its bundle does not hold`);
    inputs.set(key, value);
  }
  return inputs;
}
