// Hop 1: something wants an Application looked at. People publish RefreshRequested and PushReceived;
// the other messages are facts about repositories.
import { z } from "zod";
import { Cause } from "../identity.ts";
import { defineMessage } from "../message.ts";
import { encodeToken, fnv1a32, subject } from "../subject.ts";

/**
 * Look at this Application again. Body: empty, or JSON `{mode?, reason?}`; namespace and name stand in the
 * subject, from which `decode` fills them in. `_all` as the name means every Application of the namespace,
 * `_all` as the only token every Application.
 */
export const RefreshRequested = defineMessage({
  name: "RefreshRequested",
  kind: "public",
  schema: z.looseObject({
    namespace: z.string().min(1),
    name: z.string().min(1),
    /** `hard` also forgets cached manifests. */
    mode: z.enum(["normal", "hard"]).default("normal"),
    reason: z.string().max(1024).optional(),
  }),
  subject: (m) => subject("refresh", encodeToken(m.namespace), m.name === "_all" ? "_all" : encodeToken(m.name)),
});

/** A branch or tag was pushed; from a verified webhook, or from any CI job. */
export const PushReceived = defineMessage({
  name: "PushReceived",
  kind: "public",
  schema: z.looseObject({
    repoURL: z.string().min(1).max(2048),
    /** Full ref name; without it every ref of the repository is looked at. */
    ref: z.string().max(1024).optional(),
    before: z.string().optional(),
    after: z.string().optional(),
    /** Of an artifact in the registry at `repoURL` (`oci://…`), which has no refs. */
    tag: z.string().max(256).optional(),
    /** Who told us: "github", "gitlab", "bitbucket", "generic". */
    by: z.string().optional(),
    /** The same for a webhook delivery that is sent again, which is then stored once. */
    delivery: z.string().max(64).optional(),
  }),
  subject: () => subject("push"),
  // One delivery may name several refs, or its repository by several URLs.
  messageId: (m) => m.delivery && `push.${m.delivery}.${fnv1a32(`${m.repoURL} ${m.ref ?? ""}`)}`,
});

/** Sources that follow one revision of the pushed repository, and which of their Applications were told. */
export const FollowedRevision = z.looseObject({
  /** As the Applications write it; of a chart with its name before. */
  targetRevision: z.string(),
  /** What it leads to. */
  ref: z.string().optional(),
  from: z.string().optional(),
  to: z.string().optional(),
  /** How many sources follow it, and how many of them look again because an input is another. */
  sources: z.number().int(),
  wokenTotal: z.number().int(),
  /** "namespace/name", the first of them. */
  woken: z.array(z.string()),
  others: z.array(z.string()),
});
export type FollowedRevision = z.infer<typeof FollowedRevision>;

/** What came of a push: who follows that repository, who was woken, and when nobody was, why. */
export const PushMatched = defineMessage({
  name: "PushMatched",
  kind: "public",
  schema: z.looseObject({
    /** RFC 3339. */
    at: z.string(),
    repoURL: z.string(),
    ref: z.string().optional(),
    tag: z.string().optional(),
    after: z.string().optional(),
    by: z.string().optional(),
    delivery: z.string().optional(),
    outcome: z.enum([
      "woken",
      /** The ref moved, and nothing that is read of it is another. */
      "unchanged",
      /** The ref was where it is already when the push was told. */
      "known",
      "ref-not-followed",
      "repository-not-followed",
      "failed",
    ]),
    /** One sentence for people. */
    why: z.string(),
    revisions: z.array(FollowedRevision),
    /** Repositories that are followed and resemble the pushed one, when that is not. */
    nearest: z.array(z.string()),
    tookMs: z.number(),
  }),
  subject: (m) => subject("delivery", m.outcome),
});

/** The owner of a repository looked at its refs. Published for each poll, so that silence can be noticed. */
export const RevisionObserved = defineMessage({
  name: "RevisionObserved",
  kind: "fact",
  schema: z.looseObject({
    /** Hash of the canonical repository. */
    repository: z.string(),
    /** Rises with each look; orders revisions, which ancestry and dates do not (DESIGN §3). */
    observation: z.number().int(),
    moved: z.array(z.looseObject({ ref: z.string(), from: z.string().optional(), to: z.string().optional() })),
    cause: Cause,
  }),
  subject: (m) => subject("fact", "revision-observed", m.repository),
});

/** The inputs of these Applications differ at the newest observation: they should look again. */
export const SourceChanged = defineMessage({
  name: "SourceChanged",
  kind: "fact",
  schema: z.looseObject({
    repository: z.string(),
    observation: z.number().int(),
    revision: z.string().optional(),
    /** Application uids, at most a few hundred a message. */
    apps: z.array(z.string()),
    cause: Cause,
  }),
  subject: (m) => subject("fact", "source-changed", m.repository),
});

/** A ref moved and so many registered sources were not touched by it. */
export const SourceUnchanged = defineMessage({
  name: "SourceUnchanged",
  kind: "fact",
  schema: z.looseObject({
    repository: z.string(),
    observation: z.number().int(),
    ref: z.string(),
    revision: z.string(),
    count: z.number().int(),
  }),
  subject: (m) => subject("fact", "source-unchanged", m.repository),
});

/** A repo-fetcher started and knows no sources yet: controllers send WatchSource again for theirs. */
export const FetcherStarted = defineMessage({
  name: "FetcherStarted",
  kind: "fact",
  schema: z.looseObject({ replica: z.string(), partitions: z.array(z.number().int()) }),
  subject: () => subject("fact", "fetcher-started"),
});

/** "Every Application of this namespace" (or of all), told on by the controller that got the request. */
export const RefreshAllRequested = defineMessage({
  name: "RefreshAllRequested",
  kind: "fact",
  schema: z.looseObject({
    namespace: z.string().optional(),
    mode: z.enum(["normal", "hard"]),
    reason: z.string().optional(),
  }),
  subject: () => subject("fact", "refresh-all-requested"),
});
