// Health by a script of argocd-cm (contract §7): global `obj` in, table `hs` with status and message out.
package main

import "fmt"

type HealthRequest struct {
	Script    string           `json:"script"`
	OpenLibs  bool             `json:"openLibs"`
	Objects   []map[string]any `json:"objects"`
	TimeoutMs int              `json:"timeoutMs"`
}

type Health struct {
	Status  string `json:"status"`
	Message string `json:"message,omitempty"`
}

var healthStatuses = map[string]bool{
	"Healthy": true, "Suspended": true, "Progressing": true, "Missing": true, "Degraded": true, "Unknown": true,
}

// luaHealth: nil where the script says nothing of an object; one that fails is Unknown, with its error.
func luaHealth(request *HealthRequest) *Reply {
	healths := make([]*Health, len(request.Objects))
	program, err := compileLua(request.Script, request.OpenLibs, request.TimeoutMs)
	for index, object := range request.Objects {
		if err != nil {
			healths[index] = &Health{Status: "Unknown", Message: err.Error()}
			continue
		}
		healths[index] = healthBy(program, object)
	}
	return &Reply{Kind: "healths", Healths: healths}
}

func healthBy(program *luaProgram, object map[string]any) *Health {
	unknown := func(message string) *Health { return &Health{Status: "Unknown", Message: message} }
	result, err := program.run(map[string]any{"obj": object})
	if err != nil {
		return unknown(err.Error())
	}
	switch result := result.(type) {
	case nil:
		return nil
	case map[string]any:
		status, _ := result["status"].(string)
		if !healthStatuses[status] {
			return unknown("Lua returned an invalid health status")
		}
		message, _ := result["message"].(string)
		return &Health{Status: status, Message: message}
	case []any:
		if len(result) == 0 {
			return nil
		}
	}
	return unknown(fmt.Sprintf("expect table output from Lua script, not %s", luaTypeOf(result)))
}

func luaTypeOf(value any) string {
	switch value.(type) {
	case nil:
		return "nil"
	case bool:
		return "boolean"
	case float64:
		return "number"
	case string:
		return "string"
	}
	return "table"
}
