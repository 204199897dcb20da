// Plain directories, as Argo CD's repo-server reads them (reposerver/repository/repository.go, findManifests): which files
// count, in which order, and what makes a directory another kind of source.
package main

import (
	"bytes"
	"regexp"
	"strings"

	"github.com/gobwas/glob"
)

var manifestName = regexp.MustCompile(`^.*\.(yaml|yml|json|jsonnet)$`)

const skipMarker = "+argocd:skip-file-rendering"

func renderDirectory(request *RenderRequest, raw []byte) (*Reply, [][]byte, error) {
	b, failure := newBundle(request, raw)
	if failure != nil {
		return nil, nil, failure
	}
	if strings.HasPrefix(request.Path, "/") || escapes(".", request.Path) {
		return nil, nil, &Failure{
			Code: "SPEC_INVALID", Path: "spec.source.path", Message: "The path must lie inside the repository.",
		}
	}
	w := &directoryWalk{request: request, bundle: b, root: clean(request.Path)}
	if err := w.begin(); err != nil {
		return nil, nil, err
	}
	if err := w.walk(w.root); err != nil {
		return nil, nil, err
	}
	out := &output{limits: request.Limits, warnings: w.warnings}
	for _, file := range w.chosen {
		if err := out.addFile(file.path, file.content); err != nil {
			return nil, nil, err
		}
	}
	return &Reply{Kind: "rendered", Manifests: out.heads, Reads: &b.reads, Warnings: out.warnings}, out.bodies, nil
}

type chosenFile struct {
	path    string
	content []byte
}

type directoryWalk struct {
	request          *RenderRequest
	bundle           *bundle
	root             string
	include, exclude glob.Glob
	size, count      int
	chosen           []chosenFile
	warnings         []Warning
}

func (w *directoryWalk) begin() error {
	var err error
	if w.include, err = compileFilter(w.request.Include, "include"); err != nil {
		return err
	}
	if w.exclude, err = compileFilter(w.request.Exclude, "exclude"); err != nil {
		return err
	}
	names, err := w.bundle.list(w.root)
	if err != nil {
		return err
	}
	if names == nil && w.root != "" {
		return &Failure{
			Code: "PATH_NOT_FOUND", Path: "spec.source.path", File: w.root,
			Message: "The path is not a directory of the repository at this revision.",
		}
	}
	if err := w.bundle.refuseLinksOutside(w.root); err != nil {
		return err
	}
	return w.refuseOtherSources(names)
}

// refuseOtherSources makes the look-ups by which Argo CD finds overrides and tells Helm and Kustomize from directories.
// They are inputs even when they find nothing: creating such a file changes what the source is.
func (w *directoryWalk) refuseOtherSources(names []string) error {
	overrides := []string{".argocd-source.yaml"}
	if w.request.AppName != "" {
		overrides = append(overrides, ".argocd-source-"+w.request.AppName+".yaml")
	}
	for _, name := range overrides {
		file := join(w.root, name)
		found, err := w.bundle.exists(file)
		if err != nil {
			return err
		}
		if found {
			return &Failure{Code: "UNSUPPORTED_FIELD", File: file, Message: "Source overrides in the repository are not honoured yet."}
		}
	}
	if w.request.Explicit {
		return nil
	}
	for _, name := range []string{"kustomization.yaml", "kustomization.yml", "Kustomization", "Chart.yaml"} {
		file := join(w.root, name)
		found, err := w.bundle.exists(file)
		if err != nil {
			return err
		}
		if found {
			return unsupportedSource(file)
		}
	}
	for _, name := range names {
		// Argo CD looks at the end of the name only, so that myChart.yaml makes a Helm source as well.
		if strings.HasSuffix(name, "Chart.yaml") {
			file := join(w.root, name)
			if found, err := w.bundle.exists(file); err != nil || found {
				if err != nil {
					return err
				}
				return unsupportedSource(file)
			}
		}
	}
	return nil
}

func unsupportedSource(file string) *Failure {
	kind := "Kustomize"
	if strings.HasSuffix(file, "Chart.yaml") {
		kind = "Helm"
	} else if strings.HasSuffix(file, ".jsonnet") {
		kind = "Jsonnet"
	}
	return &Failure{Code: "UNSUPPORTED_SOURCE_TYPE", File: file, Message: "This file makes it a " + kind + " source, which is not rendered yet."}
}

func compileFilter(pattern, field string) (glob.Glob, error) {
	if pattern == "" {
		return nil, nil
	}
	// No separators: `*` crosses `/`, as in Argo CD.
	compiled, err := glob.Compile(pattern)
	if err != nil {
		// Argo CD logs this and lets the pattern match nothing; an include that matches nothing would prune everything.
		return nil, &Failure{
			Code: "SPEC_INVALID", Path: "spec.source.directory." + field, Message: "The pattern is not a valid glob.",
		}
	}
	return compiled, nil
}

// walk visits names in filepath.Walk's order: sorted within each directory, a directory's content at its name's place.
func (w *directoryWalk) walk(dir string) error {
	names, err := w.bundle.list(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		p := join(dir, name)
		if w.bundle.children[p] != nil {
			if w.request.Recurse {
				if err := w.walk(p); err != nil {
					return err
				}
			}
			continue
		}
		if w.bundle.entries[p].kind == submodule {
			if w.request.Recurse {
				w.warn(p, "A submodule is not followed.")
			}
			continue
		}
		if err := w.visit(p, name); err != nil {
			return err
		}
	}
	return nil
}

func (w *directoryWalk) visit(p, name string) error {
	if !w.request.DisableExtensionFilter && !manifestName.MatchString(name) {
		return nil
	}
	relative := strings.TrimPrefix(strings.TrimPrefix(p, w.root), "/")
	if w.exclude != nil && matchGlob(w.exclude, relative) {
		return nil
	}
	if w.include != nil && !matchGlob(w.include, relative) {
		return nil
	}
	target, ok, err := w.bundle.resolve(p)
	if err != nil {
		return err
	}
	if !ok {
		w.warn(p, "A symbolic link leads to no file; it is skipped.")
		return nil
	}
	content := w.bundle.read(target)
	if bytes.Contains(content, []byte(skipMarker)) {
		return nil
	}
	if strings.HasSuffix(name, ".jsonnet") {
		return unsupportedSource(p)
	}
	if w.count++; w.count > w.request.Limits.Files {
		return limitFailure("files", "", "The source has more than %d manifest files.", w.request.Limits.Files)
	}
	if w.size += len(content); w.size > w.request.Limits.Bytes {
		return limitFailure("bytes", "", "The source's manifest files are larger than %d bytes together.", w.request.Limits.Bytes)
	}
	w.chosen = append(w.chosen, chosenFile{p, content})
	return nil
}

func (w *directoryWalk) warn(file, message string) {
	w.warnings = append(w.warnings, Warning{Message: message, File: file})
}
