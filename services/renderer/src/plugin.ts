// Asks the workers of a plugin (edge): the source's files and parameters go out, its manifests come back as text.
//
// P1  Whatever a worker answers was written by strangers: it is bounded, checked, and its words are masked.
// P2  Nobody listening, or nobody answering, is never an empty result; it is asked again.
import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { gunzip, gzipSync } from "node:zlib";
import { ask, blobQuestion } from "@driftless/bus/ask";
import type { Bus } from "@driftless/bus/connect";
import { type Failure, failure } from "@driftless/contracts/failure";
import { PluginAnswer, type PluginFile, type PluginJob, pluginSubject } from "@driftless/contracts/plugin";
import { BLOB_STREAM_BYTES_MAX, STREAMS } from "@driftless/contracts/streams";
import type { BundleFiles } from "@driftless/manifests/bundle";
import { defaultRenderLimits, type PluginOptions, type RenderReads } from "@driftless/render-engine/protocol";
import {
  buildVariables,
  pluginEnvironment,
  type PluginEnvironmentParts,
  variablesNamed,
} from "./plugin-environment.ts";

/** What a plugin may take; the whole hop has 30 s (DESIGN §7). */
const DEADLINE_MS = 20_000;
/** A worker that ended the job at its deadline has this long to say so. */
const GRACE_MS = 2_000;
const MESSAGE_MAX = 1_000;
const LOOKED_AT_MAX = 4_000;

const unzipped = promisify(gunzip);

export type PluginOutcome =
  | {
      kind: "rendered";
      output: string;
      /** For the render key. */
      identity: readonly [name: string, version: string];
      variables: string[];
    }
  | { kind: "failed"; failure: Failure };

const failed = (code: Failure["code"], message: string, where: { file?: string; line?: number; path?: string } = {}) =>
  ({ kind: "failed", failure: failure(code, message, where) }) as const;

export async function askPlugin(
  bus: Bus,
  files: BundleFiles,
  reads: RenderReads,
  plugin: PluginOptions,
  parts: PluginEnvironmentParts,
): Promise<PluginOutcome> {
  const path = "spec.source.plugin.name";
  const { name } = plugin;
  const subject = name && pluginSubject(name);
  if (!subject) return failed("SPEC_INVALID", "No plugin can have this name.", { path });

  const job: PluginJob = {
    plugin: name,
    path: files.bundle.path,
    files: await storeFiles(bus, files, reads),
    parameters: (plugin.parameters ?? []).map((parameter) => ({ ...parameter })),
    environment: pluginEnvironment(plugin, parts),
    limits: { deadlineMs: DEADLINE_MS, outputBytesMax: defaultRenderLimits.bytes },
  };
  const outcome = await ask(bus, subject, JSON.stringify(job), DEADLINE_MS + GRACE_MS);
  switch (outcome.kind) {
    case "nobody":
      return failed("PLUGIN_UNAVAILABLE", `No worker of the plugin ${name} listens on ${subject}.`, { path });
    case "silent":
      return failed("PLUGIN_UNAVAILABLE", `The worker of the plugin ${name} did not answer.`, { path });
    case "too-large":
      return failed("RENDER_LIMIT", "The plugin's parameters do not fit into one message.", { path });
    case "answered":
      return await readAnswer(outcome.data, name, plugin, parts);
  }
}

async function readAnswer(
  data: Uint8Array,
  name: string,
  plugin: PluginOptions,
  parts: PluginEnvironmentParts,
): Promise<PluginOutcome> {
  let parsed;
  try {
    parsed = PluginAnswer.safeParse(JSON.parse(Buffer.from(data).toString("utf8")));
  } catch {
    parsed = undefined;
  }
  if (!parsed?.success)
    return failed("PLUGIN_FAILED", `The worker of the plugin ${name} answers what is no PluginAnswer.`);
  const answer = parsed.data;
  if (answer.kind === "failed") {
    const { file, line } = answer;
    const message = `${name}: ${masked(answer.message)}`;
    return failed(answer.limit ? "RENDER_LIMIT" : "PLUGIN_FAILED", message, { file: file?.slice(0, 500), line });
  }
  const output = await textOf(answer.manifests, answer.gzip);
  if (output === undefined)
    return failed(
      "RENDER_LIMIT",
      `${name}: the output is over ${defaultRenderLimits.bytes} bytes, or cannot be unpacked.`,
    );
  const known = Object.keys(buildVariables(parts));
  const told = answer.variables?.filter((variable) => known.includes(variable)) ?? known;
  const variables = [...new Set([...told, ...variablesNamed(plugin, parts)])].toSorted();
  return { kind: "rendered", output, identity: [name, answer.version], variables };
}

async function textOf(manifests: string | undefined, gzip: string | undefined): Promise<string | undefined> {
  if (gzip === undefined) return manifests ?? "";
  try {
    const bytes = await unzipped(Buffer.from(gzip, "base64"), { maxOutputLength: defaultRenderLimits.bytes });
    return bytes.toString("utf8");
  } catch {
    return undefined;
  }
}

/** As pieces of one message each, which every client can ask for; the same files are stored once. */
async function storeFiles(bus: Bus, { bundle }: BundleFiles, reads: RenderReads): Promise<PluginJob["files"]> {
  const list: PluginFile[] = [];
  for (const path of reads.files.toSorted()) {
    const entry = bundle.entries.get(path);
    if (!entry || entry.kind === "submodule") continue;
    list.push({ path, kind: entry.kind, content: Buffer.from(entry.bytes).toString("base64") });
  }
  const bytes = gzipSync(JSON.stringify(list));
  const pieces = Array.from({ length: Math.ceil(bytes.length / BLOB_STREAM_BYTES_MAX) }, (_, n) =>
    bytes.subarray(n * BLOB_STREAM_BYTES_MAX, (n + 1) * BLOB_STREAM_BYTES_MAX),
  );
  const digests = await Promise.all(pieces.map((piece) => bus.blobs.put(piece)));
  return {
    digest: createHash("sha256").update(bytes).digest("hex"),
    bytes: bytes.length,
    chunks: digests.map((digest) => blobQuestion(STREAMS.blobs.name, digest)),
  };
}

/** A plugin's own words may quote what it was given, and what it has beside it. What went wrong stands at the end. */
export function masked(text: string): string {
  // Cut before the patterns look at it: they are no faster than the square of what they are given.
  const words = (text.length > LOOKED_AT_MAX ? text.slice(-LOOKED_AT_MAX).replace(/^\S*/, "…") : text)
    .replaceAll(/(:\/\/)[^\s/@]+@/g, "$1++++@")
    .replaceAll(/\b((?:bearer|basic)\s+)\S+/gi, "$1++++")
    .replaceAll(
      /((?:password|passwd|secret|token|api[_-]?key|private[_-]?key)["']?\s*[=:]\s*)("[^"]*"|'[^']*'|\S+)/gi,
      "$1++++",
    )
    .replaceAll(/-----BEGIN [^-]*PRIVATE KEY-----[^-]*(-----END [^-]*-----|$)/g, "++++")
    // One whose beginning was cut off.
    .replace(/^[^-]*-----END [^-]*PRIVATE KEY-----/, "++++")
    // eslint-disable-next-line no-control-regex
    .replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f]/g, "")
    .trim();
  return words.length > MESSAGE_MAX ? `…${words.slice(-MESSAGE_MAX)}` : words;
}
