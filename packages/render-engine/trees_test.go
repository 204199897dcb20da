// The engine against the real programs on repositories found outside: DRIFTLESS_TREES names directories, separated by
// colons, each a working tree. Every chart and every kustomization in them is rendered by both.
package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var treesFound = os.Getenv("DRIFTLESS_TREES")

func readTree(t *testing.T, root string) tree {
	t.Helper()
	files := tree{}
	err := filepath.WalkDir(root, func(p string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, _ := filepath.Rel(root, p)
		if entry.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(p)
			files[name] = "->" + target
			return err
		}
		content, err := os.ReadFile(p)
		files[name] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestTreesFoundOutsideRenderAsTheRealProgramsPrintThem(t *testing.T) {
	if treesFound == "" {
		t.Skip("DRIFTLESS_TREES names no trees")
	}
	helm, kustomize := tool(t, "helm"), tool(t, "kustomize")
	for root := range strings.SplitSeq(treesFound, ":") {
		files := readTree(t, root)
		names := []string{}
		for name := range files {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			dir, base := filepath.Dir(name), filepath.Base(name)
			options, program := `{"kustomize":{"version":"v5"}}`, []string{kustomize, "build", filepath.Join(root, dir)}
			if base == "Chart.yaml" {
				options, program = `{"helm":{"version":"v3"}}`, []string{helm, "template", filepath.Join(root, dir), "--name-template", "my-app", "--include-crds", "--kube-version", "1.36.3"}
			} else if !slices.Contains(kustomizationNames, base) {
				continue
			}
			t.Run(filepath.Base(root)+"/"+name, func(t *testing.T) { compareFound(t, files, dir, options, program) })
		}
	}
}

func compareFound(t *testing.T, files tree, dir, options string, program []string) {
	request := RenderRequest{Path: dir, AppName: "my-app", Source: []byte(options), KubeVersion: "1.36.3", Limits: testLimits}
	request.Limits.Files, request.Limits.Documents, request.Limits.Depth = 1<<20, 1<<20, 1000
	started := time.Now()
	reply, got := render(t, request, files)
	took := time.Since(started)
	command := exec.Command(program[0], program[1:]...)
	command.Env = []string{"HOME=/nonexistent", "PATH=", "HTTPS_PROXY=http://127.0.0.1:1", "HTTP_PROXY=http://127.0.0.1:1"}
	var stderr strings.Builder
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		// `helm dependency build`, which Argo CD runs then, is part of the engine.
		if reply.Kind == "rendered" && !strings.Contains(stderr.String(), "missing in charts/") {
			t.Errorf("rendered what the real program refuses: %s", stderr.String())
		}
		t.Logf("both refuse: %s %+v %v | %s", reply.Kind, reply.Failure, reply.Charts, firstLine(stderr.String()))
		return
	}
	j := &job{request: &request, bundle: &bundle{}, out: output{limits: request.Limits}}
	if err := j.out.addRendered("", out, ""); err != nil {
		if reply.Kind == "rendered" {
			t.Errorf("rendered what is no manifest: %v", err)
		}
		return
	}
	if reply.Kind != "rendered" {
		t.Errorf("%s %+v %v %v", reply.Kind, reply.Failure, reply.Paths, reply.Charts)
		return
	}
	want := textsOf(j.out.heads, j.out.bodies)
	if reply.Uses != nil && len(reply.Uses.Nondeterministic) > 0 {
		t.Logf("not compared in full: %v", reply.Uses.Nondeterministic)
		if len(got) != len(want) {
			t.Errorf("%d objects, want %d", len(got), len(want))
		}
		return
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
			t.Errorf("object %d of %d/%d\n got %s\nwant %s", i, len(got), len(want), g, w)
			return
		}
	}
	t.Logf("%d objects equal in %s", len(got), took)
}
