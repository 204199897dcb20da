// Actions by scripts of argocd-cm (contract §12): which there are for an object, and what one of them would change.
package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	jsonpatch "github.com/evanphx/json-patch/v5"
)

type ActionsRequest struct {
	// Scripts of discovery; what an earlier one names, a later one does not change.
	Scripts   []LuaScript    `json:"scripts"`
	Object    map[string]any `json:"object"`
	TimeoutMs int            `json:"timeoutMs"`
}

type LuaScript struct {
	Script   string `json:"script"`
	OpenLibs bool   `json:"openLibs"`
}

type Action struct {
	Name        string            `json:"name"`
	Disabled    bool              `json:"disabled,omitempty"`
	DisplayName string            `json:"displayName,omitempty"`
	IconClass   string            `json:"iconClass,omitempty"`
	Params      []ActionParameter `json:"params,omitempty"`
}

type ActionParameter struct {
	Name    string `json:"name"`
	Type    string `json:"type,omitempty"`
	Default string `json:"default,omitempty"`
}

type ActionRequest struct {
	LuaScript
	Object     map[string]any    `json:"object"`
	Parameters map[string]string `json:"parameters"`
	TimeoutMs  int               `json:"timeoutMs"`
}

// Impact: of a patch, how the object itself changes (RFC 7386); of a create, the new object.
type Impact struct {
	Operation string          `json:"operation"`
	Patch     json.RawMessage `json:"patch,omitempty"`
	Resource  map[string]any  `json:"resource,omitempty"`
}

func luaActions(request *ActionsRequest) *Reply {
	found := map[string]Action{}
	for _, script := range request.Scripts {
		result, err := runLua(script, request.TimeoutMs, map[string]any{"obj": request.Object, "actionParams": map[string]any{}})
		if err != nil {
			return failed(&Failure{Code: "ACTION_FAILED", Message: "The discovery of actions failed: " + err.Error()})
		}
		if list, isList := result.([]any); isList && len(list) == 0 {
			continue
		}
		actions, isTable := result.(map[string]any)
		if !isTable {
			text := fmt.Sprintf("The discovery of actions failed: expect table output from Lua script, not %s", luaTypeOf(result))
			return failed(&Failure{Code: "ACTION_FAILED", Message: text})
		}
		for name, value := range actions {
			if _, known := found[name]; known {
				continue
			}
			action := Action{}
			// An action without members is an empty list here; one of another shape has its name and nothing else.
			if text, err := json.Marshal(value); err == nil {
				_ = json.Unmarshal(text, &action)
			}
			action.Name = name
			found[name] = action
		}
	}
	actions := make([]Action, 0, len(found))
	for _, name := range slices.Sorted(maps.Keys(found)) {
		actions = append(actions, found[name])
	}
	return &Reply{Kind: "actions", Actions: actions}
}

func luaAction(request *ActionRequest) *Reply {
	refuse := func(format string, args ...any) *Reply {
		return failed(&Failure{Code: "ACTION_FAILED", Message: fmt.Sprintf(format, args...)})
	}
	object := request.Object
	parameters := map[string]any{}
	for name, value := range request.Parameters {
		parameters[name] = value
	}
	result, err := runLua(request.LuaScript, request.TimeoutMs, map[string]any{"obj": object, "actionParams": parameters})
	if err != nil {
		return refuse("The action failed: %s", err)
	}
	switch result := result.(type) {
	case map[string]any:
		patch, err := patchTo(object, result)
		if err != nil {
			return refuse("The action failed: %s", err)
		}
		return &Reply{Kind: "impacts", Impacts: []Impact{{Operation: "patch", Patch: patch}}}
	case []any:
		impacts := make([]Impact, 0, len(result))
		for _, item := range result {
			impact, err := impactOf(object, item)
			if err != nil {
				return refuse("The action failed: %s", err)
			}
			impacts = append(impacts, impact)
		}
		return &Reply{Kind: "impacts", Impacts: impacts}
	}
	return refuse("The action failed: expect table output from Lua script, not %s", luaTypeOf(result))
}

func impactOf(object map[string]any, item any) (Impact, error) {
	entry, _ := item.(map[string]any)
	resource, isObject := entry["resource"].(map[string]any)
	if !isObject {
		return Impact{}, fmt.Errorf("a list of {operation, resource} is expected")
	}
	switch operation, _ := entry["operation"].(string); operation {
	case "create":
		return Impact{Operation: operation, Resource: resource}, nil
	case "patch":
		if !sameObject(object, resource) {
			return Impact{}, fmt.Errorf("an action patches its own object and no other")
		}
		patch, err := patchTo(object, resource)
		return Impact{Operation: operation, Patch: patch}, err
	default:
		return Impact{}, fmt.Errorf("unsupported operation: %q", operation)
	}
}

func sameObject(a, b map[string]any) bool {
	metadata := func(object map[string]any, name string) any {
		members, _ := object["metadata"].(map[string]any)
		return members[name]
	}
	return a["kind"] == b["kind"] && metadata(a, "name") == metadata(b, "name") &&
		metadata(a, "namespace") == metadata(b, "namespace")
}

// patchTo compares with the object as Lua knows it: a number that is too large for it is no change.
func patchTo(object, changed map[string]any) (json.RawMessage, error) {
	known, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	wanted, err := json.Marshal(withEmptyObjects(changed, object))
	if err != nil {
		return nil, err
	}
	return jsonpatch.CreateMergePatch(known, wanted)
}

// withEmptyObjects: an empty object that went through Lua came back as an empty list.
func withEmptyObjects(changed, before any) any {
	switch changed := changed.(type) {
	case map[string]any:
		if before, isObject := before.(map[string]any); isObject {
			for name, member := range changed {
				changed[name] = withEmptyObjects(member, before[name])
			}
		}
	case []any:
		switch before := before.(type) {
		case map[string]any:
			if len(changed) == 0 {
				return map[string]any{}
			}
		case []any:
			for index := range min(len(changed), len(before)) {
				changed[index] = withEmptyObjects(changed[index], before[index])
			}
		}
	}
	return changed
}

func runLua(script LuaScript, timeoutMs int, globals map[string]any) (any, error) {
	program, err := compileLua(script.Script, script.OpenLibs, timeoutMs)
	if err != nil {
		return nil, err
	}
	return program.run(globals)
}
