// The value tree of a document: map[string]any, []any, string, json.Number, bool, nil. Built from the YAML parser's or
// the JSON decoder's values under limits of depth and expanded size, so that no alias unfolds into gigabytes of text.
// fromYAML is sigs.k8s.io/yaml's own conversion without its detour over text; tree_test.go compares the two.
package main

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

type treeBuilder struct {
	limits    Limits
	expanded  int
	documents int
}

func (t *treeBuilder) spend(bytes, depth int) error {
	if depth > t.limits.Depth {
		return limitFailure("depth", "", "A document is nested more than %d levels deep.", t.limits.Depth)
	}
	if t.expanded += bytes; t.expanded > t.limits.Expanded {
		return limitFailure("expanded", "", "The manifests unfold to more than %d bytes.", t.limits.Expanded)
	}
	return nil
}

func (t *treeBuilder) fromYAML(value any, depth int) (any, error) {
	if err := t.spend(2, depth); err != nil {
		return nil, err
	}
	switch v := value.(type) {
	case map[any]any:
		object := make(map[string]any, len(v))
		for key, member := range v {
			name, err := yamlKey(key)
			if err != nil {
				return nil, err
			}
			if _, twice := object[name]; twice {
				return nil, &problem{0, "Two keys of one mapping become the same text in JSON."}
			}
			if err := t.spend(len(name)+3, depth); err != nil {
				return nil, err
			}
			if object[name], err = t.fromYAML(member, depth+1); err != nil {
				return nil, err
			}
		}
		return object, nil
	case []any:
		for i, item := range v {
			converted, err := t.fromYAML(item, depth+1)
			if err != nil {
				return nil, err
			}
			// In place is safe: the parser builds an alias's value anew each time.
			v[i] = converted
		}
		return v, nil
	case string:
		return v, t.spend(len(v), depth)
	case int:
		return json.Number(strconv.Itoa(v)), nil
	case int64:
		return json.Number(strconv.FormatInt(v, 10)), nil
	case uint64:
		return json.Number(strconv.FormatUint(v, 10)), nil
	case float64:
		return jsonFloat(v)
	case time.Time:
		return v.Format(time.RFC3339Nano), nil
	case bool, nil:
		return v, nil
	}
	return nil, &problem{0, "A value has a type that JSON does not know."}
}

func yamlKey(key any) (string, error) {
	switch k := key.(type) {
	case string:
		return k, nil
	case int:
		return strconv.Itoa(k), nil
	case int64:
		return strconv.FormatInt(k, 10), nil
	case bool:
		return strconv.FormatBool(k), nil
	case float64:
		switch s := strconv.FormatFloat(k, 'g', -1, 32); s {
		case "+Inf":
			return ".inf", nil
		case "-Inf":
			return "-.inf", nil
		case "NaN":
			return ".nan", nil
		default:
			return s, nil
		}
	}
	return "", &problem{0, "A key of a mapping is neither text, number nor boolean."}
}

func (t *treeBuilder) fromJSON(value any, depth int) (any, error) {
	if err := t.spend(2, depth); err != nil {
		return nil, err
	}
	var err error
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			if err := t.spend(len(name)+3, depth); err != nil {
				return nil, err
			}
			if v[name], err = t.fromJSON(member, depth+1); err != nil {
				return nil, err
			}
		}
	case []any:
		for i, item := range v {
			if v[i], err = t.fromJSON(item, depth+1); err != nil {
				return nil, err
			}
		}
	case string:
		return v, t.spend(len(v), depth)
	case json.Number:
		return canonicalNumber(v)
	}
	return value, nil
}

// canonicalNumber keeps integers digit for digit, whatever their size, and writes everything else the way Go writes a
// float64: 1.0 becomes 1, as on its way through Argo CD, where an integer field would refuse 1.0.
func canonicalNumber(n json.Number) (any, error) {
	if !strings.ContainsAny(string(n), ".eE") {
		if n == "-0" {
			return json.Number("0"), nil
		}
		return n, nil
	}
	f, err := n.Float64()
	if err != nil {
		return nil, &problem{0, "A number is too large."}
	}
	return jsonFloat(f)
}

func jsonFloat(f float64) (any, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, &problem{0, "A number is infinite or not a number, which JSON does not know."}
	}
	text, err := json.Marshal(f)
	return json.Number(text), err
}
