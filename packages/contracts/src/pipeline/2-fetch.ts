// Hop 2, repo-fetcher: which commit, and the files of the source at it.
import { z } from "zod";
import { Failure } from "../failure.ts";
import { Reply, Request } from "../identity.ts";
import { defineMessage } from "../message.ts";
import { fetchPartitionOf, subject } from "../subject.ts";

export const SourceRef = z.looseObject({
  repoURL: z.string(),
  /** Hash of the canonical repository, which picks the partition and the owner. */
  repository: z.string(),
  /** Branch, tag, commit, HEAD, "" or a version constraint. */
  targetRevision: z.string(),
  path: z.string(),
  /** A Helm chart's name in the Helm repository or OCI registry at `repoURL`; `targetRevision` is its version then. */
  chart: z.string().optional(),
  /** Only tags that begin so count as versions of a constraint, which is matched against what follows. */
  tagPrefix: z.string().optional(),
  /** `spec.source.helm.passCredentials`: the credentials also go where the Helm repository's index points. */
  passCredentials: z.boolean().optional(),
  /** Which of the Application's sources, when it has several; absent for the only one. */
  key: z.string().optional(),
});
export type SourceRef = z.infer<typeof SourceRef>;

/** Another source of the Application whose files this one reads as `$name/…`. */
export const RefSource = z.looseObject({
  name: z.string(),
  source: SourceRef,
  /** As in FetchSource. */
  commit: z.string().optional(),
});
export type RefSource = z.infer<typeof RefSource>;

/** A chart that a chart depends on and does not bring: as the render engine asked for it. */
export const ChartWanted = z.looseObject({
  /** `https://…`, `oci://…`, or `@name` / `alias:name` of a repository Secret. */
  repository: z.string(),
  name: z.string(),
  /** A version or a constraint. */
  version: z.string(),
});
export type ChartWanted = z.infer<typeof ChartWanted>;

export const FetchSource = defineMessage({
  name: "FetchSource",
  kind: "command",
  schema: Request.extend({
    source: SourceRef,
    /** `latest` asks the Git server (one question for all who ask at once); `observed` takes the newest known. */
    freshness: z.enum(["latest", "observed"]),
    /** What another source of this repository has led to in the same look: then the revision is not resolved again. */
    commit: z.string().optional(),
    /** Only the revision is asked for, of a source that is neither rendered nor read. */
    revisionOnly: z.boolean().optional(),
    /** Digest of the inputs of the last render; if they are the same at the new commit, no bundle is made. */
    inputsDigest: z.string().optional(),
    /** Files the render engine looked for outside the source's path, to be put into the bundle too. */
    extraPaths: z.array(z.string()).default([]),
    /** Sources that this one refers to; their trees stand in the bundle below `.git/refs/<name>`. */
    refs: z.array(RefSource).optional(),
    /** Charts the render engine asked for; their archives stand in the bundle below `.git/charts`. */
    charts: z.array(ChartWanted).optional(),
  }),
  subject: (m) => subject("cmd", "fetch", fetchPartitionOf(m.source.repository), m.source.repository),
  messageId: (m) => m.requestId,
});

export const SourceFetched = defineMessage({
  name: "SourceFetched",
  kind: "result",
  schema: Reply.extend({
    /** Full commit id; of a chart its version, of an OCI artifact without a chart its digest. */
    revision: z.string(),
    /** `sha256:…` of a chart's archive, where a version says less than a commit. */
    chartDigest: z.string().optional(),
    /** The commits of the sources in `refs`, by name. */
    refRevisions: z.record(z.string(), z.string()).optional(),
    /** The observation numbers of their owners, by name. */
    refObservations: z.record(z.string(), z.number().int()).optional(),
    /** Files of the bundle that are pointers of Git LFS, and directories that are submodules: neither has its content. */
    lfsPointers: z.array(z.string()).optional(),
    submodules: z.array(z.string()).optional(),
    /** The owner's observation number; an answer with a smaller one than already seen is old. */
    observation: z.number().int(),
    /** `same`: the inputs given are unchanged at this commit, so the last render still holds; or none were asked for. */
    inputs: z.enum(["same", "unknown"]),
    /** Blob of the files; absent when `inputs` is `same`. */
    bundleDigest: z.string().optional(),
    author: z.string().optional(),
    commitMessage: z.string().optional(),
  }),
  subject: (m) => subject("res", m.shard, "fetch"),
  messageId: (m) => `${m.requestId}.done`,
});

export const SourceFetchFailed = defineMessage({
  name: "SourceFetchFailed",
  kind: "result",
  schema: Reply.extend({ failure: Failure }),
  subject: (m) => subject("res", m.shard, "fetch"),
  messageId: (m) => `${m.requestId}.failed`,
});

/** Tell me (SourceChanged) when a push changes these inputs. Replaces what was registered for the app. */
export const WatchSource = defineMessage({
  name: "WatchSource",
  kind: "command",
  schema: Request.extend({
    source: SourceRef,
    /** Blob of the inputs that the last good render read; without it any move of the ref counts as a change. */
    inputsDigest: z.string().optional(),
    /** The commit these inputs were read at; of a chart its version. */
    revision: z.string().optional(),
    /** As SourceFetched gave it. */
    chartDigest: z.string().optional(),
    /** As in FetchSource, and as SourceFetched gave their commits. */
    refs: z.array(RefSource).optional(),
    refRevisions: z.record(z.string(), z.string()).optional(),
    /** `timeout.reconciliation` of argocd-cm, which the controller reads; 0 = no polling; absent = 120 s. */
    pollIntervalMs: z.number().optional(),
    /** `timeout.reconciliation.jitter`; absent = half the interval, at most 60 s. */
    pollJitterMs: z.number().optional(),
  }),
  subject: (m) => subject("cmd", "fetch", fetchPartitionOf(m.source.repository), m.source.repository),
  messageId: (m) => m.requestId,
});

export const ForgetSource = defineMessage({
  name: "ForgetSource",
  kind: "command",
  schema: Request.extend({
    /** All sources of the Application are forgotten, or the one of this key. */
    source: SourceRef,
  }),
  subject: (m) => subject("cmd", "fetch", fetchPartitionOf(m.source.repository), m.source.repository),
  messageId: (m) => m.requestId,
});
