// What a failed read of a cluster is called towards people (pure): one place from KubeError to failure code.
import { failure, type Failure } from "@driftless/contracts/failure";
import type { KubeError } from "./outcome.ts";

/** `what` is what was asked for: a kind, an object. */
export function clusterFailure(error: KubeError, what: string): Failure {
  switch (error.code) {
    case "FORBIDDEN":
    case "UNAUTHORIZED":
      return failure("CLUSTER_FORBIDDEN", `Reading ${what} is not allowed: ${error.message}`);
    case "UNREACHABLE":
    case "TIMEOUT":
    case "CONFIG_INVALID":
      return failure("CLUSTER_UNREACHABLE", `The cluster did not answer for ${what}: ${error.message}`);
    case "UNKNOWN_KIND":
      return failure("KIND_UNKNOWN", `The cluster has no ${what}.`);
    default:
      return failure("KIND_UNAVAILABLE", `The API server cannot read ${what} now: ${error.message}`);
  }
}
