// Lua as argocd-cm has it (contract §7, §12): one script over one object, Lua 5.1 by gopher-lua. What a script may reach
// is what stands in its state: no file, no process, no connection, no module but those that are there.
//
// L1  Time: a script is ended after its limit, a library function that cannot be interrupted with the whole child.
// L2  Memory: a script is ended when the heap has grown by so much; what grows faster meets the child's own limit.
// L3  Depth: calls and values on the stack are bounded by gopher-lua's fixed sizes.
// L4  Nothing stays: each object gets a state of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/metrics"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/parse"
)

const (
	luaMemoryMax   = 128 << 20
	luaMemoryCheck = 5 * time.Millisecond
	luaDepthMax    = 1_000
	luaGrace       = 2 * time.Second
)

// luaProgram is a compiled script and how it may be run.
type luaProgram struct {
	proto *lua.FunctionProto
	// openLibs adds string, math, coroutine and debug (resource.customizations.useOpenLibs).
	openLibs bool
	limit    time.Duration
}

func compileLua(script string, openLibs bool, timeoutMs int) (*luaProgram, error) {
	chunk, err := parse.Parse(strings.NewReader(script), "<script>")
	if err != nil {
		return nil, errors.New(firstLine(err.Error()))
	}
	proto, err := lua.Compile(chunk, "<script>")
	if err != nil {
		return nil, errors.New(firstLine(err.Error()))
	}
	return &luaProgram{proto: proto, openLibs: openLibs, limit: time.Duration(timeoutMs) * time.Millisecond}, nil
}

// run gives what the script returned, as JSON knows it; a function of it has no meaning outside.
func (program *luaProgram) run(globals map[string]any) (result any, err error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	timer := time.AfterFunc(program.limit, func() {
		cancel(fmt.Errorf("the Lua script took longer than %s", program.limit))
	})
	defer timer.Stop()
	defer time.AfterFunc(program.limit+luaGrace, endOutOfTime).Stop() // L1
	go watchLuaMemory(ctx, cancel)

	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	openLuaLibraries(state, program.openLibs)
	for name, value := range globals {
		state.SetGlobal(name, toLua(state, value))
	}
	state.SetContext(ctx)
	state.Push(state.NewFunctionFromProto(program.proto))
	if err := state.PCall(0, 1, nil); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		var failure *lua.ApiError
		if errors.As(err, &failure) && failure.Type == lua.ApiErrorRun {
			return nil, errors.New(firstLine(failure.Object.String()))
		}
		return nil, errors.New(firstLine(err.Error()))
	}
	return fromLua(state.Get(-1), map[*lua.LTable]bool{})
}

// endOutOfTime: the supervisor knows the word, and the next job gets a new child.
func endOutOfTime() {
	fmt.Fprintln(diagnostics, "out of time")
	os.Exit(3)
}

func watchLuaMemory(ctx context.Context, cancel context.CancelCauseFunc) { // L2
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(heap)
	before := heap[0].Value.Uint64()
	ticker := time.NewTicker(luaMemoryCheck)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			metrics.Read(heap)
			if heap[0].Value.Uint64() > before+luaMemoryMax {
				cancel(fmt.Errorf("the Lua script needed more than %d MB", luaMemoryMax>>20))
				return
			}
		}
	}
}

// openLuaLibraries: base, package, table and of os what tells the time, as in Argo CD; what reads files, starts processes
// or waits for ever is in none of them.
func openLuaLibraries(state *lua.LState, all bool) {
	open := func(name string, library lua.LGFunction) *lua.LTable {
		state.Push(state.NewFunction(library))
		state.Push(lua.LString(name))
		state.Call(1, 1)
		table, _ := state.Get(-1).(*lua.LTable)
		state.Pop(1)
		return table
	}
	without := func(table *lua.LTable, names ...string) {
		for _, name := range names {
			table.RawSetString(name, lua.LNil)
		}
	}
	packages := open(lua.LoadLibName, lua.OpenPackage)
	without(packages, "path", "cpath", "loadlib")
	loaders := packages.RawGetString("loaders").(*lua.LTable)
	loaders.RawSetInt(2, lua.LNil) // The one that looks for files.
	base := open(lua.BaseLibName, lua.OpenBase)
	without(base, "dofile", "loadfile", "_printregs")
	base.RawSetString("print", state.NewFunction(func(*lua.LState) int { return 0 }))
	open(lua.TabLibName, lua.OpenTable)
	without(open(lua.OsLibName, lua.OpenOs),
		"clock", "difftime", "execute", "exit", "getenv", "remove", "rename", "setenv", "setlocale", "tmpname")
	if !all {
		return
	}
	text := open(lua.StringLibName, lua.OpenString)
	repeat := text.RawGetString("rep").(*lua.LFunction).GFunction
	text.RawSetString("rep", state.NewFunction(func(state *lua.LState) int {
		if float64(len(state.CheckString(1)))*float64(state.CheckNumber(2)) > luaMemoryMax {
			state.RaiseError("string.rep makes more than %d MB", luaMemoryMax>>20)
		}
		return repeat(state)
	}))
	open(lua.MathLibName, lua.OpenMath)
	open(lua.CoroutineLibName, lua.OpenCoroutine)
	open(lua.DebugLibName, lua.OpenDebug)
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case float64:
		return lua.LNumber(value)
	case string:
		return lua.LString(value)
	case []any:
		list := state.CreateTable(len(value), 0)
		for _, item := range value {
			list.Append(toLua(state, item))
		}
		return list
	case map[string]any:
		members := state.CreateTable(0, len(value))
		for name, member := range value {
			members.RawSetString(name, toLua(state, member))
		}
		return members
	}
	return lua.LNil
}

// fromLua: a table without members is a list, since Lua does not tell the two apart.
func fromLua(value lua.LValue, above map[*lua.LTable]bool) (any, error) {
	switch value := value.(type) {
	case *lua.LNilType:
		return nil, nil
	case lua.LBool:
		return bool(value), nil
	case lua.LNumber:
		return float64(value), nil
	case lua.LString:
		return string(value), nil
	case *lua.LTable:
		if above[value] || len(above) > luaDepthMax {
			return nil, errors.New("cannot encode recursively nested tables to JSON")
		}
		above[value] = true
		defer delete(above, value)
		return fromLuaTable(value, above)
	}
	return nil, fmt.Errorf("cannot encode %s to JSON", value.Type())
}

func fromLuaTable(table *lua.LTable, above map[*lua.LTable]bool) (any, error) {
	list, members := []any{}, map[string]any{}
	var err error
	for key, value := table.Next(lua.LNil); key != lua.LNil; key, value = table.Next(key) {
		var item any
		if item, err = fromLua(value, above); err != nil {
			return nil, err
		}
		switch key := key.(type) {
		case lua.LString:
			members[string(key)] = item
		case lua.LNumber:
			if float64(key) != float64(len(list)+1) {
				return nil, errors.New("cannot encode sparse array")
			}
			list = append(list, item)
		default:
			return nil, errors.New("cannot encode mixed or invalid key types")
		}
	}
	if len(members) == 0 {
		return list, nil
	}
	if len(list) > 0 {
		return nil, errors.New("cannot encode mixed or invalid key types")
	}
	return members, nil
}
