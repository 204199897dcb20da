// What manifests may ask for by annotation and Driftless does not do yet: refused by name, never ignored. One table:
// an issue that builds one of these takes it out here.
import { HEALTH_TIMEOUT, HELM_RESOURCE_POLICY, SYNC_OPTIONS, splitList } from "./annotations.ts";
import { hookWish } from "./hooks.ts";

export interface UnsupportedField {
  /** As the condition shows it: `metadata.annotations[argocd.argoproj.io/hook]=PreSync`. */
  path: string;
}

type Honoured = (value: string) => boolean;

const oneOf =
  (...values: string[]): Honoured =>
  (value) =>
    values.includes(value);

/** Those that an object may have; others are the Application's alone, or nobody's. */
const HONOURED_SYNC_OPTIONS = new Set([
  "Prune=true",
  "Prune=false",
  "Prune=confirm",
  "Delete=true",
  "Delete=false",
  "Delete=confirm",
  ...[
    "ServerSideApply",
    "Validate",
    "Replace",
    "Force",
    "PruneLast",
    "SkipDryRunOnMissingResource",
    "ClientSideApplyMigration",
  ].flatMap((name) => [`${name}=true`, `${name}=false`]),
]);
const HONOURED_COMPARE_OPTIONS = new Set([
  "ServerSideDiff=true",
  "ServerSideDiff=false",
  "IncludeMutationWebhook=true",
  "IncludeMutationWebhook=false",
  "IgnoreExtraneous",
  "IgnoreExtraneous=true",
  "IgnoreExtraneous=false",
]);

/** Annotation → which of its values are honoured. Lists are judged part by part. */
const ANNOTATIONS: Record<string, { list?: boolean; honoured: Honoured }> = {
  [SYNC_OPTIONS]: { list: true, honoured: (option) => HONOURED_SYNC_OPTIONS.has(option) },
  "argocd.argoproj.io/compare-options": { list: true, honoured: (option) => HONOURED_COMPARE_OPTIONS.has(option) },
  [HEALTH_TIMEOUT]: { honoured: (text) => /^(\d+|(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+)$/.test(text) },
  [HELM_RESOURCE_POLICY]: { list: true, honoured: oneOf("keep") },
};

/** Empty = everything this manifest asks for is honoured. */
export function unsupportedIn(metadata: Record<string, unknown>): UnsupportedField[] {
  const found: UnsupportedField[] = [];
  const annotations = metadata["annotations"];
  // Without a name each apply would make another object; only a hook is made anew each time.
  if (
    metadata["name"] === undefined &&
    metadata["generateName"] !== undefined &&
    hookWish(annotations).kind === "none"
  ) {
    found.push({ path: "metadata.generateName" });
  }
  if (typeof annotations !== "object" || annotations === null) return found;
  for (const [name, value] of Object.entries(annotations)) {
    const rule = Object.hasOwn(ANNOTATIONS, name) ? ANNOTATIONS[name] : undefined;
    if (!rule || typeof value !== "string") continue;
    for (const part of rule.list ? splitList(value) : [value.trim()]) {
      if (!rule.honoured(part)) found.push({ path: `metadata.annotations[${name}]=${part.slice(0, 80)}` });
    }
  }
  return found;
}
