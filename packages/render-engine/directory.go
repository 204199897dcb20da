// Plain directories, as Argo CD's repo-server reads them (reposerver/repository/repository.go, findManifests): which files
// count, and in which order.
package main

import (
	"bytes"
	"regexp"
	"strings"

	"github.com/gobwas/glob"
)

var manifestName = regexp.MustCompile(`^.*\.(yaml|yml|json|jsonnet)$`)

const skipMarker = "+argocd:skip-file-rendering"

func renderDirectory(job *job, options *DirectoryOptions) error {
	if options == nil {
		options = &DirectoryOptions{}
	}
	w := &directoryWalk{job: job, options: options, bundle: job.bundle, root: job.root}
	var err error
	if w.include, err = compileFilter(options.Include, "include"); err != nil {
		return err
	}
	if w.exclude, err = compileFilter(options.Exclude, "exclude"); err != nil {
		return err
	}
	if err := w.walk(w.root); err != nil {
		return err
	}
	var jsonnet *jsonnetRenderer
	for _, file := range w.chosen {
		if !strings.HasSuffix(file.path, ".jsonnet") {
			if err := job.out.addFile(file.path, file.content); err != nil {
				return err
			}
			continue
		}
		if jsonnet == nil {
			if jsonnet, err = newJsonnetRenderer(job, &options.Jsonnet); err != nil {
				return err
			}
		}
		if err := jsonnet.render(file.path, file.target); err != nil {
			return err
		}
	}
	return nil
}

type chosenFile struct {
	path string
	// target is path with links followed.
	target  string
	content []byte
}

type directoryWalk struct {
	job              *job
	options          *DirectoryOptions
	bundle           *bundle
	root             string
	include, exclude glob.Glob
	size, count      int
	chosen           []chosenFile
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
			if w.options.Recurse {
				if err := w.walk(p); err != nil {
					return err
				}
			}
			continue
		}
		if w.bundle.entries[p].kind == submodule {
			if w.options.Recurse {
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
	if !w.options.DisableExtensionFilter && !manifestName.MatchString(name) {
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
	if w.count++; w.count > w.job.request.Limits.Files {
		return limitFailure("files", "", "The source has more than %d manifest files.", w.job.request.Limits.Files)
	}
	if w.size += len(content); w.size > w.job.request.Limits.Bytes {
		return limitFailure("bytes", "", "The source's manifest files are larger than %d bytes together.", w.job.request.Limits.Bytes)
	}
	w.chosen = append(w.chosen, chosenFile{p, target, content})
	return nil
}

func (w *directoryWalk) warn(file, message string) { w.job.warn(file, message) }
