// Settings (pure): what argocd-cm says, as far as actors ask. An unreadable value is told and the default is taken; a key
// that is not honoured yet is told too, since refusing every app for what each Argo CD ships with would help nobody.
import type { KubeObject } from "@driftless/kube/resource";
import { parseGoDuration } from "./application/go-duration.ts";
import { systemIgnoreRules } from "./customizations.ts";
import type { Settings } from "./application/view.ts";

export const SETTINGS_CONFIG_MAP = "argocd-cm";
const POLL_INTERVAL_MS = 120_000;
const HONOURED = new Set([
  "timeout.reconciliation",
  "timeout.reconciliation.jitter",
  "timeout.hard.reconciliation",
  "application.resourceTrackingMethod",
  "kustomize.buildOptions",
  "resource.customizations",
  "resource.compareoptions",
  "resource.ignoreResourceUpdatesEnabled",
  // Read by the api.
  "webhook.maxPayloadSizeMB",
  // Argo CD's own front end; they mean nothing to reconciliation.
  "url",
  "admin.enabled",
  "users.anonymous.enabled",
  "exec.enabled",
  "statusbadge.enabled",
]);
const HONOURED_PREFIXES = [
  "resource.customizations.ignoreDifferences.",
  // A watch event that changes nothing of what was applied refreshes nothing, whatever is written here.
  "resource.customizations.ignoreResourceUpdates.",
];
const isHonoured = (key: string): boolean =>
  HONOURED.has(key) || HONOURED_PREFIXES.some((prefix) => key.startsWith(prefix));

const TRACKING_METHODS = ["annotation", "annotation+label", "label"] as const;

export function settingsOf(
  configMap: KubeObject | undefined,
  controlPlaneNamespace: string,
): { settings: Settings; problems: string[] } {
  const data = (configMap?.["data"] ?? {}) as Record<string, unknown>;
  const problems: string[] = [];
  const text = (name: string) => (typeof data[name] === "string" ? data[name].trim() : "");
  const interval = text("timeout.reconciliation");
  const pollIntervalMs = interval === "" ? POLL_INTERVAL_MS : parseGoDuration(interval);
  if (pollIntervalMs === undefined) problems.push(`timeout.reconciliation: "${interval}" is no duration`);
  const jitter = text("timeout.reconciliation.jitter");
  const pollJitterMs = jitter === "" ? undefined : parseGoDuration(jitter);
  if (jitter !== "" && pollJitterMs === undefined)
    problems.push(`timeout.reconciliation.jitter: "${jitter}" is no duration`);
  const hard = text("timeout.hard.reconciliation");
  const hardIntervalMs = hard === "" ? 0 : parseGoDuration(hard);
  if (hardIntervalMs === undefined) problems.push(`timeout.hard.reconciliation: "${hard}" is no duration`);
  const ignore = systemIgnoreRules(data);
  problems.push(...ignore.problems);
  for (const key of Object.keys(data)) if (!isHonoured(key)) problems.push(`${key}: not honoured yet`);
  const method = text("application.resourceTrackingMethod");
  const trackingMethod = TRACKING_METHODS.find((known) => known === method);
  if (method !== "" && !trackingMethod) problems.push(`application.resourceTrackingMethod: "${method}" is unknown`);
  return {
    settings: {
      controlPlaneNamespace,
      trackingMethod: trackingMethod ?? "annotation",
      pollIntervalMs: pollIntervalMs ?? POLL_INTERVAL_MS,
      pollJitterMs,
      ...(hardIntervalMs ? { hardIntervalMs } : {}),
      ignoreRules: ignore.rules,
      buildOptions: text("kustomize.buildOptions") || undefined,
    },
    problems,
  };
}
