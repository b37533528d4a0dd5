package config

import (
	"slices"
	"strings"
	"testing"
)

func TestPromoted(t *testing.T) {
	const block = `apiVersion: holdfast/v1alpha1
kind: MCPServer # the shop's
metadata: {name: orders}
spec:
  regions:
    # Mumbai
    - name: asia-south1
      endpoints: [{address: "127.0.0.1:7101"}]
    # Delhi
    - name: asia-south2
      endpoints: [{address: "127.0.0.1:7102"}]
    - name: europe-west3
      endpoints: [{address: "127.0.0.1:7103"}]
`
	flow := `{"kind": "MCPServer", "metadata": {"name": "orders"}, "spec": {"regions": [` +
		`{"name": "asia-south1", "endpoints": [{"address": "127.0.0.1:7101"}]}, {"name": "asia-south2", "endpoints": [{"address": "127.0.0.1:7102"}]}]}}`
	for name, c := range map[string]struct {
		document, region string
		want             []string
	}{
		"the second": {block, "asia-south2", []string{"asia-south2", "asia-south1", "europe-west3"}},
		"the last":   {block, "europe-west3", []string{"europe-west3", "asia-south1", "asia-south2"}},
		"JSON":       {flow, "asia-south2", []string{"asia-south2", "asia-south1"}},
	} {
		text, _, err := Promoted([]byte(c.document), c.region)
		if err != nil {
			t.Fatal(name, err)
		}
		cfg, err := Parse([]File{{Name: "x.yaml", Data: []byte(string(text) + "---\nkind: MCPRoute\nmetadata: {name: shop}\nspec: {servers: [{name: orders}]}\n")}})
		if err != nil {
			t.Fatalf("%s: %v in\n%s", name, err, text)
		}
		var got []string
		for _, r := range cfg.Servers[0].Spec.Regions {
			got = append(got, r.Name)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if strings.Count(string(text), "#") != strings.Count(c.document, "#") {
			t.Errorf("%s: comments are lost:\n%s", name, text)
		}
	}
	if text, _, err := Promoted([]byte(block), "asia-south1"); err != nil || string(text) != block {
		t.Errorf("the first: %v\n%s", err, text)
	}
	for _, document := range []string{block, "", "[]", "kind: MCPServer", "spec: {regions: [1, {}]}", "a: &a [*a]"} {
		if _, _, err := Promoted([]byte(document), "asia-sout2"); err == nil {
			t.Errorf("no error for a region that is not in %q", document)
		}
	}
}
