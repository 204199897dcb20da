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
  syncWindows: z.array(z.looseObject({})).optional(),
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
