// LuaRules (pure): the scripts of argocd-cm for health and actions, and which of them a kind has. An entry that names the
// kind beats one by a pattern, and any beats what is built in (contract §7).
import { z } from "zod";
import { matchesGlob } from "@driftless/manifests/glob";
import type { LuaScript } from "@driftless/render-engine/protocol";
import { customizationsOf, readYaml, type Customization } from "./entries.ts";

export interface KindName {
  group: string;
  kind: string;
}

export interface KindActions {
  discovery?: LuaScript;
  definitions: ReadonlyMap<string, LuaScript>;
  /** Beside these the built-in ones count too. */
  mergesBuiltIn: boolean;
}

export interface LuaRules {
  health(kind: KindName): LuaScript | undefined;
  actions(kind: KindName): KindActions | undefined;
}

const ActionsText = z.looseObject({
  "discovery.lua": z.string().nullish(),
  definitions: z.array(z.looseObject({ name: z.string(), "action.lua": z.string() })).nullish(),
  mergeBuiltinActions: z.boolean().nullish(),
});

export function luaRulesOf(data: Readonly<Record<string, unknown>>): { rules: LuaRules; problems: string[] } {
  const health = customizationsOf(data, "health", "health.lua");
  const libraries = customizationsOf(data, "useOpenLibs", "health.lua.useOpenLibs");
  const actions = customizationsOf(data, "actions");
  const problems = [...new Set([...health.problems, ...libraries.problems, ...actions.problems])];
  /** Of the entry of the same name; a kind's own does not open the libraries for a pattern's script. */
  const scriptOf = ({ group, kind }: KindName, script: string): LuaScript => {
    const libs = libraries.entries.findLast((one) => one.group === group && one.kind === kind);
    return { script, openLibs: libs?.text.trim() === "true" };
  };
  const scripts = health.entries.filter(({ text }) => text.trim() !== "");
  const read = actions.entries.flatMap((entry) => {
    const outcome = readYaml(ActionsText, entry.text);
    if (outcome.kind === "ok") return [{ ...entry, value: outcome.value }];
    problems.push(`${entry.origin}: ${outcome.reason}`);
    return [];
  });
  return {
    problems,
    rules: {
      health: remembered((name) => {
        const entry = entryFor(scripts, name);
        return entry && scriptOf(entry, entry.text);
      }),
      actions: remembered((name) => {
        const entry = entryFor(read, name);
        if (!entry) return undefined;
        const { "discovery.lua": discovery, definitions, mergeBuiltinActions } = entry.value;
        return {
          ...(discovery && { discovery: scriptOf(entry, discovery) }),
          definitions: new Map((definitions ?? []).map((one) => [one.name, scriptOf(entry, one["action.lua"])])),
          mergesBuiltIn: mergeBuiltinActions ?? false,
        };
      }),
    },
  };
}

/** A pattern goes over group and kind together: `*.crossplane.io/*`, `*`. */
function entryFor<Entry extends Customization>(entries: readonly Entry[], kind: KindName): Entry | undefined {
  const exact = entries.findLast((entry) => entry.group === kind.group && entry.kind === kind.kind);
  return exact ?? entries.find((entry) => matchesGlob(nameOf(entry), nameOf(kind)));
}

const nameOf = ({ group, kind }: KindName): string => (group === "" ? kind : `${group}/${kind}`);

/** Asked of every object, and there are few kinds. */
function remembered<T>(find: (kind: KindName) => T | undefined): (kind: KindName) => T | undefined {
  const known = new Map<string, T | undefined>();
  return (kind) => {
    const name = nameOf(kind);
    if (!known.has(name)) known.set(name, find(kind));
    return known.get(name);
  };
}
