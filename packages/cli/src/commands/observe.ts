// `driftless observe [app]`: of what runs with --observe, where Driftless would judge or act differently from Argo CD.
import { on, replay } from "@driftless/bus/consume";
import type { MessageOf } from "@driftless/contracts/message";
import { ApplicationObserved } from "@driftless/contracts/pipeline/6-application";
import { STREAMS } from "@driftless/contracts/streams";
import { encodeToken, subject } from "@driftless/contracts/subject";
import { systemClock } from "@driftless/process/clock";
import { appName } from "../applications.ts";
import { CliError, EXIT } from "../cli-error.ts";
import { namespaceOf, withBus, type ConnectionOptions } from "../connection.ts";
import { age, paint, say, sayJson, sayTable, shortRevision, state } from "../output.ts";
import { objectLines } from "../transition-text.ts";

type Observation = MessageOf<typeof ApplicationObserved>;

/** Exit code 0: the two agree; 1: they do not; 2: nothing is known. */
export async function observe(
  text: string | undefined,
  options: ConnectionOptions & { output?: string },
): Promise<void> {
  const name = text === undefined ? undefined : appName(text, await namespaceOf(options));
  const filter = name
    ? subject("observed", "*", encodeToken(name.namespace), encodeToken(name.name))
    : subject("observed", ">");
  const observations: Observation[] = [];
  await withBus(options, (bus) =>
    replay(bus, {
      stream: STREAMS.observations,
      filters: [filter],
      which: "last-per-subject",
      handlers: [on(ApplicationObserved, async (observation) => void observations.push(observation))],
    }),
  );
  if (observations.length === 0) {
    const what = name ? `of Application ${name.name}` : "of any Application";
    const hint = "is Driftless started with --observe, and has it compared yet?";
    throw new CliError(`nothing is known ${what}: ${hint}`, EXIT.usage);
  }
  if (observations.some(({ agrees }) => !agrees)) process.exitCode = EXIT.failed;
  if (options.output === "json") return sayJson(name ? observations[0] : observations);
  if (name) return sayObservation(observations[0]!);
  sayTable(
    ["NAME", "AGREES", "SYNC", "HEALTH", "WOULD", "WHY"],
    observations
      .toSorted((a, b) => Number(a.agrees) - Number(b.agrees) || a.app.name.localeCompare(b.app.name))
      .map(({ app, agrees, found, ours, would, disagreements }) => [
        `${app.namespace}/${app.name}`,
        agrees ? paint("green", "yes") : paint("yellow", "no"),
        both(found.sync, ours.sync),
        both(found.health, ours.health),
        would.act,
        agrees ? "" : (disagreements[0]?.why ?? disagreements[0]?.ours ?? would.why),
      ]),
  );
}

/** "Synced", or "Synced → OutOfSync": Argo CD's word, then ours. */
const both = (found: string | undefined, ours: string | undefined): string =>
  found === ours ? state(ours) : `${state(found)} → ${state(ours)}`;

function sayObservation(observation: Observation): void {
  const { app, at, agrees, found, ours, would, disagreements, disagreementsTotal, conditions } = observation;
  const verdict = agrees ? paint("green", "the two agree") : paint("yellow", "the two differ");
  say(`${app.namespace}/${app.name}  ${verdict}, as of ${age(at, systemClock.now())} ago   (Argo CD → Driftless)`);
  say(
    `  sync       ${both(found.sync, ours.sync)}  ${shortRevision(found.revision)} → ${shortRevision(ours.revision)}`,
  );
  say(`  health     ${both(found.health, ours.health)}`);
  if (found.operation) say(`  operation  ${state(found.operation)}`);
  say(`  would      ${would.act}: ${would.why}`);
  for (const { field, found: theirs, ours: own, why } of disagreements) {
    say(`  ${paint("bold", field)}: ${theirs ?? "(nothing)"} → ${own ?? "(nothing)"}${why ? `  because ${why}` : ""}`);
  }
  if (disagreementsTotal > disagreements.length) say(`  … and ${disagreementsTotal - disagreements.length} more`);
  for (const { type, message } of conditions) say(paint("red", `  ${type}: ${message}`));
  const lines = objectLines(observation);
  if (lines.length > 0) say("  not as desired (live → desired):");
  for (const line of lines) say(line);
}
