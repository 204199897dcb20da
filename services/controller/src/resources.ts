// Resources of the control plane that the controller watches and writes.
import { APPLICATIONS, type ApiResource } from "@driftless/kube/resource";

export const PROJECTS: ApiResource = { ...APPLICATIONS, kind: "AppProject", plural: "appprojects" };

export const CUSTOM_RESOURCE_DEFINITIONS: ApiResource = {
  group: "apiextensions.k8s.io",
  version: "v1",
  kind: "CustomResourceDefinition",
  plural: "customresourcedefinitions",
  namespaced: false,
  verbs: ["get", "create"],
  versions: ["v1"],
};
