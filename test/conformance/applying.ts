// What the conformance tests of sync options share: an app of such files, its objects as they are, and that it keeps still.
import { expect } from "vitest";
import type { ApplicationSpec } from "../harness/applications.ts";
import { kubectl, kubectlJson } from "../harness/story.ts";
import type { World } from "../harness/world.ts";
import { annotated } from "./sync.ts";

/** The manifest with these sync options of its own. */
export const asking = (text: string, options: string): string =>
  annotated(text, { "argocd.argoproj.io/sync-options": options });

export const message = (app: { status?: { operationState?: { message?: string } } }): string | undefined =>
  app.status?.operationState?.message;

export const CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

export const crd = (plural: string, kind: string, scope = "Namespaced"): string =>
  JSON.stringify({
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.example.com` },
    spec: {
      group: "example.com",
      names: { kind, plural },
      scope,
      versions: [
        {
          name: "v1",
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
        },
      ],
    },
  });

export const applyingIn = (use: { readonly world: World }) => {
  /** The object, as it is. */
  const get = (namespace: string, kind: string, name: string) =>
    kubectlJson(use.world, "get", "-n", namespace, kind, name, "--show-managed-fields");

  return {
    get,

    /** An Application of these files (under `app/`) that syncs and heals by itself. */
    async automated(name: string, files: Record<string, string>, spec: Partial<ApplicationSpec> = {}): Promise<World> {
      const { world } = use;
      const { url } = await world.git.createRepository(
        name,
        Object.fromEntries(Object.entries(files).map(([file, text]) => [`app/${file}`, text])),
      );
      await world.applications.create({ name, repoURL: url, path: "app", ...spec });
      return world;
    },

    /** Compared once more, hard: in sync, and nothing of it was written again. */
    async expectQuiet(name: string, kind: string, object = "web"): Promise<void> {
      const { world } = use;
      const before = written(await get(name, kind, object));
      await kubectl(world, "annotate", "-n", "argocd", "application", name, "argocd.argoproj.io/refresh=hard");
      const app = await world.applications.until(
        name,
        "refreshed",
        ({ metadata }) => metadata.annotations?.["argocd.argoproj.io/refresh"] === undefined,
      );
      expect(app.status?.sync?.status).toBe("Synced");
      expect(written(await get(name, kind, object))).toEqual(before);
    },

    /** By somebody else. */
    merge(namespace: string, kind: string, name: string, patch: unknown): Promise<string> {
      const how = ["--field-manager=somebody", "--type=merge", "-p", JSON.stringify(patch)];
      return kubectl(use.world, "patch", "-n", namespace, kind, name, ...how);
    },

    /** Without Driftless. */
    async make(path: string, text: string, query: Record<string, string> = {}): Promise<void> {
      const outcome = await use.world.client.request({ method: "POST", path, body: text, query });
      if (outcome.kind === "error") throw new Error(outcome.error.message);
    },
  };
};

/** Without what its own controller writes. */
function written({ status: _status, ...object }: any) {
  const { resourceVersion: _version, managedFields, ...metadata } = object.metadata;
  const entries = managedFields.filter((entry: { subresource?: string }) => entry.subresource === undefined);
  return { ...object, metadata: { ...metadata, managedFields: entries } };
}
