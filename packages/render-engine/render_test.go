package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

var testLimits = Limits{Bytes: 10 << 20, Files: 1000, Documents: 1000, Depth: 100, Expanded: 40 << 20}

const configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\n"

func cm(name string) string { return fmt.Sprintf(configMap, name) }

// tree is path -> content; "->target" makes a symbolic link.
type tree map[string]string

func render(t *testing.T, request RenderRequest, files tree) (*Reply, []string) {
	t.Helper()
	var raw strings.Builder
	for p, content := range files {
		target, isLink := strings.CutPrefix(content, "->")
		request.Files = append(request.Files, BundleFile{Path: p, Size: len(target), Link: isLink})
		raw.WriteString(target)
	}
	if request.Complete == nil {
		request.Complete = []string{""}
	}
	if request.Limits.Bytes == 0 {
		request.Limits = testLimits
	}
	reply, bodies := run(&Request{Call: "render", Render: &request}, []byte(raw.String()))
	texts := textsOf(reply.Manifests, bodies)
	for _, text := range texts {
		if !json.Valid([]byte(text)) {
			t.Fatalf("not JSON: %s", text)
		}
	}
	return reply, texts
}

func textsOf(heads []ManifestHead, bodies [][]byte) []string {
	var texts []string
	for i, head := range heads {
		texts = append(texts, fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":%s`, head.APIVersion, head.Kind, bodies[i][:head.MetadataBytes]))
		if head.BodyBytes > 0 {
			texts[i] += "," + string(bodies[i][head.MetadataBytes:])
		}
		texts[i] += "}"
	}
	return texts
}

func asDirectory(options DirectoryOptions) json.RawMessage {
	source, err := json.Marshal(map[string]any{"directory": options})
	if err != nil {
		panic(err)
	}
	return source
}

func filesOf(reply *Reply) []string {
	files := []string{}
	for _, head := range reply.Manifests {
		files = append(files, head.File)
	}
	return files
}

func expectFailure(t *testing.T, reply *Reply, code, file string, line int) {
	t.Helper()
	if reply.Kind != "failed" || reply.Code != code || reply.File != file || reply.Line != line {
		t.Fatalf("wanted %s at %s:%d, got %s %+v", code, file, line, reply.Kind, reply.Failure)
	}
}

func TestFilesOfADirectory(t *testing.T) {
	all := tree{
		"app/a.yaml": cm("a"), "app/b.yml": cm("b"), "app/c.json": `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}`,
		"app/README.md": "kind: no", "app/a/x.yaml": cm("ax"), "app/sub/deep/y.yaml": cm("deep"), "other/z.yaml": cm("z"),
	}
	cases := []struct {
		title   string
		request RenderRequest
		want    []string
	}{
		{"the directory alone by default", RenderRequest{}, []string{"app/a.yaml", "app/b.yml", "app/c.json"}},
		{"recurse, in filepath.Walk's order", RenderRequest{Source: asDirectory(DirectoryOptions{Recurse: true})}, []string{"app/a/x.yaml", "app/a.yaml", "app/b.yml", "app/c.json", "app/sub/deep/y.yaml"}},
		{"a star crosses slashes", RenderRequest{Source: asDirectory(DirectoryOptions{Recurse: true, Include: "*.yaml"})}, []string{"app/a/x.yaml", "app/a.yaml", "app/sub/deep/y.yaml"}},
		{"alternatives", RenderRequest{Source: asDirectory(DirectoryOptions{Recurse: true, Include: "{a.yaml,sub/*}"})}, []string{"app/a.yaml", "app/sub/deep/y.yaml"}},
		{"exclude before include", RenderRequest{Source: asDirectory(DirectoryOptions{Recurse: true, Include: "*.yaml", Exclude: "{a/*,sub*}"})}, []string{"app/a.yaml"}},
	}
	for _, c := range cases {
		t.Run(c.title, func(t *testing.T) {
			c.request.Path = "app"
			reply, _ := render(t, c.request, all)
			if got := filesOf(reply); !reflect.DeepEqual(got, c.want) {
				t.Fatalf("got %v %+v", got, reply.Failure)
			}
		})
	}
}

func TestReadsAreFilesListingsAndMisses(t *testing.T) {
	reply, _ := render(t, RenderRequest{Path: "app", AppName: "guestbook", Source: asDirectory(DirectoryOptions{Recurse: true, Exclude: "no.yaml"})}, tree{
		"app/a.yaml": cm("a"), "app/no.yaml": cm("no"), "app/sub/b.yaml": cm("b"), "app/notes.txt": "",
	})
	want := &Reads{
		Files:    []string{"app/a.yaml", "app/sub/b.yaml"},
		Listings: []string{"app", "app/sub"},
		Missed:   []string{"app/.argocd-source.yaml", "app/.argocd-source-guestbook.yaml"},
	}
	if !reflect.DeepEqual(reply.Reads, want) {
		t.Fatalf("got %+v", reply.Reads)
	}
}

func TestTheLookUpsForATypeAreInputs(t *testing.T) {
	reply, _ := render(t, RenderRequest{Path: "app", AppName: "guestbook"}, tree{"app/a.yaml": cm("a")})
	want := []string{"app/.argocd-source.yaml", "app/.argocd-source-guestbook.yaml", "app/kustomization.yaml",
		"app/kustomization.yml", "app/Kustomization", "app/Chart.yaml"}
	if !reflect.DeepEqual(reply.Reads.Missed, want) {
		t.Fatalf("got %+v", reply.Reads)
	}
}

func TestAnExplicitDirectoryIsOneWhateverItHolds(t *testing.T) {
	reply, _ := render(t, RenderRequest{Path: "app", Source: asDirectory(DirectoryOptions{Exclude: "Chart.yaml"})}, tree{"app/a.yaml": cm("a"), "app/Chart.yaml": "x"})
	if reply.Kind != "rendered" || len(reply.Manifests) != 1 || reply.Type != "Directory" {
		t.Fatalf("an explicit directory is one: %+v", reply)
	}
}

func TestPaths(t *testing.T) {
	for p, code := range map[string]string{"nope": "PATH_NOT_FOUND", "a.yaml": "PATH_NOT_FOUND", "../x": "SPEC_INVALID", "/a": "SPEC_INVALID", "a/../../b": "SPEC_INVALID"} {
		reply, _ := render(t, RenderRequest{Path: p}, tree{"a.yaml": cm("a")})
		if reply.Kind != "failed" || reply.Code != code {
			t.Errorf("%s: wanted %s, got %+v", p, code, reply)
		}
	}
	for _, p := range []string{"", ".", "./"} {
		if reply, _ := render(t, RenderRequest{Path: p}, tree{"a.yaml": cm("a")}); len(reply.Manifests) != 1 {
			t.Errorf("%q is the root", p)
		}
	}
	if reply, _ := render(t, RenderRequest{Path: "include", Source: asDirectory(DirectoryOptions{Include: "["})}, tree{"include/a.yaml": cm("a")}); reply.Failure == nil || reply.Code != "SPEC_INVALID" {
		t.Errorf("an invalid glob is refused: %+v", reply)
	}
}

func TestLinks(t *testing.T) {
	reply, _ := render(t, RenderRequest{Path: "app", Complete: []string{"app"}}, tree{"app/l.yaml": "->../shared/x.yaml"})
	if reply.Kind != "need" || !reflect.DeepEqual(reply.Paths, []string{"shared/x.yaml"}) {
		t.Fatalf("what is not in the bundle is asked for: %+v", reply)
	}
	reply, _ = render(t, RenderRequest{Path: "app", Complete: []string{"app"}}, tree{"app/l.yaml": "->../shared/x.yaml", "shared/x.yaml": cm("x")})
	if !reflect.DeepEqual(filesOf(reply), []string{"app/l.yaml"}) || !reflect.DeepEqual(reply.Reads.Files, []string{"app/l.yaml", "shared/x.yaml"}) {
		t.Fatalf("a link and its target are read: %+v %+v", reply, reply.Reads)
	}
	reply, _ = render(t, RenderRequest{Path: "app", Complete: []string{"app"}, Absent: []string{"shared/x.yaml"}}, tree{"app/l.yaml": "->../shared/x.yaml"})
	if reply.Kind != "rendered" || len(reply.Manifests) != 0 || len(reply.Warnings) != 1 {
		t.Fatalf("a dangling link is skipped: %+v", reply)
	}
	for _, target := range []string{"/etc/passwd", "../../x.yaml", "../app/../../repo/app/a.yaml"} {
		reply, _ = render(t, RenderRequest{Path: "app"}, tree{"app/l.txt": "->" + target, "app/a.yaml": cm("a")})
		expectFailure(t, reply, "RENDER_PATH_DENIED", "app/l.txt", 0)
	}
	reply, _ = render(t, RenderRequest{Path: "app"}, tree{"app/a.yaml": "->b.yaml", "app/b.yaml": "->a.yaml"})
	if reply.Kind != "rendered" || len(reply.Manifests) != 0 {
		t.Fatalf("a circle leads nowhere: %+v", reply)
	}
	reply, _ = render(t, RenderRequest{Path: "app"}, tree{"app/dir.yaml": "->../d", "d/x.yaml": cm("x"), "app/ok.yaml": "->../via/x.yaml", "via": "->d"})
	if !reflect.DeepEqual(filesOf(reply), []string{"app/ok.yaml"}) {
		t.Fatalf("through a directory's link: %v", filesOf(reply))
	}
}

func TestYAMLMeansWhatItMeansToKubernetes(t *testing.T) {
	_, texts := render(t, RenderRequest{}, tree{"a.yaml": cm("a") + `spec:
  b: yes
  y: off
  octal: 014
  date: 2024-01-02
  big: 9007199254740993
  bigger: 18446744073709551615
  float: 1.0
  exp: 1e3
  sci: 1e21
  str: "yes"
  nothing: null
  list: [1, null, ~]
  merge: &m {k: v}
  merged: {<<: *m, z: 1}
  esc: "<a>&\u0001\u2028\"\\"
`})
	want := `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"spec":{"b":true,"big":9007199254740993,` +
		`"bigger":18446744073709551615,"date":"2024-01-02","esc":"<a>&\u0001` + "\u2028" + `\"\\","exp":1000,"float":1,` +
		`"list":[1,null,null],"merge":{"k":"v"},"merged":{"k":"v","z":1},"octal":12,"sci":1e+21,"str":"yes","true":false}}`
	if len(texts) != 1 || texts[0] != want {
		t.Fatalf("got\n%v\nwant\n%s", texts, want)
	}
	_, texts = render(t, RenderRequest{}, tree{"a.json": `{"kind":"X","apiVersion":"v1","metadata":{"name":"a"},"n":123456789012345678901234567890,"f":1.0,"z":-0}`})
	if want := `{"apiVersion":"v1","kind":"X","metadata":{"name":"a"},"f":1,"n":123456789012345678901234567890,"z":0}`; texts[0] != want {
		t.Fatalf("got %s", texts[0])
	}
}

func TestDocuments(t *testing.T) {
	count := func(title string, want int, files tree) *Reply {
		reply, _ := render(t, RenderRequest{}, files)
		if reply.Kind != "rendered" || len(reply.Manifests) != want {
			t.Errorf("%s: wanted %d, got %d %+v", title, want, len(reply.Manifests), reply.Failure)
		}
		return reply
	}
	reply := count("separators, comments, empty documents", 2, tree{"a.yaml": "# head\n---\n" + cm("a") + "--- # next\n# only a comment\n---\n\n---\r\n# b\n" + cm("b") + "---\n"})
	if reply.Manifests[0].Line != 3 || reply.Manifests[1].Line != 13 {
		t.Errorf("lines: %+v", reply.Manifests)
	}
	count("no documents", 0, tree{"a.yaml": "", "b.yaml": "---\n", "c.yaml": "# x"})
	count("a list", 2, tree{"a.yaml": "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: A, metadata: {name: a}}\n- {apiVersion: v1, kind: B, metadata: {name: b}}\n"})
	count("an empty list", 0, tree{"a.yaml": "apiVersion: v1\nkind: ConfigMapList\nitems: []\n", "b.yaml": "apiVersion: v1\nkind: ConfigMapList\nitems: null\n"})
	count("the marker", 0, tree{"a.yaml": "# +argocd:skip-file-rendering\n" + cm("a")})
	count("JSON stream in YAML", 2, tree{"a.yaml": `{"apiVersion":"v1","kind":"A","metadata":{"name":"a"}}` + "\n" + `{"apiVersion":"v1","kind":"A","metadata":{"name":"b"}}`})
	count("JSON, then YAML", 2, tree{"a.yaml": `{"apiVersion":"v1","kind":"A","metadata":{"name":"a"}}` + "\n---\n" + cm("b")})
	count("flow YAML that is no JSON", 1, tree{"a.yaml": `{apiVersion: v1, kind: A, metadata: {name: a}}`})
	count("byte order mark", 1, tree{"a.yaml": "\ufeff" + cm("a")})
	utf16 := "\xff\xfe"
	for _, c := range cm("a") {
		utf16 += string([]byte{byte(c), 0})
	}
	count("UTF-16", 1, tree{"a.yaml": utf16})
	reply = count("foreign YAML", 0, tree{"values.yaml": "image: x\nreplicas: 2\n", "list.yaml": "- a\n", "tpl.yaml": "a: {{ .Values.x }}\n"})
	if len(reply.Warnings) != 3 {
		t.Errorf("what is left out is said: %+v", reply.Warnings)
	}
	reply = count("duplicate keys: the last counts", 1, tree{"a.yaml": cm("a") + "data:\n  k: old\n  k: new\n"})
	if len(reply.Warnings) != 1 || reply.Warnings[0].Line != 7 {
		t.Errorf("warned with line: %+v", reply.Warnings)
	}
	if reply := count("an override of a merge key is no duplicate", 1, tree{"a.yaml": cm("a") + "a: &x {k: 1}\nb: {<<: *x, k: 2}\n"}); len(reply.Warnings) != 0 {
		t.Errorf("%+v", reply.Warnings)
	}
}

func TestInvalidManifestsNameFileAndLine(t *testing.T) {
	cases := []struct {
		title, content string
		line           int
	}{
		{"syntax", cm("a") + "---\n" + cm("b") + "data:\n  a: 'x\n", 12},
		{"tab", "apiVersion: v1\nkind: A\nmetadata:\n\tname: x\n", 4},
		{"a document without kind after a good one", cm("a") + "---\nfoo: 1\n", 6},
		{"no kind, but it looks like a manifest", "# kind: x\napiVersion: v1\nmetadata: {name: a}\n", 2},
		{"no apiVersion", "# a\n\nkind: A\nmetadata: {name: a}\n", 3},
		{"no name", "apiVersion: v1\nkind: A\nmetadata: {namespace: a}\n", 1},
		{"no metadata", "apiVersion: v1\nkind: A\n", 1},
		{"generateName without hook", "apiVersion: v1\nkind: A\nmetadata: {generateName: a-}\n", 1},
		{"annotation that is a number", cm("x") + "---\n" + cm("a") + "  annotations: {a: 1}\n", 6},
		{"name that is a number", "apiVersion: v1\nkind: A\nmetadata: {name: 1}\n", 1},
		{"text after the separator", cm("a") + "--- foo\n", 5},
		{"stringData that is no text", "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {a: 1}\n", 1},
		{"list item without kind", "apiVersion: v1\nkind: List\nitems: [{metadata: {name: a}}]\n", 1},
		{"list item that is a text", "apiVersion: v1\nkind: List\nitems: [a]\n", 1},
		{"infinite", cm("a") + "x: .inf\n", 1},
		{"unknown anchor", cm("a") + "x: *y\n", 1},
	}
	for _, c := range cases {
		t.Run(c.title, func(t *testing.T) {
			reply, _ := render(t, RenderRequest{Path: "d"}, tree{"d/a.yaml": c.content})
			expectFailure(t, reply, "MANIFEST_INVALID", "d/a.yaml", c.line)
		})
	}
	for content, line := range map[string]int{"": 1, "{": 1, "[]": 1, "{}": 1, "null": 1, "{\n\"a\": 1,\n}": 3,
		`{"apiVersion":"v1","kind":"A","metadata":{"name":"a"}}` + "\n{}": 2} {
		reply, _ := render(t, RenderRequest{}, tree{"a.json": content})
		expectFailure(t, reply, "MANIFEST_INVALID", "a.json", line)
	}
}

func TestNoMessageQuotesAValue(t *testing.T) {
	for _, content := range []string{
		cm("a") + "--- hunter2\n", cm("a") + "x: 'hunter2\n", "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: [hunter2]\n",
		cm("a") + "data: hunter2: x\n", cm("a") + "---\nhunter2\n", cm("a") + "---\n{hunter2: 1, [hunter2]: 2}\n", cm("a") + "---\n{\"a\": hunter2\n", cm("a") + "a: !!float hunter2\n",
	} {
		reply, _ := render(t, RenderRequest{}, tree{"a.yaml": content})
		if reply.Kind != "failed" || strings.Contains(reply.Message, "hunter2") {
			t.Errorf("%q: %+v", content, reply.Failure)
		}
	}
}

func TestPreparation(t *testing.T) {
	_, texts := render(t, RenderRequest{}, tree{"a.yaml": `apiVersion: v1
kind: Secret
metadata: {name: a, creationTimestamp: null, annotations: null}
data: {k: b2xk, keep: eA==}
stringData: {k: new}
status: {x: 1}
`})
	if want := `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"},"data":{"k":"bmV3","keep":"eA=="}}`; texts[0] != want {
		t.Errorf("got %s", texts[0])
	}
	reply, texts := render(t, RenderRequest{}, tree{"d.yaml": `apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  template:
    spec:
      initContainers: [{name: i, image: init:1}]
      containers:
      - name: c
        image: app:1
        env: [{name: A, value: "1"}, {name: B, value: $(A)}, {name: A, value: "2"}]
        ports: [{containerPort: 80}, {containerPort: 80, protocol: UDP}, {containerPort: 80, name: x, protocol: TCP}]
`})
	if want := `"env":[{"name":"A","value":"2"},{"name":"B","value":"$(A)"}],"image":"app:1","name":"c","ports":[{"containerPort":80,"name":"x","protocol":"TCP"},{"containerPort":80,"protocol":"UDP"}]`; !strings.Contains(texts[0], want) {
		t.Errorf("got %s", texts[0])
	}
	if head := reply.Manifests[0]; len(head.Warnings) != 2 || !reflect.DeepEqual(head.Images, []string{"init:1", "app:1"}) {
		t.Errorf("got %+v", head)
	}
}

func TestLimits(t *testing.T) {
	bomb := cm("a") + "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'j'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.Repeat(fmt.Sprintf("*%c,", c-1), 10))
	}
	wide := cm("a") + "a: &a " + strings.Repeat("x", 1<<20) + "\nb: [" + strings.Repeat("*a,", 99) + "]\n"
	files := tree{}
	for i := range 20 {
		files[fmt.Sprint(i, ".yaml")] = cm(fmt.Sprint(i))
	}
	cases := []struct {
		which  string
		limits func(*Limits)
		files  tree
	}{
		{"aliases", nil, tree{"a.yaml": bomb}},
		{"expanded", nil, tree{"a.yaml": wide}},
		{"depth", nil, tree{"a.yaml": cm("a") + "x: " + strings.Repeat("[", 200) + strings.Repeat("]", 200)}},
		{"depth", nil, tree{"a.yaml": cm("a") + "x: " + strings.Repeat("[", 20000) + strings.Repeat("]", 20000)}},
		{"depth", nil, tree{"a.json": strings.Repeat(`{"items":[`, 20000)}},
		{"documents", nil, tree{"a.yaml": strings.Repeat("kind: A\napiVersion: v1\nmetadata: {name: a}\n---\n", 1001)}},
		{"documents", nil, tree{"a.yaml": "kind: List\napiVersion: v1\nitems:\n" + strings.Repeat("- {kind: A, apiVersion: v1, metadata: {name: a}}\n", 1001)}},
		{"files", func(l *Limits) { l.Files = 10 }, files},
		{"bytes", func(l *Limits) { l.Bytes = 1000 }, files},
	}
	for _, c := range cases {
		limits := testLimits
		if c.limits != nil {
			c.limits(&limits)
		}
		reply, _ := render(t, RenderRequest{Limits: limits}, c.files)
		if reply.Failure == nil || reply.Code != "RENDER_LIMIT" || reply.Which != c.which {
			t.Errorf("wanted %s, got %s %+v", c.which, reply.Kind, reply.Failure)
		}
	}
}

func TestConstraints(t *testing.T) {
	tags := []string{"v1.0.0", "v1.9.0", "v2.0.0-rc.1", "v1.10.0", "nonsense", "1.0.0-01", "app-v3.1.0", "app-v3.0.0"}
	for _, c := range []struct{ constraint, prefix, kind, version string }{
		{"v1.0.0", "", "exact", "v1.0.0"}, {"1.0", "", "exact", "1.0"}, {"main", "", "literal", ""}, {"HEAD", "", "literal", ""},
		{"1.*", "", "match", "v1.10.0"}, {"*", "", "match", "v1.10.0"}, {">=1.0.0-0", "", "match", "v2.0.0-rc.1"},
		{">=1.0, <1.10", "", "match", "v1.9.0"}, {"!=1.10.0", "", "match", "v1.9.0"}, {"=>1.0", "", "match", "v1.10.0"},
		{"^7", "", "none", ""}, {"3.x", "app-", "match", "app-v3.1.0"}, {"v3.0.0", "app-", "exact", "app-v3.0.0"},
	} {
		reply := constraint(&ConstraintRequest{c.constraint, c.prefix, tags})
		if reply.Kind != c.kind || reply.Version != c.version {
			t.Errorf("%q %q: got %s %q", c.constraint, c.prefix, reply.Kind, reply.Version)
		}
	}
}

func TestGlobs(t *testing.T) {
	reply := globs(&GlobsRequest{Pattern: "a*", Values: []string{"abc", "a/b", "b"}})
	if !reflect.DeepEqual(reply.Matches, []bool{true, true, false}) {
		t.Errorf("%+v", reply)
	}
	reply = globs(&GlobsRequest{Pattern: "a*", Values: []string{"abc", "a/b"}, Separators: "/"})
	if !reflect.DeepEqual(reply.Matches, []bool{true, false}) {
		t.Errorf("%+v", reply)
	}
	if reply := globs(&GlobsRequest{Pattern: "["}); reply.Kind != "failed" {
		t.Errorf("%+v", reply)
	}
	globs(&GlobsRequest{Pattern: "?.yaml", Values: []string{"é.yaml", "é"}})
}
