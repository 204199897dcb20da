// Resources and objects of the Kubernetes API, and the paths under which they answer.

export interface ApiResource {
  group: string;
  version: string;
  kind: string;
  /** The plural in paths: `deployments`. */
  plural: string;
  namespaced: boolean;
  verbs: string[];
  /** All served versions of the group that have this kind, preferred first. */
  versions: string[];
}

const core = (kind: string, plural: string, namespaced: boolean): ApiResource => ({
  group: "",
  version: "v1",
  kind,
  plural,
  namespaced,
  verbs: ["get", "list", "watch"],
  versions: ["v1"],
});

/** Kinds that are known without discovery. */
export const NAMESPACES = core("Namespace", "namespaces", false);
export const SECRETS = core("Secret", "secrets", true);
export const CONFIG_MAPS = core("ConfigMap", "configmaps", true);

export interface ManagedFieldsEntry {
  manager: string;
  operation: "Apply" | "Update";
  apiVersion: string;
  time?: string;
  fieldsType?: string;
  fieldsV1?: Record<string, unknown>;
  subresource?: string;
}

/** Of the control plane; each service asks of it what its permissions allow. */
export const APPLICATIONS: ApiResource = {
  group: "argoproj.io",
  version: "v1alpha1",
  kind: "Application",
  plural: "applications",
  namespaced: true,
  verbs: ["get", "list", "watch", "patch", "create"],
  versions: ["v1alpha1"],
};

export interface KubeObject {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace?: string;
    uid: string;
    resourceVersion: string;
    generation?: number;
    creationTimestamp?: string;
    deletionTimestamp?: string;
    annotations?: Record<string, string>;
    labels?: Record<string, string>;
    finalizers?: string[];
    ownerReferences?: { apiVersion: string; kind: string; name: string; uid: string; controller?: boolean }[];
    managedFields?: ManagedFieldsEntry[];
    [member: string]: unknown;
  };
  [member: string]: unknown;
}

/** `/apis/apps/v1/namespaces/shop/deployments/web`; without a name the collection, without a namespace all of them. */
export function pathOf(
  resource: Pick<ApiResource, "group" | "version" | "plural" | "namespaced">,
  namespace = "",
  name = "",
): string {
  const root = resource.group === "" ? `/api/${resource.version}` : `/apis/${resource.group}/${resource.version}`;
  const scope = resource.namespaced && namespace !== "" ? `/namespaces/${encodeURIComponent(namespace)}` : "";
  return `${root}${scope}/${resource.plural}${name === "" ? "" : `/${encodeURIComponent(name)}`}`;
}
