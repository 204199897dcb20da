// Kustomize sources: Argo CD's overrides applied by the code of `kustomize edit`, then the code of `kustomize build`
// (util/kustomize/kustomize.go), over the bundle.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/kv"
	ldrhelper "sigs.k8s.io/kustomize/api/pkg/loader"
	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kustomize/v5/commands/edit/add"
	"sigs.k8s.io/kustomize/kustomize/v5/commands/edit/set"
	"sigs.k8s.io/kustomize/kyaml/openapi"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	"sigs.k8s.io/yaml"
)

var kustomizationNames = []string{"kustomization.yaml", "kustomization.yml", "Kustomization"}

type KustomizeOptions struct {
	NamePrefix                string             `json:"namePrefix,omitempty"`
	NameSuffix                string             `json:"nameSuffix,omitempty"`
	Images                    []string           `json:"images,omitempty"`
	CommonLabels              map[string]string  `json:"commonLabels,omitempty"`
	Version                   string             `json:"version,omitempty"`
	CommonAnnotations         map[string]string  `json:"commonAnnotations,omitempty"`
	ForceCommonLabels         bool               `json:"forceCommonLabels,omitempty"`
	ForceCommonAnnotations    bool               `json:"forceCommonAnnotations,omitempty"`
	Namespace                 string             `json:"namespace,omitempty"`
	CommonAnnotationsEnvsubst bool               `json:"commonAnnotationsEnvsubst,omitempty"`
	Replicas                  []KustomizeReplica `json:"replicas,omitempty"`
	Patches                   []KustomizePatch   `json:"patches,omitempty"`
	Components                []string           `json:"components,omitempty"`
	IgnoreMissingComponents   bool               `json:"ignoreMissingComponents,omitempty"`
	LabelWithoutSelector      bool               `json:"labelWithoutSelector,omitempty"`
	KubeVersion               string             `json:"kubeVersion,omitempty"`
	APIVersions               []string           `json:"apiVersions,omitempty"`
	LabelIncludeTemplates     bool               `json:"labelIncludeTemplates,omitempty"`
}

type KustomizeReplica struct {
	Name string `json:"name"`
	// Count is a number or its text.
	Count json.RawMessage `json:"count"`
}

type KustomizePatch struct {
	Path    string           `json:"path,omitempty"`
	Patch   string           `json:"patch,omitempty"`
	Target  *KustomizeTarget `json:"target,omitempty"`
	Options map[string]bool  `json:"options,omitempty"`
}

type KustomizeTarget struct {
	Group              string `json:"group,omitempty"`
	Version            string `json:"version,omitempty"`
	Kind               string `json:"kind,omitempty"`
	Name               string `json:"name,omitempty"`
	Namespace          string `json:"namespace,omitempty"`
	AnnotationSelector string `json:"annotationSelector,omitempty"`
	LabelSelector      string `json:"labelSelector,omitempty"`
}

func (k *KustomizeOptions) isZero() bool {
	return k == nil || k.NamePrefix == "" && k.NameSuffix == "" && k.Version == "" && k.Namespace == "" &&
		len(k.Images) == 0 && len(k.Replicas) == 0 && len(k.CommonLabels) == 0 && len(k.CommonAnnotations) == 0 &&
		len(k.Patches) == 0 && len(k.Components) == 0 && k.KubeVersion == "" && len(k.APIVersions) == 0 && !k.IgnoreMissingComponents
}

type kustomizeRender struct {
	*job
	files *kustomizeFiles
	scan  *kustomizeScan
}

func renderKustomize(j *job, options *KustomizeOptions) error {
	build, err := buildOptions(j.request.BuildOptions)
	if err != nil {
		return err
	}
	k := &kustomizeRender{job: j, files: newKustomizeFiles(j.bundle, j.root)}
	if options != nil {
		if err := k.edit(options); err != nil {
			return err
		}
	}
	// Everything is looked at before anything is rendered: what is refused costs nothing and is named by its file.
	k.scan = &kustomizeScan{files: k.files}
	if err := k.scan.run(j.root); err != nil {
		return err
	}
	result, err := k.run(build)
	if err != nil {
		return err
	}
	for _, resource := range result.Resources() {
		text, err := jsonOf(&resource.RNode)
		if err != nil {
			return k.failure(err)
		}
		if err := k.out.addJSON(k.scan.rootFile, text, "Kustomize's result: "); err != nil {
			return err
		}
	}
	return nil
}

// jsonOf is the JSON that Kustomize prints as YAML, which we would only turn back; its own MarshalJSON writes YAML and
// parses it for that, a tenth of a render.
func jsonOf(node *kyaml.RNode) ([]byte, error) {
	var object map[string]any
	if err := node.YNode().Decode(&object); err != nil {
		return nil, err
	}
	return json.Marshal(object)
}

// buildOptions honours what changes the result; what would start a program is refused.
func buildOptions(text string) (*krusty.Options, error) {
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionUnspecified
	fields := strings.Fields(text)
	for i := 0; i < len(fields); i++ {
		name, value, given := strings.Cut(fields[i], "=")
		if !given && (name == "--load-restrictor" || name == "--reorder") && i+1 < len(fields) {
			i++
			value = fields[i]
		}
		switch {
		case name == "--load-restrictor" && value == "LoadRestrictionsNone":
			options.LoadRestrictions = types.LoadRestrictionsNone
		case name == "--load-restrictor" && value == "LoadRestrictionsRootOnly":
		case name == "--reorder" && (value == "legacy" || value == "none"):
			options.Reorder = krusty.ReorderOption(value)
		case name == "--enable-managedby-label" && value != "false":
			options.AddManagedbyLabel = true
		default:
			return nil, &Failure{Code: "UNSUPPORTED_FIELD", Path: "kustomize.buildOptions", Message: "The build option " + name + " is not honoured."}
		}
	}
	return options, nil
}

func (k *kustomizeRender) run(options *krusty.Options) (result resmap.ResMap, err error) {
	if k.scan.openapi {
		// The library keeps schemas: those of earlier jobs would be added to this one's, and this one's to later jobs'.
		openapi.ResetOpenAPI()
		defer openapi.ResetOpenAPI()
	}
	refusedURL = ""
	defer func() {
		if cause := recover(); cause != nil {
			result, err = nil, k.failure(fmt.Errorf("%v", cause))
		}
	}()
	result, err = krusty.MakeKustomizer(options).Run(k.files, k.files.path(k.root))
	if refused := k.files.refused(k.scan.rootFile); refused != nil {
		return nil, refused
	}
	if err != nil {
		return nil, k.failure(err)
	}
	return result, nil
}

// edit writes Argo CD's overrides into the kustomization file, in the order of Argo CD.
func (k *kustomizeRender) edit(o *KustomizeOptions) error {
	var steps [][]string
	step := func(args ...string) { steps = append(steps, args) }
	if o.NamePrefix != "" {
		step("set", "nameprefix", "--", o.NamePrefix)
	}
	if o.NameSuffix != "" {
		step("set", "namesuffix", "--", o.NameSuffix)
	}
	if len(o.Images) > 0 {
		args := []string{"set", "image"}
		for _, image := range o.Images {
			args = append(args, k.substitute(image))
		}
		steps = append(steps, args)
	}
	if len(o.Replicas) > 0 {
		args := []string{"set", "replicas"}
		for _, replica := range o.Replicas {
			count := strings.Trim(string(replica.Count), `"`)
			args = append(args, replica.Name+"="+count)
		}
		steps = append(steps, args)
	}
	if len(o.CommonLabels) > 0 {
		args := []string{"add", "label"}
		if o.ForceCommonLabels {
			args = append(args, "--force")
		}
		if o.LabelWithoutSelector {
			args = append(args, "--without-selector")
		}
		if o.LabelIncludeTemplates {
			args = append(args, "--include-templates")
		}
		steps = append(steps, append(args, k.pairs(o.CommonLabels, true)...))
	}
	if len(o.CommonAnnotations) > 0 {
		args := []string{"add", "annotation"}
		if o.ForceCommonAnnotations {
			args = append(args, "--force")
		}
		steps = append(steps, append(args, k.pairs(o.CommonAnnotations, o.CommonAnnotationsEnvsubst)...))
	}
	if o.Namespace != "" {
		step("set", "namespace", "--", o.Namespace)
	}
	for _, args := range steps {
		if err := k.command(args); err != nil {
			return err
		}
	}
	if err := k.addPatches(o.Patches); err != nil {
		return err
	}
	return k.addComponents(o)
}

func (k *kustomizeRender) pairs(values map[string]string, substitute bool) []string {
	var pairs []string
	for name, value := range values {
		if substitute {
			value = k.substitute(value)
		}
		pairs = append(pairs, name+":"+value)
	}
	slices.Sort(pairs)
	return pairs
}

// command is `kustomize edit` with these arguments.
func (k *kustomizeRender) command(args []string) error {
	deps := provider.NewDefaultDepProvider()
	loader := kv.NewLoader(ldrhelper.NewFileLoaderAtCwd(k.files), deps.GetFieldValidator())
	var command *cobra.Command
	if args[0] == "set" {
		command = set.NewCmdSet(k.files, loader, deps.GetFieldValidator(), deps.GetResourceFactory())
	} else {
		command = add.NewCmdAdd(k.files, loader, deps.GetResourceFactory())
	}
	command.SetArgs(args[1:])
	command.SetOut(io.Discard)
	command.SetErr(io.Discard)
	command.SilenceErrors, command.SilenceUsage = true, true
	err := command.Execute()
	if refused := k.files.refused(""); refused != nil {
		return refused
	}
	if err != nil {
		return &Failure{Code: "SPEC_INVALID", Path: "spec.source.kustomize", Message: "The option cannot be applied: " + redact(firstLine(err.Error()), nil)}
	}
	return nil
}

// addPatches: there is no `kustomize edit` for patches; Argo CD rewrites the file.
func (k *kustomizeRender) addPatches(patches []KustomizePatch) error {
	if len(patches) == 0 {
		return nil
	}
	name := ""
	for _, candidate := range kustomizationNames {
		if k.files.Exists(candidate) {
			name = candidate
			break
		}
	}
	content, err := k.files.ReadFile(name)
	if refused := k.files.refused(""); refused != nil {
		return refused
	}
	var object map[string]any
	if err == nil {
		err = yaml.Unmarshal(content, &object)
	}
	if err != nil || object == nil {
		return &Failure{Code: "MANIFEST_INVALID", File: join(k.root, name), Message: "The kustomization is not a mapping."}
	}
	list, ok := object["patches"].([]any)
	if _, has := object["patches"]; has && !ok {
		return &Failure{Code: "MANIFEST_INVALID", File: join(k.root, name), Message: "`patches` is not a list."}
	}
	for _, patch := range patches {
		list = append(list, patch)
	}
	object["patches"] = list
	if content, err = yaml.Marshal(object); err != nil {
		return err
	}
	return k.files.WriteFile(name, content)
}

func (k *kustomizeRender) addComponents(o *KustomizeOptions) error {
	const field = "spec.source.kustomize.components"
	var found []string
	for _, component := range o.Components {
		if isRemote(component) {
			return remoteDenied("", field, "A component may not be remote.")
		}
		p, ok := beneath(k.bundle.mountOf(k.root), k.root, component)
		if !ok || strings.HasPrefix(component, "/") {
			return pathDenied("", field)
		}
		_, kind, err := k.bundle.find(p)
		if err != nil {
			return err
		}
		if kind != foundNothing {
			found = append(found, component)
		} else if !o.IgnoreMissingComponents {
			return &Failure{Code: "PATH_NOT_FOUND", File: p, Path: field, Message: "A component does not exist."}
		}
	}
	if len(found) == 0 {
		return nil
	}
	return k.command(append([]string{"add", "component"}, found...))
}

// failure tells Kustomize's error without what the files say that may be secret.
func (k *kustomizeRender) failure(err error) error {
	var known *Failure
	if errors.As(err, &known) {
		return known
	}
	message := strings.Join(strings.Fields(err.Error()), " ")
	message = strings.ReplaceAll(message, virtualRoot+"/", "")
	file := k.scan.rootFile
	// Of the files that the message names, the last is the cause.
	last := -1
	for _, read := range k.bundle.reads.Files {
		for _, name := range []string{read, "'" + path.Base(read) + "'"} {
			if at := strings.LastIndex(message, name); at > last {
				last, file = at, read
			}
		}
	}
	return &Failure{Code: "MANIFEST_INVALID", File: file, Message: "Kustomize: " + redact(message, k.secrets())}
}

// secrets are what the Secrets and secret generators among the files hold.
func (k *kustomizeRender) secrets() []string {
	var secrets []string
	for _, file := range k.bundle.reads.Files {
		content := string(k.bundle.entries[file].bytes)
		if k.scan.secretFiles[file] {
			secrets = append(secrets, strings.Split(content, "\n")...)
			for line := range strings.SplitSeq(content, "\n") {
				if _, value, ok := strings.Cut(line, "="); ok {
					secrets = append(secrets, value)
				}
			}
		}
		if !strings.Contains(content, "Secret") && !strings.Contains(content, "secretGenerator") {
			continue
		}
		for _, document := range strings.Split(content, "\n---") {
			var object map[string]any
			if yaml.Unmarshal([]byte(document), &object) != nil {
				continue
			}
			if object["kind"] == "Secret" {
				texts(object["data"], &secrets)
				texts(object["stringData"], &secrets)
			}
			var literals []string
			texts(object["secretGenerator"], &literals)
			for _, literal := range literals {
				if _, value, ok := strings.Cut(literal, "="); ok {
					secrets = append(secrets, value)
				}
			}
		}
	}
	return secrets
}
