// Hop 3, renderer: a bundle of files and parameters become manifests. Pure: same key, same manifests.
import { z } from "zod";
import { Failure } from "../failure.ts";
import { Reply, Request } from "../identity.ts";
import { defineMessage } from "../message.ts";
import { subject } from "../subject.ts";
import { ChartWanted } from "./2-fetch.ts";

/** The options of a source under Argo CD's names, as they stand in the Application: the render engine knows them all. */
export const SourceOptions = z.looseObject({
  directory: z.looseObject({}).optional(),
  helm: z.looseObject({}).optional(),
  kustomize: z.looseObject({}).optional(),
  plugin: z.looseObject({}).optional(),
  /** Of the annotation `manifest-generate-paths`: what a plugin gets beside the source's path. */
  generatePaths: z.array(z.string()).optional(),
});
export type SourceOptions = z.infer<typeof SourceOptions>;

/** Values of the build environment (`$ARGOCD_APP_…`) that the Application and its revision give. */
export const BuildEnvironment = z.looseObject({
  /** The destination's. */
  namespace: z.string().optional(),
  project: z.string().optional(),
  /** Full commit id. */
  revision: z.string().optional(),
  repoURL: z.string().optional(),
  targetRevision: z.string().optional(),
});
export type BuildEnvironment = z.infer<typeof BuildEnvironment>;

export const RenderManifests = defineMessage({
  name: "RenderManifests",
  kind: "command",
  schema: Request.extend({
    bundleDigest: z.string(),
    path: z.string(),
    /** `<namespace>_<name>` outside the control plane's namespace. */
    appName: z.string(),
    options: SourceOptions,
    environment: BuildEnvironment,
    /** `kustomize.buildOptions` of argocd-cm. */
    buildOptions: z.string().optional(),
    /** The same source was rendered by a plugin before: where no plugin claims its files now, one is missing. */
    wasPlugin: z.boolean().optional(),
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
    /** Variables of the build environment that had a part in it: another value makes it another render. */
    variables: z.array(z.string()).default([]),
    warnings: z.array(Failure),
  }),
  subject: (m) => subject("res", m.shard, "render"),
  messageId: (m) => `${m.requestId}.done`,
});

/** The engine looked for files or charts that the bundle lacks; the controller fetches again with them. */
export const RenderNeedsFiles = defineMessage({
  name: "RenderNeedsFiles",
  kind: "result",
  schema: Reply.extend({ paths: z.array(z.string()), charts: z.array(ChartWanted).default([]) }),
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
