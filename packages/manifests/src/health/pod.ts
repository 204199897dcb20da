// Health of Pods.
import { annotationText } from "../annotations.ts";
import { HOOK } from "../hooks.ts";
import { at, condition, listAt, numberAt, textAt } from "./fields.ts";
import type { Health, LiveObject } from "./health.ts";

export function podHealth(object: LiveObject): Health {
  const annotations = at(object, "metadata", "annotations");
  const isHook = annotationText(annotations, HOOK) !== "" || annotationText(annotations, "helm.sh/hook") !== "";
  const policy = textAt(object, "spec", "restartPolicy");
  const ignoresPolicy = annotationText(annotations, "argocd.argoproj.io/ignore-restart-policy") === "true" && !isHook;
  // A hook's pod that cannot pull its image yet must not fail the hook: it may still run once the image is there.
  const longRunning = policy === "Always" || ignoresPolicy;
  const containers = listAt(object, "status", "containerStatuses");
  const message = textAt(object, "status", "message");

  if (longRunning) {
    const broken = containers.filter((container) =>
      /^Err|Error$|BackOff$/.test(textAt(container, "state", "waiting", "reason")),
    );
    if (broken.length > 0) {
      return {
        status: "Degraded",
        message: broken.map((container) => textAt(container, "state", "waiting", "message")).join(", "),
      };
    }
  }
  switch (textAt(object, "status", "phase")) {
    case "Pending":
      return { status: "Progressing", message };
    case "Succeeded":
      return { status: "Healthy", message };
    case "Failed":
      return { status: "Degraded", message: message || failMessage(object, containers) };
    case "Running":
      if (longRunning) {
        if (condition(object, "Ready")?.status === "True") return { status: "Healthy", message };
        const restarted = containers.some((container) => at(container, "lastState", "terminated") !== undefined);
        return { status: restarted ? "Degraded" : "Progressing", message };
      }
      // A finite life: done only when it has succeeded.
      if (policy === "OnFailure" || policy === "Never") return { status: "Progressing", message };
  }
  return { status: "Unknown", message };
}

function failMessage(object: LiveObject, containers: unknown[]): string {
  for (const container of [...listAt(object, "status", "initContainerStatuses"), ...containers]) {
    const terminated = at(container, "state", "terminated");
    if (textAt(terminated, "message")) return textAt(terminated, "message");
    if (textAt(terminated, "reason") === "OOMKilled") return "OOMKilled";
    const exitCode = numberAt(terminated, "exitCode");
    if (exitCode !== 0) return `container "${textAt(container, "name")}" failed with exit code ${exitCode}`;
  }
  return "";
}
