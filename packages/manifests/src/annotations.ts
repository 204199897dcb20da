// What the annotations of a manifest ask of a sync, read once. Which of them may be used at all says unsupported.ts.
import { applyOptionsIn, type ApplyOptions } from "./apply-options.ts";
import { consentsIn, type Consents } from "./consent.ts";

export interface ManifestAnnotations {
  /** `argocd.argoproj.io/sync-wave`, else `helm.sh/hook-weight`, 0 without them. */
  syncWave: number;
  consents: Consents;
  /** All sync options as `name=value`, in order. */
  syncOptions: string[];
  applyOptions: ApplyOptions;
  /** Helm's word that it is never deleted. */
  keep?: true;
  /** How long a sync waits for its health, or a hook may run; absent for as long as it takes. */
  healthTimeout?: string;
}

export const SYNC_OPTIONS = "argocd.argoproj.io/sync-options";
const COMPARE_OPTIONS = "argocd.argoproj.io/compare-options";
const IGNORE_HEALTHCHECK = "argocd.argoproj.io/ignore-healthcheck";
export const SYNC_WAVE = "argocd.argoproj.io/sync-wave";
/** Whose fields become ours with the first apply, besides those of kubectl's client-side apply. */
export const MIGRATION_MANAGER = "argocd.argoproj.io/client-side-apply-migration-manager";
export const HEALTH_TIMEOUT = "driftless.io/health-timeout";
export const HELM_HOOK_WEIGHT = "helm.sh/hook-weight";
export const HELM_RESOURCE_POLICY = "helm.sh/resource-policy";

/** Asks by `compare-options: IgnoreExtraneous` not to count in the sync status when Git does not have it (contract §5). */
export const isExtraneous = (annotations: unknown): boolean =>
  splitList(annotationText(annotations, COMPARE_OPTIONS)).some((option) => /^IgnoreExtraneous(=true)?$/.test(option));

/** Asks that its health be no part of the Application's. */
export const isHealthIgnored = (annotations: unknown): boolean =>
  annotationText(annotations, IGNORE_HEALTHCHECK) === "true";

/** Also for live objects: prune and delete ask the object that is there, which may no longer be in Git. */
export function readAnnotations(annotations: unknown): ManifestAnnotations {
  const text = (name: string) => annotationText(annotations, name);
  const syncOptions = splitList(text(SYNC_OPTIONS));
  const healthTimeout = text(HEALTH_TIMEOUT).trim();
  const migrationManager = text(MIGRATION_MANAGER).trim();
  return {
    syncWave: wholeNumber(text(SYNC_WAVE)) ?? wholeNumber(text(HELM_HOOK_WEIGHT)) ?? 0,
    consents: consentsIn(syncOptions),
    syncOptions,
    applyOptions: { ...applyOptionsIn(syncOptions), ...(migrationManager !== "" && { migrationManager }) },
    ...(splitList(text(HELM_RESOURCE_POLICY)).includes("keep") && { keep: true }),
    ...(healthTimeout !== "" && { healthTimeout }),
  };
}

export function annotationText(annotations: unknown, name: string): string {
  if (typeof annotations !== "object" || annotations === null) return "";
  const value = (annotations as Record<string, unknown>)[name];
  return typeof value === "string" ? value : "";
}

export function splitList(text: string): string[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

function wholeNumber(text: string): number | undefined {
  return /^[+-]?\d{1,9}$/.test(text) ? Number(text) : undefined;
}
