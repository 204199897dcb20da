// Sync options of an Application or an operation: those that are honoured, and those that are refused by name.
import { consentsIn, type Consents } from "@driftless/manifests/consent";

export interface SyncOptions {
  createNamespace: boolean;
  propagation: "Foreground" | "Background" | "Orphan";
  /** Of `Prune` and `Delete`; objects that say something themselves go by that. */
  consents: Consents;
  pruneLast: boolean;
}

const HONOURED: Record<string, readonly string[]> = {
  CreateNamespace: ["true", "false"],
  // Every apply is server-side; switching that off would be another way of applying.
  ServerSideApply: ["true"],
  ClientSideApplyMigration: ["true"],
  Validate: ["true"],
  Prune: ["true", "false", "confirm"],
  Delete: ["true", "false", "confirm"],
  PrunePropagationPolicy: ["foreground", "background", "orphan"],
  // Unchanged objects are never applied, whatever this says.
  ApplyOutOfSyncOnly: ["true", "false"],
  // An object of another Application is always refused.
  FailOnSharedResource: ["true"],
  PruneLast: ["true", "false"],
  Replace: ["false"],
  Force: ["false"],
  RespectIgnoreDifferences: ["false"],
  SkipDryRunOnMissingResource: ["false"],
};

export function readSyncOptions(options: readonly string[]): SyncOptions {
  const value = (name: string) => options.findLast((option) => option.startsWith(`${name}=`))?.slice(name.length + 1);
  const propagation = value("PrunePropagationPolicy");
  return {
    createNamespace: value("CreateNamespace") === "true",
    propagation: propagation === "background" ? "Background" : propagation === "orphan" ? "Orphan" : "Foreground",
    consents: consentsIn(options),
    pruneLast: value("PruneLast") === "true",
  };
}

/** The options that are not honoured, as they are written. */
export function unsupportedSyncOptions(options: readonly string[]): string[] {
  return options.filter((option) => {
    const at = option.indexOf("=");
    return !HONOURED[option.slice(0, at)]?.includes(option.slice(at + 1).trim());
  });
}
