// Names of the effects that the chart asks for and the host carries out (effects.ts).
export const EFFECT_NAMES = [
  "fetchSource",
  "renderManifests",
  "describeCluster",
  "computeDiff",
  "predictSuspects",
  "watchSource",
  "watchBroken",
  "predictStep",
  "applyStep",
  "lookAtAwaited",
  "releaseHooks",
  "healStep",
  "compareForDeletion",
  "deleteStep",
  "publishTransition",
  "publishHeal",
  "writeStatus",
  "writeSoon",
  "measurePass",
  "measureOperation",
] as const;
export type EffectName = (typeof EFFECT_NAMES)[number];
