// Hooks: when an object is run as part of a sync instead of being kept in the cluster, as its annotations say. Helm's
// own annotations count where Argo CD's are absent.
import { createHash } from "node:crypto";
import { annotationText, splitList } from "./annotations.ts";
import type { SyncPhase } from "./order.ts";

export const HOOK = "argocd.argoproj.io/hook";
export const HOOK_DELETE_POLICY = "argocd.argoproj.io/hook-delete-policy";
export const HELM_HOOK = "helm.sh/hook";
export const HELM_HOOK_DELETE_POLICY = "helm.sh/hook-delete-policy";
/** Keeps a finished hook readable until its result is written down, whatever deletes it (a Job's TTL, say). */
export const HOOK_FINALIZER = "argocd.argoproj.io/hook-finalizer";
/** Which run of which operation made this object: a run is never made twice. */
export const HOOK_RUN = "driftless.io/hook-run";

/** Not of a sync: before and after everything else of its Application is deleted. */
export type DeletePhase = "PreDelete" | "PostDelete";
export type HookPhase = SyncPhase | DeletePhase;
export type HookDeletePolicy = "BeforeHookCreation" | "HookSucceeded" | "HookFailed";

export type HookWish =
  | { kind: "none" }
  /** `Skip`, Helm's tests, or a value that nobody knows: neither applied nor compared nor pruned. */
  | { kind: "skip" }
  | { kind: "hook"; phases: HookPhase[]; deletePolicies: HookDeletePolicy[] };

const PHASES = new Set<string>(["PreSync", "Sync", "PostSync", "SyncFail", "PreDelete", "PostDelete"]);
const HELM_PHASES: Record<string, HookPhase> = {
  "pre-install": "PreSync",
  "pre-upgrade": "PreSync",
  "post-install": "PostSync",
  "post-upgrade": "PostSync",
  "pre-delete": "PreDelete",
  "post-delete": "PostDelete",
};
const POLICIES = new Set<string>(["BeforeHookCreation", "HookSucceeded", "HookFailed"]);
const HELM_POLICIES: Record<string, HookDeletePolicy> = {
  "before-hook-creation": "BeforeHookCreation",
  "hook-succeeded": "HookSucceeded",
  "hook-failed": "HookFailed",
};

export const isDeletePhase = (phase: HookPhase): phase is DeletePhase =>
  phase === "PreDelete" || phase === "PostDelete";

export function hookWish(annotations: unknown): HookWish {
  const own = splitList(annotationText(annotations, HOOK));
  const helm = splitList(annotationText(annotations, HELM_HOOK));
  if (own.length === 0 && (helm.length === 0 || helm.join() === "crd-install")) return { kind: "none" };
  const known = own.filter((text): text is HookPhase => PHASES.has(text));
  const phases = known.length > 0 || own.includes("Skip") ? known : helm.flatMap((text) => HELM_PHASES[text] ?? []);
  if (phases.length === 0) return { kind: "skip" };
  const deletePolicies = [
    ...splitList(annotationText(annotations, HOOK_DELETE_POLICY)).filter((text): text is HookDeletePolicy =>
      POLICIES.has(text),
    ),
    ...splitList(annotationText(annotations, HELM_HOOK_DELETE_POLICY)).flatMap((text) => HELM_POLICIES[text] ?? []),
  ];
  return {
    kind: "hook",
    phases: [...new Set(phases)],
    deletePolicies: deletePolicies.length > 0 ? [...new Set(deletePolicies)] : ["BeforeHookCreation"],
  };
}

/** As `generatedName`; of a deletion, which is of no revision. */
export const generatedDeleteName = (generateName: string, phase: DeletePhase, run: string): string =>
  `${generateName}${phase}-${hashOf(run)}`.toLowerCase();

/**
 * `<generateName><revision>-<phase>-<hash>`, lower case like Argo CD's. The hash is of the run instead of the time, so
 * that whoever takes the operation over finds the object that is there instead of making another.
 */
export function generatedName(generateName: string, revision: string, phase: HookPhase, run: string): string {
  return `${generateName}${revision.slice(0, 7)}-${phase}-${hashOf(run)}`.toLowerCase();
}

const hashOf = (run: string): string => createHash("sha256").update(run).digest("hex").slice(0, 10);
