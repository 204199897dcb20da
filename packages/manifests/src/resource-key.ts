// ResourceKey: which object of a cluster is meant, whatever version it is read in. The version is kept apart, because
// the same object answers under several and Argo CD's tracking ids and status carry none in their identity.

export interface ResourceKey {
  /** Empty for the core group. */
  readonly group: string;
  readonly kind: string;
  /** Empty for cluster-scoped objects. */
  readonly namespace: string;
  readonly name: string;
}

/** Canonical text, `group/Kind/namespace/name`; none of the four parts can hold a slash. */
export function keyText(key: ResourceKey): string {
  return `${key.group}/${key.kind}/${key.namespace}/${key.name}`;
}

export function parseKey(text: string): ResourceKey | undefined {
  const parts = text.split("/");
  if (parts.length !== 4) return undefined;
  const [group, kind, namespace, name] = parts as [string, string, string, string];
  return kind && name ? { group, kind, namespace, name } : undefined;
}

export function groupOf(apiVersion: string): string {
  const slash = apiVersion.indexOf("/");
  return slash < 0 ? "" : apiVersion.slice(0, slash);
}

export function versionOf(apiVersion: string): string {
  return apiVersion.slice(apiVersion.indexOf("/") + 1);
}

export function apiVersionOf(group: string, version: string): string {
  return group === "" ? version : `${group}/${version}`;
}

/** For people: `apps/Deployment shop/web`, `Namespace shop`. */
export function keyForPeople(key: ResourceKey): string {
  const kind = key.group ? `${key.group}/${key.kind}` : key.kind;
  return `${kind} ${key.namespace ? `${key.namespace}/` : ""}${key.name}`;
}
