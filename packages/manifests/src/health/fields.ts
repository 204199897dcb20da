// Reading fields of live objects, which may lack or mistype any of them.
import type { LiveObject } from "./health.ts";

export function at(object: unknown, ...path: string[]): unknown {
  let value = object;
  for (const member of path) {
    if (typeof value !== "object" || value === null) return undefined;
    value = (value as Record<string, unknown>)[member];
  }
  return value;
}

export function textAt(object: unknown, ...path: string[]): string {
  const value = at(object, ...path);
  return typeof value === "string" ? value : "";
}

/** 0 where the field is absent, as in Go; see optionalNumberAt for pointers. */
export function numberAt(object: unknown, ...path: string[]): number {
  return optionalNumberAt(object, ...path) ?? 0;
}

export function optionalNumberAt(object: unknown, ...path: string[]): number | undefined {
  const value = at(object, ...path);
  return typeof value === "number" ? value : undefined;
}

export function listAt(object: unknown, ...path: string[]): unknown[] {
  const value = at(object, ...path);
  return Array.isArray(value) ? value : [];
}

export interface Condition {
  type: string;
  status: string;
  reason: string;
  message: string;
  observedGeneration: number | undefined;
}

export function conditionsOf(list: unknown[]): Condition[] {
  return list.map((entry) => ({
    type: textAt(entry, "type"),
    status: textAt(entry, "status"),
    reason: textAt(entry, "reason"),
    message: textAt(entry, "message"),
    observedGeneration: optionalNumberAt(entry, "observedGeneration"),
  }));
}

export function condition(object: LiveObject, type: string): Condition | undefined {
  return conditionsOf(listAt(object, "status", "conditions")).find((entry) => entry.type === type);
}

export function nameOf(object: LiveObject): string {
  return textAt(object, "metadata", "name");
}
