// Gate (pure): the one question before anything of an Application is written to a cluster, whichever way it comes: a sync,
// a hook, a heal, a prune, a deletion, its namespace. Asked when it is planned, and of the AppProject as it is by then.
import { failure, type Failure } from "@driftless/contracts/failure";
import type { ObjectKey } from "@driftless/contracts/identity";
import { keyForPeople } from "@driftless/manifests/resource-key";
import type { Context } from "./context.ts";
import { objectAllowed, type ProjectCluster } from "./project.ts";

/** Where the Application's objects are, as far as that is known. */
function clusterOf({ view, comparison }: Context): ProjectCluster {
  const { cluster } = view.desired!;
  return cluster.server ? cluster : { ...cluster, server: comparison?.server };
}

export const isAllowed = (context: Context, key: ObjectKey): boolean =>
  context.view.desired !== undefined &&
  objectAllowed(context.view.ref.project, context.view.desired.project, key, clusterOf(context));

export const projectDenial = ({ view: { ref } }: Context, key: ObjectKey): Failure =>
  failure("PROJECT_DENIED", `AppProject ${ref.project} does not allow ${keyForPeople(key)}`, {
    path: keyForPeople(key),
  });

/** What of it must not be written, and why; an Application that is refused as a whole may write nothing. */
export function denials(context: Context, keys: readonly ObjectKey[]): Failure[] {
  if (!context.view.desired) return keys.length > 0 ? [...context.view.blocked] : [];
  return keys.filter((key) => !isAllowed(context, key)).map((key) => projectDenial(context, key));
}

/** The destination's namespace, where a sync has to make it. */
export function namespaceToMake({ view, comparison }: Context, wanted: boolean): ObjectKey[] {
  const name = view.desired?.destination.namespace;
  if (!wanted || !name || !comparison?.namespaceMissing) return [];
  return [{ group: "", version: "v1", kind: "Namespace", namespace: "", name }];
}
