// A look at every kustomization that a build will visit, before it: what is remote, leads out of the repository, starts
// a program or goes on without end is refused by name, and what the bundle lacks is asked for at once.
package main

import (
	"bytes"
	"errors"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"
)

const (
	kustomizeDepthMax = 32
	kustomizeNodesMax = 2000
)

type kustomizeScan struct {
	files       *kustomizeFiles
	rootFile    string
	nodes       int
	need        []string
	openapi     bool
	secretFiles map[string]bool
}

func (s *kustomizeScan) run(root string) error {
	s.secretFiles = map[string]bool{}
	if err := s.visit(root, nil, false); err != nil {
		return err
	}
	if s.files.denied != nil {
		return s.files.refused(s.rootFile)
	}
	if need := slices.Compact(slices.Sorted(slices.Values(append(s.need, s.files.need...)))); len(need) > 0 {
		return &needError{paths: need}
	}
	return nil
}

// visit reads the kustomization of a directory; plugins says that its resources configure generators or transformers.
func (s *kustomizeScan) visit(dir string, visited []string, plugins bool) error {
	if len(visited) >= kustomizeDepthMax {
		return limitFailure("depth", s.rootFile, "The kustomizations are nested more than %d levels deep.", kustomizeDepthMax)
	}
	if s.nodes++; s.nodes > kustomizeNodesMax {
		return limitFailure("nodes", s.rootFile, "The build visits more than %d kustomizations.", kustomizeNodesMax)
	}
	file := ""
	var content []byte
	for _, name := range kustomizationNames {
		p := join(dir, name)
		if found, err := s.files.ReadFile(s.files.path(p)); err == nil && file == "" {
			file, content = p, found
		}
	}
	if s.rootFile == "" {
		s.rootFile = file
		if file == "" && len(s.files.need) == 0 {
			s.rootFile = join(dir, kustomizationNames[0])
			return &Failure{Code: "PATH_NOT_FOUND", File: s.rootFile, Path: "spec.source.path", Message: "There is no kustomization file."}
		}
	}
	var k types.Kustomization
	if file == "" || k.Unmarshal(content) != nil {
		return nil // The build tells.
	}
	k.FixKustomization()
	if len(k.HelmCharts) > 0 || len(k.HelmChartInflationGenerator) > 0 || k.HelmGlobals != nil {
		return pluginDenied(file, "Kustomize may not inflate Helm charts; make the chart a source of its own.")
	}
	s.openapi = s.openapi || len(k.OpenAPI) > 0
	visited = append(visited[:len(visited):len(visited)], dir)
	for _, list := range []struct {
		paths   []string
		plugins bool
	}{{k.Resources, plugins}, {k.Components, plugins}, {k.Generators, true}, {k.Transformers, true}, {k.Validators, true}} {
		for _, p := range list.paths {
			if err := s.reference(file, dir, p, visited, list.plugins); err != nil {
				return err
			}
		}
	}
	for _, p := range s.plainFiles(file, &k) {
		if err := s.plainFile(file, dir, p); err != nil {
			return err
		}
	}
	return nil
}

// reference is a path to a file or a directory, or, for plugins, their configuration itself.
func (s *kustomizeScan) reference(file, dir, p string, visited []string, plugins bool) error {
	if plugins && strings.ContainsAny(p, "\n{") {
		return checkPluginConfig(file, []byte(p))
	}
	target, kind, err := s.place(file, dir, p)
	if err != nil {
		return err
	}
	switch kind {
	case foundDirectory:
		if slices.ContainsFunc(visited, func(v string) bool { return within(target, v) }) {
			return nil // A cycle, which the build tells.
		}
		return s.visit(target, visited, plugins)
	case foundFile:
		if plugins {
			content, err := s.files.ReadFile(s.files.path(target))
			if err != nil {
				return nil
			}
			return checkPluginConfig(target, content)
		}
	}
	return nil
}

func (s *kustomizeScan) plainFile(file, dir, p string) error {
	_, _, err := s.place(file, dir, p)
	return err
}

func (s *kustomizeScan) place(file, dir, p string) (target string, kind foundKind, err error) {
	if isRemote(p) {
		return "", foundNothing, remoteDenied(file, "", "A kustomization may only name files of the repository.")
	}
	bundle := s.files.bundle
	joined, ok := beneath(bundle.mountOf(dir), dir, p)
	if !ok || strings.HasPrefix(p, "/") {
		return "", foundNothing, pathDenied(file, "")
	}
	target, kind, err = bundle.find(joined)
	if need := (*needError)(nil); errors.As(err, &need) {
		s.need = append(s.need, need.paths...)
		return "", foundNothing, nil
	}
	return target, kind, err
}

// plainFiles are the files that a kustomization names, beside resources.
func (s *kustomizeScan) plainFiles(file string, k *types.Kustomization) []string {
	var paths []string
	generator := func(sources types.KvPairSources, secret bool) {
		var named []string
		for _, p := range sources.FileSources {
			if _, after, ok := strings.Cut(p, "="); ok {
				p = after
			}
			named = append(named, p)
		}
		named = append(named, sources.EnvSources...)
		if sources.EnvSource != "" {
			named = append(named, sources.EnvSource)
		}
		if secret {
			for _, p := range named {
				s.secretFiles[join(strings.TrimSuffix(file, "/"+lastName(file)), p)] = true
			}
		}
		paths = append(paths, named...)
	}
	for _, g := range k.ConfigMapGenerator {
		generator(g.KvPairSources, false)
	}
	for _, g := range k.SecretGenerator {
		generator(g.KvPairSources, true)
	}
	add := func(p string) {
		if p != "" && !strings.Contains(p, "\n") {
			paths = append(paths, p)
		}
	}
	for _, patch := range slices.Concat(k.Patches, k.PatchesJson6902) {
		add(patch.Path)
	}
	for _, patch := range k.PatchesStrategicMerge {
		if !strings.HasPrefix(strings.TrimSpace(string(patch)), "{") {
			add(string(patch))
		}
	}
	for _, replacement := range k.Replacements {
		add(replacement.Path)
	}
	for _, p := range slices.Concat(k.Crds, k.Configurations) {
		add(p)
	}
	add(k.OpenAPI["path"])
	return paths
}

func lastName(p string) string { return p[strings.LastIndexByte(p, '/')+1:] }

var functionAnnotation = regexp.MustCompile(`config\.(kubernetes|k8s)\.io/function`)

// checkPluginConfig lets only Kustomize's built-in generators and transformers pass.
func checkPluginConfig(file string, content []byte) error {
	if functionAnnotation.Match(content) {
		return pluginDenied(file, "A KRM function would start a program.")
	}
	for _, document := range bytes.Split(content, []byte("\n---")) {
		var config struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
			Items      []any  `json:"items"`
		}
		if yaml.Unmarshal(document, &config) != nil || config.Kind == "" {
			continue
		}
		if config.APIVersion != "builtin" || strings.HasPrefix(config.Kind, "HelmChartInflation") || len(config.Items) > 0 {
			return pluginDenied(file, "Only Kustomize's built-in generators and transformers may be used.")
		}
	}
	return nil
}

func pluginDenied(file, message string) *Failure {
	return &Failure{Code: "RENDER_PLUGIN_DENIED", File: file, Message: message}
}

var (
	remoteScheme = regexp.MustCompile(`(?i)^(?:git::|[a-z][a-z0-9+.-]*://|github\.com[/:])`)
	remoteLogin  = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9-]*@.*[/:]`)
)

// isRemote is at least what Kustomize takes for a Git repository or a URL (api/internal/git/repospec.go).
func isRemote(p string) bool {
	return remoteScheme.MatchString(p) || remoteLogin.MatchString(p) || strings.Contains(p, "?ref=")
}
