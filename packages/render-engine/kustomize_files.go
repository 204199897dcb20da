// The bundle as Kustomize's file system. It stands below a root that nobody names, so that a path that leaves the
// repository is told from one within it. What the bundle does not know, and what lies outside, is remembered: the
// library asks in booleans, and goes on.
package main

import (
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const virtualRoot = "/repository"

type kustomizeFiles struct {
	bundle *bundle
	cwd    string
	// written are kustomization files with the Application's overrides.
	written map[string][]byte
	need    []string
	denied  *Failure
}

var _ filesys.FileSystem = (*kustomizeFiles)(nil)

func newKustomizeFiles(b *bundle, cwd string) *kustomizeFiles {
	return &kustomizeFiles{bundle: b, cwd: cwd, written: map[string][]byte{}}
}

// path gives a bundle's path as the library sees it.
func (f *kustomizeFiles) path(p string) string {
	if p == "" {
		return virtualRoot
	}
	return virtualRoot + "/" + p
}

// refused is why the result must not be used, whatever the library said.
func (f *kustomizeFiles) refused(file string) error {
	switch {
	case f.denied != nil:
		if f.denied.File == "" {
			f.denied.File = file
		}
		return f.denied
	case len(f.need) > 0:
		return &needError{paths: f.need}
	case refusedURL != "":
		return remoteDenied(file, "", "A file may not be remote.")
	}
	return nil
}

func (f *kustomizeFiles) find(p string) (target string, kind foundKind) {
	if !strings.HasPrefix(p, "/") {
		p = f.path(f.cwd) + "/" + p
	}
	p = path.Clean(p)
	if p != virtualRoot && !strings.HasPrefix(p, virtualRoot+"/") {
		f.denied = pathDenied("", "")
		return "", foundNothing
	}
	p = strings.TrimPrefix(strings.TrimPrefix(p, virtualRoot), "/")
	target, kind, err := f.bundle.find(p)
	var need *needError
	var failure *Failure
	if errors.As(err, &need) {
		f.need = append(f.need, need.paths...)
	} else if errors.As(err, &failure) {
		f.denied = failure
	}
	return target, kind
}

func notExist(op, p string) error { return &fs.PathError{Op: op, Path: p, Err: fs.ErrNotExist} }

func (f *kustomizeFiles) IsDir(p string) bool { _, kind := f.find(p); return kind == foundDirectory }

func (f *kustomizeFiles) Exists(p string) bool { _, kind := f.find(p); return kind != foundNothing }

func (f *kustomizeFiles) CleanedAbs(p string) (filesys.ConfirmedDir, string, error) {
	target, kind := f.find(p)
	switch kind {
	case foundDirectory:
		return filesys.ConfirmedDir(f.path(target)), "", nil
	case foundFile:
		dir, name := path.Split(f.path(target))
		return filesys.ConfirmedDir(path.Clean(dir)), name, nil
	}
	return "", "", notExist("lstat", p)
}

func (f *kustomizeFiles) ReadFile(p string) ([]byte, error) {
	target, kind := f.find(p)
	switch kind {
	case foundFile:
		content := f.bundle.read(target)
		if written, is := f.written[target]; is {
			content = written
		}
		return content, nil
	case foundDirectory:
		return nil, &fs.PathError{Op: "read", Path: p, Err: errors.New("is a directory")}
	}
	return nil, notExist("open", p)
}

func (f *kustomizeFiles) WriteFile(p string, content []byte) error {
	target, kind := f.find(p)
	if kind != foundFile {
		return notExist("open", p)
	}
	f.written[target] = content
	return nil
}

func (f *kustomizeFiles) ReadDir(p string) ([]string, error) {
	target, kind := f.find(p)
	if kind != foundDirectory {
		return nil, notExist("open", p)
	}
	names, err := f.bundle.list(target)
	if err != nil {
		f.need = append(f.need, target)
	}
	return names, err
}

// Glob is used by `kustomize edit`, whose arguments here are paths that exist.
func (f *kustomizeFiles) Glob(pattern string) ([]string, error) {
	if f.Exists(pattern) {
		return []string{pattern}, nil
	}
	return nil, nil
}

func (f *kustomizeFiles) Create(p string) (filesys.File, error)    { return nil, readOnly("create", p) }
func (f *kustomizeFiles) Open(p string) (filesys.File, error)      { return nil, readOnly("open", p) }
func (f *kustomizeFiles) Mkdir(p string) error                     { return readOnly("mkdir", p) }
func (f *kustomizeFiles) MkdirAll(p string) error                  { return readOnly("mkdir", p) }
func (f *kustomizeFiles) RemoveAll(p string) error                 { return readOnly("remove", p) }
func (f *kustomizeFiles) Walk(p string, _ filepath.WalkFunc) error { return readOnly("walk", p) }

func readOnly(op, p string) error { return &fs.PathError{Op: op, Path: p, Err: fs.ErrPermission} }
