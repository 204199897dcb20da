// Helm sources: what `helm template` prints for the options that Argo CD gives it. The chart is loaded from the bundle;
// values, dependencies, templates, hooks and order are Helm's own code (action.Install.RunWithContext and
// Configuration.renderResources, without the clients around them).
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/bmatcuk/doublestar/v4"
	"helm.sh/helm/v4/pkg/chart/common"
	commonutil "helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
	release "helm.sh/helm/v4/pkg/release/v1"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
	"helm.sh/helm/v4/pkg/strvals"
	"sigs.k8s.io/yaml"
)

type HelmOptions struct {
	ValueFiles              []string            `json:"valueFiles,omitempty"`
	Parameters              []HelmParameter     `json:"parameters,omitempty"`
	ReleaseName             string              `json:"releaseName,omitempty"`
	Values                  string              `json:"values,omitempty"`
	FileParameters          []HelmFileParameter `json:"fileParameters,omitempty"`
	Version                 string              `json:"version,omitempty"`
	PassCredentials         bool                `json:"passCredentials,omitempty"`
	IgnoreMissingValueFiles bool                `json:"ignoreMissingValueFiles,omitempty"`
	SkipCrds                bool                `json:"skipCrds,omitempty"`
	ValuesObject            json.RawMessage     `json:"valuesObject,omitempty"`
	Namespace               string              `json:"namespace,omitempty"`
	KubeVersion             string              `json:"kubeVersion,omitempty"`
	APIVersions             []string            `json:"apiVersions,omitempty"`
	SkipTests               bool                `json:"skipTests,omitempty"`
	SkipSchemaValidation    bool                `json:"skipSchemaValidation,omitempty"`
}

type HelmParameter struct {
	Name        string `json:"name,omitempty"`
	Value       string `json:"value,omitempty"`
	ForceString bool   `json:"forceString,omitempty"`
}

type HelmFileParameter struct {
	Name string `json:"name,omitempty"`
	Path string `json:"path,omitempty"`
}

func (h *HelmOptions) isZero() bool {
	return h == nil || h.Version == "" && h.ReleaseName == "" && len(h.ValueFiles) == 0 && len(h.Parameters) == 0 &&
		len(h.FileParameters) == 0 && len(h.valuesYAML()) == 0 && !h.PassCredentials && !h.IgnoreMissingValueFiles &&
		!h.SkipCrds && !h.SkipTests && !h.SkipSchemaValidation && h.KubeVersion == "" && len(h.APIVersions) == 0 && h.Namespace == ""
}

// valuesYAML: an object wins over a text, an empty one too.
func (h *HelmOptions) valuesYAML() []byte {
	if len(h.ValuesObject) > 0 && string(h.ValuesObject) != "null" {
		if text, err := yaml.JSONToYAML(h.ValuesObject); err == nil && string(bytes.TrimSpace(text)) != "{}" {
			return text
		}
		return nil
	}
	return []byte(h.Values)
}

type helmRender struct {
	*job
	options *HelmOptions
	chart   *chart.Chart
	// sources are the texts of which words are looked for.
	sources []string
	// unread are files that only .Files can show.
	unread []string
	// unlisted are directories of which the same holds.
	unlisted []string
	values   map[string]any
	words    capabilityWords
}

func renderHelm(j *job, options *HelmOptions) error {
	if options == nil {
		options = &HelmOptions{}
	}
	h := &helmRender{job: j, options: options}
	err := h.render()
	if err != nil {
		// Which of them would be shown is not known.
		h.readUnread()
	}
	return err
}

func (h *helmRender) render() error {
	if err := h.load(); err != nil {
		return err
	}
	if err := h.readValues(); err != nil {
		return err
	}
	files, err := h.renderTemplates()
	if err != nil {
		return err
	}
	return h.addManifests(files)
}

func (h *helmRender) readUnread() {
	for _, file := range h.unread {
		h.bundle.read(file)
	}
	for _, dir := range h.unlisted {
		_, _ = h.bundle.list(dir) // It has been listed before, so that nothing can be missing.
	}
}

// load reads the chart and what it depends on.
func (h *helmRender) load() error {
	files, err := h.chartFiles(h.root)
	if err != nil {
		return err
	}
	if h.chart, err = loader.LoadFiles(files); err != nil {
		return h.failure(err, join(h.root, "Chart.yaml"))
	}
	if kind := h.chart.Metadata.Type; kind != "" && kind != "application" {
		return &Failure{Code: "MANIFEST_INVALID", File: join(h.root, "Chart.yaml"), Message: "A chart of type " + kind + " cannot be installed."}
	}
	if err := h.addMissingDependencies(); err != nil {
		return err
	}
	sortDependencies(h.chart)
	return nil
}

// sortDependencies: LoadFiles adds them in the order of a map; ours is the same every time.
func sortDependencies(c *chart.Chart) {
	dependencies := c.Dependencies()
	sort.SliceStable(dependencies, func(a, b int) bool {
		x, y := dependencies[a].Metadata, dependencies[b].Metadata
		return x.Name < y.Name || x.Name == y.Name && x.Version < y.Version
	})
	for _, dependency := range dependencies {
		sortDependencies(dependency)
	}
}

// addMissingDependencies does the part of `helm dependency build` that Argo CD falls back on.
func (h *helmRender) addMissingDependencies() error {
	var missing []*chart.Dependency
	for _, wanted := range h.chart.Metadata.Dependencies {
		if !slices.ContainsFunc(h.chart.Dependencies(), func(c *chart.Chart) bool { return c.Name() == wanted.Name }) {
			missing = append(missing, wanted)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if err := h.checkLock(); err != nil {
		return err
	}
	chartFile := join(h.root, "Chart.yaml")
	var need needError
	var added []ChartNeed
	for _, wanted := range missing {
		if dir, local := strings.CutPrefix(wanted.Repository, "file://"); local {
			p, ok := beneath(h.bundle.mountOf(h.root), h.root, dir)
			if !ok || strings.HasPrefix(dir, "/") {
				return pathDenied(chartFile, "")
			}
			files, err := h.chartFiles(p)
			if more := (*needError)(nil); errors.As(err, &more) {
				need.paths = append(need.paths, more.paths...)
				continue
			}
			if err != nil {
				return err
			}
			if err := h.addDependency(wanted, files, p); err != nil {
				return err
			}
			continue
		}
		if wanted.Repository == "" {
			return &Failure{Code: "MANIFEST_INVALID", File: chartFile, Message: "The dependency " + wanted.Name + " names no repository and is not in charts/."}
		}
		asked := ChartNeed{Repository: wanted.Repository, Name: wanted.Name, Version: h.lockedVersion(wanted)}
		// A chart under several aliases is one chart.
		if slices.Contains(added, asked) {
			continue
		}
		added = append(added, asked)
		i := slices.IndexFunc(h.request.Charts, func(c ChartArchive) bool { return c.ChartNeed == asked })
		if i < 0 {
			need.charts = append(need.charts, asked)
			continue
		}
		archive := h.request.Charts[i].Path
		if e, there := h.bundle.entries[archive]; !there || e.kind != regular {
			need.paths = append(need.paths, archive)
			continue
		}
		files, err := h.unpackChart(archive, h.bundle.read(archive), "", 0)
		if err != nil {
			return err
		}
		if err := h.addDependency(wanted, files, archive); err != nil {
			return err
		}
	}
	if len(need.paths)+len(need.charts) > 0 {
		return &need
	}
	return nil
}

func (h *helmRender) addDependency(wanted *chart.Dependency, files []*chartFile, from string) error {
	loaded, err := loader.LoadFiles(files)
	if err != nil {
		return h.failure(err, from)
	}
	if loaded.Name() != wanted.Name {
		return &Failure{Code: "MANIFEST_INVALID", File: from, Message: "The dependency " + wanted.Name + " is the chart of another name."}
	}
	if wanted.Version != "" && !chartutil.IsCompatibleRange(wanted.Version, loaded.Metadata.Version) {
		return &Failure{Code: "MANIFEST_INVALID", File: from, Message: "The dependency " + wanted.Name + " does not have the version that Chart.yaml asks for."}
	}
	h.chart.AddDependency(loaded)
	return nil
}

// checkLock is the comparison of `helm dependency build`: a lock of other dependencies is not to be trusted.
func (h *helmRender) checkLock() error {
	lock := h.chart.Lock
	if lock == nil {
		return nil
	}
	text, err := json.Marshal([2][]*chart.Dependency{h.chart.Metadata.Dependencies, lock.Dependencies})
	if err != nil {
		return err
	}
	if "sha256:"+sha256Hex(text) == lock.Digest {
		return nil
	}
	old, err := json.Marshal(map[string][]*chart.Dependency{"dependencies": h.chart.Metadata.Dependencies})
	if err == nil && h.chart.Metadata.APIVersion == chart.APIVersionV1 && "sha256:"+sha256Hex(old) == lock.Digest {
		return nil
	}
	return &Failure{Code: "MANIFEST_INVALID", File: join(h.root, "Chart.lock"), Message: "Chart.lock is out of step with Chart.yaml; run `helm dependency update`."}
}

func (h *helmRender) lockedVersion(wanted *chart.Dependency) string {
	if h.chart.Lock != nil {
		for _, locked := range h.chart.Lock.Dependencies {
			if locked.Name == wanted.Name && locked.Repository == wanted.Repository {
				return locked.Version
			}
		}
	}
	return wanted.Version
}

// readValues: files in order, then values, then parameters, then file parameters; the later wins.
func (h *helmRender) readValues() error {
	values := map[string]any{}
	files, err := h.valueFiles()
	if err != nil {
		return err
	}
	add := func(text []byte, file, field string) error {
		loaded, err := loader.LoadValues(bytes.NewReader(text))
		if err != nil {
			where, line := withLine(err.Error())
			return &Failure{Code: "MANIFEST_INVALID", File: file, Path: field, Line: line, Message: "The values cannot be parsed: " + where}
		}
		values = loader.MergeMaps(values, loaded)
		h.sources = append(h.sources, string(text))
		return nil
	}
	for _, file := range files {
		if err := add(h.bundle.read(file), file, ""); err != nil {
			return err
		}
	}
	if text := h.options.valuesYAML(); len(text) > 0 {
		if err := add(text, "", "spec.source.helm.values"); err != nil {
			return err
		}
	}
	if err := h.setParameters(values); err != nil {
		return err
	}
	h.values = values
	return nil
}

func (h *helmRender) setParameters(values map[string]any) error {
	refused := &Failure{Code: "SPEC_INVALID", Path: "spec.source.helm.parameters"}
	// Argo CD collects parameters in maps: of two with one name the last counts, and texts come after the rest.
	for _, asText := range []bool{false, true} {
		last := map[string]string{}
		var names []string
		for _, parameter := range h.options.Parameters {
			if parameter.ForceString != asText {
				continue
			}
			if _, twice := last[parameter.Name]; !twice {
				names = append(names, parameter.Name)
			}
			last[parameter.Name] = h.substitute(parameter.Value)
			h.sources = append(h.sources, last[parameter.Name])
		}
		for _, name := range names {
			parse := strvals.ParseInto
			if asText {
				parse = strvals.ParseIntoString
			}
			h.sources = append(h.sources, last[name])
			if err := parse(name+"="+escapeCommas(last[name]), values); err != nil {
				refused.Message = "The parameter " + name + " cannot be set."
				return refused
			}
		}
	}
	for _, parameter := range h.options.FileParameters {
		file, err := h.valueFile(parameter.Path, "spec.source.helm.fileParameters")
		if err != nil {
			return err
		}
		target, ok, err := h.bundle.resolve(file)
		if err != nil {
			return err
		}
		if !ok {
			return &Failure{Code: "PATH_NOT_FOUND", File: file, Path: "spec.source.helm.fileParameters", Message: "The file of a parameter does not exist."}
		}
		content := string(h.bundle.read(target))
		h.sources = append(h.sources, content)
		read := func([]rune) (any, error) { return content, nil }
		if err := strvals.ParseIntoFile(parameter.Name+"=file", values, read); err != nil {
			refused.Path, refused.Message = "spec.source.helm.fileParameters", "The parameter "+parameter.Name+" cannot be set."
			return refused
		}
	}
	return nil
}

// escapeCommas is Argo CD's cleanSetParameters: a comma is part of the value unless the value is a list.
func escapeCommas(value string) string {
	if strings.HasPrefix(value, "{") && strings.HasSuffix(value, "}") {
		return value
	}
	var escaped strings.Builder
	previous := rune(0)
	for _, r := range value {
		if r == ',' && previous != '\\' {
			escaped.WriteByte('\\')
		}
		escaped.WriteRune(r)
		previous = r
	}
	return escaped.String()
}

// valueFile gives the place in the bundle of a path as the Application writes it.
func (h *helmRender) valueFile(written, field string) (string, error) {
	root, dir, p := h.bundle.mountOf(h.root), h.root, ""
	if name, rest, _ := strings.Cut(written, "/"); strings.HasPrefix(name, "$") && h.isRef(name[1:]) {
		root = clean(h.request.Refs[name[1:]])
		dir, p = root, h.substitute("/"+rest)
	} else {
		if _, known := h.variable(strings.Trim(strings.TrimPrefix(name, "$"), "{}")); strings.HasPrefix(name, "$") && !strings.HasPrefix(name, "$$") && !known {
			return "", &Failure{Code: "SPEC_INVALID", Path: field, Message: "No source of this Application has the ref " + name[1:] + "."}
		}
		p = h.substitute(written)
	}
	if u, err := url.Parse(p); err == nil && u.Scheme != "" {
		return "", remoteDenied("", field, "Values are read from repositories only, not from URLs.")
	}
	joined, ok := beneath(root, dir, p)
	if !ok || joined == root {
		return "", pathDenied("", field)
	}
	return joined, nil
}

func (h *helmRender) isRef(name string) bool {
	_, is := h.request.Refs[name]
	return is
}

// valueFiles expands patterns in place; a file that is also listed by name stands where it is listed.
func (h *helmRender) valueFiles() ([]string, error) {
	const field = "spec.source.helm.valueFiles"
	var paths, files []string
	var need needError
	for _, written := range h.options.ValueFiles {
		p, err := h.valueFile(written, field)
		if err != nil {
			return nil, err
		}
		paths = append(paths, p)
	}
	add := func(file string) {
		if !slices.Contains(files, file) {
			files = append(files, file)
		}
	}
	for _, p := range paths {
		if strings.ContainsAny(p, "*?[") {
			base, pattern := doublestar.SplitPattern(p)
			tree := &bundleFS{bundle: h.bundle, base: clean(base)}
			matches, err := doublestar.Glob(tree, pattern)
			if len(tree.need) > 0 {
				need.paths = append(need.paths, tree.need...)
				continue
			}
			if err != nil {
				return nil, &Failure{Code: "SPEC_INVALID", Path: field, Message: "A pattern of value files is not valid."}
			}
			found := false
			for _, match := range matches {
				match = join(clean(base), match)
				if target, ok, err := h.bundle.resolve(match); err != nil {
					return nil, err
				} else if ok {
					found = true
					if !slices.Contains(paths, match) {
						add(target)
					}
				}
			}
			if !found && !h.options.IgnoreMissingValueFiles {
				return nil, &Failure{Code: "PATH_NOT_FOUND", Path: field, Message: "A pattern of value files matches no file."}
			}
			continue
		}
		target, ok, err := h.bundle.resolve(p)
		if more := (*needError)(nil); errors.As(err, &more) {
			need.paths = append(need.paths, more.paths...)
			continue
		}
		if err != nil {
			return nil, err
		}
		if !ok {
			if h.options.IgnoreMissingValueFiles {
				continue
			}
			return nil, &Failure{Code: "PATH_NOT_FOUND", File: p, Path: field, Message: "A value file does not exist."}
		}
		add(target)
	}
	if len(need.paths) > 0 {
		return nil, &need
	}
	return files, nil
}

func (h *helmRender) capabilities() (*common.Capabilities, error) {
	capabilities := common.DefaultCapabilities.Copy()
	known := h.versions()
	if h.words.kubeVersion || h.chart.Metadata.KubeVersion != "" {
		known.kube = h.kubeVersion()
	}
	if h.words.apiVersions {
		known.apis = h.apiVersions()
	}
	if known.kube != "" {
		parsed, err := common.ParseKubeVersion(plainVersion(known.kube))
		if err != nil {
			return nil, &Failure{Code: "SPEC_INVALID", Path: "spec.source.helm.kubeVersion", Message: "The Kubernetes version cannot be read."}
		}
		capabilities.KubeVersion = *parsed
	}
	capabilities.APIVersions = append(slices.Clone(capabilities.APIVersions), known.apis...)
	return capabilities, nil
}

func (h *helmRender) renderTemplates() (map[string]string, error) {
	name := h.options.ReleaseName
	if name == "" {
		// `<namespace>_<name>` outside the control plane's namespace.
		name = h.request.AppName[strings.IndexByte(h.request.AppName, '_')+1:]
	}
	if err := chartutil.ValidateReleaseName(name); err != nil {
		return nil, &Failure{Code: "SPEC_INVALID", Path: "spec.source.helm.releaseName", Message: "The release's name is no name for Helm: at most 53 lower-case letters, digits, `-` and `.`."}
	}
	namespace := h.options.Namespace
	if namespace == "" {
		namespace = h.request.Environment.Namespace
	}
	if namespace == "" {
		namespace = "default"
	}
	chartFile := join(h.root, "Chart.yaml")
	if err := chartutil.ProcessDependencies(h.chart, h.values); err != nil {
		return nil, h.failure(err, chartFile)
	}
	h.noteWords()
	capabilities, err := h.capabilities()
	if err != nil {
		return nil, err
	}
	// The schema is ours to check: Helm's own check opens files and connections for a `$ref`.
	values, err := commonutil.ToRenderValuesWithSchemaValidation(h.chart, h.values, common.ReleaseOptions{
		Name: name, Namespace: namespace, Revision: 1, IsInstall: true,
	}, capabilities, true)
	if err != nil {
		return nil, h.failure(err, chartFile)
	}
	h.values, _ = values["Values"].(common.Values)
	if h.values == nil {
		h.values, _ = values["Values"].(map[string]any)
	}
	if !h.options.SkipSchemaValidation {
		if err := h.checkSchemas(h.chart, h.root, h.values); err != nil {
			return nil, err
		}
	}
	if wanted := h.chart.Metadata.KubeVersion; wanted != "" && !chartutil.IsCompatibleRange(wanted, capabilities.KubeVersion.String()) {
		return nil, &Failure{Code: "MANIFEST_INVALID", File: chartFile, Message: "The chart wants Kubernetes " + wanted + ", the cluster is " + capabilities.KubeVersion.Version + "."}
	}
	values["Capabilities"] = &templateCapabilities{capabilities.KubeVersion, watchedVersions(capabilities.APIVersions), capabilities.HelmVersion}
	watched.begin()
	files, err := engine.Engine{CustomTemplateFuncs: watched.functions}.RenderWithContext(context.Background(), h.chart, values)
	h.uses.Nondeterministic, h.uses.Lookup = watched.end()
	h.noteAsked()
	if err != nil {
		return nil, h.failure(err, "")
	}
	return files, nil
}

func (h *helmRender) addManifests(files map[string]string) error {
	for name := range files {
		if strings.HasSuffix(name, "NOTES.txt") {
			delete(files, name)
		}
	}
	hooks, manifests, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	if err != nil {
		return h.failure(err, "")
	}
	// Texts are those that `helm template` prints, to the line's end: it belongs to a block text that closes the document.
	type printed struct{ name, text string }
	var texts []printed
	if !h.options.SkipCrds {
		for _, crd := range h.chart.CRDObjects() {
			texts = append(texts, printed{crd.Filename, string(crd.File.Data)})
		}
	}
	for _, manifest := range manifests {
		texts = append(texts, printed{manifest.Name, manifest.Content})
	}
	if last := len(texts) - 1; last >= 0 {
		texts[last].text = strings.TrimRightFunc(texts[last].text, unicode.IsSpace)
	}
	for _, hook := range hooks {
		if h.options.SkipTests && slices.Contains(hook.Events, release.HookTest) {
			continue
		}
		texts = append(texts, printed{hook.Path, hook.Manifest})
	}
	for _, t := range texts {
		if err := h.add(t.name, t.text+"\n"); err != nil {
			return err
		}
	}
	return nil
}

func (h *helmRender) add(name, text string) error {
	return h.out.addRendered(h.fileOf(name), []byte(text), "The template's result: ")
}

// fileOf gives the place in the repository of what Helm calls <chart>/charts/<subchart>/templates/x.yaml.
func (h *helmRender) fileOf(name string) string {
	_, below, _ := strings.Cut(name, "/")
	return join(h.root, below)
}

// noteAsked: API versions that templates asked for by name count by their answers, as long as nothing shows all of them.
func (h *helmRender) noteAsked() {
	if len(h.stated.apis) > 0 || len(watched.asked) == 0 || slices.Contains(h.uses.Variables, "KUBE_API_VERSIONS") {
		return
	}
	h.useCluster("KUBE_API_VERSIONS")
	h.uses.APIVersions = maps.Clone(watched.asked)
}

// noteWords decides which files and versions have a part in the result. What only `.Files` could show is no input when
// no template says so; neither are the cluster's versions.
func (h *helmRender) noteWords() {
	var files bool
	look := func(text string) {
		files = files || strings.Contains(text, "Files") || wholeContext.MatchString(text)
		h.words.look(text)
	}
	var walk func(c *chart.Chart)
	walk = func(c *chart.Chart) {
		for _, template := range c.Templates {
			look(string(template.Data))
		}
		for _, file := range c.Raw {
			if file.Name == "values.yaml" {
				look(string(file.Data))
			}
		}
		for _, dependency := range c.Dependencies() {
			walk(dependency)
		}
	}
	walk(h.chart)
	for _, source := range h.sources {
		look(source)
	}
	if files {
		h.readUnread()
		for _, file := range h.unread {
			h.words.look(string(h.bundle.entries[file].bytes))
		}
	}
}

// wholeContext finds templates that print everything they were given, `{{ toYaml . }}` or `{{ $ | toJson }}`.
var wholeContext = regexp.MustCompile(`(?:to[A-Z]\w+|mustTo\w+|print\w*|quote|squote|toString|cat|html|js)\s+[.$][\s})|]|[\s({-][.$]\s*\|\s*(?:to[A-Z]\w+|mustTo\w+|print\w*|quote|squote|toString|cat)|range[^}]*:=\s*[.$]\s*-?}`)

var (
	templatePlace = regexp.MustCompile(`([\w./@+~-]+\.(?:ya?ml|tpl|txt|json)):(\d+)`)
	templateName  = regexp.MustCompile(`([\w./@+~-]+/templates/[\w./@+~-]+)`)
)

// failure tells a library's error: where, and without what the values say.
func (h *helmRender) failure(err error, file string) error {
	var known *Failure
	if errors.As(err, &known) {
		return known
	}
	message := strings.Join(strings.Fields(err.Error()), " ")
	line := 0
	if found := templatePlace.FindStringSubmatch(message); found != nil && strings.Contains(found[1], "/") {
		file = h.fileOf(found[1])
		line, _ = strconv.Atoi(found[2])
	} else if found := templateName.FindStringSubmatch(message); found != nil && file == "" {
		file = h.fileOf(found[1])
	}
	if file == "" {
		file = join(h.root, "Chart.yaml")
	}
	return &Failure{Code: "MANIFEST_INVALID", File: file, Line: line, Message: "Helm: " + redact(message, h.secrets())}
}

// secrets are the values' texts that no template says itself.
func (h *helmRender) secrets() []string {
	var all, secret []string
	texts(map[string]any(h.values), &all)
	var said strings.Builder
	if h.chart != nil {
		texts(h.chart.Values, &all)
		var walk func(c *chart.Chart)
		walk = func(c *chart.Chart) {
			said.WriteString(c.Name())
			for _, template := range c.Templates {
				said.WriteString(template.Name)
				said.Write(template.Data)
			}
			for _, dependency := range c.Dependencies() {
				walk(dependency)
			}
		}
		walk(h.chart)
	}
	for _, text := range all {
		if len(text) >= 4 && !strings.Contains(said.String(), text) {
			secret = append(secret, text)
			for _, word := range strings.Fields(text) {
				if len(word) >= 8 && !strings.Contains(said.String(), word) {
					secret = append(secret, word)
				}
			}
		}
	}
	return secret
}

// withLine splits the line off a YAML parser's message and drops what the message quotes.
func withLine(message string) (string, int) {
	found := yamlLine.FindStringSubmatch(message)
	line := 0
	if found != nil {
		line, _ = strconv.Atoi(found[1])
	}
	if i := strings.Index(message, "yaml: "); i >= 0 {
		return withoutValues(message[i+len("yaml: "):]) + ".", line
	}
	return "they are not a mapping.", line
}

var genericVersion = regexp.MustCompile(`^\s*v?(\d+(?:\.\d+)*)`)

// plainVersion is Argo CD's parseKubeVersion: what a provider appends is dropped.
func plainVersion(version string) string {
	if found := genericVersion.FindStringSubmatch(version); found != nil {
		return found[1]
	}
	return version
}

// bundleFS shows a directory of the bundle to a glob.
type bundleFS struct {
	bundle *bundle
	base   string
	need   []string
}

func (f *bundleFS) find(name string) (string, foundKind, error) {
	p, kind, err := f.bundle.find(join(f.base, name))
	if need := (*needError)(nil); errors.As(err, &need) {
		f.need = append(f.need, need.paths...)
	}
	if err != nil || kind == foundNothing {
		return "", foundNothing, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return p, kind, nil
}

func (f *bundleFS) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}

func (f *bundleFS) Stat(name string) (fs.FileInfo, error) {
	_, kind, err := f.find(name)
	if err != nil {
		return nil, err
	}
	return fileInfo{path.Base(name), kind == foundDirectory}, nil
}

func (f *bundleFS) ReadDir(name string) ([]fs.DirEntry, error) {
	dir, kind, err := f.find(name)
	if err != nil || kind != foundDirectory {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	names, err := f.bundle.list(dir)
	if err != nil {
		f.need = append(f.need, dir)
		return nil, err
	}
	entries := make([]fs.DirEntry, 0, len(names))
	for _, child := range names {
		if _, kind, err := f.find(join(name, child)); err == nil {
			entries = append(entries, fs.FileInfoToDirEntry(fileInfo{child, kind == foundDirectory}))
		}
	}
	return entries, nil
}

// fileInfo is all that libraries ask about a file before they read it.
type fileInfo struct {
	name string
	dir  bool
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return 0 }
func (i fileInfo) ModTime() time.Time { return time.Time{} }
func (i fileInfo) IsDir() bool        { return i.dir }
func (i fileInfo) Sys() any           { return nil }
func (i fileInfo) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o755
	}
	return 0o644
}
