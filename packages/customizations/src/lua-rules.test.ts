import { expect, test } from "vitest";
import { luaRulesOf } from "./lua-rules.ts";

const kind = (name: string) => {
  const slash = name.indexOf("/");
  return { group: name.slice(0, Math.max(0, slash)), kind: name.slice(slash + 1) };
};

test("a kind's own script beats a pattern's, and a key of its own beats the single map", () => {
  const { rules, problems } = luaRulesOf({
    "resource.customizations": `
"*.example.com/*": {health.lua: by group, health.lua.useOpenLibs: true}
a.example.com/Widget: {health.lua: in the map}
a.example.com/Gadget: {health.lua: in the map}
"*": {health.lua: anything}`,
    "resource.customizations.health.a.example.com_Widget": "its own",
    "resource.customizations.health.Pod": "core",
    "resource.customizations.useOpenLibs.Pod": "true",
    "resource.customizations.useOpenLibs.a.example.com_Thing": "true",
  });
  expect(problems).toEqual([]);
  const health = (name: string) => rules.health(kind(name));
  expect(health("a.example.com/Widget")).toEqual({ script: "its own", openLibs: false });
  expect(health("a.example.com/Gadget")).toEqual({ script: "in the map", openLibs: false });
  expect(health("b.example.com/Widget")).toEqual({ script: "by group", openLibs: true });
  expect(health("a.example.com/Thing")).toEqual({ script: "by group", openLibs: true });
  expect(health("Pod")).toEqual({ script: "core", openLibs: true });
  expect(health("apps/Deployment")).toEqual({ script: "anything", openLibs: false });
});

test("a kind that nobody speaks of has no script", () => {
  const { rules } = luaRulesOf({ "resource.customizations.health.apps_Deployment": "x" });
  expect(rules.health(kind("apps/StatefulSet"))).toBeUndefined();
  expect(rules.health(kind("Deployment"))).toBeUndefined();
  expect(luaRulesOf({}).rules.health(kind("Pod"))).toBeUndefined();
});

test("actions have a discovery, definitions, and perhaps the built-in ones beside them", () => {
  const actions = `
mergeBuiltinActions: true
discovery.lua: return {}
definitions:
- {name: pause, action.lua: return obj}`;
  const { rules, problems } = luaRulesOf({
    "resource.customizations.actions.apps_Deployment": actions,
    "resource.customizations.actions.batch_CronJob": "definitions: [{name: x}]",
    "resource.customizations.useOpenLibs.apps_Deployment": "true",
  });
  expect(rules.actions(kind("apps/Deployment"))).toEqual({
    discovery: { script: "return {}", openLibs: true },
    definitions: new Map([["pause", { script: "return obj", openLibs: true }]]),
    mergesBuiltIn: true,
  });
  expect(rules.actions(kind("batch/CronJob"))).toBeUndefined();
  expect(problems).toEqual([expect.stringContaining("resource.customizations.actions.batch_CronJob: definitions.0")]);
});
