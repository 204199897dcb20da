// Health of HorizontalPodAutoscalers; in v1 the conditions stand in an annotation.
import { annotationText } from "../annotations.ts";
import { at, conditionsOf, listAt, textAt } from "./fields.ts";
import type { Health, LiveObject } from "./health.ts";

const DEGRADED = new Set([
  "AbleToScale FailedGetScale",
  "AbleToScale FailedUpdateScale",
  "ScalingActive FailedGetResourceMetric",
  "ScalingActive FailedGetObjectMetric",
  "ScalingActive FailedGetPodsMetric",
  "ScalingActive FailedGetExternalMetric",
  "ScalingActive FailedComputeMetricsReplicas",
  "ScalingActive InvalidSelector",
]);

export function horizontalPodAutoscalerHealth(object: LiveObject): Health {
  const conditions = conditionsOf(conditionList(object));
  const degraded = conditions.find((entry) => DEGRADED.has(`${entry.type} ${entry.reason}`));
  if (degraded) return { status: "Degraded", message: degraded.message };
  const healthy = conditions.find(
    (entry) => (entry.type === "AbleToScale" || entry.type === "ScalingLimited") && entry.status === "True",
  );
  return healthy
    ? { status: "Healthy", message: healthy.message }
    : { status: "Progressing", message: "Waiting to Autoscale" };
}

function conditionList(object: LiveObject): unknown[] {
  if (textAt(object, "apiVersion") !== "autoscaling/v1") return listAt(object, "status", "conditions");
  const text = annotationText(at(object, "metadata", "annotations"), "autoscaling.alpha.kubernetes.io/conditions");
  const parsed = text === "" ? [] : (JSON.parse(text) as unknown);
  return Array.isArray(parsed) ? parsed : [];
}
