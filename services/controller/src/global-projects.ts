// `globalProjects` of argocd-cm (pure): which AppProjects, by their labels, inherit the lists of which.
import { parse } from "yaml";
import { z } from "zod";

const LabelSelector = z.object({
  matchLabels: z.record(z.string(), z.string()).default({}),
  matchExpressions: z
    .array(
      z.object({
        key: z.string(),
        operator: z.enum(["In", "NotIn", "Exists", "DoesNotExist"]),
        values: z.array(z.string()).default([]),
      }),
    )
    .default([]),
});
type LabelSelector = z.infer<typeof LabelSelector>;

const GlobalProject = z.object({
  projectName: z.string().min(1),
  labelSelector: LabelSelector.default({ matchLabels: {}, matchExpressions: [] }),
});
export type GlobalProject = z.infer<typeof GlobalProject>;

/** Undefined when it cannot be read. */
export function readGlobalProjects(text: string): GlobalProject[] | undefined {
  try {
    const reading = z.array(GlobalProject).safeParse(parse(text) ?? []);
    return reading.success ? reading.data : undefined;
  } catch {
    return undefined;
  }
}

/** A selector that says nothing selects everything. */
export function selects(selector: LabelSelector, labels: Readonly<Record<string, string>>): boolean {
  const isEqual = Object.entries(selector.matchLabels).every(([key, value]) => labels[key] === value);
  return isEqual && selector.matchExpressions.every((expression) => holds(expression, labels));
}

function holds(
  { key, operator, values }: LabelSelector["matchExpressions"][number],
  labels: Readonly<Record<string, string>>,
): boolean {
  const value = labels[key];
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
  }
}
