// The engine against the real programs: what `helm template` and `kustomize build` print for Argo CD's arguments, object
// by object and in order. Each case is one file of testdata: files behind `-- name --` lines, options.json among them.
package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/yaml"
)

// environ is what the process had before isolate took it.
var environ = os.Environ()

func TestMain(m *testing.M) {
	stdout, stderr := os.Stdout, os.Stderr
	goProgram, _ = exec.LookPath("go")
	isolate()
	os.Stdout, os.Stderr = stdout, stderr
	os.Exit(m.Run())
}

var goProgram string

// tool gives the path of a program of go.mod's `tool` lines, built once into Go's cache.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, _ := tools.LoadOrStore(name, sync.OnceValue(func() string {
		command := exec.Command(goProgram, "tool", "-n", name)
		command.Env = environ
		out, err := command.Output()
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(out))
	}))
	if found := path.(func() string)(); found != "" {
		return found
	}
	t.Fatalf("%s cannot be built", name)
	return ""
}

var tools sync.Map

type differentialCase struct {
	Helm        *HelmOptions      `json:"helm"`
	Kustomize   *KustomizeOptions `json:"kustomize"`
	Environment Environment       `json:"environment"`
	KubeVersion string            `json:"kubeVersion"`
	// AsReal are the options for the real program when the repository overrides the Application's.
	AsReal *differentialCase `json:"asReal"`
}

func readCase(t *testing.T, file string) (tree, differentialCase) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	files, name := tree{}, ""
	for line := range strings.SplitAfterSeq(string(content), "\n") {
		if rest, is := strings.CutPrefix(line, "-- "); is && strings.HasSuffix(strings.TrimSpace(rest), " --") {
			name = strings.TrimSuffix(strings.TrimSpace(rest), " --")
			continue
		}
		if name != "" {
			files[name] += line
		}
	}
	var options differentialCase
	if text, has := files["options.json"]; has {
		if err := json.Unmarshal([]byte(text), &options); err != nil {
			t.Fatal(err)
		}
		delete(files, "options.json")
	}
	if options.KubeVersion == "" {
		options.KubeVersion = "1.36.3"
	}
	return files, options
}

func (files tree) write(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		target, isLink := strings.CutPrefix(content, "->")
		err := error(nil)
		if isLink {
			err = os.Symlink(target, p)
		} else {
			err = os.WriteFile(p, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func runReal(t testing.TB, dir, program string, args ...string) []byte {
	t.Helper()
	command := exec.Command(program, args...)
	command.Dir = dir
	command.Env = []string{"HOME=" + t.TempDir(), "PATH="}
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", filepath.Base(program), args, err, stderr.String())
	}
	return out
}

func compareCase(t *testing.T, file string, real func(t *testing.T, root string, j *job, options differentialCase) []byte) {
	files, options := readCase(t, file)
	source, err := json.Marshal(map[string]any{"helm": options.Helm, "kustomize": options.Kustomize})
	if err != nil {
		t.Fatal(err)
	}
	request := RenderRequest{
		Path: "app", AppName: "my-app", Source: source, Environment: options.Environment, KubeVersion: options.KubeVersion,
	}
	reply, got := render(t, request, files)
	if reply.Kind != "rendered" {
		t.Fatalf("%s %+v %v", reply.Kind, reply.Failure, reply.Paths)
	}
	j := &job{request: &request, bundle: &bundle{}, out: output{limits: testLimits}}
	expected := options
	if options.AsReal != nil {
		expected.Helm, expected.Kustomize = options.AsReal.Helm, options.AsReal.Kustomize
	}
	if err := j.out.addRendered("", real(t, files.write(t), j, expected), ""); err != nil {
		t.Fatal(err)
	}
	want := textsOf(j.out.heads, j.out.bodies)
	if len(want) == 0 {
		t.Fatal("the case compares nothing")
	}
	for i := range max(len(got), len(want)) {
		g, w := "nothing", "nothing"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("object %d\n got %s\nwant %s", i, g, w)
		}
	}
}

func eachCase(t *testing.T, kind string, real func(*testing.T, string, *job, differentialCase) []byte) {
	files, err := filepath.Glob("testdata/" + kind + "/*.txt")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d cases, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { compareCase(t, file, real) })
	}
}

// helmArguments are Argo CD's (util/helm/cmd.go).
func helmArguments(t *testing.T, root string, j *job, options differentialCase) []string {
	o := options.Helm
	if o == nil {
		o = &HelmOptions{}
	}
	name, namespace := "my-app", options.Environment.Namespace
	if o.ReleaseName != "" {
		name = o.ReleaseName
	}
	if o.Namespace != "" {
		namespace = o.Namespace
	}
	kubeVersion := options.KubeVersion
	if o.KubeVersion != "" {
		kubeVersion = o.KubeVersion
	}
	args := []string{"template", ".", "--name-template", name, "--kube-version", plainVersion(kubeVersion)}
	if namespace != "" {
		args = append(args, "--namespace", namespace)
	}
	for _, p := range o.Parameters {
		flag := "--set"
		if p.ForceString {
			flag = "--set-string"
		}
		args = append(args, flag, p.Name+"="+escapeCommas(j.substitute(p.Value)))
	}
	for _, p := range o.FileParameters {
		args = append(args, "--set-file", p.Name+"="+p.Path)
	}
	for _, p := range o.ValueFiles {
		if strings.HasPrefix(p, "/") {
			p = root + p
		}
		matches, err := filepath.Glob(filepath.Join(root, "app", p))
		if strings.HasPrefix(p, root) || err != nil || !strings.Contains(p, "*") {
			matches = []string{p}
		}
		for _, match := range matches {
			args = append(args, "--values", match)
		}
	}
	if text := o.valuesYAML(); len(text) > 0 {
		extra := filepath.Join(t.TempDir(), "extra.yaml")
		if err := os.WriteFile(extra, text, 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--values", extra)
	}
	for _, v := range o.APIVersions {
		args = append(args, "--api-versions", v)
	}
	if !o.SkipCrds {
		args = append(args, "--include-crds")
	}
	if o.SkipTests {
		args = append(args, "--skip-tests")
	}
	return args
}

func TestHelmSourcesRenderAsHelmTemplatePrintsThem(t *testing.T) {
	helm := tool(t, "helm")
	eachCase(t, "helm", func(t *testing.T, root string, j *job, options differentialCase) []byte {
		return runReal(t, filepath.Join(root, "app"), helm, helmArguments(t, root, j, options)...)
	})
}

func TestKustomizeSourcesRenderAsKustomizeBuildPrintsThem(t *testing.T) {
	kustomize := tool(t, "kustomize")
	eachCase(t, "kustomize", func(t *testing.T, root string, j *job, options differentialCase) []byte {
		dir := filepath.Join(root, "app")
		if o := options.Kustomize; o != nil {
			editReal(t, kustomize, dir, j, o)
		}
		return runReal(t, root, kustomize, "build", dir)
	})
}

// editReal runs Argo CD's commands (util/kustomize/kustomize.go).
func editReal(t *testing.T, kustomize, dir string, j *job, o *KustomizeOptions) {
	edit := func(args ...string) { runReal(t, dir, kustomize, append([]string{"edit"}, args...)...) }
	if o.NamePrefix != "" {
		edit("set", "nameprefix", "--", o.NamePrefix)
	}
	if o.NameSuffix != "" {
		edit("set", "namesuffix", "--", o.NameSuffix)
	}
	for _, image := range o.Images {
		edit("set", "image", j.substitute(image))
	}
	for _, replica := range o.Replicas {
		edit("set", "replicas", replica.Name+"="+string(replica.Count))
	}
	var flags []string
	for flag, on := range map[string]bool{"--force": o.ForceCommonLabels, "--without-selector": o.LabelWithoutSelector, "--include-templates": o.LabelIncludeTemplates} {
		if on {
			flags = append(flags, flag)
		}
	}
	if len(o.CommonLabels) > 0 {
		args := append([]string{"add", "label"}, flags...)
		for name, value := range o.CommonLabels {
			args = append(args, name+":"+j.substitute(value))
		}
		edit(args...)
	}
	if len(o.CommonAnnotations) > 0 {
		args := []string{"add", "annotation"}
		if o.ForceCommonAnnotations {
			args = append(args, "--force")
		}
		for name, value := range o.CommonAnnotations {
			if o.CommonAnnotationsEnvsubst {
				value = j.substitute(value)
			}
			args = append(args, name+":"+value)
		}
		edit(args...)
	}
	if o.Namespace != "" {
		edit("set", "namespace", "--", o.Namespace)
	}
	if len(o.Patches) > 0 {
		file := filepath.Join(dir, "kustomization.yaml")
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		object := map[string]any{}
		if err := yaml.Unmarshal(content, &object); err != nil {
			t.Fatal(err)
		}
		list, _ := object["patches"].([]any)
		for _, patch := range o.Patches {
			list = append(list, patch)
		}
		object["patches"] = list
		if content, err = yaml.Marshal(object); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, component := range o.Components {
		edit("add", "component", component)
	}
}
