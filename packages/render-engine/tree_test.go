package main

import (
	"bytes"
	"encoding/json"
	"testing"

	yamlv2 "go.yaml.in/yaml/v2"
	"sigs.k8s.io/yaml"
)

var samples = []string{
	"a: yes\nb: no\ny: on\n~x: 1\n", "1: a\n2.5: b\ntrue: c\n1e3: d\n", "a: 0x1F\nb: 0o17\nc: 017\nd: 1_000\ne: 0b11\n",
	"a: 9007199254740993\nb: 18446744073709551615\nc: 18446744073709551616\nd: -9223372036854775808\n", "a: 1.0\nb: 1e3\nc: 1e21\nd: 1e-7\ne: -0.0\n",
	"a: 2024-01-02\nb: 2024-01-02T03:04:05Z\nc: 12:30:45\nd: !!timestamp 2024-01-02\n", "a: !!binary aGVsbG8=\nb: !!str 1\nc: !!float 1\nd: !!int '3'\n",
	"a: |\n  x\n   y\n\nb: >-\n  x\n  y\n", "a: &a {k: [1, {z: 2}]}\nb: *a\nc: {<<: *a, q: 1}\n", "- 1\n- ~\n- null\n- ''\n- {}\n- []\n",
	"a: \"\\u00e9\\t\\x01\"\nb: é\n", "x: 1\nx: 2\n", "a: .5\nb: +1\nc: 1.\nd: .inf\n", "? a\n: b\n", "key: value\n...\nrest: ignored\n", "a: =\n", "'': 1\n",
}

// What a document means is defined by sigs.k8s.io/yaml; fromYAML only leaves out the detour over text.
func compare(t *testing.T, content []byte) {
	want, wantErr := yaml.YAMLToJSON(content)
	var value any
	err := yamlv2.Unmarshal(content, &value)
	if err == nil {
		builder := treeBuilder{limits: testLimits}
		value, err = builder.fromYAML(value, 0)
	}
	if (err != nil) != (wantErr != nil) {
		t.Fatalf("%q: got %v, want %v", content, err, wantErr)
	}
	if err != nil {
		return
	}
	var wantValue any
	decoder := json.NewDecoder(bytes.NewReader(want))
	decoder.UseNumber()
	if err := decoder.Decode(&wantValue); err != nil {
		t.Fatal(err)
	}
	if got, want := appendValue(nil, value), appendValue(nil, wantValue); !bytes.Equal(got, want) {
		t.Fatalf("%q:\ngot  %s\nwant %s", content, got, want)
	}
}

func TestFromYAMLIsSigsYAML(t *testing.T) {
	for _, sample := range samples {
		compare(t, []byte(sample))
	}
}

func FuzzFromYAMLIsSigsYAML(f *testing.F) {
	for _, sample := range samples {
		f.Add([]byte(sample))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) < 4096 {
			compare(t, content)
		}
	})
}
