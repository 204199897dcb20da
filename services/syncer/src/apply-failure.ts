// What a refused write is called towards people (pure). Messages of Secrets come masked out of packages/kube.
import { failure, type Failure, type FailureCode } from "@driftless/contracts/failure";
import type { ObjectKey } from "@driftless/contracts/identity";
import type { KubeError } from "@driftless/kube/outcome";
import type { ApiResource } from "@driftless/kube/resource";
import { keyForPeople } from "@driftless/manifests/resource-key";
import { isTracked, sharedText } from "@driftless/manifests/tracking";

export function applyFailure(error: KubeError, key: ObjectKey, resource: Pick<ApiResource, "namespaced">): Failure {
  const path = keyForPeople(key);
  // An apply creates what is absent: only what has to be there around it can be missing.
  if (error.code === "NOT_FOUND" && resource.namespaced) {
    return failure("NAMESPACE_MISSING", `The namespace ${key.namespace} does not exist.`, { path });
  }
  return failure(codeOf(error), error.message, { path });
}

function codeOf(error: KubeError): FailureCode {
  switch (error.code) {
    case "INVALID":
    case "TOO_LARGE":
    case "UNSUPPORTED_FIELD":
      return "APPLY_INVALID";
    case "APPLY_SCHEMA":
      return "APPLY_SCHEMA";
    case "FORBIDDEN":
    case "UNAUTHORIZED":
      return "APPLY_FORBIDDEN";
    case "CONFLICT":
    case "ALREADY_EXISTS":
      return "APPLY_CONFLICT";
    case "NOT_FOUND":
    case "UNKNOWN_KIND":
      return "KIND_UNKNOWN";
    case "UNREACHABLE":
    case "TIMEOUT":
      return "CLUSTER_UNREACHABLE";
    default:
      return "APPLY_FAILED";
  }
}

/** What nobody tracks may be anybody's. */
export function trackedByNobody(key: ObjectKey, why: string): Failure {
  const whose = isTracked(key) ? "is not tracked by this Application" : "is tracked by nobody";
  const path = keyForPeople(key);
  return failure("RESOURCE_OWNED_BY_OTHER", `${path} ${whose}, so it is not deleted to ${why}.`, { path });
}

export function ownedByOther(app: { namespace: string; name: string }, key: ObjectKey, owner: string): Failure {
  return failure("RESOURCE_OWNED_BY_OTHER", sharedText(key, app, owner), { path: keyForPeople(key) });
}
