// Customizations (edge): what the installation's argocd-cm says about the health and the actions of kinds, watched, and
// asked of the render engine. One watch of one ConfigMap for each service that judges objects: what is judged by a script
// is judged alike everywhere, and a change of it reaches everybody without a message.
import { CONFIG_MAPS, type KubeObject } from "@driftless/kube/resource";
import type { KubeClient } from "@driftless/kube/client";
import { watchResource } from "@driftless/kube/watch";
import { healthOf, pendingDeletion, settled, type Health } from "@driftless/manifests/health/health";
import { groupOf } from "@driftless/manifests/resource-key";
import type { Logger } from "@driftless/process/telemetry";
import type { Engine } from "@driftless/render-engine/engine";
import type { LuaScript } from "@driftless/render-engine/protocol";
import { luaRulesOf, type KindName, type LuaRules } from "./lua-rules.ts";

export type { KindName, LuaRules };

export interface Customizations {
  readonly rules: LuaRules;
  /** A script of the installation says the health of this kind, so that it takes a call of the engine. */
  decidesHealth(kind: KindName): boolean;
  /** By the installation's script where there is one, else as it is built in. */
  healthOf(object: KubeObject): Promise<Health | undefined>;
  /** The same for many of one kind. */
  healthsOf(kind: KindName, objects: readonly KubeObject[]): Promise<(Health | undefined)[]>;
  /** Told with the rules as they were before. */
  onChange(listener: (before: LuaRules) => void): void;
  stop(): void;
}

export interface CustomizationsOptions {
  client: KubeClient;
  /** Of the control plane. */
  namespace: string;
  engine: Pick<Engine, "health">;
  logger: Logger;
}

const CONFIG_MAP = "argocd-cm";
/** Argo CD's limit for one object. */
export const LUA_TIMEOUT_MS = 1_000;
/** Of one call: a script may need a while for each of them. */
const OBJECTS_MAX = 100;

/** Answers when argocd-cm was read: until then nobody knows by which rule an object is to be judged. */
export async function openCustomizations(options: CustomizationsOptions): Promise<Customizations> {
  const { client, namespace, engine, logger } = options;
  let known = "";
  let rules = luaRulesOf({}).rules;
  const listeners: ((before: LuaRules) => void)[] = [];

  function told(configMap: KubeObject | undefined): void {
    const data = (configMap?.["data"] ?? {}) as Record<string, unknown>;
    const text = JSON.stringify(Object.entries(data).filter(([key]) => key.startsWith("resource.customizations")));
    if (text === known) return;
    known = text;
    const before = rules;
    const read = luaRulesOf(data);
    rules = read.rules;
    for (const problem of read.problems) logger.warn({ problem }, `${CONFIG_MAP} has a script that is not understood`);
    for (const listener of listeners) listener(before);
  }

  const watch = watchResource<KubeObject>({
    client,
    resource: CONFIG_MAPS,
    namespace,
    fieldSelector: `metadata.name=${CONFIG_MAP}`,
    select: (object) => object,
    onState: ({ objects }) => told(objects[0]),
    onEvent: ({ type, object }) => told(type === "DELETED" ? undefined : object),
    // A start waits for it, so that somebody must be able to see why.
    onStatus: (status) =>
      status.kind === "failing" && logger.warn({ why: status.error.message }, `${CONFIG_MAP} cannot be watched`),
    onProblem: (cause) => logger.error({ err: cause }, "a change of argocd-cm could not be handled"),
  });
  await watch.synced;

  async function healthsOf(kind: KindName, objects: readonly KubeObject[]): Promise<(Health | undefined)[]> {
    const script = rules.health(kind);
    if (!script) return objects.map(healthOf);
    const healths: (Health | undefined)[] = [];
    for (let at = 0; at < objects.length; at += OBJECTS_MAX) {
      healths.push(...(await judgedBy(engine, script, objects.slice(at, at + OBJECTS_MAX))));
    }
    return healths;
  }

  return {
    get rules() {
      return rules;
    },
    decidesHealth: (kind) => rules.health(kind) !== undefined,
    healthsOf,
    async healthOf(object) {
      const [health] = await healthsOf({ group: groupOf(object.apiVersion), kind: object.kind }, [object]);
      return health;
    },
    onChange: (listener) => void listeners.push(listener),
    stop: () => watch.stop(),
  };
}

async function judgedBy(
  engine: Pick<Engine, "health">,
  script: LuaScript,
  objects: readonly KubeObject[],
): Promise<(Health | undefined)[]> {
  const outcome = await engine.health({
    ...script,
    objects: objects.map(({ metadata: { managedFields: _managedFields, ...metadata }, ...rest }) => ({
      ...rest,
      metadata,
    })),
    timeoutMs: LUA_TIMEOUT_MS,
  });
  return objects.map((object, index) => {
    const said: Health | null | undefined =
      outcome.kind === "healths" ? outcome.healths[index] : { status: "Unknown", message: reasonOf(outcome) };
    return pendingDeletion(object) ?? settled(object, said ?? undefined);
  });
}

const reasonOf = ({ code, which }: { code: string; which?: string }): string =>
  code === "RENDER_LIMIT"
    ? `the Lua script went over its limit of ${which ?? "memory"}`
    : "the Lua script could not be run; it is tried again with the object's next change";
