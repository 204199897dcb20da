// Jsonnet within directories. Its importer knows the bundle and nothing else; what Argo CD's finds on its disk is an
// error here, the same whether it exists or not.
package main

import (
	"path"
	"strings"

	"github.com/google/go-jsonnet"
)

type JsonnetOptions struct {
	ExtVars []JsonnetVariable `json:"extVars,omitempty"`
	TLAs    []JsonnetVariable `json:"tlas,omitempty"`
	Libs    []string          `json:"libs,omitempty"`
}

type JsonnetVariable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Code  bool   `json:"code,omitempty"`
}

type jsonnetRenderer struct {
	job      *job
	vm       *jsonnet.VM
	importer *bundleImporter
	// secrets are values of the Application that messages must not quote.
	secrets []string
}

func newJsonnetRenderer(j *job, options *JsonnetOptions) (*jsonnetRenderer, error) {
	r := &jsonnetRenderer{job: j, vm: jsonnet.MakeVM(), importer: &bundleImporter{bundle: j.bundle, cache: map[string]jsonnet.Contents{}}}
	// Libraries are looked through from the last to the first; their paths are relative to the repository's root.
	r.importer.libs = []string{j.root}
	mount := j.bundle.mountOf(j.root)
	for _, lib := range options.Libs {
		dir, ok := beneath(mount, mount, lib)
		if !ok {
			return nil, pathDenied("", "spec.source.directory.jsonnet.libs")
		}
		target, kind, err := j.bundle.find(dir)
		if err != nil {
			return nil, err
		}
		if kind == foundDirectory {
			dir = target
		}
		r.importer.libs = append(r.importer.libs, dir)
	}
	for _, v := range options.ExtVars {
		v.Value = j.substitute(v.Value)
		r.secrets = append(r.secrets, v.Value)
		if v.Code {
			r.vm.ExtCode(v.Name, v.Value)
		} else {
			r.vm.ExtVar(v.Name, v.Value)
		}
	}
	for _, v := range options.TLAs {
		v.Value = j.substitute(v.Value)
		r.secrets = append(r.secrets, v.Value)
		if v.Code {
			r.vm.TLACode(v.Name, v.Value)
		} else {
			r.vm.TLAVar(v.Name, v.Value)
		}
	}
	r.vm.Importer(r.importer)
	return r, nil
}

func (r *jsonnetRenderer) render(file, target string) error {
	r.importer.main = target
	text, err := r.vm.EvaluateFile(target)
	if len(r.importer.need) > 0 {
		return &needError{paths: r.importer.need}
	}
	if r.importer.denied != nil {
		r.importer.denied.File = file
		return r.importer.denied
	}
	if err != nil {
		where, line := jsonnetPlace(err.Error(), file)
		return &Failure{Code: "MANIFEST_INVALID", File: where, Line: line, Message: "The Jsonnet cannot be evaluated: " + redact(firstLine(err.Error()), r.secrets)}
	}
	return r.job.out.addJSON(file, []byte(text), "The Jsonnet's result: ")
}

// bundleImporter is jsonnet.FileImporter over a bundle.
type bundleImporter struct {
	bundle *bundle
	// main is the file to evaluate.
	main   string
	libs   []string
	cache  map[string]jsonnet.Contents
	need   []string
	denied *Failure
}

type importError string

func (e importError) Error() string { return string(e) }

func (i *bundleImporter) Import(from, imported string) (jsonnet.Contents, string, error) {
	if strings.Contains(imported, "://") {
		i.denied = remoteDenied("", "", "Jsonnet may only import files of the repository.")
		return jsonnet.Contents{}, "", importError("remote import")
	}
	if from == "" && imported == i.main {
		return i.contents(imported), imported, nil
	}
	dirs := reversed(i.libs)
	// Code given as a variable stands in no directory.
	if from != "" && !strings.HasPrefix(from, "<") {
		dirs = append([]string{clean(path.Dir(from))}, dirs...)
	}
	for _, dir := range dirs {
		p, ok := beneath(i.bundle.mountOf(dir), dir, imported)
		if !ok || strings.HasPrefix(imported, "/") {
			i.denied = pathDenied("", "")
			return jsonnet.Contents{}, "", importError("import outside the repository")
		}
		target, ok, err := i.bundle.resolve(p)
		if err != nil {
			if need, is := err.(*needError); is {
				i.need = append(i.need, need.paths...)
			} else if failure, is := err.(*Failure); is {
				i.denied = failure
			}
			return jsonnet.Contents{}, "", importError("import not in the bundle")
		}
		if ok {
			return i.contents(target), target, nil
		}
	}
	return jsonnet.Contents{}, "", importError("couldn't open import: no match locally or in the Jsonnet library paths")
}

func (i *bundleImporter) contents(p string) jsonnet.Contents {
	contents, cached := i.cache[p]
	if !cached {
		contents = jsonnet.MakeContentsRaw(i.bundle.read(p))
		i.cache[p] = contents
	}
	return contents
}

func reversed(list []string) []string {
	out := make([]string, len(list))
	for i, item := range list {
		out[len(list)-1-i] = item
	}
	return out
}
