package main

import (
	"errors"
	"testing"
)

func renderWithRules(files map[string]string, source string, wasPlugin bool, rules ...PluginRule) (*Reply, error) {
	request := &RenderRequest{
		Path: "app", AppName: "web", Source: []byte(source), Complete: []string{"app"}, Plugins: rules, WasPlugin: wasPlugin,
		Limits: Limits{Bytes: 1 << 20, Files: 100, Documents: 100, Depth: 100, Expanded: 1 << 20},
	}
	var raw []byte
	for path, text := range files {
		request.Files = append(request.Files, BundleFile{Path: path, Size: len(text)})
		raw = append(raw, text...)
	}
	reply, _, err := renderSource(request, raw)
	return reply, err
}

func TestAPluginFindsItsSourcesByTheirFiles(t *testing.T) {
	files := map[string]string{"app/deep/x.greeting": "x", "app/Chart.yaml": "name: x"}
	for name, c := range map[string]struct {
		source string
		rule   PluginRule
		plugin string
	}{
		"a file's name":              {"{}", PluginRule{Name: "p", FileName: "*.yaml"}, `{"name":"p"}`},
		"a name below":               {"{}", PluginRule{Name: "p", FileName: "deep/*.greeting"}, `{"name":"p"}`},
		"a glob":                     {"{}", PluginRule{Name: "p", Glob: "**/*.greeting"}, `{"name":"p"}`},
		"options without a name":     {`{"plugin":{"env":[]}}`, PluginRule{Name: "p", Glob: "**/*.greeting"}, `{"env":[],"name":"p"}`},
		"another type said":          {`{"directory":{"recurse":true}}`, PluginRule{Name: "p", Glob: "**"}, ""},
		"another plugin said":        {`{"plugin":{"name":"q"}}`, PluginRule{Name: "p", Glob: "**"}, `{"name":"q"}`},
		"a name that crosses no `/`": {`{"directory":{"recurse":false}}`, PluginRule{Name: "p", FileName: "*.greeting"}, ""},
		"no rule is no rule for all": {`{"directory":{"recurse":true}}`, PluginRule{Name: "p"}, ""},
	} {
		reply, err := renderWithRules(files, c.source, false, c.rule)
		got := ""
		if err == nil {
			got = string(reply.Plugin)
		}
		if got != c.plugin {
			t.Errorf("%s: %q, not %q", name, got, c.plugin)
		}
	}
}

func TestAMissingPluginIsNeverAnotherType(t *testing.T) {
	files := map[string]string{"app/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"}
	for _, source := range []string{"{}", `{"plugin":{"env":[{"name":"A","value":"b"}]}}`} {
		_, err := renderWithRules(files, source, true)
		var failure *Failure
		if !errors.As(err, &failure) || failure.Code != "PLUGIN_UNAVAILABLE" {
			t.Errorf("%s: %v", source, err)
		}
	}
	if reply, err := renderWithRules(files, `{"directory":{"recurse":true}}`, true); err != nil || reply.Type != "Directory" {
		t.Error("a type that is said counts", err)
	}
	if reply, err := renderWithRules(files, "{}", false); err != nil || reply.Type != "Directory" {
		t.Error(reply, err)
	}
}
