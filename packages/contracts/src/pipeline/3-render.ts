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

/** What a cluster runs and serves, as Argo CD tells it to Helm, plugins and the build environment. */
export const ClusterVersions = z.looseObject({
  server: z.string(),
  /** `v1.36.3`, without what a provider appends. */
  kubeVersion: z.string(),
  /** Blob of all `group/version` and `group/version/Kind` that can be listed and watched: sorted, one a line. */
  apiVersionsDigest: z.string(),
});
export type ClusterVersions = z.infer<typeof ClusterVersions>;

/** Whether these variables of a render say that what the cluster runs or serves had a part in it. */
export const usesCluster = (variables: readonly string[]): boolean =>
  variables.includes("KUBE_VERSION") || variables.includes("KUBE_API_VERSIONS");

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
    /** The destination's, once somebody has asked for it. */
    cluster: ClusterVersions.optional(),
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
    /** Where KUBE_API_VERSIONS is among them: what was asked for by name, and the answers. Absent, all of them count. */
    apiVersions: z.record(z.string(), z.boolean()).optional(),
    /** As the command gave it, where it had a part in it. */
    cluster: ClusterVersions.optional(),
    warnings: z.array(Failure),
  }),
  subject: (m) => subject("res", m.shard, "render"),
  messageId: (m) => `${m.requestId}.done`,
});

/**
 * The engine looked for files or charts that the bundle lacks; the controller fetches again with them. Or the destination
 * cluster's versions matter, and were not told (`unknown`) or are stored no more (`gone`).
 */
export const RenderNeedsFiles = defineMessage({
  name: "RenderNeedsFiles",
  kind: "result",
  schema: Reply.extend({
    paths: z.array(z.string()),
    charts: z.array(ChartWanted).default([]),
    cluster: z.enum(["unknown", "gone"]).optional(),
  }),
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
