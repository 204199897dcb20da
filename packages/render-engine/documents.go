// From a file's bytes to its documents, with Argo CD's idea of what belongs to it: .json holds exactly one object; .yaml
// may hold JSON or YAML documents; a YAML file that neither parses nor looks like manifests is somebody else's and is
// left alone.
package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"

	"go.yaml.in/yaml/v2"
)

type document struct {
	object   map[string]any
	line     int
	warnings []Warning
}

// problem is why a document cannot be used, and where in its file.
type problem struct {
	line    int
	message string
}

func (p *problem) Error() string { return p.message }

func (o *output) addFile(file string, content []byte) error {
	content = toUTF8(content)
	reader := &documentReader{file: file, tree: &o.tree, limits: o.limits}
	o.tree.limits = o.limits
	var err error
	if strings.HasSuffix(file, ".json") {
		err = reader.readSingleJSON(content)
	} else {
		err = reader.readStream(content)
	}
	var wrong *problem
	if errors.As(err, &wrong) {
		if !strings.HasSuffix(file, ".json") && len(reader.documents) == 0 && !looksLikeManifest(content) {
			o.warnings = append(o.warnings, Warning{Message: "The file is not a manifest; it is left out: " + wrong.message, File: file, Line: wrong.line})
			return nil
		}
		return &Failure{Code: "MANIFEST_INVALID", File: file, Line: wrong.line, Message: wrong.message}
	}
	var limit *Failure
	if errors.As(err, &limit) {
		limit.File = file
	}
	if err != nil {
		return err
	}
	for _, doc := range reader.documents {
		if err := o.addDocument(file, doc); err != nil {
			return err
		}
	}
	return nil
}

// addRendered takes the YAML that a tool made; all of it are manifests, and its lines are not those of a file.
func (o *output) addRendered(file string, text []byte, prefix string) error {
	reader := &documentReader{file: file, tree: &o.tree, limits: o.limits}
	o.tree.limits = o.limits
	err := reader.readYAML(text, 1)
	for _, doc := range reader.documents {
		if err != nil {
			break
		}
		doc.line = 0
		for i := range doc.warnings {
			doc.warnings[i].Line = 0
		}
		err = o.addDocument(file, doc)
	}
	if err != nil {
		return invalidOutput(err, file, prefix)
	}
	return nil
}

// addJSON takes an object, or an array of objects and nulls, that a tool made.
func (o *output) addJSON(file string, text []byte, prefix string) error {
	reader := &documentReader{file: file, tree: &o.tree, limits: o.limits}
	o.tree.limits = o.limits
	var value any
	if err := decodeNumbers(text, &value); err != nil {
		return &Failure{Code: "MANIFEST_INVALID", File: file, Message: prefix + "it is no JSON."}
	}
	items, isArray := value.([]any)
	if !isArray {
		items = []any{value}
	}
	for _, item := range items {
		if item == nil && isArray {
			continue
		}
		item, err := o.tree.fromJSON(item, 0)
		if err == nil {
			err = reader.add(item, 0, nil)
		}
		if err != nil {
			return invalidOutput(err, file, prefix)
		}
	}
	for _, doc := range reader.documents {
		if err := o.addDocument(file, doc); err != nil {
			return err
		}
	}
	return nil
}

func looksLikeManifest(content []byte) bool {
	return bytes.Contains(content, []byte("apiVersion:")) && bytes.Contains(content, []byte("kind:")) &&
		bytes.Contains(content, []byte("metadata:"))
}

type documentReader struct {
	file      string
	tree      *treeBuilder
	limits    Limits
	documents []document
	count     int
}

func (r *documentReader) readSingleJSON(content []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	if err := r.readJSON(decoder, content, 0); err != nil {
		if err == io.EOF {
			return &problem{1, "The file is empty."}
		}
		return err
	}
	if decoder.More() {
		return &problem{lineAt(content, decoder.InputOffset()), "A JSON file holds a single object; use a List for more."}
	}
	return nil
}

// readStream is k8s.io/apimachinery's YAMLOrJSONDecoder: a file that opens with a brace is a stream of JSON objects until
// one fails; from there on it is YAML, unless two or more objects have been read.
func (r *documentReader) readStream(content []byte) error {
	line, firstErr := 1, error(nil)
	if bytes.HasPrefix(bytes.TrimLeftFunc(content, unicode.IsSpace), []byte("{")) {
		decoder := json.NewDecoder(bytes.NewReader(content))
		decoder.UseNumber()
		consumed, read := int64(0), 0
		for {
			err := r.readJSON(decoder, content, consumed)
			if err == io.EOF {
				return nil
			}
			var wrong *problem
			if err != nil && (!errors.As(err, &wrong) || read > 1) {
				return err
			}
			if err != nil {
				firstErr = err
				break
			}
			read, consumed = read+1, decoder.InputOffset()
		}
		start := int(consumed)
		for start < len(content) && unicode.IsSpace(rune(content[start])) {
			start++
			if content[start-1] == '\n' {
				break
			}
		}
		line += bytes.Count(content[:start], []byte("\n"))
		content = content[start:]
	}
	err := r.readYAML(content, line)
	var wrong *problem
	if firstErr != nil && errors.As(err, &wrong) {
		return firstErr
	}
	return err
}

func (r *documentReader) readJSON(decoder *json.Decoder, content []byte, from int64) error {
	var value any
	err := decoder.Decode(&value)
	if err == io.EOF {
		return err
	}
	line := lineAt(content, from+int64(len(content[from:])-len(bytes.TrimLeftFunc(content[from:], unicode.IsSpace))))
	if err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			if strings.Contains(syntax.Error(), "max depth") {
				return limitFailure("depth", r.file, "The file is nested too deeply.")
			}
			return &problem{lineAt(content, syntax.Offset), "The JSON cannot be parsed: " + syntax.Error() + "."}
		}
		return &problem{lineAt(content, int64(len(content))), "The JSON ends too early."}
	}
	if value, err = r.tree.fromJSON(value, 0); err != nil {
		return atLine(err, line)
	}
	return r.add(value, line, nil)
}

// readYAML splits at lines that begin with "---", wherever they stand, as kubectl does.
func (r *documentReader) readYAML(content []byte, line int) error {
	start, startLine := 0, line
	for at := 0; at < len(content); {
		end := len(content)
		if i := bytes.IndexByte(content[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		if bytes.HasPrefix(content[at:end], []byte("---")) {
			if rest := bytes.TrimSpace(content[at+3 : end]); len(rest) > 0 && rest[0] != '#' {
				return &problem{line, "Only a comment may follow the document separator `---` on its line."}
			}
			if err := r.readYAMLDocument(content[start:at], startLine); err != nil {
				return err
			}
			start, startLine = end, line+1
		}
		at, line = end, line+1
	}
	return r.readYAMLDocument(content[start:], startLine)
}

var yamlLine = regexp.MustCompile(`line (\d+)`)

func (r *documentReader) readYAMLDocument(content []byte, line int) error {
	skipped, empty := leadingNoise(content)
	if empty {
		return nil
	}
	var value any
	var warnings []Warning
	// The parser and the conversion are those of sigs.k8s.io/yaml. Strict only to hear of duplicate keys: Argo CD takes
	// the last one, and so do we, but not silently. Merge keys would be reported as duplicates of what they override.
	err := yaml.UnmarshalStrict(content, &value)
	var duplicates *yaml.TypeError
	if errors.As(err, &duplicates) {
		if !bytes.Contains(content, []byte("<<")) {
			for _, text := range duplicates.Errors {
				warnings = append(warnings, Warning{
					Message: "The same key stands twice in one mapping; the last one counts.", File: r.file, Line: shifted(text, line),
				})
			}
		}
		value = nil
		err = yaml.Unmarshal(content, &value)
	}
	if err != nil {
		text := strings.TrimPrefix(err.Error(), "yaml: ")
		switch {
		case strings.Contains(text, "excessive aliasing"):
			return limitFailure("aliases", r.file, "The aliases of a document unfold to too much.")
		case strings.Contains(text, "max depth"):
			return limitFailure("depth", r.file, "The file is nested too deeply.")
		}
		where := shifted(text, line)
		if where == 0 {
			where = line + skipped
		}
		return &problem{where, "The YAML cannot be parsed: " + withoutValues(text) + "."}
	}
	if value, err = r.tree.fromYAML(value, 0); err != nil {
		return atLine(err, line+skipped)
	}
	if value == nil {
		return nil
	}
	return r.add(value, line+skipped, warnings)
}

// withoutValues keeps the parser's sentence and drops what it quotes from the file.
func withoutValues(text string) string {
	text = strings.TrimPrefix(yamlLine.ReplaceAllString(text, ""), ": ")
	switch {
	case strings.HasPrefix(text, "invalid map key"):
		return "a key of a mapping is neither text, number nor boolean"
	case strings.HasPrefix(text, "cannot decode"):
		return "a value does not fit its explicit tag"
	}
	return text
}

func (r *documentReader) add(value any, line int, warnings []Warning) error {
	if r.tree.documents++; r.tree.documents > r.limits.Documents {
		return limitFailure("documents", r.file, "The source has more than %d documents.", r.limits.Documents)
	}
	object, ok := value.(map[string]any)
	if !ok {
		return &problem{line, "The document is not a Kubernetes object but " + article(value) + "."}
	}
	if kind, _ := object["kind"].(string); kind == "" {
		return &problem{line, "The document has no `kind`."}
	}
	r.documents = append(r.documents, document{object, line, warnings})
	return nil
}

func article(value any) string {
	switch value.(type) {
	case []any:
		return "a list"
	case string:
		return "a text"
	case nil:
		return "null"
	}
	return "a single value"
}

func atLine(err error, line int) error {
	var wrong *problem
	if errors.As(err, &wrong) && wrong.line == 0 {
		wrong.line = line
	}
	return err
}

func shifted(text string, line int) int {
	found := yamlLine.FindStringSubmatch(text)
	if found == nil {
		return 0
	}
	n, _ := strconv.Atoi(found[1])
	return max(n, 1) + line - 1
}

func lineAt(content []byte, offset int64) int {
	return 1 + bytes.Count(content[:min(max(offset, 0), int64(len(content)))], []byte("\n"))
}

// leadingNoise counts blank and comment lines before the document proper; empty when there is nothing else.
func leadingNoise(content []byte) (lines int, empty bool) {
	for len(content) > 0 {
		end := bytes.IndexByte(content, '\n')
		if end < 0 {
			end = len(content) - 1
		}
		if line := bytes.TrimSpace(content[:end+1]); len(line) > 0 && line[0] != '#' {
			return lines, false
		}
		content = content[end+1:]
		lines++
	}
	return lines, true
}

// toUTF8 honours byte order marks, UTF-16's too.
func toUTF8(content []byte) []byte {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(content, []byte{0xEF, 0xBB, 0xBF}):
		return content[3:]
	case bytes.HasPrefix(content, []byte{0xFF, 0xFE}):
		order = binary.LittleEndian
	case bytes.HasPrefix(content, []byte{0xFE, 0xFF}):
		order = binary.BigEndian
	default:
		return content
	}
	units := make([]uint16, 0, len(content)/2)
	for i := 2; i+1 < len(content); i += 2 {
		units = append(units, order.Uint16(content[i:]))
	}
	return []byte(string(utf16.Decode(units)))
}
