// Hop 3, renderer: a bundle of files and parameters become manifests. Pure: same key, same manifests.
import { z } from "zod";
import { Failure } from "../failure.ts";
import { Reply, Request } from "../identity.ts";
import { defineMessage } from "../message.ts";
import { subject } from "../subject.ts";

export const DirectoryOptions = z.looseObject({
  recurse: z.boolean().default(false),
  include: z.string().default(""),
  exclude: z.string().default(""),
});
export type DirectoryOptions = z.infer<typeof DirectoryOptions>;

export const RenderManifests = defineMessage({
  name: "RenderManifests",
  kind: "command",
  schema: Request.extend({
    bundleDigest: z.string(),
    path: z.string(),
    directory: DirectoryOptions,
  }),
  subject: (m) => subject("cmd", "render", m.lane),
  messageId: (m) => m.requestId,
});

export const ManifestsRendered = defineMessage({
  name: "ManifestsRendered",
  kind: "result",
  schema: Reply.extend({
    /** Digest of inputs, parameters and tool versions (DESIGN §3). */
    renderKey: z.string(),
    /** Blob of the rendered manifests; equal manifests have equal digests. */
    manifestsDigest: z.string(),
    /** Blob of what was read; its digest is the inputs' digest. */
    inputsDigest: z.string(),
    count: z.number().int(),
    sourceType: z.enum(["Directory", "Helm", "Kustomize", "Plugin"]),
    warnings: z.array(Failure),
  }),
  subject: (m) => subject("res", m.shard, "render"),
  messageId: (m) => `${m.requestId}.done`,
});

/** The engine looked for files that the bundle lacks; the controller fetches again with them. */
export const RenderNeedsFiles = defineMessage({
  name: "RenderNeedsFiles",
  kind: "result",
  schema: Reply.extend({ paths: z.array(z.string()) }),
  subject: (m) => subject("res", m.shard, "render"),
  messageId: (m) => `${m.requestId}.needs`,
});

export const RenderFailed = defineMessage({
  name: "RenderFailed",
  kind: "result",
  schema: Reply.extend({
    failure: Failure,
    /** What was read until it failed, so that a push that touches it is noticed. */
    inputsDigest: z.string().optional(),
  }),
  subject: (m) => subject("res", m.shard, "render"),
  messageId: (m) => `${m.requestId}.failed`,
});
