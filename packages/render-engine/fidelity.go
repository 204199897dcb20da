// Questions whose answer must be Argo CD's and which therefore go to the libraries it uses: version constraints
// (util/versions/tags.go) and globs (util/glob/glob.go). gobwas/glob stays at v0.2.3, Argo CD's and Helm's: v1.1 no longer
// lets `a/*/x.yaml` match `a/x.yaml`, and an include that means less than before prunes what it leaves out.
package main

import (
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/gobwas/glob"
)

type ConstraintRequest struct {
	Constraint string   `json:"constraint"`
	TagPrefix  string   `json:"tagPrefix"`
	Versions   []string `json:"versions"`
}

// constraint answers `exact` (a version, taken literally), `literal` (neither version nor constraint), `match` or `none`.
func constraint(request *ConstraintRequest) *Reply {
	if v, err := semver.NewVersion(request.Constraint); err == nil {
		return &Reply{Kind: "exact", Version: request.TagPrefix + v.Original()}
	}
	wanted, err := semver.NewConstraint(request.Constraint)
	if err != nil {
		return &Reply{Kind: "literal"}
	}
	var highest *semver.Version
	for _, tag := range request.Versions {
		rest, has := strings.CutPrefix(tag, request.TagPrefix)
		if !has {
			continue
		}
		// Argo CD gives up on the whole list when a tag is nearly a version (1.0.0-01); such a tag is passed over here.
		v, err := semver.NewVersion(rest)
		if err != nil || !wanted.Check(v) {
			continue
		}
		if highest == nil || v.GreaterThan(highest) {
			highest = v
		}
	}
	if highest == nil {
		return &Reply{Kind: "none"}
	}
	return &Reply{Kind: "match", Version: request.TagPrefix + highest.Original()}
}

type GlobsRequest struct {
	Pattern    string   `json:"pattern"`
	Values     []string `json:"values"`
	Separators string   `json:"separators"`
}

func globs(request *GlobsRequest) *Reply {
	compiled, err := glob.Compile(request.Pattern, []rune(request.Separators)...)
	if err != nil {
		return &Reply{Kind: "failed", Failure: &Failure{Code: "SPEC_INVALID", Message: "The pattern is not a valid glob."}}
	}
	matches := make([]bool, len(request.Values))
	for i, value := range request.Values {
		matches[i] = matchGlob(compiled, value)
	}
	return &Reply{Kind: "matches", Matches: matches}
}

// matchGlob: this version of the library panics on some patterns with `?` before text beyond ASCII. Such a text does not match.
func matchGlob(pattern glob.Glob, value string) (matches bool) {
	defer func() {
		if recover() != nil {
			matches = false
		}
	}()
	return pattern.Match(value)
}
