import { expect, test } from "vitest";
import { actionScriptsOf } from "./action-scripts.ts";
import { luaRulesOf } from "./lua-rules.ts";

const deployment = { group: "apps", kind: "Deployment" };
const scripts = (actions?: string) =>
  actionScriptsOf(
    luaRulesOf(actions === undefined ? {} : { "resource.customizations.actions.apps_Deployment": actions }).rules,
    deployment,
  );
const OWN = "discovery.lua: own discovery\ndefinitions:\n- {name: restart, action.lua: own restart}\n";

test("without a word of the installation a Deployment can be restarted", () => {
  expect(scripts().discovery).toHaveLength(1);
  expect(scripts().definition("restart")?.script).toContain("restartedAt");
  expect(scripts().definition("pause")).toBeUndefined();
});

test("the installation's own actions are all there are, unless they are to be merged", () => {
  expect(scripts(OWN).discovery.map(({ script }) => script)).toEqual(["own discovery"]);
  expect(scripts(OWN.replace("name: restart", "name: pause")).definition("restart")).toBeUndefined();
  const merged = scripts(`mergeBuiltinActions: true\n${OWN}`);
  expect(merged.discovery).toHaveLength(2);
  expect(merged.definition("restart")?.script).toBe("own restart");
});
