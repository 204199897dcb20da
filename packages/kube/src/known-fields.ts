// Known fields (pure): of a text only what the API server knows, as its answer to a dry run of the same text tells.
// `Validate=false` wants what is unknown left out; a server-side apply would refuse it whatever it is told.
import { exactText, parseExactly } from "@driftless/manifests/exact-json";
import { namesOf } from "./predict.ts";
import type { KubeObject } from "./resource.ts";

/**
 * An answer also lacks known members that are empty (`paused: false`); with `keepEmpty` these stay, and with them what
 * is unknown and empty.
 */
export function knownOnly(text: string, answer: KubeObject, options: { keepEmpty: boolean }): string {
  const asked = parseExactly(text);
  leaveOutUnknown(asked, answer, options.keepEmpty);
  return exactText(asked);
}

function leaveOutUnknown(asked: unknown, answer: unknown, keepEmpty: boolean): void {
  if (Array.isArray(asked) && Array.isArray(answer)) {
    const [names, answered] = [namesOf(asked), namesOf(answer)];
    for (const [index, item] of asked.entries()) {
      const other: unknown = names && answered ? answer[answered.indexOf(names[index]!)] : answer[index];
      leaveOutUnknown(item, other, keepEmpty);
    }
    return;
  }
  if (!isRecord(asked) || !isRecord(answer)) return;
  for (const [name, value] of Object.entries(asked)) {
    if (Object.hasOwn(answer, name)) leaveOutUnknown(value, answer[name], keepEmpty);
    else if (!keepEmpty || !isEmpty(value)) delete asked[name];
  }
}

function isEmpty(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0;
  if (isRecord(value)) return Object.values(value).every(isEmpty);
  return value === false || value === 0 || value === "" || value === null;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
