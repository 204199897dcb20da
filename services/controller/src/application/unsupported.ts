// What Argo CD's contract allows in an Application or an operation and Driftless does not do yet. Each is refused by
// its path (UNSUPPORTED_FIELD) before anything is compared or written: half-honoured is worse than not at all.
import type { Application, OperationField } from "@driftless/contracts/application";
import { sourceFields } from "./sources.ts";
import { unknownSyncOptions } from "./sync-options.ts";

type Json = Record<string, unknown>;

const present = (value: unknown): boolean =>
  value !== undefined &&
  value !== null &&
  value !== "" &&
  value !== false &&
  !(typeof value === "object" && Object.keys(value).length === 0);

function presentIn(object: unknown, path: string, names: readonly string[]): string[] {
  if (typeof object !== "object" || object === null) return [];
  return names.filter((name) => present((object as Json)[name])).map((name) => `${path}.${name}`);
}

/** An option stands in the path by its text, because a list index says nothing to the reader. */
const optionPaths = (options: readonly string[] | undefined, path: string): string[] =>
  unknownSyncOptions(options ?? []).map((option) => `${path}[${option}]`);

const SPEC = ["sourceHydrator"];

/**
 * What applying would change is always asked of the API server, its admission included, whichever of these is said; the
 * last is for the parent of this Application, of which it is an object.
 */
const COMPARE_OPTIONS_HONOURED = new Set([
  "ServerSideDiff=true",
  "ServerSideDiff=false",
  "IncludeMutationWebhook=true",
  "IncludeMutationWebhook=false",
  "IgnoreExtraneous",
]);

export function unsupportedInApplication(app: Application): string[] {
  const { spec, metadata } = app;
  const annotations = metadata.annotations ?? {};
  const compareOptions = (annotations["argocd.argoproj.io/compare-options"] ?? "")
    .split(",")
    .map((part) => part.trim());
  return [
    ...presentIn(spec, "spec", SPEC),
    // Would choose another Kustomize than the one that is built in.
    ...sourceFields(spec).flatMap(({ path, field }) => presentIn(field.kustomize, `${path}.kustomize`, ["version"])),
    ...optionPaths(spec?.syncPolicy?.syncOptions, "spec.syncPolicy.syncOptions"),
    ...compareOptions
      .filter((option) => option !== "" && !COMPARE_OPTIONS_HONOURED.has(option))
      .map((option) => `metadata.annotations[argocd.argoproj.io/compare-options]=${option}`),
  ];
}

export function unsupportedInOperation(operation: OperationField): string[] {
  return [...optionPaths(operation.sync?.syncOptions, "operation.sync.syncOptions")];
}
