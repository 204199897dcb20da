// From a document to manifests: Lists are unfolded, each object is checked and made ready to apply (DESIGN §1 rule 5, and
// nothing beyond it), then written as canonical JSON in two texts: metadata, which is edited later, and the rest, which is not.
package main

import (
	"encoding/base64"
	"fmt"
	"slices"
	"sort"
	"strings"
)

type output struct {
	limits   Limits
	tree     treeBuilder
	heads    []ManifestHead
	bodies   [][]byte
	warnings []Warning
}

func (o *output) addDocument(file string, doc document) error {
	o.warnings = append(o.warnings, doc.warnings...)
	items, isList := doc.object["items"].([]any)
	if !isList {
		if isNullList(doc.object) {
			return nil
		}
		return o.addObject(file, doc.line, doc.object)
	}
	for i, item := range items {
		object, ok := item.(map[string]any)
		if !ok {
			return invalid(file, doc.line, "Item %d of the list is not an object.", i+1)
		}
		if o.tree.documents++; o.tree.documents > o.limits.Documents {
			return limitFailure("documents", file, "The source has more than %d documents.", o.limits.Documents)
		}
		if err := o.addObject(file, doc.line, object); err != nil {
			return err
		}
	}
	return nil
}

// isNullList: `kind: ConfigMapList, items: null` is a list of nothing (argo-cd's function of the same name).
func isNullList(object map[string]any) bool {
	_, spec := object["spec"]
	_, status := object["status"]
	items, has := object["items"]
	return has && items == nil && !spec && !status
}

func (o *output) addObject(file string, line int, object map[string]any) error {
	dropNulls(object)
	delete(object, "status")
	apiVersion, _ := object["apiVersion"].(string)
	kind, _ := object["kind"].(string)
	if kind == "" {
		return invalid(file, line, "The object has no `kind`.")
	}
	if apiVersion == "" {
		return invalid(file, line, "%s has no `apiVersion`.", kind)
	}
	metadata, message := checkMetadata(object)
	if message != "" {
		return invalid(file, line, "%s: %s", kind, message)
	}
	head := ManifestHead{APIVersion: apiVersion, Kind: kind, File: file, Line: line}
	warn := func(format string, args ...any) {
		head.Warnings = append(head.Warnings, Warning{Message: fmt.Sprintf(format, args...), File: file, Line: line})
	}
	if kind == "Secret" && apiVersion == "v1" {
		if message := moveStringData(object); message != "" {
			return invalid(file, line, "Secret %s: %s", nameOf(metadata), message)
		}
	}
	for _, spec := range podSpecs(apiVersion, kind, object) {
		foldPodSpec(spec, isBuiltIn(apiVersion), warn)
		head.Images = appendImages(head.Images, spec)
	}
	text := appendValue(make([]byte, 0, 1024), metadata)
	head.MetadataBytes = len(text)
	text = appendMembers(text, object, []string{"apiVersion", "kind", "metadata"})
	head.BodyBytes = len(text) - head.MetadataBytes
	o.heads = append(o.heads, head)
	o.bodies = append(o.bodies, text)
	return nil
}

func invalid(file string, line int, format string, args ...any) *Failure {
	return &Failure{Code: "MANIFEST_INVALID", File: file, Line: line, Message: fmt.Sprintf(format, args...)}
}

func dropNulls(value any) {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			if member == nil {
				delete(v, name)
			} else {
				dropNulls(member)
			}
		}
	case []any:
		for _, item := range v {
			dropNulls(item)
		}
	}
}

func checkMetadata(object map[string]any) (map[string]any, string) {
	metadata, ok := object["metadata"].(map[string]any)
	if !ok {
		return nil, "there is no `metadata`."
	}
	for _, field := range []string{"annotations", "labels"} {
		value, has := metadata[field]
		if !has {
			continue
		}
		pairs, ok := value.(map[string]any)
		if !ok {
			return nil, "`metadata." + field + "` is not a mapping."
		}
		for _, key := range sortedNames(pairs) {
			if _, ok := pairs[key].(string); !ok {
				return nil, "`metadata." + field + "." + key + "` is not a text; put it in quotes."
			}
		}
	}
	for _, field := range []string{"name", "namespace", "generateName"} {
		if value, has := metadata[field]; has {
			if _, ok := value.(string); !ok {
				return nil, "`metadata." + field + "` is not a text; put it in quotes."
			}
		}
	}
	if name, _ := metadata["name"].(string); name != "" {
		return metadata, ""
	}
	if prefix, _ := metadata["generateName"].(string); prefix == "" {
		return nil, "there is no `metadata.name`."
	}
	annotations, _ := metadata["annotations"].(map[string]any)
	_, argoHook := annotations["argocd.argoproj.io/hook"]
	_, helmHook := annotations["helm.sh/hook"]
	if !argoHook && !helmHook {
		return nil, "`metadata.generateName` is only for hooks; give it a `metadata.name`."
	}
	return metadata, ""
}

func nameOf(metadata map[string]any) string {
	if name, _ := metadata["name"].(string); name != "" {
		return name
	}
	name, _ := metadata["generateName"].(string)
	return name
}

// moveStringData does what the API server does on writing; left to it, tampering with `data` would never be seen and
// renamed keys would stay.
func moveStringData(object map[string]any) string {
	value, has := object["stringData"]
	if !has {
		return ""
	}
	texts, ok := value.(map[string]any)
	if !ok {
		return "`stringData` is not a mapping."
	}
	data, ok := object["data"].(map[string]any)
	if !ok {
		if _, has := object["data"]; has {
			return "`data` is not a mapping."
		}
		data = map[string]any{}
	}
	for _, key := range sortedNames(texts) {
		text, ok := texts[key].(string)
		if !ok {
			return "`stringData." + key + "` is not a text; put it in quotes."
		}
		data[key] = base64.StdEncoding.EncodeToString([]byte(text))
	}
	delete(object, "stringData")
	if len(data) > 0 {
		object["data"] = data
	}
	return ""
}

func isBuiltIn(apiVersion string) bool {
	group, _, _ := strings.Cut(apiVersion, "/")
	return apiVersion == "v1" || group == "apps" || group == "batch"
}

func podSpecs(apiVersion, kind string, object map[string]any) []map[string]any {
	var found []map[string]any
	add := func(path ...string) {
		value := object
		for _, name := range path {
			value, _ = value[name].(map[string]any)
		}
		if value != nil {
			found = append(found, value)
		}
	}
	if kind == "Pod" && apiVersion == "v1" {
		add("spec")
	}
	if kind == "PodTemplate" && apiVersion == "v1" {
		add("template", "spec")
	}
	add("spec", "template", "spec")
	add("spec", "jobTemplate", "spec", "template", "spec")
	return found
}

var containerLists = []string{"initContainers", "containers", "ephemeralContainers"}

func eachContainer(spec map[string]any, visit func(container map[string]any)) {
	for _, list := range containerLists {
		containers, _ := spec[list].([]any)
		for _, item := range containers {
			if container, ok := item.(map[string]any); ok {
				visit(container)
			}
		}
	}
}

// foldPodSpec: server-side apply refuses duplicates in lists with keys; kubectl takes the last, so old manifests have them.
func foldPodSpec(spec map[string]any, builtIn bool, warn func(format string, args ...any)) {
	if !builtIn {
		return
	}
	eachContainer(spec, func(container map[string]any) {
		name, _ := container["name"].(string)
		foldList(container, "env", func(item map[string]any) string {
			key, _ := item["name"].(string)
			return key
		}, func(key string) { warn("Container %s sets the variable %s twice; the last one counts.", name, key) })
		foldList(container, "ports", func(item map[string]any) string {
			protocol, _ := item["protocol"].(string)
			if protocol == "" {
				protocol = "TCP"
			}
			return fmt.Sprint(item["containerPort"], "/", protocol)
		}, func(key string) { warn("Container %s lists port %s twice; the last one counts.", name, key) })
	})
}

// foldList puts the last of equal keys at the place of the first, where kubectl's merge leaves it.
func foldList(container map[string]any, list string, keyOf func(map[string]any) string, warn func(key string)) {
	items, _ := container[list].([]any)
	if len(items) < 2 {
		return
	}
	places := make(map[string]int, len(items))
	kept := make([]any, 0, len(items))
	for _, item := range items {
		object, ok := item.(map[string]any)
		if !ok {
			return
		}
		key := keyOf(object)
		if place, twice := places[key]; twice {
			kept[place] = item
			warn(key)
			continue
		}
		places[key] = len(kept)
		kept = append(kept, item)
	}
	container[list] = kept
}

func appendImages(images []string, spec map[string]any) []string {
	eachContainer(spec, func(container map[string]any) {
		if image, _ := container["image"].(string); image != "" && !slices.Contains(images, image) {
			images = append(images, image)
		}
	})
	return images
}

func sortedNames(object map[string]any) []string {
	names := make([]string, 0, len(object))
	for name := range object {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
