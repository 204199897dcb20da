// A source: its options with the repository's overrides merged in, its type, its build environment; all as Argo CD's
// repo-server does it (reposerver/repository/repository.go, util/app/discovery).
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// Source holds Argo CD's options under its own names.
type Source struct {
	Directory *DirectoryOptions `json:"directory,omitempty"`
	Helm      *HelmOptions      `json:"helm,omitempty"`
	Kustomize *KustomizeOptions `json:"kustomize,omitempty"`
	Plugin    json.RawMessage   `json:"plugin,omitempty"`
}

type DirectoryOptions struct {
	Recurse                bool           `json:"recurse,omitempty"`
	Include                string         `json:"include,omitempty"`
	Exclude                string         `json:"exclude,omitempty"`
	DisableExtensionFilter bool           `json:"disableExtensionFilter,omitempty"`
	Jsonnet                JsonnetOptions `json:"jsonnet,omitzero"`
}

func (d *DirectoryOptions) isZero() bool {
	return d == nil || !d.Recurse && d.Include == "" && d.Exclude == "" && !d.DisableExtensionFilter &&
		len(d.Jsonnet.ExtVars) == 0 && len(d.Jsonnet.TLAs) == 0 && len(d.Jsonnet.Libs) == 0
}

type Environment struct {
	// Namespace is the destination's.
	Namespace      string `json:"namespace"`
	Project        string `json:"project"`
	Revision       string `json:"revision"`
	RepoURL        string `json:"repoURL"`
	TargetRevision string `json:"targetRevision"`
}

// Uses says what beside the files has a part in the result, so that the render key holds no more than it must.
type Uses struct {
	// Variables of the build environment that were substituted; KUBE_VERSION and KUBE_API_VERSIONS also where a chart looks
	// at the cluster's capabilities.
	Variables []string `json:"variables,omitempty"`
	// APIVersions that were asked for by name, and whether the cluster has them; absent where all of them count.
	APIVersions map[string]bool `json:"apiVersions,omitempty"`
	// Nondeterministic functions that were called; equal inputs may give other manifests.
	Nondeterministic []string `json:"nondeterministic,omitempty"`
	// Lookup: the chart asks the cluster, which answers with nothing here as in `helm template`.
	Lookup bool `json:"lookup,omitempty"`
}

// job is one render under way.
type job struct {
	request *RenderRequest
	bundle  *bundle
	// root is the source's directory in the bundle.
	root string
	uses Uses
	out  output
	// stated are versions that the source's own options say.
	stated versions
	// lacksCluster: the cluster's versions have a part in it, and nobody has told them.
	lacksCluster bool
}

func (j *job) warn(file, message string) {
	j.out.warnings = append(j.out.warnings, Warning{Message: message, File: file})
}

func renderSource(request *RenderRequest, raw []byte) (*Reply, [][]byte, error) {
	b, failure := newBundle(request, raw)
	if failure != nil {
		return nil, nil, failure
	}
	if strings.HasPrefix(request.Path, "/") || escapes(".", request.Path) {
		return nil, nil, &Failure{
			Code: "SPEC_INVALID", Path: "spec.source.path", Message: "The path must lie inside the repository.",
		}
	}
	j := &job{request: request, bundle: b, root: clean(request.Path), out: output{limits: request.Limits}}
	if strings.HasSuffix(j.root, ".tgz") && b.entries[j.root].bytes != nil {
		if err := b.mountArchive(j.root); err != nil {
			return &Reply{Reads: &b.reads}, nil, err
		}
		j.root = unpackedRoot
	}
	kind, err := j.render()
	if j.lacksCluster {
		// Whatever came out, came out of versions that are not the cluster's.
		need := &needError{}
		errors.As(err, &need)
		need.cluster = true
		err = need
	}
	var asked *pluginAsked
	if errors.As(err, &asked) {
		return &Reply{Kind: "plugin", Plugin: asked.plugin, Reads: &b.reads}, nil, nil
	}
	if err != nil {
		return &Reply{Reads: &b.reads}, nil, err
	}
	slices.Sort(j.uses.Variables)
	reply := &Reply{
		Kind: "rendered", Type: kind, Manifests: j.out.heads, Reads: &b.reads, Uses: &j.uses, Warnings: j.out.warnings,
	}
	return reply, j.out.bodies, nil
}

func (j *job) render() (string, error) {
	if !j.bundle.isComplete(j.root) {
		return "", &needError{paths: []string{j.root}}
	}
	names := j.bundle.children[j.root]
	chartOnly := false
	defer func() {
		// A chart says itself which names count.
		if !chartOnly {
			_, _ = j.bundle.list(j.root)
		}
	}()
	if names == nil && j.root != "" {
		return "", &Failure{
			Code: "PATH_NOT_FOUND", Path: "spec.source.path", File: j.root,
			Message: "The path is not a directory of the repository at this revision.",
		}
	}
	if err := j.bundle.refuseLinksOutside(j.root); err != nil {
		return "", err
	}
	source, err := j.readSource()
	if err != nil {
		return "", err
	}
	kind, err := j.sourceType(source, names)
	if err != nil {
		return "", err
	}
	j.stated = source.statedVersions()
	chartOnly = kind == "Helm" && (source.Helm != nil || slices.Contains(names, "Chart.yaml") && !slices.ContainsFunc(names, oddChartName))
	switch kind {
	case "Helm":
		return kind, renderHelm(j, source.Helm)
	case "Kustomize":
		return kind, renderKustomize(j, source.Kustomize)
	case "Plugin":
		return kind, renderPlugin(j, source.Plugin)
	}
	return kind, renderDirectory(j, source.Directory)
}

// readSource looks for overrides in the repository; the look-ups are inputs even when they find nothing.
func (j *job) readSource() (*Source, error) {
	source := &Source{}
	if len(j.request.Source) > 0 {
		if err := json.Unmarshal(j.request.Source, source); err != nil {
			return nil, &Failure{Code: "SPEC_INVALID", Path: "spec.source", Message: "The source's options have a wrong type."}
		}
	}
	source.dropEmpty()
	overrides := []string{".argocd-source.yaml"}
	if j.request.AppName != "" {
		overrides = append(overrides, ".argocd-source-"+j.request.AppName+".yaml")
	}
	for _, name := range overrides {
		file := join(j.root, name)
		target, ok, err := j.bundle.resolve(file)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if source, err = mergeOverride(source, j.bundle.read(target)); err != nil {
			return nil, &Failure{Code: "MANIFEST_INVALID", File: file, Message: "The source overrides are not a mapping of the source's fields."}
		}
	}
	return source, nil
}

// dropEmpty is argo.NormalizeApplicationSpec: options that say nothing do not make a type explicit.
func (s *Source) dropEmpty() {
	if s.Directory.isZero() {
		s.Directory = nil
	}
	if s.Helm.isZero() {
		s.Helm = nil
	}
	if s.Kustomize.isZero() {
		s.Kustomize = nil
	}
	if text := string(bytes.TrimSpace(s.Plugin)); text == "null" || text == "{}" {
		s.Plugin = nil
	}
}

func mergeOverride(source *Source, override []byte) (*Source, error) {
	text, err := json.Marshal(source)
	if err != nil {
		return nil, err
	}
	patch, err := yaml.YAMLToJSON(override)
	if err != nil {
		return nil, err
	}
	var into, from map[string]any
	if err := decodeNumbers(text, &into); err != nil {
		return nil, err
	}
	if err := decodeNumbers(patch, &from); err != nil {
		return nil, err
	}
	if text, err = json.Marshal(mergePatch(into, from)); err != nil {
		return nil, err
	}
	merged := &Source{}
	return merged, json.Unmarshal(text, merged)
}

func decodeNumbers(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return decoder.Decode(into)
}

// mergePatch is RFC 7396.
func mergePatch(into, patch map[string]any) map[string]any {
	if into == nil {
		into = map[string]any{}
	}
	for name, value := range patch {
		if value == nil {
			delete(into, name)
			continue
		}
		if object, ok := value.(map[string]any); ok {
			old, _ := into[name].(map[string]any)
			into[name] = mergePatch(old, object)
			continue
		}
		into[name] = value
	}
	return into
}

// sourceType: what the Application says, else what the names in the directory say. Argo CD walks them in order and keeps
// the last that tells something, so that kustomization.yaml beside Chart.yaml makes a Kustomize source, and it looks at
// the end of a chart's name only.
func (j *job) sourceType(source *Source, names []string) (string, error) {
	var explicit []string
	if source.Kustomize != nil {
		explicit = append(explicit, "Kustomize")
	}
	if source.Helm != nil {
		explicit = append(explicit, "Helm")
	}
	if source.Directory != nil {
		explicit = append(explicit, "Directory")
	}
	if source.Plugin != nil {
		explicit = append(explicit, "Plugin")
	}
	if len(explicit) > 1 {
		return "", &Failure{Code: "SPEC_INVALID", Path: "spec.source", Message: "The source says more than one type: " + strings.Join(explicit, ", ") + "."}
	}
	if len(explicit) == 1 && explicit[0] != "Plugin" {
		return explicit[0], nil
	}
	// Plugins come before everything that names in the directory may say.
	if found, err := j.findPlugin(source); found || err != nil {
		return "Plugin", err
	}
	for _, name := range []string{"kustomization.yaml", "kustomization.yml", "Kustomization", "Chart.yaml"} {
		if _, err := j.bundle.exists(join(j.root, name)); err != nil {
			return "", err
		}
	}
	kind := "Directory"
	for _, name := range names {
		if j.bundle.children[join(j.root, name)] != nil {
			continue
		}
		switch {
		case strings.HasSuffix(name, "Chart.yaml"):
			kind = "Helm"
		case slices.Contains(kustomizationNames, name):
			kind = "Kustomize"
		}
	}
	return kind, nil
}

// oddChartName makes a chart of a directory by its end only.
func oddChartName(name string) bool {
	return strings.HasSuffix(name, "Chart.yaml") && name != "Chart.yaml"
}

// substitute replaces $NAME and ${NAME} by the build environment's values, as os.Expand does; $$ is a dollar sign.
func (j *job) substitute(text string) string {
	if !strings.Contains(text, "$") {
		return text
	}
	return os.Expand(text, func(name string) string {
		if name == "$" {
			return "$"
		}
		value, known := j.variable(name)
		if known {
			j.use(name)
		}
		return value
	})
}

func (j *job) use(variable string) {
	if !slices.Contains(j.uses.Variables, variable) {
		j.uses.Variables = append(j.uses.Variables, variable)
	}
}

func (j *job) variable(name string) (value string, known bool) {
	e := j.request.Environment
	switch name {
	case "ARGOCD_APP_NAME":
		return j.request.AppName, true
	case "ARGOCD_APP_NAMESPACE":
		return e.Namespace, true
	case "ARGOCD_APP_PROJECT_NAME":
		return e.Project, true
	case "ARGOCD_APP_REVISION":
		return e.Revision, true
	case "ARGOCD_APP_REVISION_SHORT":
		return e.Revision[:min(7, len(e.Revision))], true
	case "ARGOCD_APP_REVISION_SHORT_8":
		return e.Revision[:min(8, len(e.Revision))], true
	case "ARGOCD_APP_SOURCE_REPO_URL":
		return e.RepoURL, true
	case "ARGOCD_APP_SOURCE_PATH":
		return j.request.Path, true
	case "ARGOCD_APP_SOURCE_TARGET_REVISION":
		return e.TargetRevision, true
	// These note their use themselves: what the source states is no use of the cluster.
	case "KUBE_VERSION":
		return plainVersion(j.kubeVersion()), false
	case "KUBE_API_VERSIONS":
		return strings.Join(j.apiVersions(), ","), false
	}
	return "", false
}

func remoteDenied(file, field, message string) *Failure {
	return &Failure{Code: "RENDER_REMOTE_BASE_DENIED", File: file, Path: field, Message: message}
}

func pathDenied(file, field string) *Failure {
	return &Failure{Code: "RENDER_PATH_DENIED", File: file, Path: field, Message: "A path leads out of the repository."}
}
