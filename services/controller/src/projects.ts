// Projects: AppProjects as their Applications have them, with what the global projects of argocd-cm and the clusters
// that belong to them alone add. Made once for each project and again when anything of that changes.
import { failure, type Failure } from "@driftless/contracts/failure";
import type { AppProject, AppProjectSpec } from "@driftless/contracts/project";
import type { ClusterIdentity } from "@driftless/kube/clusters";
import { selects, type GlobalProject } from "./global-projects.ts";

export interface EffectiveProject {
  spec?: AppProjectSpec;
  /** Why nothing is done for Applications of it. */
  failures?: readonly Failure[];
}

const LISTS = [
  "clusterResourceWhitelist",
  "clusterResourceBlacklist",
  "namespaceResourceWhitelist",
  "namespaceResourceBlacklist",
  "syncWindows",
  "sourceRepos",
  "destinations",
  "destinationServiceAccounts",
] as const satisfies (keyof AppProjectSpec)[];

/** The lists of both. An absent white list and an empty one together are absent: it is not narrowed. */
function merged(spec: AppProjectSpec, global: AppProjectSpec): AppProjectSpec {
  const lists = LISTS.flatMap((list) => {
    const more = global[list] ?? [];
    return more.length > 0 ? [[list, [...(spec[list] ?? []), ...more]]] : [];
  });
  return { ...spec, ...Object.fromEntries(lists) };
}

export function effectiveProject(
  project: AppProject,
  projects: ReadonlyMap<string, AppProject>,
  globals: readonly GlobalProject[],
  clusters: readonly ClusterIdentity[],
): EffectiveProject {
  const { name, labels = {} } = project.metadata;
  const own = clusters.filter((cluster) => cluster.project === name);
  let spec = project.spec ?? {};
  if (own.length > 0) {
    spec = merged(spec, { destinations: own.map(({ server }) => ({ server, namespace: "*" })) });
  }
  const failures: Failure[] = [];
  for (const { projectName, labelSelector } of globals) {
    if (projectName === name || !selects(labelSelector, labels)) continue;
    const global = projects.get(projectName);
    if (global) spec = merged(spec, global.spec ?? {});
    else {
      const text = `AppProject ${name} inherits from "${projectName}" (argocd-cm globalProjects), which is not there`;
      failures.push(failure("PROJECT_NOT_FOUND", text, { path: "spec.project" }));
    }
  }
  return { spec, ...(failures.length > 0 && { failures }) };
}

export interface Projects {
  /** All there are. */
  replace(projects: readonly AppProject[]): void;
  set(project: AppProject): void;
  delete(name: string): void;
  /** Whether another project's Applications may be concerned by a change of one. */
  readonly areShared: boolean;
  of(name: string): EffectiveProject | undefined;
  /** Settings or clusters are others. */
  forget(): void;
}

export function createProjects(around: {
  globals(): readonly GlobalProject[];
  clusters(): readonly ClusterIdentity[];
}): Projects {
  const projects = new Map<string, AppProject>();
  const made = new Map<string, EffectiveProject>();
  return {
    replace(all) {
      projects.clear();
      made.clear();
      for (const project of all) projects.set(project.metadata.name, project);
    },
    set(project) {
      projects.set(project.metadata.name, project);
      made.clear();
    },
    delete(name) {
      projects.delete(name);
      made.clear();
    },
    get areShared() {
      return around.globals().length > 0;
    },
    of(name) {
      const project = projects.get(name);
      if (!project) return undefined;
      const known = made.get(name);
      if (known) return known;
      const effective = effectiveProject(project, projects, around.globals(), around.clusters());
      made.set(name, effective);
      return effective;
    },
    forget: () => made.clear(),
  };
}
