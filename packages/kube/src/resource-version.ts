// Resource versions (pure): decimal numbers of any length, ordered as such since Kubernetes 1.35.

/** Negative when `a` is older, 0 when equal. */
export function compareResourceVersions(a: string, b: string): number {
  if (a === b) return 0;
  // Without leading zeros the longer number is the greater one, which spares two BigInts per watch event.
  if (a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : 1;
}

export const isNewer = (a: string, b: string): boolean => compareResourceVersions(a, b) > 0;
