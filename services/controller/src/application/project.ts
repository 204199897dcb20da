// AppProject (pure): what an Application of it may take from where, and put to where, of which kinds. The order of the
// questions and what the patterns mean are Argo CD's: `!x` among repositories and destinations denies, and lets through
// what it does not deny; kinds are matched as file names are. A pattern that cannot be read blocks the project's apps,
// since a rule that is read wrongly lets through what it forbids.
import { failure, type Failure } from "@driftless/contracts/failure";
import type { Destination, ObjectKey } from "@driftless/contracts/identity";
import type { AppProjectSpec, ProjectDestination, ProjectKind } from "@driftless/contracts/project";
import { isGlob, matchesGlob } from "@driftless/manifests/glob";
import { isPathPattern, matchesPathPattern } from "@driftless/manifests/path-pattern";
import { normalSourceUrl, wrongSourcePattern } from "./source-url.ts";

const UNSUPPORTED_RULES = ["signatureKeys", "sourceIntegrity"] as const;

/** What is known of a destination: server and name of its cluster, and whether that belongs to the project alone. */
export interface ProjectCluster extends Pick<Destination, "server" | "name"> {
  project?: string;
}

/** Rules of the project that cannot be honoured: the apps of it are refused until they are gone. */
export function unsupportedInProject(name: string, spec: AppProjectSpec): Failure[] {
  return UNSUPPORTED_RULES.filter((rule) => {
    const value = spec[rule];
    return Array.isArray(value) ? value.length > 0 : Boolean(value);
  }).map((rule) => {
    const path = `spec.${rule}`;
    return failure("UNSUPPORTED_FIELD", `AppProject ${name} has a rule that is not honoured yet: ${path}`, { path });
  });
}

const KIND_LISTS = [
  "clusterResourceWhitelist",
  "clusterResourceBlacklist",
  "namespaceResourceWhitelist",
  "namespaceResourceBlacklist",
] as const;

const isDeny = (pattern: string | undefined): boolean => pattern?.startsWith("!") ?? false;

const allowed = (pattern: string): string => (isDeny(pattern) ? pattern.slice(1) : pattern);

/** Patterns that cannot be read, each by its path. */
export function wrongInProject(name: string, spec: AppProjectSpec): Failure[] {
  const wrong: Failure[] = [];
  const tell = (path: string, pattern: string, why: string | undefined) =>
    why && wrong.push(failure("PROJECT_INVALID", `AppProject ${name}: the pattern "${pattern}" ${why}`, { path }));
  const ofGlob = (pattern: string) =>
    pattern === "!*" ? "denies everything" : isGlob(allowed(pattern)) ? undefined : "is no glob";
  (spec.sourceRepos ?? []).forEach((pattern, n) =>
    tell(`spec.sourceRepos[${n}]`, pattern, ofGlob(pattern) ?? wrongSourcePattern(allowed(pattern))),
  );
  (spec.destinations ?? []).forEach((rule, n) => {
    for (const field of ["server", "name", "namespace"] as const) {
      tell(`spec.destinations[${n}].${field}`, rule[field] ?? "", ofGlob(rule[field] ?? ""));
    }
  });
  for (const list of KIND_LISTS) {
    (spec[list] ?? []).forEach((rule, n) => {
      for (const field of ["group", "kind", "name"] as const) {
        const pattern = rule[field] ?? "";
        tell(`spec.${list}[${n}].${field}`, pattern, isPathPattern(pattern) ? undefined : "is no pattern");
      }
    });
  }
  return wrong;
}

export function sourceAllowed({ sourceRepos = [] }: AppProjectSpec, repoURL: string): boolean {
  const url = normalSourceUrl(repoURL);
  let isAllowed = false;
  for (const rule of sourceRepos) {
    const pattern = normalSourceUrl(allowed(rule));
    if (isDeny(rule) && matchesGlob(pattern, url, "/")) return false;
    isAllowed ||= isDeny(rule) || pattern === "*" || matchesGlob(pattern, url, "/");
  }
  return isAllowed;
}

const matches = (pattern: string | undefined, value: string): boolean =>
  isDeny(pattern) ? !matchesGlob(pattern!.slice(1), value) : matchesGlob(pattern ?? "", value);

export function destinationAllowed(
  project: string,
  spec: AppProjectSpec,
  cluster: ProjectCluster,
  namespace: string,
): boolean {
  if (spec.permitOnlyProjectScopedClusters && cluster.project !== project) return false;
  let isAllowed = false;
  for (const rule of spec.destinations ?? []) {
    const verdict = destinationRule(rule, cluster, namespace);
    if (verdict === "denies") return false;
    isAllowed ||= verdict === "allows";
  }
  return isAllowed;
}

function destinationRule(
  rule: ProjectDestination,
  cluster: ProjectCluster,
  namespace: string,
): "allows" | "denies" | "says nothing" {
  const byName = Boolean(cluster.name) && matches(rule.name, cluster.name!);
  const byServer = Boolean(cluster.server) && matches(rule.server, cluster.server!);
  const byNamespace = matches(rule.namespace, namespace);
  if ((byServer || byName) && byNamespace) return "allows";
  if ((!byName && isDeny(rule.name)) || (!byServer && isDeny(rule.server) && byNamespace)) return "denies";
  return !byNamespace && isDeny(rule.namespace) && byServer ? "denies" : "says nothing";
}

export const sourceDenied = (name: string, path: string): Failure =>
  failure("PROJECT_DENIED", `AppProject ${name} does not allow the repository of this Application`, { path });

export function projectDenies(
  name: string,
  spec: AppProjectSpec,
  app: { repoURL: string; destination: Destination; cluster: ProjectCluster | undefined },
): Failure[] {
  const { destination, cluster } = app;
  const denied: Failure[] = sourceAllowed(spec, app.repoURL) ? [] : [sourceDenied(name, "spec.source.repoURL")];
  if (cluster && !destinationAllowed(name, spec, cluster, destination.namespace ?? "")) {
    const where = destination.server ?? destination.name ?? "";
    const text = `AppProject ${name} does not allow ${where}, namespace ${destination.namespace ?? "none"}`;
    denied.push(failure("PROJECT_DENIED", text, { path: "spec.destination" }));
  }
  return denied;
}

const listed = (rules: readonly ProjectKind[], key: ObjectKey, byName: boolean): boolean =>
  rules.some(
    ({ group = "", kind = "", name = "" }) =>
      matchesPathPattern(kind, key.kind) &&
      matchesPathPattern(group, key.group) &&
      (!byName || name === "" || matchesPathPattern(name, key.name)),
  );

/** Whether an object may be applied or pruned by apps of the project; a cluster-scoped one has no namespace. */
export function objectAllowed(project: string, spec: AppProjectSpec, key: ObjectKey, cluster: ProjectCluster): boolean {
  if (key.namespace === "") {
    return (
      listed(spec.clusterResourceWhitelist ?? [], key, true) && !listed(spec.clusterResourceBlacklist ?? [], key, true)
    );
  }
  const whitelist = spec.namespaceResourceWhitelist;
  return (
    (whitelist === undefined || listed(whitelist, key, false)) &&
    !listed(spec.namespaceResourceBlacklist ?? [], key, false) &&
    destinationAllowed(project, spec, cluster, key.namespace)
  );
}

/** Whether Applications of this namespace may use the project: by name, glob, or `/regular expression/`. */
export const inNamespaces = (patterns: readonly string[] | undefined, namespace: string): boolean =>
  (patterns ?? []).some((pattern) => matchesNamespace(pattern, namespace));

function matchesNamespace(pattern: string, namespace: string): boolean {
  const expression = /^\/(.*)\/$/s.exec(pattern)?.[1];
  if (expression === undefined) return matchesGlob(pattern, namespace);
  try {
    return new RegExp(expression).test(namespace);
  } catch {
    return false;
  }
}
