// Sync options of an Application or an operation, and those names and values that nobody knows, which are refused.
import { applyOptionsIn, type ApplyOptions } from "@driftless/manifests/apply-options";
import { consentsIn, type Consents } from "@driftless/manifests/consent";

export interface SyncOptions {
  createNamespace: boolean;
  propagation: "Foreground" | "Background" | "Orphan";
  /** Of `Prune` and `Delete`; objects that say something themselves go by that. */
  consents: Consents;
  pruneLast: boolean;
  /** `ApplyOutOfSyncOnly`: then also those that every sync makes anew are left alone while they are in sync. */
  outOfSyncOnly: boolean;
  /** In which way objects are applied that do not say so themselves. */
  apply: ApplyOptions;
}

const SWITCH = ["true", "false"];

const KNOWN: Record<string, readonly string[]> = {
  CreateNamespace: SWITCH,
  // Every apply is server-side, whatever this says: fields that Git does not name are left to others, and what Git no
  // longer names goes, as with a client-side apply; only its annotation is not written.
  ServerSideApply: SWITCH,
  ClientSideApplyMigration: SWITCH,
  Validate: SWITCH,
  Prune: ["true", "false", "confirm"],
  Delete: ["true", "false", "confirm"],
  PrunePropagationPolicy: ["foreground", "background", "orphan"],
  // Unchanged objects are never applied, whatever this says, but those that every sync makes anew.
  ApplyOutOfSyncOnly: SWITCH,
  // An object of another Application is never written and fails the sync, whatever this says.
  FailOnSharedResource: SWITCH,
  PruneLast: SWITCH,
  Replace: SWITCH,
  Force: SWITCH,
  RespectIgnoreDifferences: SWITCH,
  SkipDryRunOnMissingResource: SWITCH,
};

export function readSyncOptions(options: readonly string[]): SyncOptions {
  const value = (name: string) => options.findLast((option) => option.startsWith(`${name}=`))?.slice(name.length + 1);
  const propagation = value("PrunePropagationPolicy");
  return {
    createNamespace: value("CreateNamespace") === "true",
    propagation: propagation === "background" ? "Background" : propagation === "orphan" ? "Orphan" : "Foreground",
    consents: consentsIn(options),
    pruneLast: value("PruneLast") === "true",
    outOfSyncOnly: value("ApplyOutOfSyncOnly") === "true",
    apply: applyOptionsIn(options),
  };
}

/** The options that are not known, as they are written. */
export function unknownSyncOptions(options: readonly string[]): string[] {
  return options.filter((option) => {
    const at = option.indexOf("=");
    return !KNOWN[option.slice(0, at)]?.includes(option.slice(at + 1).trim());
  });
}
