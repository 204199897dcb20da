// What several sources make together (pure but for the reading): their digests as one text, and their sets as one set.
//
// Nobody stores the manifests of all sources once more: whoever reads them reads those of each, so that a push to one
// source makes one new blob. The text of one source is its own digest, so that an Application of one source and its
// records are what they always were. A source that renders nothing has its place in it, and nothing there.
import { decodeManifests, type DecodedManifests } from "./manifests-blob.ts";
import type { Manifest } from "./manifest.ts";

const BETWEEN = "+";

export const ofSources = (texts: readonly string[]): string => texts.join(BETWEEN);

/** By the sources' order. */
export const bySource = (text: string): string[] => text.split(BETWEEN);

/** How people are told which source a file is in. */
export const sourceName = (index: number): string => `sources[${index}]`;

/** All that the sources render, in their order: where an object comes again, the later one counts (desired-set.ts). */
export async function readManifests(
  digests: string,
  read: (digest: string) => Promise<Uint8Array | undefined>,
): Promise<DecodedManifests> {
  const sources = bySource(digests);
  const decoded = await Promise.all(
    sources.map(async (digest): Promise<DecodedManifests> => {
      if (digest === "" && sources.length > 1) return { kind: "ok", manifests: [] };
      const bytes = await read(digest);
      return bytes ? decodeManifests(bytes) : { kind: "error", reason: "gone; they are rendered again" };
    }),
  );
  const manifests: Manifest[] = [];
  for (const [index, one] of decoded.entries()) {
    if (one.kind === "error" || sources.length === 1) return one;
    for (const manifest of one.manifests)
      manifests.push({ ...manifest, file: `${sourceName(index)}:${manifest.file}` });
  }
  return { kind: "ok", manifests };
}
