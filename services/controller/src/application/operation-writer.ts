// Who wrote the `operation` field (pure): whatever the request says of its initiator, Kubernetes knows the field manager.
import type { KubeObject, ManagedFieldsEntry } from "@driftless/kube/resource";

const OPERATION = "f:operation";

/** All that has to be kept of managedFields, and that only while an operation is asked for. */
export const operationEntries = (object: KubeObject): ManagedFieldsEntry[] | undefined =>
  object["operation"] === undefined
    ? undefined
    : object.metadata.managedFields
        ?.filter(({ fieldsV1 }) => fieldsV1 && OPERATION in fieldsV1)
        .map(({ manager, operation, apiVersion, time }) => ({
          manager,
          operation,
          apiVersion,
          time,
          fieldsV1: { [OPERATION]: {} },
        }));

/** The last of those that own it. */
export function operationWriter(object: { metadata: Record<string, unknown> }): string | undefined {
  const entries = (object.metadata["managedFields"] ?? []) as ManagedFieldsEntry[];
  return entries
    .filter(({ fieldsV1 }) => fieldsV1 && OPERATION in fieldsV1)
    .toSorted((a, b) => ((a.time ?? "") < (b.time ?? "") ? -1 : 1))
    .at(-1)?.manager;
}
