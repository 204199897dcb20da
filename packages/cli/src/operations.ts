// Operations as the commands use them: asked for as Argo CD's own tools do, by the `operation` field, and shown until they
// are finished, by phase and wave, with what is waited for.
import { randomUUID } from "node:crypto";
import { userInfo } from "node:os";
import type { Application, OperationField, ResourceResult } from "@driftless/contracts/application";
import type { KubeClient } from "@driftless/kube/client";
import { getApplication, operationRunning, patchApplication, untilApplication, type AppName } from "./applications.ts";
import { CliError, EXIT } from "./cli-error.ts";
import { note, say, sayJson, sayTable, shortRevisions, state, type Output } from "./output.ts";

/** Tells our operation from others. Not driftless.io/…: such entries are the record's own and are made anew. */
const REQUEST_INFO = "driftless-request";
const ATTEMPTS_MAX = 5;
const PHASES = ["PreSync", "Sync", "PostSync", "SyncFail"];

export interface Requested {
  requestId: string;
  /** The Application as it was before. */
  before: Application;
}

/** Refuses where an operation is going on, as Argo CD does. */
export async function requestOperation(
  client: KubeClient,
  name: AppName,
  operationOf: (app: Application) => { operation: OperationField; annotations?: Record<string, string> },
): Promise<Requested> {
  const requestId = randomUUID();
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    const app = await getApplication(client, name);
    if (operationRunning(app)) {
      throw new CliError(
        `${name.name}: another operation is in progress; see it with \`driftless app get ${name.name}\`, ` +
          `end it with \`driftless app terminate ${name.name}\``,
      );
    }
    const { operation, annotations } = operationOf(app);
    const patch = {
      // Not over an operation that came in between.
      metadata: { resourceVersion: app.metadata.resourceVersion, ...(annotations && { annotations }) },
      operation: {
        ...operation,
        initiatedBy: { username: userInfo().username },
        info: [{ name: REQUEST_INFO, value: requestId }],
      },
    };
    if ((await patchApplication(client, name, patch)) === "patched") return { requestId, before: app };
  }
  throw new CliError(`${name.name}: the Application keeps changing; try again`);
}

/** Until it is finished; says what came of it, and by the exit code whether it was good. */
export async function showOperation(
  client: KubeClient,
  name: AppName,
  asked: Requested,
  options: { timeout: number; output: Output },
): Promise<void> {
  const progress = options.output === "json" ? () => {} : progressOf();
  let last = "";
  const what = () =>
    `the operation to finish${last ? ` (${last})` : ""}; it goes on: \`driftless app get ${name.name}\` shows it, ` +
    `\`driftless app terminate ${name.name}\` ends it`;
  const done = await untilApplication(client, name, options.timeout, what, (app) => {
    if (!isOurs(app, asked)) return undefined;
    progress(app);
    last = app.status?.operationState?.message ?? last;
    return operationRunning(app) ? undefined : app;
  });
  sayOutcome(name, done, options.output);
}

export function sayOutcome(name: AppName, done: Application, output: Output): void {
  const operation = done.status?.operationState;
  if (operation?.phase !== "Succeeded") process.exitCode = EXIT.failed;
  if (output === "json") return sayJson(done);
  const results = inOrder(operation?.syncResult?.resources ?? [], wavesOf(done));
  if (results.length > 0) {
    sayTable(
      ["PHASE", "KIND", "NAMESPACE", "NAME", "STATUS", "MESSAGE"],
      results.map(({ result, slot }) => [
        slot,
        result.kind ?? "",
        result.namespace ?? "",
        result.name ?? "",
        state(result.hookType ? result.hookPhase : result.status),
        result.message ?? "",
      ]),
    );
  }
  const revision = shortRevisions(operation?.syncResult);
  say([name.name, state(operation?.phase), revision, operation?.message].filter(Boolean).join("  "));
  for (const { type, message } of done.status?.conditions ?? [])
    if (type === "SyncError" && message !== operation?.message) say(`  ${type}: ${message}`);
}

function isOurs(app: Application, { requestId, before }: Requested): boolean {
  const operation = app.status?.operationState;
  const info = operation?.operation?.info ?? [];
  if (info.some((entry) => entry.name === REQUEST_INFO && entry.value === requestId)) return true;
  if (app.operation) return false;
  return operation?.startedAt !== undefined && operation.startedAt !== before.status?.operationState?.startedAt;
}

/** Says each change once: phase and wave, each object in it as its result comes in, and what is waited for. */
export function progressOf(tell: (text: string) => void = note): (app: Application) => void {
  const said = new Set<string>();
  let slotSaid = "";
  const once = (text: string) => {
    if (said.has(text)) return false;
    said.add(text);
    tell(text);
    return true;
  };
  return (app) => {
    const operation = app.status?.operationState;
    if (!operationRunning(app)) return;
    for (const { result, slot } of inOrder(operation?.syncResult?.resources ?? [], wavesOf(app))) {
      const text = `  ${result.kind}/${result.name}  ${result.message || result.hookPhase || ""}`;
      if (!(result.message || result.hookType) || said.has(text)) continue;
      if (slot !== slotSaid) tell(`${slot}:`);
      slotSaid = slot;
      once(text);
    }
    once([operation?.phase, operation?.message].filter(Boolean).join(": "));
  };
}

interface InSlot {
  result: ResourceResult;
  slot: string;
}

function inOrder(results: readonly ResourceResult[], waves: ReadonlyMap<string, number>): InSlot[] {
  const waveOf = (result: ResourceResult) => waves.get(keyText(result)) ?? 0;
  const phaseOf = (result: ResourceResult) => result.syncPhase || result.hookType || "Sync";
  return [...results]
    .toSorted((a, b) => PHASES.indexOf(phaseOf(a)) - PHASES.indexOf(phaseOf(b)) || waveOf(a) - waveOf(b))
    .map((result) => {
      const wave = waveOf(result);
      return { result, slot: wave === 0 ? phaseOf(result) : `${phaseOf(result)} wave ${wave}` };
    });
}

/** Results name no wave; the objects of the status do. */
const wavesOf = (app: Application): ReadonlyMap<string, number> =>
  new Map((app.status?.resources ?? []).map((resource) => [keyText(resource), resource.syncWave ?? 0]));

const keyText = ({ group, kind, namespace, name }: ResourceResult): string =>
  [group ?? "", kind, namespace ?? "", name].join("/");
