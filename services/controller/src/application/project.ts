// AppProject: what an Application of it may take from where, put to where, and of which kinds. Literals and `*` are
// honoured; any other pattern is refused by its path, since a rule that is read wrongly lets through what it forbids.
import { failure, type Failure } from "@driftless/contracts/failure";
import type { Destination, ObjectKey } from "@driftless/contracts/identity";
import type { AppProjectSpec, ProjectKind } from "@driftless/contracts/project";
import { canonicalRepository } from "@driftless/contracts/repository";

const UNSUPPORTED_RULES = [
  "syncWindows",
  "signatureKeys",
  "sourceIntegrity",
  "orphanedResources",
  "permitOnlyProjectScopedClusters",
] as const;

const isPattern = (text: string): boolean => text !== "*" && /[*?[\]{}!]/.test(text);

const matches = (rule: string | undefined, value: string): boolean => rule === "*" || (rule ?? "") === value;

/** Rules of the project that cannot be honoured: the apps of it are refused until they are gone. */
export function unsupportedInProject(name: string, spec: AppProjectSpec): Failure[] {
  const paths: string[] = UNSUPPORTED_RULES.filter((rule) => {
    const value = spec[rule];
    return Array.isArray(value) ? value.length > 0 : Boolean(value);
  }).map((rule) => `spec.${rule}`);
  (spec.sourceRepos ?? []).forEach((rule, n) => isPattern(rule) && paths.push(`spec.sourceRepos[${n}]`));
  (spec.destinations ?? []).forEach((rule, n) => {
    for (const field of ["server", "name", "namespace"] as const) {
      if (isPattern(rule[field] ?? "")) paths.push(`spec.destinations[${n}].${field}`);
    }
  });
  const kinds = {
    clusterResourceWhitelist: spec.clusterResourceWhitelist,
    clusterResourceBlacklist: spec.clusterResourceBlacklist,
    namespaceResourceWhitelist: spec.namespaceResourceWhitelist,
    namespaceResourceBlacklist: spec.namespaceResourceBlacklist,
  };
  for (const [list, rules] of Object.entries(kinds)) {
    (rules ?? []).forEach((rule, n) => {
      for (const field of ["group", "kind", "name"] as const) {
        if (isPattern(rule[field] ?? "")) paths.push(`spec.${list}[${n}].${field}`);
      }
    });
  }
  return paths.map((path) =>
    failure("UNSUPPORTED_FIELD", `AppProject ${name} has a rule that is not honoured yet: ${path}`, { path }),
  );
}

/** `cluster` holds what is known of the destination: what the Application says, and the server it resolved to. */
export function destinationAllowed(spec: AppProjectSpec, cluster: Destination, namespace: string): boolean {
  return (spec.destinations ?? []).some((rule) => {
    const clusterRule =
      rule.server && cluster.server
        ? matches(rule.server, cluster.server)
        : matches(rule.name || undefined, cluster.name ?? "");
    const anyCluster = rule.server === "*" || (rule.name === "*" && !rule.server);
    return (anyCluster || clusterRule) && (namespace === "" || matches(rule.namespace, namespace));
  });
}

export function projectDenies(
  name: string,
  spec: AppProjectSpec,
  app: { repoURL: string; destination: Destination },
): Failure[] {
  const denied: Failure[] = [];
  const repository = canonicalRepository(app.repoURL);
  const repoAllowed = (spec.sourceRepos ?? []).some((rule) => rule === "*" || canonicalRepository(rule) === repository);
  if (!repoAllowed) {
    denied.push(
      failure("PROJECT_DENIED", `AppProject ${name} does not allow the repository of this Application`, {
        path: "spec.source.repoURL",
      }),
    );
  }
  if (!destinationAllowed(spec, app.destination, app.destination.namespace ?? "")) {
    const where = app.destination.server ?? app.destination.name ?? "";
    denied.push(
      failure(
        "PROJECT_DENIED",
        `AppProject ${name} does not allow ${where}, namespace ${app.destination.namespace ?? "none"}`,
        {
          path: "spec.destination",
        },
      ),
    );
  }
  return denied;
}

const listed = (rules: readonly ProjectKind[], key: ObjectKey): boolean =>
  rules.some(
    (rule) =>
      matches(rule.group, key.group) && matches(rule.kind, key.kind) && (!rule.name || matches(rule.name, key.name)),
  );

/** Whether an object may be applied or pruned by apps of the project; a cluster-scoped one has no namespace. */
export function objectAllowed(spec: AppProjectSpec, key: ObjectKey, cluster: Destination): boolean {
  if (key.namespace === "") {
    return listed(spec.clusterResourceWhitelist ?? [], key) && !listed(spec.clusterResourceBlacklist ?? [], key);
  }
  const whitelist = spec.namespaceResourceWhitelist;
  return (
    (whitelist === undefined || listed(whitelist, key)) &&
    !listed(spec.namespaceResourceBlacklist ?? [], key) &&
    destinationAllowed(spec, cluster, key.namespace)
  );
}
