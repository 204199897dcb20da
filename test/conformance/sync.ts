// What the conformance tests of syncs share: manifests with annotations, Jobs, and an operation asked for by hand.
import type { ApplicationObject, ApplicationStatus } from "../harness/applications.ts";
import type { World } from "../harness/world.ts";

/** The manifest with these annotations. */
export const annotated = (text: string, annotations: Record<string, string>): string =>
  text.replace("metadata:\n", `metadata:\n  annotations: ${JSON.stringify(annotations)}\n`);

/** Completes at once; fails after a second when `fails`; never ends when `hangs`, for want of a node. */
export function job(
  name: string,
  annotations: Record<string, string>,
  options: { fails?: boolean; hangs?: boolean; generated?: boolean; spec?: string } = {},
): string {
  const nowhere = options.fails || options.hangs ? "      nodeSelector: {nowhere: really}\n" : "";
  return annotated(
    `apiVersion: batch/v1
kind: Job
metadata:
  ${options.generated ? "generateName" : "name"}: ${name}
spec:
  backoffLimit: 0
${options.fails ? "  activeDeadlineSeconds: 1\n" : ""}${options.spec ?? ""}  template:
    spec:
      restartPolicy: Never
${nowhere}      containers: [{name: main, image: "registry.example.com/job:1"}]
`,
    annotations,
  );
}

export const hook = (phase: string, more: Record<string, string> = {}): Record<string, string> => ({
  "argocd.argoproj.io/hook": phase,
  ...more,
});

type State = NonNullable<ApplicationStatus["operationState"]>;

/** Asks for a sync as kubectl would, and waits for its end or for `until`. */
export async function operate(
  world: World,
  name: string,
  sync: Record<string, unknown> = {},
  until: (state: State) => boolean = ({ phase }) => !["Running", "Terminating"].includes(phase),
  more: Record<string, unknown> = {},
): Promise<ApplicationObject> {
  const before = await world.applications.get(name);
  const mark = `${Date.now()}-${Math.random()}`;
  const options = (before.spec as { syncPolicy?: { syncOptions?: string[] } }).syncPolicy?.syncOptions;
  await world.applications.patch(name, {
    operation: {
      initiatedBy: { username: "tester" },
      info: [{ name: "mark", value: mark }],
      sync: { ...(options?.length && { syncOptions: options }), ...sync },
      ...more,
    },
  });
  return world.applications.until(
    name,
    "the operation asked for",
    ({ status }) => {
      const state = status?.operationState;
      const info = (state?.operation as { info?: { name: string; value: string }[] } | undefined)?.info ?? [];
      return state !== undefined && info.some(({ value }) => value === mark) && until(state);
    },
    60_000,
  );
}
