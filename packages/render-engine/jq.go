// jq expressions over one object, answered with the paths that they select: what ignoreDifferences leaves out of a
// comparison (contract §6). `del(expr)` is by its definition the deletion of `path(expr)`.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/itchyny/gojq"
)

type JqRequest struct {
	Expressions []string `json:"expressions"`
	Object      any      `json:"object"`
	// TimeoutMs is for each expression (Argo CD's ignore.normalizer.jq.timeout).
	TimeoutMs int `json:"timeoutMs"`
}

// A list of volumes or containers has dozens; more is a mistake, or an attack on whoever deletes them.
const jqPathsMax = 10_000

// jqPaths: an expression that does not compile, or goes over its limit, fails the call and is named by its index. One
// that cannot be applied to this object (`.a[]` where there is no a) selects nothing there, as in Argo CD.
func jqPaths(request *JqRequest) *Reply {
	paths := make([][][]any, len(request.Expressions))
	for index, expression := range request.Expressions {
		query, err := gojq.Parse("path(" + expression + ")")
		if err != nil {
			return failed(jqFailure("DIFF_EXPR_INVALID", index, "The jq expression cannot be read: %s.", err))
		}
		code, err := gojq.Compile(query)
		if err != nil {
			return failed(jqFailure("DIFF_EXPR_INVALID", index, "The jq expression cannot be compiled: %s.", err))
		}
		found, failure := runJq(code, request, index)
		if failure != nil {
			return failed(failure)
		}
		paths[index] = found
	}
	return &Reply{Kind: "paths", JqPaths: paths}
}

func runJq(code *gojq.Code, request *JqRequest, index int) ([][]any, *Failure) {
	limit := time.Duration(request.TimeoutMs) * time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	found := [][]any{}
	results := code.RunWithContext(ctx, request.Object)
	for {
		result, ok := results.Next()
		if !ok {
			return found, nil
		}
		if err, isError := result.(error); isError {
			if errors.Is(err, context.DeadlineExceeded) {
				return nil, jqFailure("DIFF_EXPR_LIMIT", index, "The jq expression took longer than %s.", limit)
			}
			return [][]any{}, nil
		}
		path, isPath := result.([]any)
		if !isPath || !isPlain(path) {
			return nil, jqFailure("DIFF_EXPR_INVALID", index, "The jq expression selects a slice; select members or items.")
		}
		if found = append(found, path); len(found) > jqPathsMax {
			return nil, jqFailure("DIFF_EXPR_LIMIT", index, "The jq expression selects more than %d fields.", jqPathsMax)
		}
	}
}

// isPlain: members and indexes only; a slice (`.a[1:3]`) is given to the parent as an object and has no place in a path.
func isPlain(path []any) bool {
	for _, step := range path {
		switch step.(type) {
		case string, int, float64, json.Number:
		default:
			return false
		}
	}
	return true
}

func jqFailure(code string, index int, format string, args ...any) *Failure {
	return &Failure{Code: code, Message: fmt.Sprintf(format, args...), Path: fmt.Sprintf("[%d]", index)}
}
