// Health of StatefulSets.
import { at, numberAt, optionalNumberAt, textAt } from "./fields.ts";
import type { Health, LiveObject } from "./health.ts";

export function statefulSetHealth(object: LiveObject): Health {
  const observed = numberAt(object, "status", "observedGeneration");
  if (observed === 0 || numberAt(object, "metadata", "generation") > observed) {
    return { status: "Progressing", message: "Waiting for statefulset spec update to be observed..." };
  }
  const wanted = optionalNumberAt(object, "spec", "replicas");
  const ready = numberAt(object, "status", "readyReplicas");
  const updated = numberAt(object, "status", "updatedReplicas");
  if (wanted !== undefined && ready < wanted) {
    return { status: "Progressing", message: `Waiting for ${wanted - ready} pods to be ready...` };
  }
  const strategy = textAt(object, "spec", "updateStrategy", "type");
  if (strategy === "RollingUpdate" && at(object, "spec", "updateStrategy", "rollingUpdate") !== undefined) {
    const partition = optionalNumberAt(object, "spec", "updateStrategy", "rollingUpdate", "partition");
    if (wanted !== undefined && partition !== undefined && updated < wanted - partition) {
      return {
        status: "Progressing",
        message: `Waiting for partitioned roll out to finish: ${updated} out of ${wanted - partition} new pods have been updated...`,
      };
    }
    return { status: "Healthy", message: `partitioned roll out complete: ${updated} new pods have been updated...` };
  }
  if (strategy === "OnDelete") return { status: "Healthy", message: `statefulset has ${ready} ready pods` };
  const updateRevision = textAt(object, "status", "updateRevision");
  const currentRevision = textAt(object, "status", "currentRevision");
  if (updateRevision !== currentRevision) {
    return {
      status: "Progressing",
      message: `waiting for statefulset rolling update to complete ${updated} pods at revision ${updateRevision}...`,
    };
  }
  const current = numberAt(object, "status", "currentReplicas");
  return {
    status: "Healthy",
    message: `statefulset rolling update complete ${current} pods at revision ${currentRevision}...`,
  };
}
