// Ignore rules (pure): which of them concern an object (contract §6 ignoreDifferences). What they take out of it is
// settled where the live object is at hand.
import { hash } from "node:crypto";
import type { IgnoreRule } from "@driftless/contracts/pipeline/4-diff";
import { matchesGlob } from "./glob.ts";
import type { ResourceKey } from "./resource-key.ts";

export const rulesFor = (rules: readonly IgnoreRule[], key: ResourceKey): IgnoreRule[] =>
  rules.filter(
    ({ group, kind, name, namespace }) =>
      matchesGlob(group, key.group) &&
      matchesGlob(kind, key.kind) &&
      (!name || name === key.name) &&
      (!namespace || namespace === key.namespace),
  );

/** Another digest means: what was found equal under the old rules has to be looked at again. */
export const rulesDigest = (rules: readonly IgnoreRule[]): string =>
  hash(
    "sha256",
    JSON.stringify(
      rules.map((rule) => [rule.jsonPointers, rule.jqPathExpressions, rule.managedFieldsManagers.toSorted()]),
    ),
    "base64url",
  );
