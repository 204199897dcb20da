// Reads a Helm repository's index.yaml in a thread of its own: tens of megabytes take seconds, and aliases can make a
// small one endless. What comes out is plain text of bounded length; whoever started the thread ends it at its limit.
import { parentPort, workerData } from "node:worker_threads";
import { load } from "js-yaml";
import type { ChartVersion, IndexRead } from "./helm-index.ts";

const { bytes, versionsMax } = workerData as { bytes: Uint8Array; versionsMax: number };

function read(): IndexRead {
  const text = new TextDecoder().decode(bytes);
  let parsed: unknown;
  try {
    // `helm repo index --json` writes JSON, which is read a hundred times as fast.
    parsed = /^\s*\{/.test(text) ? JSON.parse(text) : load(text);
  } catch {
    return { kind: "invalid", why: "index.yaml is not YAML" };
  }
  const entries = (parsed as { entries?: unknown } | null)?.entries;
  if (typeof entries !== "object" || entries === null || Array.isArray(entries))
    return { kind: "invalid", why: "index.yaml has no entries" };
  const charts = new Map<string, ChartVersion[]>();
  let count = 0;
  for (const [name, list] of Object.entries(entries)) {
    if (!Array.isArray(list) || name.length > 256) continue;
    const versions: ChartVersion[] = [];
    for (const one of list as unknown[]) {
      if (typeof one !== "object" || one === null) continue;
      const { version, urls, digest } = one as { version?: unknown; urls?: unknown; digest?: unknown };
      const url = Array.isArray(urls) ? (urls as unknown[])[0] : undefined;
      // One bad entry must not cost the others.
      if (typeof version !== "string" || version === "" || version.length > 256) continue;
      if (typeof url !== "string" || url === "" || url.length > 4096) continue;
      count += 1;
      if (count > versionsMax) return { kind: "limit" };
      // What is there and is no digest will fit no archive, rather than be passed over.
      const hex = digest === undefined || digest === null ? "" : `${digest as string}`.slice(0, 100);
      versions.push(
        hex === "" ? { version, url } : { version, url, digest: hex.replace(/^sha256:/, "").toLowerCase() },
      );
    }
    charts.set(name, versions);
  }
  return { kind: "read", charts };
}

parentPort!.postMessage(read());
