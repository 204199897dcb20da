// ActionScripts (pure): by which scripts the actions of a kind are found and done: the installation's own, and beside them
// what is built in unless its own are to be all (contract §12).
import type { LuaScript } from "@driftless/render-engine/protocol";
import type { KindName, LuaRules } from "./lua-rules.ts";

export interface ActionScripts {
  /** What an earlier one names, a later one does not change. */
  discovery: LuaScript[];
  definition(action: string): LuaScript | undefined;
}

const builtIn = (script: string): LuaScript => ({ script, openLibs: false });

const RESTART = builtIn(`
local template = obj.spec.template
template.metadata = template.metadata or {}
template.metadata.annotations = template.metadata.annotations or {}
template.metadata.annotations["kubectl.kubernetes.io/restartedAt"] = os.date("!%Y-%m-%dT%H:%M:%SZ")
return obj`);
const ONLY_RESTART = builtIn("return { restart = {} }");
const RESTARTABLE = new Set(["apps/Deployment", "apps/StatefulSet", "apps/DaemonSet"]);

export function actionScriptsOf(rules: LuaRules, kind: KindName): ActionScripts {
  const own = rules.actions(kind);
  const isRestartable = RESTARTABLE.has(`${kind.group}/${kind.kind}`) && (own === undefined || own.mergesBuiltIn);
  return {
    discovery: [...(own?.discovery ? [own.discovery] : []), ...(isRestartable ? [ONLY_RESTART] : [])],
    definition: (action) =>
      own?.definitions.get(action) ?? (isRestartable && action === "restart" ? RESTART : undefined),
  };
}
