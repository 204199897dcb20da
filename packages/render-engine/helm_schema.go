// Values against values.schema.json, as Helm checks them (pkg/chart/common/util/jsonschema.go), without its loaders: a
// schema elsewhere on the net is taken to allow everything, a file outside the chart is refused.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	chart "helm.sh/helm/v4/pkg/chart/v2"
)

func (h *helmRender) checkSchemas(c *chart.Chart, dir string, values map[string]any) error {
	if c.Schema != nil {
		if err := h.checkSchema(join(dir, "values.schema.json"), c.Schema, values); err != nil {
			return err
		}
	}
	for _, dependency := range c.Dependencies() {
		value, given := values[dependency.Name()]
		if !given || value == nil {
			continue
		}
		object, ok := value.(map[string]any)
		if !ok {
			return &Failure{Code: "MANIFEST_INVALID", File: join(dir, "values.yaml"), Message: "The values of " + dependency.Name() + " are not a mapping."}
		}
		if err := h.checkSchemas(dependency, join(dir, "charts/"+dependency.Name()), object); err != nil {
			return err
		}
	}
	return nil
}

const schemaURL = "file:///values.schema.json"

type schemaLoader struct {
	remote []string
	denied bool
}

func (l *schemaLoader) Load(address string) (any, error) {
	if strings.HasPrefix(address, "file:") {
		l.denied = true
		return nil, errors.New("denied")
	}
	l.remote = append(l.remote, address)
	return true, nil
}

func (h *helmRender) checkSchema(file string, text []byte, values map[string]any) (err error) {
	invalid := &Failure{Code: "MANIFEST_INVALID", File: file, Message: "The schema cannot be used."}
	defer func() {
		if recover() != nil {
			err = invalid
		}
	}()
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return invalid
	}
	load := &schemaLoader{}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(load)
	if err := compiler.AddResource(schemaURL, schema); err != nil {
		return invalid
	}
	validator, err := compiler.Compile(schemaURL)
	if load.denied {
		return &Failure{Code: "RENDER_PATH_DENIED", File: file, Message: "A schema may not refer to another file."}
	}
	if err != nil {
		return invalid
	}
	for _, address := range load.remote {
		h.warn(file, "The schema at "+address+" is not fetched; what it would refuse is let through.")
	}
	err = validator.Validate(values)
	var wrong *jsonschema.ValidationError
	if !errors.As(err, &wrong) {
		return nil
	}
	var reasons []string
	collectReasons(wrong, &reasons)
	slices.Sort(reasons)
	reasons = slices.Compact(reasons)
	if len(reasons) > 5 {
		reasons = append(reasons[:5], "…")
	}
	return &Failure{Code: "MANIFEST_INVALID", File: file, Message: "The values do not fit the chart's schema: " + strings.Join(reasons, "; ") + "."}
}

// collectReasons names places and rules, never values.
func collectReasons(wrong *jsonschema.ValidationError, reasons *[]string) {
	for _, cause := range wrong.Causes {
		collectReasons(cause, reasons)
	}
	if len(wrong.Causes) > 0 {
		return
	}
	place := "/" + strings.Join(wrong.InstanceLocation, "/")
	switch k := wrong.ErrorKind.(type) {
	case *kind.Type:
		*reasons = append(*reasons, fmt.Sprintf("%s is %s, not %s", place, k.Got, strings.Join(k.Want, " or ")))
	case *kind.Required:
		*reasons = append(*reasons, fmt.Sprintf("%s lacks %s", place, strings.Join(k.Missing, ", ")))
	case *kind.AdditionalProperties:
		*reasons = append(*reasons, fmt.Sprintf("%s may not have %s", place, strings.Join(k.Properties, ", ")))
	default:
		*reasons = append(*reasons, fmt.Sprintf("%s breaks the rule `%s`", place, strings.Join(wrong.ErrorKind.KeywordPath(), "/")))
	}
}
