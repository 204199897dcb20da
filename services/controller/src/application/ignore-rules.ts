// Ignore rules (pure) of an Application, as the differ and the syncer take them.
import type { IgnoreDifference } from "@driftless/contracts/application";
import type { IgnoreRule } from "@driftless/contracts/pipeline/4-diff";

const pathOf = (index: number): string => `spec.ignoreDifferences[${index}]`;

export const ignoreRulesOf = (fields: readonly IgnoreDifference[]): IgnoreRule[] =>
  fields.map(({ group = "", kind = "", name, namespace, ...lists }, index) => ({
    group,
    kind,
    ...(name && { name }),
    ...(namespace && { namespace }),
    jsonPointers: lists.jsonPointers ?? [],
    jqPathExpressions: lists.jqPathExpressions ?? [],
    managedFieldsManagers: lists.managedFieldsManagers ?? [],
    origin: pathOf(index),
  }));

/** What can be told without an object; a jq expression is tried where it is used. */
export function wrongIgnoreRules(fields: readonly IgnoreDifference[]): { path: string; message: string }[] {
  return fields.flatMap(({ kind, jsonPointers = [] }, index) => [
    ...(kind ? [] : [{ path: `${pathOf(index)}.kind`, message: "a kind is needed (`*` for every one)" }]),
    ...jsonPointers.flatMap((pointer, at) =>
      pointer.startsWith("/")
        ? []
        : [
            {
              path: `${pathOf(index)}.jsonPointers[${at}]`,
              message: `"${pointer}" is no JSON pointer: it opens with /`,
            },
          ],
    ),
  ]);
}
