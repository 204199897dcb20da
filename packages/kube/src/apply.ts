// Apply (edge): the writes on objects of target clusters, each with its fence.
import type { ResourceKey } from "@driftless/manifests/resource-key";
import { withMetadata } from "@driftless/manifests/manifest";
import type { KubeClient } from "./client.ts";
import { FIELD_MANAGER } from "./footprint.ts";
import type { KubeOutcome } from "./outcome.ts";
import { pathOf, type ApiResource, type KubeObject } from "./resource.ts";

export interface Precondition {
  uid: string;
  resourceVersion: string;
}

interface Call {
  client: KubeClient;
  resource: ApiResource;
  key: Pick<ResourceKey, "namespace" | "name">;
  dryRun?: boolean;
  deadlineMs?: number;
  signal?: AbortSignal;
}

export interface ApplyRequest extends Call {
  /** Text of a PreparedManifest (begins with its metadata). */
  text: string;
  fieldManager?: string;
  force?: boolean;
  /** Of an object that exists: both, since resourceVersion alone creates what is missing. */
  precondition?: Precondition;
  /** As Argo CD: a misspelt field is an error, not something silently dropped. */
  fieldValidation?: FieldValidation;
}

export type FieldValidation = "Strict" | "Ignore";

/** `created` tells whether the object was made by this very request. Forced unless told otherwise. */
export function serverSideApply(request: ApplyRequest): Promise<KubeOutcome<KubeObject>> {
  const { precondition, text } = request;
  const fenced = precondition
    ? withMetadata(text, { uid: precondition.uid, resourceVersion: precondition.resourceVersion })
    : text;
  return send(request, "PATCH", {
    contentType: "application/apply-patch+yaml",
    body: fenced,
    query: {
      fieldManager: request.fieldManager ?? FIELD_MANAGER,
      force: request.force ?? true,
      fieldValidation: request.fieldValidation ?? "Strict",
    },
  });
}

export interface WriteRequest extends Call {
  /** Text of a PreparedManifest (begins with its metadata). */
  text: string;
  fieldValidation?: FieldValidation;
}

/** The whole object as it stands in the text: what others set goes. Fenced; `NOT_FOUND` where there is none. */
export function replace(request: WriteRequest & { precondition: Precondition }): Promise<KubeOutcome<KubeObject>> {
  const { uid, resourceVersion } = request.precondition;
  return send(request, "PUT", {
    contentType: "application/json",
    body: withMetadata(request.text, { uid, resourceVersion }),
    query: { fieldManager: FIELD_MANAGER, fieldValidation: request.fieldValidation ?? "Strict" },
  });
}

/** What the API server would say to making it. `ALREADY_EXISTS` comes last: all else about it is right then. */
export function predictCreate(request: WriteRequest): Promise<KubeOutcome<KubeObject>> {
  const { key, ...call } = request;
  return send({ ...call, key: { ...key, name: "" }, dryRun: true }, "POST", {
    contentType: "application/json",
    body: request.text,
    query: { fieldManager: FIELD_MANAGER, fieldValidation: request.fieldValidation ?? "Strict" },
  });
}

export interface RemoveRequest extends Call {
  precondition: Precondition;
  propagationPolicy?: "Foreground" | "Background" | "Orphan";
}

/** `NOT_FOUND`: gone already. `CONFLICT`: it is another object by now, or changed since it was judged. */
export function remove(request: RemoveRequest): Promise<KubeOutcome<KubeObject>> {
  const { uid, resourceVersion } = request.precondition;
  return send(request, "DELETE", {
    contentType: "application/json",
    body: JSON.stringify({
      apiVersion: "v1",
      kind: "DeleteOptions",
      preconditions: { uid, resourceVersion },
      propagationPolicy: request.propagationPolicy ?? "Foreground",
      ...(request.dryRun ? { dryRun: ["All"] } : {}),
    }),
  });
}

export interface PatchRequest extends Call {
  /** Merge patch; resourceVersion is put into its metadata when given. */
  patch: Record<string, unknown>;
  resourceVersion?: string;
  fieldManager?: string;
}

export function mergePatch(request: PatchRequest): Promise<KubeOutcome<KubeObject>> {
  const { patch, resourceVersion } = request;
  const fenced =
    resourceVersion === undefined
      ? patch
      : { ...patch, metadata: { ...(patch["metadata"] as Record<string, unknown> | undefined), resourceVersion } };
  return send(request, "PATCH", {
    contentType: "application/merge-patch+json",
    body: JSON.stringify(fenced),
    query: { fieldManager: request.fieldManager ?? FIELD_MANAGER },
  });
}

export interface JsonPatchOperation {
  op: "add" | "remove" | "replace" | "test";
  path: string;
  value?: unknown;
}

export interface JsonPatchRequest extends Call {
  patch: JsonPatchOperation[];
  fieldManager?: string;
}

export function jsonPatch(request: JsonPatchRequest): Promise<KubeOutcome<KubeObject>> {
  return send(request, "PATCH", {
    contentType: "application/json-patch+json",
    body: JSON.stringify(request.patch),
    query: { fieldManager: request.fieldManager ?? FIELD_MANAGER },
  });
}

function send(
  { client, resource, key, dryRun, deadlineMs, signal }: Call,
  method: "PATCH" | "PUT" | "POST" | "DELETE",
  what: { contentType: string; body: string; query?: Record<string, string | boolean> },
): Promise<KubeOutcome<KubeObject>> {
  return client.request<KubeObject>({
    method,
    path: pathOf(resource, key.namespace, key.name),
    query: { ...what.query, ...(dryRun ? { dryRun: "All" } : {}) },
    body: what.body,
    contentType: what.contentType,
    kind: resource.kind,
    ...(deadlineMs === undefined ? {} : { deadlineMs }),
    ...(signal ? { signal } : {}),
  });
}
