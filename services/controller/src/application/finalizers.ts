// Finalizers of an Application that are ours (pure). Each stands for a stage of its deletion and goes when that is over,
// so that what is done of a deletion stands in Kubernetes and nowhere else (contract §3).
import type { DeletePhase } from "@driftless/manifests/hooks";

export type Stage = "PreDelete" | "PreDeleteCleanup" | "Cascade" | "PostDelete" | "PostDeleteCleanup";

const STAGES: readonly Stage[] = ["PreDelete", "PreDeleteCleanup", "Cascade", "PostDelete", "PostDeleteCleanup"];
const CASCADE = "resources-finalizer.argocd.argoproj.io";
const OF_HOOKS: Readonly<Record<string, Stage>> = {
  "pre-delete-finalizer.argocd.argoproj.io": "PreDelete",
  "pre-delete-finalizer.argocd.argoproj.io/cleanup": "PreDeleteCleanup",
  "post-delete-finalizer.argocd.argoproj.io": "PostDelete",
  "post-delete-finalizer.argocd.argoproj.io/cleanup": "PostDeleteCleanup",
};

/** Undefined for a finalizer of somebody else. */
export function stageOf(finalizer: string): Stage | undefined {
  if (finalizer === CASCADE || finalizer.startsWith(`${CASCADE}/`)) return "Cascade";
  return Object.hasOwn(OF_HOOKS, finalizer) ? OF_HOOKS[finalizer] : undefined;
}

/** In the order in which they are gone through. */
export function stagesOf(finalizers: readonly string[]): Stage[] {
  const there = new Set(finalizers.map(stageOf));
  return STAGES.filter((stage) => there.has(stage));
}

export const phaseOf = (stage: Stage): DeletePhase | undefined =>
  stage === "Cascade" ? undefined : stage.startsWith("PreDelete") ? "PreDelete" : "PostDelete";

export const isCleanup = (stage: Stage): boolean => stage.endsWith("Cleanup");

/** How the cascade goes, where it is wanted at all. */
export function cascadeOf(finalizers: readonly string[]): "Foreground" | "Background" | undefined {
  const ours = finalizers.find((name) => stageOf(name) === "Cascade");
  if (ours === undefined) return undefined;
  return ours.endsWith("/background") ? "Background" : "Foreground";
}

/** With those of hooks that are rendered, and without those of hooks that are rendered no more; undefined when they are so. */
export function withHookFinalizers(
  finalizers: readonly string[],
  rendered: ReadonlySet<DeletePhase>,
): string[] | undefined {
  const wanted = Object.keys(OF_HOOKS).filter((name) => rendered.has(phaseOf(OF_HOOKS[name]!)!));
  const kept = finalizers.filter((name) => !Object.hasOwn(OF_HOOKS, name) || wanted.includes(name));
  const missing = wanted.filter((name) => !kept.includes(name));
  return missing.length === 0 && kept.length === finalizers.length ? undefined : [...kept, ...missing];
}
