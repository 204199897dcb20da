// Plugins: the source's files go to a worker outside, which the parent asks; what it made comes back here and is read
// like every other tool's output.
package main

import (
	"bytes"
	"encoding/json"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// pluginAsked is the answer to a job without the plugin's output.
type pluginAsked struct{ plugin json.RawMessage }

func (*pluginAsked) Error() string { return "a plugin is to be asked" }

func renderPlugin(j *job, plugin json.RawMessage) error {
	// Nobody can tell what a plugin reads, so all that it is given are its inputs.
	if err := readEverything(j.bundle, j.root); err != nil {
		return err
	}
	for _, p := range j.request.GeneratePaths {
		if err := j.readBeside(p); err != nil {
			return err
		}
	}
	if j.request.PluginOutput == nil {
		return &pluginAsked{plugin}
	}
	text := toUTF8([]byte(*j.request.PluginOutput))
	if limit := j.request.Limits.Bytes; len(text) > limit {
		return limitFailure("bytes", "", "The plugin's output is larger than %d bytes.", limit)
	}
	const prefix = "The plugin's output cannot be used: "
	if first := bytes.TrimLeft(text, " \t\r\n"); strings.HasPrefix(string(first), "[") || json.Valid(text) && len(first) > 0 {
		return j.out.addJSON("", text, prefix)
	}
	return j.out.addRendered("", text, prefix)
}

// readBeside reads a path of the annotation manifest-generate-paths; of a pattern, the directory that it is in.
func (j *job) readBeside(p string) error {
	if i := strings.IndexAny(p, "*?[{"); i >= 0 {
		p = p[:strings.LastIndexByte(p[:i], '/')+1]
	}
	file, inside := beneath("", j.root, p)
	if !inside {
		return &Failure{
			Code: "RENDER_PATH_DENIED", Path: "metadata.annotations[argocd.argoproj.io/manifest-generate-paths]",
			Message: "A path leads out of the repository.",
		}
	}
	target, kind, err := j.bundle.find(file)
	switch {
	case err != nil:
		return err
	case kind == foundFile:
		j.bundle.read(target)
	case kind == foundDirectory:
		if err := j.bundle.refuseLinksOutside(target); err != nil {
			return err
		}
		return readEverything(j.bundle, target)
	}
	return nil
}

func readEverything(b *bundle, dir string) error {
	paths, err := pathsBelow(b, dir, nil)
	for _, p := range paths {
		if b.children[p] == nil {
			b.read(p)
		}
	}
	return err
}

type PluginRule struct {
	Name     string `json:"name"`
	FileName string `json:"fileName"`
	Glob     string `json:"glob"`
}

func (r PluginRule) matches(paths []string) bool {
	return slices.ContainsFunc(paths, func(p string) bool {
		var matched bool
		if r.FileName != "" {
			matched, _ = path.Match(r.FileName, p)
		} else if r.Glob != "" {
			matched, _ = doublestar.Match(r.Glob, p)
		}
		return matched
	})
}

// findPlugin names the plugin of a source that names none itself, by its files.
func (j *job) findPlugin(source *Source) (found bool, err error) {
	var options map[string]json.RawMessage
	if source.Plugin != nil {
		if err := json.Unmarshal(source.Plugin, &options); err != nil {
			return false, &Failure{Code: "SPEC_INVALID", Path: "spec.source.plugin", Message: "The plugin's options have a wrong type."}
		}
		if name := string(options["name"]); name != "" && name != `""` && name != "null" {
			return true, nil
		}
	}
	if len(j.request.Plugins) > 0 {
		// Another name anywhere may make it a plugin's.
		paths, err := pathsBelow(j.bundle, j.root, nil)
		if err != nil {
			return false, err
		}
		for i := range paths {
			paths[i] = strings.TrimPrefix(strings.TrimPrefix(paths[i], j.root), "/")
		}
		for _, rule := range j.request.Plugins {
			if !rule.matches(paths) {
				continue
			}
			name, _ := json.Marshal(rule.Name)
			if options == nil {
				options = map[string]json.RawMessage{}
			}
			options["name"] = name
			source.Plugin, err = json.Marshal(options)
			return true, err
		}
	}
	if source.Plugin != nil || j.request.WasPlugin {
		return false, &Failure{
			Code: "PLUGIN_UNAVAILABLE", Path: "spec.source.plugin.name",
			Message: "No declared plugin claims the files of this source; name one, or another type (`directory: {recurse: true}`).",
		}
	}
	return false, nil
}

func pathsBelow(b *bundle, dir string, paths []string) ([]string, error) {
	names, err := b.list(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		p := join(dir, name)
		paths = append(paths, p)
		if b.children[p] != nil {
			if paths, err = pathsBelow(b, p, paths); err != nil {
				return nil, err
			}
		}
	}
	return paths, nil
}
