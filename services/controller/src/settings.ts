// Settings (pure): what argocd-cm says, as far as actors ask. An unreadable value is told and the default is taken; a key
// that is not honoured yet is told too, since refusing every app for what each Argo CD ships with would help nobody.
import { failure, type Failure } from "@driftless/contracts/failure";
import type { KubeObject } from "@driftless/kube/resource";
import { parseGoDuration } from "./application/go-duration.ts";
import { readGlobalProjects } from "./global-projects.ts";
import { systemIgnoreRules } from "./customizations.ts";
import { resourceFilterOf } from "./resource-filter.ts";
import type { Settings } from "./application/view.ts";

export const SETTINGS_CONFIG_MAP = "argocd-cm";
const IMPERSONATION = "application.sync.impersonation.enabled";
const POLL_INTERVAL_MS = 120_000;
const HONOURED = new Set([
  "timeout.reconciliation",
  "timeout.reconciliation.jitter",
  "timeout.hard.reconciliation",
  "application.resourceTrackingMethod",
  "application.instanceLabelKey",
  "installationID",
  "resource.exclusions",
  "resource.inclusions",
  // Only kinds in use are watched, and one that may not be read concerns only who uses it.
  "resource.respectRBAC",
  "cluster.inClusterEnabled",
  "kustomize.buildOptions",
  "globalProjects",
  "resource.customizations",
  "resource.compareoptions",
  "resource.ignoreResourceUpdatesEnabled",
  // Read by the api.
  "webhook.maxPayloadSizeMB",
  // Of Argo CD's own front end, beside those of OF_OTHERS.
  "url",
  "additionalUrls",
  "passwordPattern",
  "admin.enabled",
  IMPERSONATION,
]);
/** Argo CD's front end and other parts that Driftless does not replace read these; they mean nothing to reconciliation. */
const OF_OTHERS =
  /^(accounts|dex|exec|extension|ga|help|oidc|server|statusbadge|ui|users|application\.links|project\.links|resource\.links|resource\.customLabels|resource\.customizations\.actions|resource\.sensitive\.mask)($|\.)/;
const HONOURED_PREFIXES = [
  // The API server itself says whether two quantities are one.
  "resource.customizations.knownTypeFields.",
  "resource.customizations.ignoreDifferences.",
  // Of these the differ and the syncer know themselves.
  "resource.customizations.health.",
  "resource.customizations.useOpenLibs.",
  "resource.customizations.actions.",
  // A watch event that changes nothing of what was applied refreshes nothing, whatever is written here.
  "resource.customizations.ignoreResourceUpdates.",
];
const isHonoured = (key: string): boolean =>
  HONOURED.has(key) || OF_OTHERS.test(key) || HONOURED_PREFIXES.some((prefix) => key.startsWith(prefix));

/** Of a label key: `name` or `domain/name`. */
const LABEL_KEY = /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?$/;

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
  const refused: Failure[] = [];
  const globalProjects = readGlobalProjects(text("globalProjects"));
  if (!globalProjects) {
    const why = "globalProjects of argocd-cm cannot be read, and may forbid what would be done";
    refused.push(failure("PROJECT_INVALID", why, { path: "data.globalProjects" }));
  }
  // Whoever wants syncs done with another account's rights must not have them done with ours.
  if (text(IMPERSONATION) === "true") {
    refused.push(
      failure("UNSUPPORTED_FIELD", `not honoured yet: ${IMPERSONATION}`, { path: `data[${IMPERSONATION}]` }),
    );
  }
  for (const key of Object.keys(data)) if (!isHonoured(key)) problems.push(`${key}: not honoured yet`);
  const method = text("application.resourceTrackingMethod");
  const trackingMethod = TRACKING_METHODS.find((known) => known === method);
  if (method !== "" && !trackingMethod) problems.push(`application.resourceTrackingMethod: "${method}" is unknown`);
  const labelKey = text("application.instanceLabelKey");
  const isLabelKey = LABEL_KEY.test(labelKey);
  if (labelKey !== "" && !isLabelKey) problems.push(`application.instanceLabelKey: "${labelKey}" is no label key`);
  const installationId = text("installationID");
  const { filter, refused: unreadable } = resourceFilterOf(data);
  refused.push(...unreadable);
  const respectRbac = text("resource.respectRBAC");
  if (!["", "normal", "strict"].includes(respectRbac))
    problems.push(`resource.respectRBAC: "${respectRbac}" is neither normal nor strict`);
  return {
    settings: {
      controlPlaneNamespace,
      tracking: {
        trackingMethod: trackingMethod ?? "annotation",
        ...(isLabelKey && { instanceLabelKey: labelKey }),
        ...(installationId !== "" && { installationId }),
      },
      ...(filter && { resourceFilter: filter }),
      ...(text("cluster.inClusterEnabled") === "false" && { inClusterDisabled: true }),
      pollIntervalMs: pollIntervalMs ?? POLL_INTERVAL_MS,
      pollJitterMs,
      ...(hardIntervalMs ? { hardIntervalMs } : {}),
      ignoreRules: ignore.rules,
      buildOptions: text("kustomize.buildOptions") || undefined,
      ...(globalProjects && globalProjects.length > 0 && { globalProjects }),
      ...(refused.length > 0 && { refused }),
    },
    problems,
  };
}
