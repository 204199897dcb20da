// A transition of an Application as people read it: one line, and below it what differs, why, and how long it took.
import type { MessageOf } from "@driftless/contracts/message";
import type { ApplicationChanged } from "@driftless/contracts/pipeline/6-application";
import { paint, shortRevision, shortRevisions, state } from "./output.ts";

export type Transition = MessageOf<typeof ApplicationChanged>;

const OBJECTS_SHOWN = 10;
const FIELDS_SHOWN = 8;
const VALUE_LENGTH_MAX = 60;

export function transitionText(t: Transition, options: { namespace: string }): string {
  const name = t.app.namespace === options.namespace ? t.app.name : `${t.app.namespace}/${t.app.name}`;
  const move = t.from === t.to ? state(t.to) : `${state(t.from)} → ${state(t.to)}`;
  const facts = [
    t.health && state(t.health.status),
    (t.revision || t.revisions) && paint("dim", `at ${shortRevisions(t)}`),
    t.operation && `${t.operation.automated ? "automated" : "manual"} sync ${state(t.operation.phase)}`,
  ].filter(Boolean);
  const lines = [`${paint("dim", timeOf(t.at))}  ${paint("bold", name)}  ${move}  ${facts.join(" · ")}`.trimEnd()];
  const cause = causeText(t.causes);
  if (cause) lines.push(`    because ${cause}`);
  for (const condition of t.conditions) lines.push(`    ${paint("red", `${condition.type}: ${condition.message}`)}`);
  if (t.operation?.message && t.operation.phase !== "Succeeded") lines.push(`    ${t.operation.message}`);
  lines.push(...objectLines(t));
  const timings = timingText(t.timings);
  if (timings) lines.push(`    ${paint("dim", timings)}`);
  return lines.join("\n");
}

/** "push to main by github, then spec.replicas changed by kubectl" */
export function causeText(causes: Transition["causes"]): string {
  return causes
    .map((cause) => {
      const by = cause.by ? ` by ${cause.by}` : "";
      const revision = cause.revision ? ` (${shortRevision(cause.revision)})` : "";
      return `${cause.detail ?? cause.kind}${by}${revision}`;
    })
    .join(", then ");
}

export function objectLines(t: Pick<Transition, "resources" | "resourcesTotal">): string[] {
  const lines: string[] = [];
  for (const object of t.resources.slice(0, OBJECTS_SHOWN)) {
    const where = object.namespace ? ` (${object.namespace})` : "";
    const taken = object.takenFrom.length > 0 ? `, taken from ${object.takenFrom.join(", ")}` : "";
    lines.push(`    ${object.kind}/${object.name}${where}: ${object.message ?? object.status}${taken}`);
    for (const field of object.fields.slice(0, FIELDS_SHOWN)) {
      lines.push(`      ${field.path}: ${value(field.live)} → ${paint("bold", value(field.desired))}`);
    }
    const more = object.fields.length - FIELDS_SHOWN;
    if (more > 0) lines.push(`      … and ${more} more fields`);
  }
  const more = Math.max(t.resourcesTotal, t.resources.length) - Math.min(t.resources.length, OBJECTS_SHOWN);
  if (more > 0) lines.push(`    … and ${more} more objects`);
  return lines;
}

export function timingText(timings: Transition["timings"]): string {
  const hops = (["fetch", "render", "diff", "predict", "apply"] as const)
    .map((hop) => [hop, timings[`${hop}Ms`]] as const)
    .filter(([, ms]) => ms !== undefined)
    .map(([hop, ms]) => `${hop} ${milliseconds(ms!)}`);
  return [...hops, `${milliseconds(timings.totalMs)} in all`].join(" · ");
}

const milliseconds = (ms: number): string => (ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`);

const value = (json: string | undefined): string => {
  if (json === undefined) return "(absent)";
  return json.length > VALUE_LENGTH_MAX ? `${json.slice(0, VALUE_LENGTH_MAX)}…` : json;
};

/** Local time of day; the whole time stands in the JSON. */
function timeOf(iso: string): string {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return iso;
  const two = (n: number) => String(n).padStart(2, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}
