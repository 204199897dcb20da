// One request in, one reply out: reads the header, hands the job to its call, frames what comes back.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
)

// Request is the header of a request; which members are set depends on Call. src/protocol.ts is its other end.
type Request struct {
	Call       string             `json:"call"`
	Render     *RenderRequest     `json:"render"`
	Constraint *ConstraintRequest `json:"constraint"`
	Globs      *GlobsRequest      `json:"globs"`
	Jq         *JqRequest         `json:"jq"`
	Health     *HealthRequest     `json:"health"`
	Actions    *ActionsRequest    `json:"actions"`
	Action     *ActionRequest     `json:"action"`
}

type RenderRequest struct {
	// Path is a directory of the repository, or a chart's archive (.tgz) in the bundle.
	Path string `json:"path"`
	// AppName selects .argocd-source-<appName>.yaml and is $ARGOCD_APP_NAME; without its namespace it is Helm's release.
	AppName string `json:"appName"`
	// Source is the part of the Application's source that says how to render: helm, kustomize, directory, plugin.
	Source json.RawMessage `json:"source"`
	// Environment has the values of the build environment.
	Environment Environment `json:"environment"`
	// KubeVersion and APIVersions are the destination cluster's, unless the source states its own.
	KubeVersion string   `json:"kubeVersion"`
	APIVersions []string `json:"apiVersions"`
	// AsksCluster: where they matter and are not told, they are asked for; otherwise Helm's own stand in.
	AsksCluster bool `json:"asksCluster"`
	// Refs: name of a `ref` source, without `$`, -> where the bundle holds its tree: "" for this repository at this
	// commit, else a directory below .git, where no path of a repository can be.
	Refs map[string]string `json:"refs"`
	// Charts are dependencies that an earlier `need` asked for.
	Charts []ChartArchive `json:"charts"`
	// BuildOptions is argocd-cm's kustomize.buildOptions.
	BuildOptions string `json:"buildOptions"`
	// Plugins find their sources by files; WasPlugin says that one had this source before.
	Plugins   []PluginRule `json:"plugins"`
	WasPlugin bool         `json:"wasPlugin"`
	// GeneratePaths are what a plugin gets beside the source's directory, relative to it or, with `/`, from the root.
	GeneratePaths []string `json:"generatePaths"`
	// PluginOutput is what the source's plugin made of the files.
	PluginOutput *string `json:"pluginOutput"`
	Limits       Limits  `json:"limits"`
	// Files describes the raw bytes of the frame, in order.
	Files []BundleFile `json:"files"`
	// Complete: directories of which the bundle holds everything below. Absent: paths that do not exist.
	Complete []string `json:"complete"`
	Absent   []string `json:"absent"`
}

// ChartNeed names a chart as Chart.yaml does: Version is exact where Chart.lock says so, else a constraint.
type ChartNeed struct {
	Repository string `json:"repository"`
	Name       string `json:"name"`
	Version    string `json:"version"`
}

// ChartArchive is the answer to a ChartNeed: the entry of the bundle that is the chart's .tgz.
type ChartArchive struct {
	ChartNeed
	Path string `json:"path"`
}

type BundleFile struct {
	Path string `json:"p"`
	Size int    `json:"n"`
	// Link: the bytes are a symbolic link's target.
	Link bool `json:"l"`
	// Submodule: a commit of another repository, without bytes.
	Submodule bool `json:"s"`
}

type Limits struct {
	// Bytes of all manifest files together (Argo CD's reposerver.max.combined.directory.manifests.size).
	Bytes     int `json:"bytes"`
	Files     int `json:"files"`
	Documents int `json:"documents"`
	Depth     int `json:"depth"`
	// Expanded bytes of all manifests: what aliases can blow a small file up to.
	Expanded int `json:"expanded"`
}

// Reply is the header of a reply, discriminated by Kind.
type Reply struct {
	Kind string `json:"kind"`

	Manifests []ManifestHead `json:"manifests,omitempty"`
	Reads     *Reads         `json:"reads,omitempty"`
	Warnings  []Warning      `json:"warnings,omitempty"`
	// Type is what the source turned out to be: Directory, Helm, Kustomize or Plugin.
	Type string `json:"type,omitempty"`
	// Plugin is the source's plugin with the repository's overrides merged in, for the parent to ask.
	Plugin json.RawMessage `json:"plugin,omitempty"`
	Uses   *Uses           `json:"uses,omitempty"`

	Paths  []string    `json:"paths,omitempty"`
	Charts []ChartNeed `json:"charts,omitempty"`
	// Cluster: with `need`, the destination cluster's versions.
	Cluster bool `json:"cluster,omitempty"`

	*Failure

	Version string `json:"version,omitempty"`
	Matches []bool `json:"matches,omitempty"`
	// JqPaths: per expression the paths that it selects.
	JqPaths [][][]any `json:"jqPaths,omitempty"`
	// Healths: one for each object, null where it has none.
	Healths []*Health `json:"healths,omitempty"`
	Actions []Action  `json:"actions,omitempty"`
	Impacts []Impact  `json:"impacts,omitempty"`
}

// ManifestHead says what the raw bytes of the reply are: metadata and body of each manifest, one after the other.
type ManifestHead struct {
	APIVersion    string    `json:"apiVersion"`
	Kind          string    `json:"kind"`
	MetadataBytes int       `json:"m"`
	BodyBytes     int       `json:"b"`
	File          string    `json:"file"`
	Line          int       `json:"line"`
	Images        []string  `json:"images,omitempty"`
	Warnings      []Warning `json:"warnings,omitempty"`
}

type Warning struct {
	Message string `json:"message"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
}

// Failure carries a code of packages/contracts/src/failure.ts. Its message never quotes a value from a file, which may
// be a Secret's.
type Failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Path    string `json:"path,omitempty"`
	Which   string `json:"which,omitempty"`
}

func (f *Failure) Error() string { return f.Code + " " + f.Message }

func limitFailure(which, file, format string, args ...any) *Failure {
	return &Failure{Code: "RENDER_LIMIT", Which: which, File: file, Message: fmt.Sprintf(format, args...)}
}

// needError says which paths and charts must be in the bundle, and that the cluster's versions must be told, before the
// job can be done.
type needError struct {
	paths   []string
	charts  []ChartNeed
	cluster bool
}

func (e *needError) Error() string { return "files are missing in the bundle" }

func answer(frame []byte) ([]byte, error) {
	id, header, raw, err := splitRequest(frame)
	if err != nil {
		return nil, err
	}
	var request Request
	if err := json.Unmarshal(header, &request); err != nil {
		return nil, err
	}
	reply, bodies := run(&request, raw)
	text, err := json.Marshal(reply)
	if err != nil {
		return nil, err
	}
	return replyFrame(id, text, bodies), nil
}

// run turns whatever happens into a reply: a panic in a library is that job's failure and nobody else's.
func run(request *Request, raw []byte) (reply *Reply, bodies [][]byte) {
	defer func() {
		if cause := recover(); cause != nil {
			fmt.Fprintf(diagnostics, "panic in call %s\n%s\n", request.Call, debug.Stack())
			reply = failed(&Failure{Code: "RENDER_FAILED", Message: "The render engine met an input it cannot digest."})
			bodies = nil
		}
	}()
	switch {
	case request.Call == "render" && request.Render != nil:
		reply, bodies, err := renderSource(request.Render, raw)
		if err != nil {
			// A change of what was read until then may mend it.
			refused := failed(err)
			if reply != nil && refused.Kind == "failed" {
				refused.Reads = reply.Reads
			}
			return refused, nil
		}
		return reply, bodies
	case request.Call == "constraint" && request.Constraint != nil:
		return constraint(request.Constraint), nil
	case request.Call == "globs" && request.Globs != nil:
		return globs(request.Globs), nil
	case request.Call == "jq" && request.Jq != nil:
		return jqPaths(request.Jq), nil
	case request.Call == "health" && request.Health != nil:
		return luaHealth(request.Health), nil
	case request.Call == "actions" && request.Actions != nil:
		return luaActions(request.Actions), nil
	case request.Call == "action" && request.Action != nil:
		return luaAction(request.Action), nil
	}
	return failed(&Failure{Code: "INTERNAL", Message: "The render engine does not know this call."}), nil
}

func failed(err error) *Reply {
	var need *needError
	if errors.As(err, &need) {
		return &Reply{Kind: "need", Paths: need.paths, Charts: need.charts, Cluster: need.cluster}
	}
	var failure *Failure
	if !errors.As(err, &failure) {
		failure = &Failure{Code: "RENDER_FAILED", Message: "The render engine failed."}
	}
	return &Reply{Kind: "failed", Failure: failure}
}
