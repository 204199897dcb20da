package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func healthOn(t *testing.T, script string, openLibs bool, object string) *Health {
	t.Helper()
	return healthWithin(t, 300, script, openLibs, object)
}

func healthWithin(t *testing.T, timeoutMs int, script string, openLibs bool, object string) *Health {
	t.Helper()
	request := &HealthRequest{Script: script, OpenLibs: openLibs, Objects: make([]map[string]any, 1), TimeoutMs: timeoutMs}
	if err := json.Unmarshal([]byte(object), &request.Objects[0]); err != nil {
		t.Fatal(err)
	}
	return luaHealth(request).Healths[0]
}

func TestLuaHealthIsWhatTheScriptReturns(t *testing.T) {
	const script = `
hs = {}
hs.status = "Progressing"
hs.message = "Waiting"
if obj.status ~= nil and obj.status.conditions ~= nil then
  for i, condition in ipairs(obj.status.conditions) do
    if condition.type == "Ready" and condition.status == "True" then
      hs.status = "Healthy"
      hs.message = condition.message .. " " .. obj.spec.count
    end
  end
end
return hs`
	if got := healthOn(t, script, false, `{}`); *got != (Health{"Progressing", "Waiting"}) {
		t.Errorf("got %+v", got)
	}
	ready := `{"spec":{"count":3},"status":{"conditions":[{"type":"Ready","status":"True","message":"up"}]}}`
	if got := healthOn(t, script, false, ready); *got != (Health{"Healthy", "up 3"}) {
		t.Errorf("got %+v", got)
	}
}

func TestLuaHealthThatSaysNothingIsNone(t *testing.T) {
	for _, script := range []string{`return nil`, `return {}`, ``, `hs = {}`} {
		if got := healthOn(t, script, false, `{}`); got != nil {
			t.Errorf("%q: got %+v", script, got)
		}
	}
}

func TestLuaHealthThatFailsIsUnknownAndSaysWhy(t *testing.T) {
	for script, message := range map[string]string{
		`return {status = "Fine"}`:            "Lua returned an invalid health status",
		`return {message = "x"}`:              "Lua returned an invalid health status",
		`return 3`:                            "expect table output from Lua script, not number",
		`return obj.status.phase`:             "attempt to index a non-table object(nil)",
		`return {`:                            "<script>",
		`local t = {} t.t = t return t`:       "recursively nested",
		`return {status = print}`:             "cannot encode",
		`error({code = 1})`:                   "table",
		`return {status = string.upper("x")}`: "attempt to index a non-table object(nil) with key 'upper'",
	} {
		got := healthOn(t, script, false, `{}`)
		if got == nil || got.Status != "Unknown" || !strings.Contains(got.Message, message) {
			t.Errorf("%s: got %+v, want Unknown with %q", script, got, message)
		}
	}
}

func TestLuaIsBoundInTimeAndDepth(t *testing.T) {
	for script, message := range map[string]string{
		`while true do end`: "took longer than 300ms",
		`while true do pcall(function() while true do end end) end`:                              "took longer than 300ms",
		`local function f(n) return 1 + f(n + 1) end return f(1)`:                                "stack overflow",
		`local t = {} for i = 1, 5000 do t = {t} end return t`:                                   "nested",
		`local t = setmetatable({}, {__index = function(t, k) return t[k + 1] end}) return t[1]`: "overflow",
		`coroutine.wrap(function() while true do end end)()`:                                     "took longer than 300ms",
	} {
		got := healthOn(t, script, true, `{}`)
		if got == nil || got.Status != "Unknown" || !strings.Contains(got.Message, message) {
			t.Errorf("%s: got %+v, want Unknown with %q", script, got, message)
		}
	}
}

func TestLuaIsBoundInMemory(t *testing.T) {
	for script, message := range map[string]string{
		`local t = {} while true do t[#t + 1] = ("x"):rep(100000) .. #t end`: "needed more than 128 MB",
		`local s = "x" while true do s = s .. s end`:                         "needed more than 128 MB",
		`return {status = string.rep("x", 1e9)}`:                             "more than 128 MB",
		`return {status = ("x"):rep(1e9)}`:                                   "more than 128 MB",
	} {
		got := healthWithin(t, 20_000, script, true, `{}`)
		if got == nil || got.Status != "Unknown" || !strings.Contains(got.Message, message) {
			t.Errorf("%s: got %+v, want Unknown with %q", script, got, message)
		}
	}
}

// What is nil here cannot be called by any script, with libraries or without.
func TestLuaReachesNoFileProcessOrConnection(t *testing.T) {
	t.Setenv("LUA_PATH", "/etc/?")
	for _, openLibs := range []bool{false, true} {
		for _, name := range []string{
			"io", "channel", "dofile", "loadfile", "os.execute", "os.exit", "os.getenv", "os.remove", "os.rename",
			"os.tmpname", "os.setenv", "package.loadlib", "package.path",
		} {
			script := fmt.Sprintf(`return {status = "Healthy", message = tostring(%s)}`, name)
			if got := healthOn(t, script, openLibs, `{}`); *got != (Health{"Healthy", "nil"}) {
				t.Errorf("%s is %+v", name, got)
			}
		}
		for _, script := range []string{
			`require("passwd")`,
			`package.path = "/etc/?" require("passwd")`,
			`package.path = "/etc/?" package.loaders[2]("passwd")`,
			`require("io").open("/etc/passwd")`,
		} {
			if got := healthOn(t, script, openLibs, `{}`); got == nil || got.Status != "Unknown" || strings.Contains(got.Message, "root:") {
				t.Errorf("%s: got %+v", script, got)
			}
		}
	}
}

func TestLuaHasTheLibrariesOfArgoCD(t *testing.T) {
	const told = `return {status = "Healthy", message = type(os.time()) .. type(os.date()) .. type(table.concat({"a"})) .. type(string) .. type(math)}`
	if got := healthOn(t, told, false, `{}`); got.Message != "numberstringstringnilnil" {
		t.Errorf("got %+v", got)
	}
	if got := healthOn(t, told, true, `{}`); got.Message != "numberstringstringtabletable" {
		t.Errorf("got %+v", got)
	}
	if got := healthOn(t, `return {status = "Healthy", message = os.date("!%Y", 0) .. require("os").date("!%m", 0)}`, false, `{}`); got.Message != "197001" {
		t.Errorf("got %+v", got)
	}
}

func TestLuaObjectsOfOneCallKnowNothingOfEachOther(t *testing.T) {
	script := `seen = (seen or 0) + 1 table.concat = nil return {status = "Healthy", message = "" .. seen}`
	reply := luaHealth(&HealthRequest{Script: script, Objects: []map[string]any{{}, {}}, TimeoutMs: 300})
	for _, health := range reply.Healths {
		if health.Message != "1" {
			t.Errorf("got %+v", health)
		}
	}
}

func TestActionsAreThoseThatDiscoveryFinds(t *testing.T) {
	const discovery = `
actions = {}
actions["resume"] = {["disabled"] = not obj.spec.paused}
actions["scale"] = {displayName = "Scale", iconClass = "fa fa-x", params = {{name = "replicas", type = "string"}}}
actions["restart"] = {}
return actions`
	reply := luaActions(&ActionsRequest{
		Scripts:   []LuaScript{{Script: discovery}, {Script: `return {restart = {disabled = true}, more = {}}`}, {Script: `return {}`}},
		Object:    map[string]any{"spec": map[string]any{"paused": false}},
		TimeoutMs: 300,
	})
	text, _ := json.Marshal(reply.Actions)
	const want = `[{"name":"more"},{"name":"restart"},{"name":"resume","disabled":true},` +
		`{"name":"scale","displayName":"Scale","iconClass":"fa fa-x","params":[{"name":"replicas","type":"string"}]}]`
	if string(text) != want {
		t.Errorf("got %s", text)
	}
	for _, script := range []string{`return nil`, `return 1`, `return {`} {
		if reply := luaActions(&ActionsRequest{Scripts: []LuaScript{{Script: script}}, TimeoutMs: 300}); reply.Kind != "failed" {
			t.Errorf("%s: got %+v", script, reply)
		}
	}
}

func actOn(t *testing.T, script, object string) *Reply {
	t.Helper()
	request := &ActionRequest{
		LuaScript:  LuaScript{Script: script},
		Parameters: map[string]string{"replicas": "4"},
		TimeoutMs:  300,
	}
	if err := json.Unmarshal([]byte(object), &request.Object); err != nil {
		t.Fatal(err)
	}
	return luaAction(request)
}

func TestAnActionIsThePatchThatItMakesOfTheObject(t *testing.T) {
	const object = `{"kind":"Widget","metadata":{"name":"w","generation":9007199254740993},"spec":{"empty":{},"list":[{"e":{}}],"old":1,"paused":true}}`
	for script, want := range map[string]string{
		`obj.spec.paused = false obj.spec.old = nil return obj`:             `[{"operation":"patch","patch":{"spec":{"old":null,"paused":false}}}]`,
		`obj.spec.replicas = tonumber(actionParams["replicas"]) return obj`: `[{"operation":"patch","patch":{"spec":{"replicas":4}}}]`,
		`return obj`: `[{"operation":"patch","patch":{}}]`,
		`return {{operation = "create", resource = {kind = "Job", metadata = {name = "j"}}}}`: `[{"operation":"create","resource":{"kind":"Job","metadata":{"name":"j"}}}]`,
		`obj.spec.old = 2 return {{operation = "patch", resource = obj}}`:                     `[{"operation":"patch","patch":{"spec":{"old":2}}}]`,
	} {
		reply := actOn(t, script, object)
		if text, _ := json.Marshal(reply.Impacts); string(text) != want {
			t.Errorf("%s: got %s %+v", script, text, reply.Failure)
		}
	}
}

func TestAnActionThatMayNotBeIsRefused(t *testing.T) {
	const object = `{"kind":"Widget","metadata":{"name":"w"}}`
	for script, why := range map[string]string{
		`return nil`: "expect table output",
		`return {{operation = "delete", resource = obj}}`:                                       `unsupported operation: "delete"`,
		`return {{operation = "patch", resource = {kind = "Secret", metadata = {name = "w"}}}}`: "its own object",
		`return {{resource = obj}}`:                                                             "unsupported operation",
		`return {1}`:                                                                            "{operation, resource}",
		`while true do end`:                                                                     "took longer",
	} {
		reply := actOn(t, script, object)
		if reply.Kind != "failed" || reply.Failure.Code != "ACTION_FAILED" || !strings.Contains(reply.Failure.Message, why) {
			t.Errorf("%s: got %+v %+v", script, reply, reply.Failure)
		}
	}
}
