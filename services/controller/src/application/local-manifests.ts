// Manifests that an operation brings along (`operation.sync.manifests`, contract §4), as the files of a source (pure): the
// render engine reads them like any other directory, so that YAML means the same wherever it comes from.
import { createHash } from "node:crypto";
import { failure, type Failure } from "@driftless/contracts/failure";
import { encodeBundle, type BundleEntry } from "@driftless/manifests/bundle";

/** Refused by Argo CD in the same words: the next automated sync would take all of it back. */
export const LOCAL_WITH_AUTOMATION = "cannot use local sync when Automatic Sync Policy is enabled unless for dry run";

/** A directory's files that are no manifests are passed over; here that would be a manifest that is silently not applied. */
export const wrongManifests = (manifests: readonly string[]): Failure[] =>
  manifests.flatMap((text, n) =>
    ["apiVersion", "kind", "metadata"]
      .filter((member) => !text.includes(member))
      .slice(0, 1)
      .map((member) =>
        failure("MANIFEST_INVALID", `this is no manifest: it has no ${member}`, {
          path: `operation.sync.manifests[${n}]`,
        }),
      ),
  );

export function localBundle(manifests: readonly string[]): Uint8Array {
  const entries = manifests.map((text, n): [string, BundleEntry] => {
    const bytes = Buffer.from(text);
    const oid = createHash("sha1").update(`blob ${bytes.byteLength}\0`).update(bytes).digest("hex");
    // Failures name the file: this is where its author finds it.
    return [
      `operation.sync.manifests[${n}].${text.trimStart().startsWith("{") ? "json" : "yaml"}`,
      { kind: "file", oid, bytes },
    ];
  });
  return encodeBundle({ path: "", complete: [""], absent: [], entries: new Map(entries) });
}
