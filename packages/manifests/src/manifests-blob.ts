// Manifests blob: a rendered set as bytes. The same set always gives the same bytes, so that its digest names it.
import { Packr } from "msgpackr";
import type { Manifest } from "./manifest.ts";

const FORMAT = "driftless-manifests/1";

// Plain arrays in a fixed order: no records and no maps, whose encoding could depend on what was packed before.
const packr = new Packr({ useRecords: false });

type Row = [string, string, string, string, string[], string, number, string[]];

export type DecodedManifests = { kind: "ok"; manifests: Manifest[] } | { kind: "error"; reason: string };

export function encodeManifests(manifests: readonly Manifest[]): Uint8Array {
  const rows = manifests.map((m): Row => [
    m.apiVersion,
    m.kind,
    sortedJson(m.metadata),
    m.body,
    m.images,
    m.file,
    m.line,
    m.warnings,
  ]);
  // A copy: msgpackr answers with a view into its own buffer.
  return new Uint8Array(packr.pack([FORMAT, rows]));
}

/** An error means that the blob is to be made again; nothing may be concluded from it (rule 7). */
export function decodeManifests(bytes: Uint8Array): DecodedManifests {
  try {
    // A view of its own: msgpackr hangs its DataView onto what it is given.
    const decoded = packr.unpack(bytes.subarray()) as unknown;
    if (!Array.isArray(decoded) || decoded[0] !== FORMAT || !Array.isArray(decoded[1])) {
      return { kind: "error", reason: "not a manifests blob of this version" };
    }
    return { kind: "ok", manifests: (decoded[1] as unknown[]).map(manifestOf) };
  } catch (cause) {
    return { kind: "error", reason: `a damaged manifests blob: ${(cause as Error).message}` };
  }
}

function manifestOf(row: unknown): Manifest {
  if (!Array.isArray(row) || row.length !== 8) throw new Error("a row of the wrong shape");
  const [apiVersion, kind, metadata, body, images, file, line, warnings] = row as Row;
  if ([apiVersion, kind, metadata, body, file].some((value) => typeof value !== "string")) {
    throw new Error("a row of the wrong shape");
  }
  return {
    apiVersion,
    kind,
    metadata: JSON.parse(metadata) as Record<string, unknown>,
    body,
    images,
    file,
    line,
    warnings,
  };
}

function sortedJson(metadata: Record<string, unknown>): string {
  return JSON.stringify(metadata, (_, value: unknown) =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
}
