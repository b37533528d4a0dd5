package docscheck

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/config"
)

// section gives one section of docs/RESILIENCE.md, its prose with line breaks as spaces, and its YAML.
func section(t *testing.T, title string) (prose, yaml string) {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join(root, "docs", "RESILIENCE.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(doc), "\n## "+title+"\n")
	if !found {
		t.Fatalf("docs/RESILIENCE.md has no section %s", title)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	_, yaml, found = strings.Cut(rest, "```yaml\n")
	if !found {
		t.Fatalf("section %s has no example", title)
	}
	yaml, _, _ = strings.Cut(yaml, "```")
	return strings.Join(strings.Fields(rest), " "), yaml
}

// example is a configuration with the given fields of a server's and of a route's spec.
func example(t *testing.T, server, route string) *config.Config {
	t.Helper()
	indent := func(s string) string { return "  " + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n  ") + "\n" }
	text := `kind: MCPServer
metadata: {name: orders}
spec:
  regions:
    - {name: asia-south1, endpoints: [{address: "127.0.0.1:7101"}, {address: "127.0.0.1:7103"}]}
    - {name: asia-south2, endpoints: [{address: "127.0.0.1:7102"}]}
` + indent(server) + `---
kind: MCPRoute
metadata: {name: shopmax}
spec:
  servers: [{name: orders}]
` + indent(route)
	cfg, err := config.Parse([]config.File{{Name: "example.yaml", Data: []byte(text)}})
	if err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	return cfg
}

func requireFigures(t *testing.T, prose string, figures ...string) {
	t.Helper()
	for _, figure := range figures {
		if !strings.Contains(prose, figure) {
			t.Errorf("the text does not say %q, which is what the example gives", figure)
		}
	}
}

func TestTimeoutsExample(t *testing.T) {
	prose, yaml := section(t, "Timeouts")
	spec := example(t, "", yaml).Routes[0].Spec
	wait := config.Duration(spec.Retry.BackOff.Longest(spec.Retry.Attempts))
	longest := config.Duration(spec.Retry.Attempts)*spec.Retry.PerTryTimeout + wait
	if longest > spec.Timeout {
		t.Errorf("%v is longer than %v", longest, spec.Timeout)
	}
	requireFigures(t, prose,
		fmt.Sprintf("costs %s", spec.Retry.PerTryTimeout), fmt.Sprintf("at most %s later", wait),
		fmt.Sprintf("at most %s, within the %s", longest, spec.Timeout),
		fmt.Sprintf("about %s or more", config.Duration(time.Second)-spec.Retry.PerTryTimeout-wait))
}

func TestRetriesExample(t *testing.T) {
	prose, yaml := section(t, "Retries")
	b := example(t, yaml, "").Servers[0].Spec.RetryBudget
	if *b.Ratio != config.DefaultBudgetRatio || *b.Floor != config.DefaultBudgetFloor {
		t.Error("the example is not the default")
	}
	const calls = 1000
	retries := 10*calls*int(*b.Ratio)/100 + *b.Floor
	requireFigures(t, prose, fmt.Sprintf("%d calls and %d retries", 10*calls, retries), fmt.Sprintf("for %.1f seconds", float64(retries)/calls))
}

func TestOutlierExample(t *testing.T) {
	prose, yaml := section(t, "Outlier detection")
	o, usual := example(t, yaml, "").Servers[0].Spec.Outlier, example(t, "", "").Servers[0].Spec.Outlier
	share := *usual.MaxEjected
	o.MaxEjected, usual.MaxEjected = nil, nil
	if o != usual {
		t.Errorf("the example is not the default: %+v, %+v", o, usual)
	}
	requireFigures(t, prose,
		fmt.Sprintf("first ejection lasts %s, the second %s", o.EjectionTime, 2*o.EjectionTime),
		fmt.Sprintf("%s from the %dth", o.MaxEjectionTime, o.MaxEjectionTime/o.EjectionTime),
		fmt.Sprintf("each interval of %s", o.Interval),
		fmt.Sprintf("25%% is above %s, but 8 is below %d", o.FailurePercentage, o.MinimumCalls),
		fmt.Sprintf("of three %s", share))
}
