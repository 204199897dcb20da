// The destination cluster's versions: which of them have a part in a render, so that the render key holds no more than
// it must, and a cluster is asked only where its answer matters.
package main

import (
	"regexp"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
)

// versions are a cluster's, or those that a source states itself: Argo CD's kubeVersion and apiVersions.
type versions struct {
	kube string
	apis []string
}

func (s *Source) statedVersions() versions {
	switch {
	case s.Helm != nil:
		return versions{s.Helm.KubeVersion, s.Helm.APIVersions}
	case s.Kustomize != nil:
		return versions{s.Kustomize.KubeVersion, s.Kustomize.APIVersions}
	}
	return versions{}
}

func (j *job) kubeVersion() string {
	if j.stated.kube == "" {
		j.useCluster("KUBE_VERSION")
	}
	return j.versions().kube
}

func (j *job) apiVersions() []string {
	if len(j.stated.apis) == 0 {
		j.useCluster("KUBE_API_VERSIONS")
	}
	return j.versions().apis
}

func (j *job) versions() versions {
	known := j.stated
	if known.kube == "" {
		known.kube = j.request.KubeVersion
	}
	if len(known.apis) == 0 {
		known.apis = j.request.APIVersions
	}
	return known
}

func (j *job) useCluster(variable string) {
	j.use(variable)
	if j.request.AsksCluster && j.request.KubeVersion == "" {
		j.lacksCluster = true
	}
}

// templateCapabilities are Helm's to the eyes of a template; what it asks of them by name is noted.
type templateCapabilities struct {
	KubeVersion common.KubeVersion
	APIVersions watchedVersions
	HelmVersion any
}

type watchedVersions []string

func (v watchedVersions) Has(name string) bool {
	has := slices.Contains(v, name)
	// What Helm itself knows is there whatever the cluster says.
	if !slices.Contains(common.DefaultVersionSet, name) {
		watched.asked[name] = has
	}
	return has
}

// capabilityWords says which parts of the capabilities the templates look at, other than by the names they ask for.
type capabilityWords struct{ kubeVersion, apiVersions bool }

var capabilityWord = regexp.MustCompile(`Capabilities(?:\.(KubeVersion|HelmVersion|APIVersions\.Has|APIVersions)\b)?`)

func (w *capabilityWords) look(text string) {
	if wholeContext.MatchString(text) {
		w.kubeVersion, w.apiVersions = true, true
	}
	if !strings.Contains(text, "Capabilities") {
		return
	}
	for _, found := range capabilityWord.FindAllStringSubmatch(text, -1) {
		switch found[1] {
		case "KubeVersion":
			w.kubeVersion = true
		case "APIVersions":
			w.apiVersions = true
		case "":
			w.kubeVersion, w.apiVersions = true, true
		}
	}
}
