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
});
export type SourceRef = z.infer<typeof SourceRef>;

export const FetchSource = defineMessage({
  name: "FetchSource",
  kind: "command",
  schema: Request.extend({
    source: SourceRef,
    /** `latest` asks the Git server (one question for all who ask at once); `observed` takes the newest known. */
    freshness: z.enum(["latest", "observed"]),
    /** Digest of the inputs of the last render; if they are the same at the new commit, no bundle is made. */
    inputsDigest: z.string().optional(),
    /** Files the render engine looked for outside the source's path, to be put into the bundle too. */
    extraPaths: z.array(z.string()).default([]),
  }),
  subject: (m) => subject("cmd", "fetch", fetchPartitionOf(m.source.repository), m.source.repository),
  messageId: (m) => m.requestId,
});

export const SourceFetched = defineMessage({
  name: "SourceFetched",
  kind: "result",
  schema: Reply.extend({
    /** Full commit id. */
    revision: z.string(),
    /** The owner's observation number; an answer with a smaller one than already seen is old. */
    observation: z.number().int(),
    /** `same`: the inputs given are unchanged at this commit, so the last render still holds. */
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
    /** The commit these inputs were read at. */
    revision: z.string().optional(),
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
  schema: Request.extend({ source: SourceRef }),
  subject: (m) => subject("cmd", "fetch", fetchPartitionOf(m.source.repository), m.source.repository),
  messageId: (m) => m.requestId,
});
