// Masking (pure): what of a Secret may be shown. Paths and the fact that something differs, never a value.

export const MASK = "++++++++";

const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";

export function isSecret(object: { apiVersion?: unknown; kind?: unknown }): boolean {
  return object.kind === "Secret" && object.apiVersion === "v1";
}

/** The value at a path of a Secret, masked where it could hold a secret: everything but metadata, `type`, `immutable`. */
export function maskedValue(path: string, value: unknown): unknown {
  if (value === undefined) return undefined;
  if (path === "type" || path === "immutable") return value;
  if (path.startsWith("metadata")) {
    // `metadata.annotations` as a whole may hold the last-applied copy of everything.
    return path.includes(LAST_APPLIED) || (typeof value === "object" && value !== null) ? MASK : value;
  }
  return MASK;
}
