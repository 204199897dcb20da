// Resources of the control plane that the controller watches and writes.
import type { ApiResource } from "@driftless/kube/resource";

const argoproj = (kind: string, plural: string): ApiResource => ({
  group: "argoproj.io",
  version: "v1alpha1",
  kind,
  plural,
  namespaced: true,
  verbs: ["get", "list", "watch", "patch", "create"],
  versions: ["v1alpha1"],
});

export const APPLICATIONS = argoproj("Application", "applications");
export const PROJECTS = argoproj("AppProject", "appprojects");

export const CUSTOM_RESOURCE_DEFINITIONS: ApiResource = {
  group: "apiextensions.k8s.io",
  version: "v1",
  kind: "CustomResourceDefinition",
  plural: "customresourcedefinitions",
  namespaced: false,
  verbs: ["get", "create"],
  versions: ["v1"],
};
