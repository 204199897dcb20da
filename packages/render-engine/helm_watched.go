// Template functions whose call says something about the result: chance and clocks, so that a Secret is not rotated by
// rendering again, and `lookup`, which has no cluster to ask here. Beside them, which API versions were asked for.
package main

import (
	"maps"
	"reflect"
	"slices"
	"text/template"

	"github.com/Masterminds/sprig/v3"
)

type watchedFunctions struct {
	functions template.FuncMap
	called    map[string]bool
	asked     map[string]bool
	lookup    bool
}

var watched = watchFunctions()

func watchFunctions() *watchedFunctions {
	w := &watchedFunctions{functions: template.FuncMap{}, called: map[string]bool{}, asked: map[string]bool{}}
	originals := sprig.TxtFuncMap()
	for _, name := range []string{
		"now", "ago", "uuidv4", "shuffle", "randInt", "randBytes", "randAlpha", "randAlphaNum", "randAscii", "randNumeric",
		"bcrypt", "htpasswd", "encryptAES", "genPrivateKey", "genCA", "genCAWithKey", "genSelfSignedCert",
		"genSelfSignedCertWithKey", "genSignedCert", "genSignedCertWithKey",
	} {
		original := reflect.ValueOf(originals[name])
		if !original.IsValid() {
			continue
		}
		w.functions[name] = reflect.MakeFunc(original.Type(), func(args []reflect.Value) []reflect.Value {
			w.called[name] = true
			if original.Type().IsVariadic() {
				return original.CallSlice(args)
			}
			return original.Call(args)
		}).Interface()
	}
	w.functions["lookup"] = func(string, string, string, string) (map[string]any, error) {
		w.lookup = true
		return map[string]any{}, nil
	}
	return w
}

func (w *watchedFunctions) begin() {
	clear(w.called)
	clear(w.asked)
	w.lookup = false
}

func (w *watchedFunctions) end() (called []string, lookup bool) {
	return slices.Sorted(maps.Keys(w.called)), w.lookup
}
