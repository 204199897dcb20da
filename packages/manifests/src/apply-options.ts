// Apply options (pure): in which way an object is applied, as the sync options of contract §2 say. The object's own word
// counts before its Application's.
import type { ResourceKey } from "./resource-key.ts";

/** Only what is said in so many words; absent means as usual. */
export type ApplyOptions = {
  /** false: members that the API server does not know are left out instead of being refused. */
  validate?: boolean;
  /** Written whole, as it stands in Git: what others set goes. */
  replace?: boolean;
  /** What cannot be changed is deleted and made anew. */
  force?: boolean;
  /** A kind that the cluster does not know yet is no failure before the object's turn has come. */
  skipDryRunOnMissingResource?: boolean;
  /** false: what kubectl and others applied client-side stays theirs. */
  clientSideApplyMigration?: boolean;
  /** One more manager whose fields become ours. */
  migrationManager?: string;
  /** What ignoreDifferences names is left as it is in the cluster. */
  respectIgnoreDifferences?: boolean;
};

const NAMES = {
  Validate: "validate",
  Replace: "replace",
  Force: "force",
  SkipDryRunOnMissingResource: "skipDryRunOnMissingResource",
  ClientSideApplyMigration: "clientSideApplyMigration",
  RespectIgnoreDifferences: "respectIgnoreDifferences",
} as const;

const USUALLY_TRUE = new Set(["Validate", "ClientSideApplyMigration"]);

/** Of options as `name=value`; the first of a name counts. */
export function applyOptionsIn(options: readonly string[]): ApplyOptions {
  const found: ApplyOptions = {};
  if (options.length === 0) return found;
  for (const [name, member] of Object.entries(NAMES)) {
    const value = options
      .find((option) => option.startsWith(`${name}=`))
      ?.slice(name.length + 1)
      .trim();
    if (value === "true" || value === "false") found[member] = value === "true";
  }
  return found;
}

/** What an object asks for, over what is asked for all; undefined when that is how it is done anyway. */
export function unusual(own: ApplyOptions, ofAll: ApplyOptions = {}): ApplyOptions | undefined {
  const options: ApplyOptions = {};
  for (const [name, member] of Object.entries(NAMES)) {
    const value = own[member] ?? ofAll[member];
    if (value !== undefined && value !== USUALLY_TRUE.has(name)) options[member] = value;
  }
  if (own.migrationManager !== undefined) options.migrationManager = own.migrationManager;
  return Object.keys(options).length === 0 ? undefined : options;
}

/** `remake`: deleted and made anew. `applyOrRemake`: only where the API server refuses the change. */
export type Way = "apply" | "replace" | "remake" | "applyOrRemake";

/** Custom kinds and namespaces are never made anew: everything in them would go. */
export function wayTo({ group, kind }: Pick<ResourceKey, "group" | "kind">, options: ApplyOptions = {}): Way {
  const isKept =
    (kind === "CustomResourceDefinition" && group === "apiextensions.k8s.io") || (kind === "Namespace" && group === "");
  const mayForce = options.force === true && !isKept;
  if (options.replace) return mayForce ? "remake" : "replace";
  return mayForce ? "applyOrRemake" : "apply";
}
