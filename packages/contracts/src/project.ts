// AppProject in Argo CD's shape: what Applications may take from where and put to where.
import { z } from "zod";
import { ObjectMeta } from "./application.ts";

const text = z.string();

export const ProjectDestination = z.looseObject({
  server: text.optional(),
  name: text.optional(),
  namespace: text.optional(),
});
export type ProjectDestination = z.infer<typeof ProjectDestination>;

export const ProjectKind = z.looseObject({
  group: text.optional(),
  kind: text.optional(),
  name: text.optional(),
});
export type ProjectKind = z.infer<typeof ProjectKind>;

export const SyncWindow = z.looseObject({
  /** `allow` or `deny`. */
  kind: text.optional(),
  /** Five fields of cron, each a start. */
  schedule: text.optional(),
  /** As Go writes it: `1h30m`. */
  duration: text.optional(),
  /** Patterns; what of the three is there is asked, and one of them or (`andOperator`) all have to match. */
  applications: z.array(text).optional(),
  namespaces: z.array(text).optional(),
  clusters: z.array(text).optional(),
  andOperator: z.boolean().optional(),
  /** Syncs that a person asks for pass. */
  manualSync: z.boolean().optional(),
  /** Absent: UTC. */
  timeZone: text.optional(),
  /** A sync that was begun outside of it (`deny`) or in it (`allow`) may go on. */
  syncOverrun: z.boolean().optional(),
  description: text.optional(),
});
export type SyncWindow = z.infer<typeof SyncWindow>;

export const AppProjectSpec = z.looseObject({
  description: text.optional(),
  sourceRepos: z.array(text).optional(),
  destinations: z.array(ProjectDestination).optional(),
  /** Absent or empty: no cluster-scoped kinds. */
  clusterResourceWhitelist: z.array(ProjectKind).optional(),
  clusterResourceBlacklist: z.array(ProjectKind).optional(),
  /** Absent: all namespaced kinds; empty: none. */
  namespaceResourceWhitelist: z.array(ProjectKind).optional(),
  namespaceResourceBlacklist: z.array(ProjectKind).optional(),
  roles: z.array(z.looseObject({})).optional(),
  syncWindows: z.array(SyncWindow).optional(),
  signatureKeys: z.array(z.looseObject({})).optional(),
  sourceIntegrity: z.looseObject({}).optional(),
  orphanedResources: z
    .looseObject({ warn: z.boolean().optional(), ignore: z.array(ProjectKind).optional() })
    .optional(),
  destinationServiceAccounts: z.array(z.looseObject({})).optional(),
  sourceNamespaces: z.array(text).optional(),
  permitOnlyProjectScopedClusters: z.boolean().optional(),
});
export type AppProjectSpec = z.infer<typeof AppProjectSpec>;

export const AppProject = z.looseObject({ metadata: ObjectMeta, spec: AppProjectSpec.optional() });
export type AppProject = z.infer<typeof AppProject>;
