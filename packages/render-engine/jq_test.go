package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func jqOn(t *testing.T, object string, expressions ...string) *Reply {
	t.Helper()
	request := &JqRequest{Expressions: expressions, TimeoutMs: 500}
	if err := json.Unmarshal([]byte(object), &request.Object); err != nil {
		t.Fatal(err)
	}
	return jqPaths(request)
}

func TestJqAnswersWithThePathsThatAnExpressionSelects(t *testing.T) {
	const deployment = `{"spec":{"replicas":2,"template":{"spec":{"containers":[{"name":"a"},{"name":"b","image":"x"}]}}}}`
	reply := jqOn(t, deployment, `.spec.replicas`, `.spec.template.spec.containers[] | select(.name == "b") | .image`, `.nothing[]?`)
	text, _ := json.Marshal(reply.JqPaths)
	if want := `[[["spec","replicas"]],[["spec","template","spec","containers",1,"image"]],[]]`; string(text) != want {
		t.Fatalf("got %s, want %s", text, want)
	}
}

func TestJqExpressionThatDoesNotFitTheObjectSelectsNothing(t *testing.T) {
	if reply := jqOn(t, `{}`, `.spec.list[].name`); reply.Kind != "paths" || len(reply.JqPaths[0]) != 0 {
		t.Fatalf("got %+v", reply)
	}
}

func TestJqExpressionsOverTheirLimitsAndUnreadableOnesAreNamed(t *testing.T) {
	for expression, code := range map[string]string{
		`[range(1e12)] | .[0]`:     "DIFF_EXPR_LIMIT",
		`def f: f; f`:              "DIFF_EXPR_LIMIT",
		`.items[range(0; 100000)]`: "DIFF_EXPR_LIMIT",
		`.items[0:2]`: "DIFF_EXPR_INVALID",
		`.spec[`:                   "DIFF_EXPR_INVALID",
		`nosuchfunction(.)`:        "DIFF_EXPR_INVALID",
		`import "x" as x; .`:       "DIFF_EXPR_INVALID",
		`$__prog_args`:             "DIFF_EXPR_INVALID",
	} {
		reply := jqOn(t, `{"items":[]}`, `.a`, expression)
		if reply.Kind != "failed" || reply.Failure.Code != code || reply.Failure.Path != "[1]" {
			t.Errorf("%s: got %s %+v, want %s at [1]", expression, reply.Kind, reply.Failure, code)
		}
	}
}

func TestJqSeesNoEnvironment(t *testing.T) {
	t.Setenv("CANARY", "secret")
	reply := jqOn(t, `{"secret":1}`, `.[env.CANARY // "none"]`, `.[$ENV.CANARY // "none"]`)
	text, _ := json.Marshal(reply)
	if strings.Contains(string(text), "secret") {
		t.Fatalf("the environment leaked: %s", text)
	}
}
