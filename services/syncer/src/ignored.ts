// Ignored (edge: asks the engine): where in an object the fields are that ignore rules leave out of a comparison. The
// rules are settled against the values at hand each time, since an index or a condition means another place when they
// change.
import { failure, type Failure } from "@driftless/contracts/failure";
import type { IgnoreRule } from "@driftless/contracts/pipeline/4-diff";
import type { DesiredObject } from "@driftless/kube/desired-set";
import { pathOfPointer, pathsOfManagers, type FieldPath } from "@driftless/kube/field-path";
import type { KubeObject } from "@driftless/kube/resource";
import type { Engine } from "@driftless/render-engine/engine";

/** Places in the live object and in the apply's answer. */
export interface Ignored {
  live: FieldPath[];
  answer: FieldPath[];
}

/** Argo CD's ignore.normalizer.jq.timeout. */
const JQ_TIMEOUT_MS = 1_000;

/** undefined where everything counts. `live` and `answer` may be one. */
export async function ignoredIn(
  engine: Pick<Engine, "jq">,
  { rules }: Pick<DesiredObject, "rules">,
  { live, answer }: { live: KubeObject; answer: KubeObject },
): Promise<({ kind: "ok" } & Ignored) | { kind: "failed"; failure: Failure } | undefined> {
  if (!rules) return undefined;
  const inLive = await pathsOf(engine, rules, live, live);
  if (inLive.kind === "failed") return inLive;
  if (answer === live) return { kind: "ok", live: inLive.paths, answer: inLive.paths };
  const inAnswer = await pathsOf(engine, rules, live, answer);
  if (inAnswer.kind === "failed") return inAnswer;
  return { kind: "ok", live: inLive.paths, answer: inAnswer.paths };
}

async function pathsOf(
  engine: Pick<Engine, "jq">,
  rules: readonly IgnoreRule[],
  live: KubeObject,
  object: KubeObject,
): Promise<{ kind: "ok"; paths: FieldPath[] } | { kind: "failed"; failure: Failure }> {
  const paths: FieldPath[] = [];
  for (const rule of rules) {
    for (const pointer of rule.jsonPointers) {
      const path = pathOfPointer(pointer, object);
      if (path) paths.push(path);
    }
    paths.push(...pathsOfManagers(rule.managedFieldsManagers, live, object));
    if (rule.jqPathExpressions.length === 0) continue;
    const selected = await selectedBy(engine, rule, object);
    if (selected.kind === "failed") return selected;
    paths.push(...selected.paths);
  }
  return { kind: "ok", paths: distinct(paths) };
}

async function selectedBy(engine: Pick<Engine, "jq">, rule: IgnoreRule, object: KubeObject) {
  const outcome = await engine.jq({ expressions: rule.jqPathExpressions, object, timeoutMs: JQ_TIMEOUT_MS });
  if (outcome.kind === "paths") return { kind: "ok", paths: outcome.paths.flat() } as const;
  // A child that ran into its memory or time limit met an expression that needs more of it.
  const isOurs = outcome.code === "DIFF_EXPR_INVALID" || outcome.code === "DIFF_EXPR_LIMIT";
  const code = isOurs ? outcome.code : outcome.code === "RENDER_LIMIT" ? "DIFF_EXPR_LIMIT" : "INTERNAL";
  const path = `${rule.origin}.jqPathExpressions${outcome.path ?? ""}`;
  return { kind: "failed", failure: failure(code, outcome.message, { path }) } as const;
}

/** Each once, and none below another: what goes with its parent must not move its neighbours by going before it. */
function distinct(paths: readonly FieldPath[]): FieldPath[] {
  const byText = new Map(paths.map((path) => [JSON.stringify(path), path]));
  return [...byText.values()].filter(
    (path) => !path.some((_step, length) => length > 0 && byText.has(JSON.stringify(path.slice(0, length)))),
  );
}
