package config_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	"go.yaml.in/yaml/v3"

	"github.com/holdfast-mcp/holdfast/pkg/config"
)

func resolvedSchema(t *testing.T) *jsonschema.Resolved {
	t.Helper()
	text, err := config.JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	var schema jsonschema.Schema
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	resolved, err := schema.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	return resolved
}

// documents reads YAML as an editor does: into plain values.
func documents(t *testing.T, text string) []any {
	t.Helper()
	var out []any
	for dec := yaml.NewDecoder(strings.NewReader(text)); ; {
		var v any
		err := dec.Decode(&v)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if v == nil {
			continue
		}
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var plain any
		if err := json.Unmarshal(data, &plain); err != nil {
			t.Fatal(err)
		}
		out = append(out, plain)
	}
}

func TestJSONSchemaGolden(t *testing.T) {
	text, err := config.JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "testdata/schema.json", text)
}

func TestJSONSchemaTakesWhatParseTakes(t *testing.T) {
	schema := resolvedSchema(t)
	for _, pattern := range []string{"testdata/valid/*.yaml", "testdata/valid/*.golden", "../../examples/*/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no files %s: %v", pattern, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for i, document := range documents(t, string(data)) {
				if err := schema.Validate(document); err != nil {
					t.Errorf("%s, document %d: %v", file, i, err)
				}
			}
		}
	}
}

func TestJSONSchemaRefuses(t *testing.T) {
	schema := resolvedSchema(t)
	route := func(spec string) string {
		return "kind: MCPRoute\nmetadata: {name: r}\nspec: {servers: [{name: s}], " + spec + "}\n"
	}
	for name, text := range map[string]string{
		"unknown kind":          "kind: Deployment\nmetadata: {name: r}\nspec: {}\n",
		"no kind":               "metadata: {name: r}\nspec: {}\n",
		"wrong version":         "apiVersion: v1\nkind: Gateway\nmetadata: {name: r}\nspec: {}\n",
		"unknown field":         route("tiemout: 1s"),
		"unknown nested field":  route("tools: [{match: {nmae: x}}]"),
		"missing match":         route("tools: [{safe: true}]"),
		"name and regex":        route("tools: [{match: {name: a, regex: b}}]"),
		"two tests":             route("tools: [{match: {arguments: [{pointer: /a, equals: 1, in: [1]}]}}]"),
		"no test":               route("tools: [{match: {arguments: [{pointer: /a}]}}]"),
		"bad pointer":           route("tools: [{match: {arguments: [{pointer: a, equals: 1}]}}]"),
		"duration without unit": route("timeout: 2"),
		"bad duration":          route("timeout: 2sec"),
		"empty duration":        route(`timeout: ""`),
		"enum":                  route("errors: json"),
		"too many attempts":     route("retry: {attempts: 11}"),
		"bad name":              "kind: Gateway\nmetadata: {name: A}\nspec: {}\n",
		"bad size":              "kind: Gateway\nmetadata: {name: a}\nspec: {maxBodyBytes: 4MB}\n",
		"bad path":              route("path: mcp"),
	} {
		for _, document := range documents(t, text) {
			if schema.Validate(document) == nil {
				t.Errorf("%s: accepted\n%s", name, text)
			}
		}
	}
	for _, document := range documents(t, route("timeout: 2s")) {
		if err := schema.Validate(document); err != nil {
			t.Errorf("the base of the cases is refused: %v", err)
		}
	}
}

// Every field carries its text from the doc comments.
func TestJSONSchemaDescribesEverything(t *testing.T) {
	text, err := config.JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	var schema jsonschema.Schema
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	for name, def := range schema.Defs {
		if def.Description == "" {
			t.Errorf("%s has no description", name)
		}
		for field, property := range def.Properties {
			if property.Description == "" && property.Const == nil {
				t.Errorf("%s.%s has no description", name, field)
			}
		}
	}
}
