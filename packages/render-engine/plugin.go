// Plugins: the source's files go to a worker outside, which the parent asks; what it made comes back here and is read
// like every other tool's output.
package main

import (
	"bytes"
	"encoding/json"
	"strings"
)

// pluginAsked is the answer to a job without the plugin's output.
type pluginAsked struct{ plugin json.RawMessage }

func (*pluginAsked) Error() string { return "a plugin is to be asked" }

func renderPlugin(j *job, plugin json.RawMessage) error {
	// Nobody can tell what a plugin reads, so all that it is given are its inputs.
	if err := readEverything(j.bundle, j.root); err != nil {
		return err
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

func readEverything(b *bundle, dir string) error {
	names, err := b.list(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		p := join(dir, name)
		if b.children[p] == nil {
			b.read(p)
		} else if err := readEverything(b, p); err != nil {
			return err
		}
	}
	return nil
}
