// What sources of other types than plain directories ask for, report and refuse.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func source(t *testing.T, options any) json.RawMessage {
	t.Helper()
	text, err := json.Marshal(options)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

type options = map[string]any

func mustRender(t *testing.T, request RenderRequest, files tree) (*Reply, []string) {
	t.Helper()
	reply, texts := render(t, request, files)
	if reply.Kind != "rendered" {
		t.Fatalf("%s %+v need %v %v", reply.Kind, reply.Failure, reply.Paths, reply.Charts)
	}
	return reply, texts
}

const chartYAML = "apiVersion: v2\nname: demo\nversion: 1.0.0\n"

func TestTheTypeIsWhatArgoCDWouldFind(t *testing.T) {
	kustomization := "configMapGenerator: [{name: a, literals: [a=b]}]\n"
	cases := []struct {
		title   string
		files   tree
		options options
		want    string
	}{
		{"a chart", tree{"app/Chart.yaml": chartYAML}, nil, "Helm"},
		{"a kustomization", tree{"app/kustomization.yml": kustomization}, nil, "Kustomize"},
		{"both: the later name counts", tree{"app/Chart.yaml": chartYAML, "app/kustomization.yaml": kustomization}, nil, "Kustomize"},
		{"neither", tree{"app/a.yaml": cm("a")}, nil, "Directory"},
		{"what the Application says", tree{"app/Chart.yaml": chartYAML, "app/kustomization.yaml": kustomization}, options{"helm": options{"releaseName": "x"}}, "Helm"},
		{"options that say nothing", tree{"app/a.yaml": cm("a")}, options{"helm": options{}, "kustomize": options{"images": []string{}}}, "Directory"},
	}
	for _, c := range cases {
		t.Run(c.title, func(t *testing.T) {
			reply, _ := mustRender(t, RenderRequest{Path: "app", AppName: "x", Source: source(t, c.options)}, c.files)
			if reply.Type != c.want {
				t.Fatalf("got %s", reply.Type)
			}
		})
	}
	reply, _ := render(t, RenderRequest{Path: "app", Source: source(t, options{"helm": options{"version": "v3"}, "kustomize": options{"namePrefix": "x"}})}, tree{"app/a.yaml": cm("a")})
	expectFailure(t, reply, "SPEC_INVALID", "", 0)
}

func TestAChartReportsWhatItReadAndUsed(t *testing.T) {
	chart := tree{
		"app/Chart.yaml": chartYAML, "app/values.yaml": "a: 1\n", "app/README.md": "x", "app/conf/a.txt": "x", "app/.helmignore": "*.md\n",
		"app/templates/a.yaml": cm("{{ .Release.Name }}"),
	}
	request := RenderRequest{Path: "app", AppName: "ns_web"}
	reply, texts := mustRender(t, request, chart)
	if texts[0] != `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"web"}}` {
		t.Fatal(texts)
	}
	if want := []string{"app/.helmignore", "app/Chart.yaml", "app/templates/a.yaml", "app/values.yaml"}; !reflect.DeepEqual(slices.Sorted(slices.Values(reply.Reads.Files)), want) {
		t.Fatalf("what no template shows is no input: %v", reply.Reads.Files)
	}
	if len(reply.Uses.Variables) > 0 || len(reply.Uses.Nondeterministic) > 0 || reply.Manifests[0].File != "app/templates/a.yaml" {
		t.Fatalf("%+v %+v", reply.Uses, reply.Manifests[0])
	}
	chart["app/templates/b.yaml"] = cm("b") + "data:\n  a: {{ .Files.Get \"conf/a.txt\" }}\n  b: {{ randAlphaNum 5 }}\n  c: {{ now | date \"2006\" | quote }}\n  d: {{ .Capabilities.KubeVersion }}\n"
	reply, _ = mustRender(t, request, chart)
	if !slices.Contains(reply.Reads.Files, "app/conf/a.txt") || !reflect.DeepEqual(reply.Uses.Variables, []string{"KUBE_VERSION"}) || !reflect.DeepEqual(reply.Uses.Nondeterministic, []string{"now", "randAlphaNum"}) {
		t.Fatalf("%+v %+v", reply.Reads.Files, reply.Uses)
	}
}

func TestTheClusterIsAskedOnlyWhereItsVersionsMatter(t *testing.T) {
	request := RenderRequest{Path: "app", AppName: "web", AsksCluster: true}
	chart := func(text string) tree {
		return tree{"app/Chart.yaml": chartYAML, "app/templates/a.yaml": cm("a") + "data:\n  a: " + text + "\n"}
	}
	const monitor, policy = `{{ .Capabilities.APIVersions.Has "monitoring.coreos.com/v1" | quote }}`, `{{ .Capabilities.APIVersions.Has "policy/v1" | quote }}`
	kustomization := tree{"app/kustomization.yaml": "resources: [a.yaml]\n", "app/a.yaml": cm("a")}
	cases := []struct {
		title     string
		files     tree
		options   options
		variables []string
		asked     map[string]bool
		value     string
	}{
		{"no word of them", chart("x"), nil, nil, nil, "x"},
		{"the version", chart("{{ .Capabilities.KubeVersion.Version }}"), nil, []string{"KUBE_VERSION"}, nil, "v1.31.2"},
		{"a version that the chart wants", tree{"app/Chart.yaml": chartYAML + "kubeVersion: '>=1.31'\n", "app/templates/a.yaml": cm("a")}, nil, []string{"KUBE_VERSION"}, nil, ""},
		{"an API by its name", chart(monitor), nil, []string{"KUBE_API_VERSIONS"}, map[string]bool{"monitoring.coreos.com/v1": true}, "true"},
		{"an API that it lacks", chart(`{{ .Capabilities.APIVersions.Has "x.io/v1" | quote }}`), nil, []string{"KUBE_API_VERSIONS"}, map[string]bool{"x.io/v1": false}, "false"},
		{"an API that Helm knows", chart(policy), nil, nil, nil, "true"},
		{"a question that is never put", chart("x{{ if .Values.on }}" + monitor + "{{ end }}"), nil, nil, nil, "x"},
		{"all of them", chart("{{ join \",\" .Capabilities.APIVersions | contains \"monitoring\" | quote }}"), nil, []string{"KUBE_API_VERSIONS"}, nil, "true"},
		{"all that there is", chart("{{ .Capabilities | toJson | len | lt 1000 | quote }}"), nil, []string{"KUBE_API_VERSIONS", "KUBE_VERSION"}, nil, "true"},
		{"what the source states", chart("{{ .Capabilities.KubeVersion.Minor }}-" + strings.Replace(monitor, " | quote", "", 1)), options{"helm": options{"kubeVersion": "1.30", "apiVersions": []string{"x/v1"}}}, nil, nil, "30-false"},
		{"the environment", chart("{{ .Values.k }}"), options{"helm": options{"parameters": []options{{"name": "k", "value": "v$KUBE_VERSION"}}}}, []string{"KUBE_VERSION"}, nil, "v1.31.2"},
		{"the environment of an overlay", kustomization, options{"kustomize": options{"commonAnnotationsEnvsubst": true, "commonAnnotations": options{"apis": "$KUBE_API_VERSIONS"}}}, []string{"KUBE_API_VERSIONS"}, nil, "apps/v1,monitoring.coreos.com/v1"},
	}
	for _, c := range cases {
		t.Run(c.title, func(t *testing.T) {
			asks := request
			if c.options != nil {
				asks.Source = source(t, c.options)
			}
			reply, _ := render(t, asks, c.files)
			if needs := len(c.variables) > 0; needs != (reply.Kind == "need" && reply.Cluster) {
				t.Fatalf("%s %v %+v", reply.Kind, reply.Cluster, reply.Failure)
			}
			asks.KubeVersion, asks.APIVersions = "v1.31.2", []string{"apps/v1", "monitoring.coreos.com/v1"}
			reply, texts := mustRender(t, asks, c.files)
			if !reflect.DeepEqual(reply.Uses.Variables, c.variables) || !reflect.DeepEqual(reply.Uses.APIVersions, c.asked) || !strings.Contains(texts[0], c.value) {
				t.Fatalf("%+v %s", reply.Uses, texts[0])
			}
		})
	}
	refuses := tree{"app/Chart.yaml": chartYAML, "app/templates/a.yaml": `{{ if not (.Capabilities.APIVersions.Has "x.io/v1") }}{{ fail "no x" }}{{ end }}` + cm("a")}
	if reply, _ := render(t, request, refuses); reply.Kind != "need" {
		t.Fatalf("what fails without the cluster may do with it: %+v", reply)
	}
}

func TestValueFilesOfOtherSourcesStandBelowTheirRef(t *testing.T) {
	chart := tree{"app/Chart.yaml": chartYAML, "app/templates/a.yaml": cm("{{ .Values.name }}")}
	request := RenderRequest{
		Path: "app", AppName: "x", Complete: []string{""}, Refs: map[string]string{"values": ".git/refs/values"},
		Source: source(t, options{"helm": options{"valueFiles": []string{"$values/env/$ARGOCD_APP_NAME.yaml"}}}),
	}
	reply, _ := render(t, request, chart)
	if reply.Kind != "need" || !reflect.DeepEqual(reply.Paths, []string{".git/refs/values/env/x.yaml"}) {
		t.Fatalf("that the repository is complete says nothing about the other: %+v", reply)
	}
	chart[".git/refs/values/env/x.yaml"] = "name: from-ref\n"
	reply, texts := mustRender(t, request, chart)
	if !strings.Contains(texts[0], "from-ref") || !reflect.DeepEqual(reply.Uses.Variables, []string{"ARGOCD_APP_NAME"}) {
		t.Fatalf("%v %+v", texts, reply.Uses)
	}
	request.Source = source(t, options{"helm": options{"valueFiles": []string{"$values/../../../app/Chart.yaml"}}})
	reply, _ = render(t, request, chart)
	expectFailure(t, reply, "RENDER_PATH_DENIED", "", 0)
	request.Source = source(t, options{"helm": options{"valueFiles": []string{"$other/x.yaml"}}})
	reply, _ = render(t, request, chart)
	expectFailure(t, reply, "SPEC_INVALID", "", 0)
}

func TestMissingValueFilesAreInputsWhenIgnored(t *testing.T) {
	chart := tree{"app/Chart.yaml": chartYAML, "app/templates/a.yaml": cm("a")}
	request := RenderRequest{Path: "app", AppName: "x", Source: source(t, options{"helm": options{"valueFiles": []string{"prod.yaml"}, "ignoreMissingValueFiles": true}})}
	reply, _ := mustRender(t, request, chart)
	if !slices.Contains(reply.Reads.Missed, "app/prod.yaml") {
		t.Fatalf("%+v", reply.Reads)
	}
	request.Source = source(t, options{"helm": options{"valueFiles": []string{"prod.yaml"}}})
	reply, _ = render(t, request, chart)
	expectFailure(t, reply, "PATH_NOT_FOUND", "app/prod.yaml", 0)
}

func tgz(t *testing.T, files ...string) string {
	t.Helper()
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	archive := tar.NewWriter(zipped)
	for i := 0; i < len(files); i += 2 {
		if err := archive.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if archive.Close() != nil || zipped.Close() != nil {
		t.Fatal("tar")
	}
	return packed.String()
}

func TestDependenciesAreVendoredLocalOrAskedFor(t *testing.T) {
	common := tgz(t, "common/Chart.yaml", "apiVersion: v2\nname: common\nversion: 2.1.0\n", "common/templates/a.yaml", cm("common-{{ .Values.x }}"), "common/values.yaml", "x: default\n")
	chart := tree{
		"app/Chart.yaml":       chartYAML + "dependencies:\n- {name: common, version: 2.x, repository: \"https://charts.example.com\"}\n- {name: common, alias: again, version: 2.x, repository: \"https://charts.example.com\"}\n- {name: near, version: 1.0.0, repository: \"file://../near\"}\n",
		"app/values.yaml":      "common: {x: mine}\n",
		"app/templates/a.yaml": cm("a"),
		"near/Chart.yaml":      "apiVersion: v2\nname: near\nversion: 1.0.0\n", "near/templates/n.yaml": cm("near"),
	}
	request := RenderRequest{Path: "app", AppName: "x", Complete: []string{"app"}}
	delete(chart, "near/Chart.yaml")
	reply, _ := render(t, request, tree{"app/Chart.yaml": chart["app/Chart.yaml"]})
	want := []ChartNeed{{Repository: "https://charts.example.com", Name: "common", Version: "2.x"}}
	if reply.Kind != "need" || !reflect.DeepEqual(reply.Charts, want) || !reflect.DeepEqual(reply.Paths, []string{"near"}) {
		t.Fatalf("both at once: %+v", reply)
	}
	chart["near/Chart.yaml"] = "apiVersion: v2\nname: near\nversion: 1.0.0\n"
	chart[".git/charts/1.tgz"] = common
	request.Complete = []string{"app", "near"}
	request.Charts = []ChartArchive{{want[0], ".git/charts/1.tgz"}}
	reply, texts := mustRender(t, request, chart)
	if all := strings.Join(texts, "\n"); !strings.Contains(all, "common-mine") || !strings.Contains(all, `"near"`) || !slices.Contains(reply.Reads.Files, ".git/charts/1.tgz") {
		t.Fatalf("%s %v", all, reply.Reads.Files)
	}
	request.Charts = nil
	chart["app/charts/common-2.1.0.tgz"] = common
	delete(chart, ".git/charts/1.tgz")
	if _, vendored := mustRender(t, request, chart); !reflect.DeepEqual(vendored, texts) {
		t.Fatalf("%v", vendored)
	}
	chart["app/Chart.lock"] = "dependencies:\n- {name: common, version: 2.1.0, repository: \"https://charts.example.com\"}\ndigest: sha256:0\n"
	delete(chart, "app/charts/common-2.1.0.tgz")
	reply, _ = render(t, request, chart)
	expectFailure(t, reply, "MANIFEST_INVALID", "app/Chart.lock", 0)
}

func TestAnArchiveIsASource(t *testing.T) {
	archive := tgz(t, "demo/Chart.yaml", chartYAML, "demo/templates/a.yaml", cm("{{ .Release.Name }}"), "demo/charts/sub/Chart.yaml", "apiVersion: v2\nname: sub\nversion: 1.0.0\n", "demo/charts/sub/templates/b.yaml", cm("sub"))
	reply, texts := mustRender(t, RenderRequest{Path: "demo-1.0.0.tgz", AppName: "x", Complete: []string{}}, tree{"demo-1.0.0.tgz": archive})
	if len(texts) != 2 || reply.Type != "Helm" || !reflect.DeepEqual(reply.Reads, &Reads{Files: []string{"demo-1.0.0.tgz"}, Listings: []string{}, Missed: []string{}}) {
		t.Fatalf("%v %+v", texts, reply.Reads)
	}
	for name, bad := range map[string]string{
		"outside": tgz(t, "demo/../../x", "y"), "bomb": tgz(t, "demo/Chart.yaml", chartYAML, "demo/zero", strings.Repeat("\x00", 70<<20)), "junk": "junk",
	} {
		reply, _ := render(t, RenderRequest{Path: "x.tgz", AppName: "x"}, tree{"x.tgz": bad})
		if reply.Kind != "failed" || !slices.Contains([]string{"RENDER_PATH_DENIED", "RENDER_LIMIT", "MANIFEST_INVALID"}, reply.Code) || reply.File != "x.tgz" {
			t.Fatalf("%s: %+v", name, reply)
		}
	}
}

func TestKustomizeAsksForAllBasesAtOnceAndReportsReads(t *testing.T) {
	files := tree{"app/kustomization.yaml": "resources: [../base, ../other/x.yaml]\ncomponents: [../c]\nconfigMapGenerator: [{name: a, files: [../app/f]}]\n", "app/f": "x"}
	request := RenderRequest{Path: "app", AppName: "x", Complete: []string{"app"}}
	reply, _ := render(t, request, files)
	if reply.Kind != "need" || !reflect.DeepEqual(reply.Paths, []string{"base", "c", "other/x.yaml"}) {
		t.Fatalf("%+v", reply)
	}
	files = tree{"app/kustomization.yaml": "resources: [../base]\n", "base/kustomization.yaml": "resources: [a.yaml]\n", "base/a.yaml": cm("a"), "base/unused.yaml": cm("b")}
	request.Complete = []string{"app", "base"}
	reply, _ = mustRender(t, request, files)
	if want := []string{"app/kustomization.yaml", "base/a.yaml", "base/kustomization.yaml"}; !reflect.DeepEqual(slices.Sorted(slices.Values(reply.Reads.Files)), want) {
		t.Fatalf("%+v", reply.Reads)
	}
	if !slices.Contains(reply.Reads.Missed, "base/Kustomization") {
		t.Fatalf("a second kustomization file would be an error: %+v", reply.Reads.Missed)
	}
}

func TestKustomizeRefusesWhatLeavesTheRepository(t *testing.T) {
	remote, path, plugin := "RENDER_REMOTE_BASE_DENIED", "RENDER_PATH_DENIED", "RENDER_PLUGIN_DENIED"
	krm := "apiVersion: example.com/v1\nkind: X\nmetadata:\n  name: x\n  annotations:\n    config.kubernetes.io/function: |\n      container: {image: evil}\n"
	cases := map[string]struct{ kustomization, code, file string }{
		"a remote base":              {"resources: [\"https://git.local/r//b?ref=--upload-pack=touch /tmp/pwn\"]", remote, ""},
		"an ssh base":                {"resources: [\"git@github.com:a/b\"]", remote, ""},
		"a github base":              {"resources: [github.com/a/b/c]", remote, ""},
		"a remote component":         {"components: [\"ssh://git.local/a/b\"]", remote, ""},
		"a remote file":              {"configMapGenerator: [{name: a, files: [\"x=http://169.254.169.254/\"]}]", remote, ""},
		"a remote patch":             {"patches: [{path: \"https://example.com/p\"}]", remote, ""},
		"a remote schema":            {"openapi: {path: \"https://example.com/p\"}", remote, ""},
		"an absolute resource":       {"resources: [/etc]", path, ""},
		"above the root":             {"resources: [../../..]", path, ""},
		"an environment":             {"configMapGenerator: [{name: a, files: [/proc/self/environ]}]", path, ""},
		"a patch outside":            {"patches: [{path: ../../x}]", path, ""},
		"replacements outside":       {"replacements: [{path: ../../x}]", path, ""},
		"crds outside":               {"crds: [../../x]", path, ""},
		"a link outside":             {"resources: [evil.yaml]", path, "app/evil.yaml"},
		"helm inflation":             {"helmCharts: [{name: a, repo: \"https://x\"}]", plugin, ""},
		"helm globals":               {"helmGlobals: {configHome: ./h}", plugin, ""},
		"an old inflation":           {"helmChartInflationGenerator: [{chartName: a, helmBin: ./evil}]", plugin, ""},
		"a KRM function":             {"transformers: [krm.yaml]", plugin, "app/krm.yaml"},
		"an inline KRM function":     {"generators:\n- |\n  " + strings.ReplaceAll(krm, "\n", "\n  "), plugin, ""},
		"an exec plugin":             {"generators: [exec.yaml]", plugin, "app/exec.yaml"},
		"a plugin in a directory":    {"validators: [plugins]", plugin, "app/plugins/exec.yaml"},
		"a base that lists itself":   {"resources: [../app]", "MANIFEST_INVALID", ""},
		"two bases in a cycle":       {"resources: [a]", "MANIFEST_INVALID", ""},
		"a component that is itself": {"components: [.]", "MANIFEST_INVALID", ""},
	}
	for title, c := range cases {
		t.Run(title, func(t *testing.T) {
			files := tree{
				"app/kustomization.yaml": c.kustomization, "app/krm.yaml": krm, "app/exec.yaml": "apiVersion: someteam.example.com/v1\nkind: Evil\nmetadata: {name: x}\n",
				"app/plugins/kustomization.yaml": "resources: [exec.yaml]", "app/plugins/exec.yaml": "apiVersion: a/v1\nkind: Evil\nmetadata: {name: x}\n",
				"app/a/kustomization.yaml": "resources: [../b]", "app/b/kustomization.yaml": "resources: [../a]",
			}
			if title == "a link outside" {
				files["app/evil.yaml"] = "->/etc/passwd"
			}
			reply, _ := render(t, RenderRequest{Path: "app", AppName: "x"}, files)
			if c.file == "" {
				c.file = "app/kustomization.yaml"
			}
			if reply.Kind != "failed" || reply.Code != c.code || reply.File != c.file && c.code != "MANIFEST_INVALID" {
				t.Fatalf("%s %+v %v", reply.Kind, reply.Failure, reply.Paths)
			}
		})
	}
	deep := tree{}
	for i := range 40 {
		deep[fmt.Sprintf("d%d/kustomization.yaml", i)] = fmt.Sprintf("resources: [../d%d]\n", i+1)
	}
	reply, _ := render(t, RenderRequest{Path: "d0", AppName: "x"}, deep)
	expectFailure(t, reply, "RENDER_LIMIT", "d0/kustomization.yaml", 0)
	wide := tree{}
	for i := range 12 {
		wide[fmt.Sprintf("d%d/kustomization.yaml", i)] = fmt.Sprintf("resources: [../d%d, ../e%d]\n", i+1, i+1)
		wide[fmt.Sprintf("e%d/kustomization.yaml", i)] = fmt.Sprintf("resources: [../d%d, ../e%d]\n", i+1, i+1)
	}
	reply, _ = render(t, RenderRequest{Path: "d0", AppName: "x"}, wide)
	expectFailure(t, reply, "RENDER_LIMIT", "d0/kustomization.yaml", 0)
}

func TestHelmRefusesWhatLeavesTheRepository(t *testing.T) {
	chart := func(more tree) tree {
		files := tree{"app/Chart.yaml": chartYAML, "app/templates/a.yaml": cm("a")}
		for p, content := range more {
			files[p] = content
		}
		return files
	}
	remote, path := "RENDER_REMOTE_BASE_DENIED", "RENDER_PATH_DENIED"
	cases := map[string]struct {
		files   tree
		options options
		code    string
	}{
		"a value file above":       {nil, options{"valueFiles": []string{"../../../etc/passwd"}}, path},
		"a value file of the disk": {nil, options{"valueFiles": []string{"/proc/self/environ"}}, "PATH_NOT_FOUND"},
		"a file URL":               {nil, options{"valueFiles": []string{"file:///etc/passwd"}}, remote},
		"a URL":                    {nil, options{"valueFiles": []string{"http://169.254.169.254/"}}, remote},
		"a file parameter above":   {nil, options{"fileParameters": []options{{"name": "a", "path": "../../x"}}}, path},
		"values that are a link":   {tree{"app/values.yaml": "->/etc/shadow"}, nil, path},
		"links in a circle":        {tree{"app/v.yaml": "->w.yaml", "app/w.yaml": "->v.yaml"}, options{"valueFiles": []string{"v.yaml"}}, "PATH_NOT_FOUND"},
		"a local dependency above": {tree{"app/Chart.yaml": chartYAML + "dependencies: [{name: x, version: 1.0.0, repository: \"file://../../\"}]\n"}, nil, path},
		"a name with slashes":      {tree{"app/Chart.yaml": "apiVersion: v2\nname: ../x\nversion: 1.0.0\n"}, nil, "MANIFEST_INVALID"},
		"a schema of the disk":     {tree{"app/values.schema.json": `{"$ref":"file:///dev/zero"}`}, nil, path},
		"a schema in a circle":     {tree{"app/values.schema.json": `{"$ref":"#/definitions/a","definitions":{"a":{"$ref":"#/definitions/a"}}}`}, nil, "MANIFEST_INVALID"},
		"the environment":          {tree{"app/templates/b.yaml": `a: {{ env "PATH" }}`}, nil, "MANIFEST_INVALID"},
		"recursion":                {tree{"app/templates/b.yaml": `{{ define "x" }}{{ include "x" . }}{{ end }}{{ include "x" . }}`}, nil, "MANIFEST_INVALID"},
		"a failing template":       {tree{"app/templates/b.yaml": "\n{{ fail \"no\" }}"}, nil, "MANIFEST_INVALID"},
		"a library":                {tree{"app/Chart.yaml": chartYAML + "type: library\n"}, nil, "MANIFEST_INVALID"},
	}
	for title, c := range cases {
		t.Run(title, func(t *testing.T) {
			reply, _ := render(t, RenderRequest{Path: "app", AppName: "x", Source: source(t, options{"helm": c.options})}, chart(c.files))
			if reply.Kind != "failed" || reply.Code != c.code {
				t.Fatalf("%s %+v %v", reply.Kind, reply.Failure, reply.Paths)
			}
			if !slices.Contains(reply.Reads.Listings, "app") {
				t.Fatalf("a failure has inputs too: %+v", reply.Reads)
			}
			if title == "a failing template" && (reply.File != "app/templates/b.yaml" || reply.Line != 2) {
				t.Fatalf("%+v", reply.Failure)
			}
		})
	}
	reply, _ := mustRender(t, RenderRequest{Path: "app", AppName: "x"}, chart(tree{"app/values.schema.json": `{"$ref":"https://example.com/s.json"}`}))
	if len(reply.Warnings) != 1 {
		t.Fatalf("a schema elsewhere is not fetched, which is said: %+v", reply.Warnings)
	}
}

func TestMessagesDoNotTellSecrets(t *testing.T) {
	const canary = "CANARY-7f3-very-secret"
	for title, template := range map[string]string{
		"atoi": `a: {{ atoi .Values.password | mustToJson }}{{ required .Values.password nil }}`, "tpl": `{{ tpl .Values.template . }}`,
		"fail": `{{ fail (printf "bad %s" .Values.password) }}`, "yaml": "a: [{{ .Values.password }}\n b: {{ .Values.password }}: {",
		"type": `{{ index .Values.password "x" }}`,
	} {
		reply, _ := render(t, RenderRequest{Path: "app", AppName: "x"}, tree{
			"app/Chart.yaml": chartYAML, "app/templates/a.yaml": template, "app/values.yaml": "password: " + canary + "\ntemplate: \"" + canary + " {{ nope }}\"\n",
		})
		if reply.Kind != "failed" || strings.Contains(fmt.Sprintf("%+v", reply.Failure), "CANARY") {
			t.Errorf("%s: %+v", title, reply.Failure)
		}
	}
	reply, _ := render(t, RenderRequest{Path: "app", AppName: "x"}, tree{
		"app/kustomization.yaml": "resources: [s.yaml]\nsecretGenerator: [{name: a, literals: [p=" + canary + "]}]\npatches: [{path: p.yaml}]\n",
		"app/s.yaml":             "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {p: " + canary + "}\n",
		"app/p.yaml":             "apiVersion: v1\nkind: Secret\nmetadata: {name: other}\nstringData: {p: " + canary + "}\n",
	})
	if reply.Kind != "failed" || strings.Contains(reply.Message, "CANARY") {
		t.Errorf("%+v", reply.Failure)
	}
}

func TestJsonnetKnowsTheBundleAlone(t *testing.T) {
	files := tree{
		"app/main.jsonnet":     "function(name='d') [import 'near.libsonnet', (import 'far.libsonnet')(name), {apiVersion:'v1',kind:'ConfigMap',metadata:{name:std.extVar('v')},data:{n:importstr 'text.txt'}}, null]\n",
		"app/near.libsonnet":   "{apiVersion:'v1',kind:'ConfigMap',metadata:{name:'near'}}",
		"vendor/far.libsonnet": "function(n) {apiVersion:'v1',kind:'ConfigMap',metadata:{name:n}, big:: 1}",
		"vendor/text.txt":      "hello",
	}
	request := RenderRequest{Path: "app", AppName: "x", Complete: []string{"app"}, Source: source(t, options{"directory": options{"jsonnet": options{
		"libs": []string{"vendor"}, "extVars": []options{{"name": "v", "value": "$ARGOCD_APP_NAME"}}, "tlas": []options{{"name": "name", "value": "'t'+'la'", "code": true}},
	}}})}
	reply, _ := render(t, request, tree{"app/main.jsonnet": files["app/main.jsonnet"], "app/near.libsonnet": files["app/near.libsonnet"]})
	if reply.Kind != "need" || !reflect.DeepEqual(reply.Paths, []string{"vendor"}) {
		t.Fatalf("%+v", reply)
	}
	request.Complete = []string{""}
	_, texts := mustRender(t, request, files)
	want := []string{
		`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"near"}}`, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"tla"}}`,
		`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"n":"hello"}}`,
	}
	if !reflect.DeepEqual(texts, want) {
		t.Fatalf("%v", texts)
	}
	for code, programs := range map[string][]string{
		"RENDER_PATH_DENIED":        {"importstr '/etc/passwd'", "importbin '/proc/self/environ'", "import '../../other-app/s.libsonnet'", "import 'link/x'"},
		"RENDER_REMOTE_BASE_DENIED": {"importstr 'http://169.254.169.254/'"},
		"MANIFEST_INVALID":          {"import 'missing'", "{}", "error 'x'", "local f(x)=f(x+1); f(1)"},
	} {
		for _, program := range programs {
			files := tree{"app/main.jsonnet": program}
			if strings.Contains(program, "link") {
				files["lib/link"] = "->/"
				program = "import '../lib/link/x'"
				files["app/main.jsonnet"] = program
			}
			reply, _ := render(t, RenderRequest{Path: "app", AppName: "x"}, files)
			if reply.Kind != "failed" || reply.Code != code || reply.File != "app/main.jsonnet" && !strings.HasPrefix(reply.File, "lib/") {
				t.Errorf("%s: %s %+v", program, reply.Kind, reply.Failure)
			}
		}
	}
	reply, _ = render(t, RenderRequest{Path: "app", AppName: "x", Source: source(t, options{"directory": options{"jsonnet": options{"libs": []string{"../.."}}}})}, files)
	expectFailure(t, reply, "RENDER_PATH_DENIED", "", 0)
}

func TestASchemaOfOnesOwnDoesNotStayForTheNextJob(t *testing.T) {
	overlay := tree{
		"app/kustomization.yaml": "resources: [d.yaml]\npatches:\n- patch: |\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata: {name: web}\n    spec: {template: {spec: {containers: [{name: b, image: c}]}}}\n",
		"app/d.yaml":             "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: a, image: b}]}}}\n",
	}
	_, before := mustRender(t, RenderRequest{Path: "app", AppName: "x"}, overlay)
	custom := tree{"app/kustomization.yaml": overlay["app/kustomization.yaml"] + "openapi: {path: s.json}\n", "app/d.yaml": overlay["app/d.yaml"], "app/s.json": `{"definitions":{}}`}
	_, with := mustRender(t, RenderRequest{Path: "app", AppName: "x"}, custom)
	_, after := mustRender(t, RenderRequest{Path: "app", AppName: "x"}, overlay)
	if reflect.DeepEqual(before, with) || !reflect.DeepEqual(before, after) {
		t.Fatalf("\n%v\n%v\n%v", before, with, after)
	}
}
