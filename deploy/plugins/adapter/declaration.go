// A ConfigManagementPlugin as Argo CD's sidecars have it (cmpserver/plugin/config.go): what is read of it and refused.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

type command struct {
	Command []string `json:"command"`
	Args    []string `json:"args"`
}

func (c command) argv() []string { return append(append([]string{}, c.Command...), c.Args...) }

type declaration struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		Version  string  `json:"version"`
		Init     command `json:"init"`
		Generate command `json:"generate"`
		Discover struct {
			FileName string `json:"fileName"`
			Find     struct {
				command
				Glob string `json:"glob"`
			} `json:"find"`
		} `json:"discover"`
		// The announcement of parameters is for a web page.
		PreserveFileMode bool `json:"preserveFileMode"`
		ProvideGitCreds  bool `json:"provideGitCreds"`
	} `json:"spec"`
}

type plugin struct {
	declaration
	// dir holds the declaration, and perhaps scripts beside it.
	dir string
	// digest of the declaration: another one may make other manifests of the same files.
	digest string
	// namesRevision: the commands, or the programs and scripts that they start, name the commit's variables.
	namesRevision bool
}

const revisionVariable = "ARGOCD_APP_REVISION"

func readDeclaration(file string) (*plugin, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(text)
	p := &plugin{dir: dir, digest: hex.EncodeToString(digest[:6])}
	if err := yaml.Unmarshal(text, &p.declaration); err != nil {
		return nil, err
	}
	spec := &p.Spec
	switch {
	case p.Kind != "ConfigManagementPlugin":
		return nil, errors.New("it is no ConfigManagementPlugin")
	case p.Metadata.Name == "":
		return nil, errors.New("metadata.name is missing")
	case len(spec.Generate.Command) == 0:
		return nil, errors.New("spec.generate.command is missing")
	case spec.ProvideGitCreds:
		return nil, errors.New("spec.provideGitCreds is not honoured: credentials are given to no plugin")
	}
	p.namesRevision = namesRevision(spec.Init) || namesRevision(spec.Generate)
	return p, nil
}

// names: Argo CD appends the version where there is one; the bare name is served as well.
func (p *plugin) names() []string {
	if p.Spec.Version == "" {
		return []string{p.Metadata.Name}
	}
	return []string{p.Metadata.Name + "-" + p.Spec.Version, p.Metadata.Name}
}

func namesRevision(c command) bool {
	for i, argument := range c.argv() {
		if bytes.Contains([]byte(argument), []byte(revisionVariable)) {
			return true
		}
		file := argument
		if i == 0 {
			file, _ = exec.LookPath(argument)
		}
		if !filepath.IsAbs(file) {
			continue
		}
		if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
			continue
		}
		if content, err := os.ReadFile(file); err == nil && bytes.Contains(content, []byte(revisionVariable)) {
			return true
		}
	}
	return false
}
