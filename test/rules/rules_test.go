// Package rules tests what Prometheus makes of the metrics: with promtool, Prometheus's own
// program for that.
package rules

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/holdfast-mcp/holdfast/pkg/parts"
	"github.com/holdfast-mcp/holdfast/pkg/telemetry"
)

const root = "../.."

func promtool(t *testing.T, args ...string) {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	finder := parts.Finder{CacheDir: filepath.Join(cache, "holdfast"), Progress: func(s string) { t.Log(s) }}
	path, err := finder.Promtool(t.Context(), os.Getenv("HOLDFAST_PROMTOOL"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = filepath.Join(root, "deploy", "prometheus")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// rule is one of rules.yaml, or what a test of rules_test.yaml expects of it.
type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func rules(t *testing.T) []rule {
	t.Helper()
	var file struct {
		Groups []struct {
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "deploy", "prometheus", "rules.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	var all []rule
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		t.Fatal("there are no rules")
	}
	return all
}

// TestAlerts: Prometheus takes the configuration, and each alert does in every case of
// rules_test.yaml what is written there.
func TestAlerts(t *testing.T) {
	promtool(t, "check", "config", "prometheus.yaml")
	promtool(t, "test", "rules", "rules_test.yaml")
}

// TestEachAlertFires: each alert has a case in which it fires, a severity, and a runbook that
// names it and has all that one needs.
func TestEachAlertFires(t *testing.T) {
	var file struct {
		Tests []struct {
			Cases []struct {
				Alert string           `yaml:"alertname"`
				Fires []map[string]any `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		} `yaml:"tests"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "deploy", "prometheus", "rules_test.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	fires := map[string]bool{}
	for _, test := range file.Tests {
		for _, c := range test.Cases {
			fires[c.Alert] = fires[c.Alert] || len(c.Fires) > 0
		}
	}
	for _, r := range rules(t) {
		if r.Alert == "" {
			continue
		}
		if !fires[r.Alert] {
			t.Errorf("%s fires in no test", r.Alert)
		}
		if !slices.Contains([]string{"P0", "P1", "P2", "P3"}, r.Labels["severity"]) {
			t.Errorf("%s has the severity %q", r.Alert, r.Labels["severity"])
		}
		_, name, _ := strings.Cut(r.Annotations["runbook_url"], "/docs/")
		book := read(t, "docs", name)
		for _, want := range []string{r.Alert, "## Signal\n", "## Check\n", "## Act\n", "## Verify\n"} {
			if !strings.Contains(book, want) {
				t.Errorf("%s does not say %q for %s", name, want, r.Alert)
			}
		}
	}
}

// TestMetricsExist: whatever rules, runbooks and dashboard ask for is shown by some program.
func TestMetricsExist(t *testing.T) {
	reference := read(t, "docs", "reference", "metrics.md")
	metric := regexp.MustCompile(`\b(?:holdfast|mcp|envoy)_[a-z0-9_]+`)
	labels := []string{"mcp_method_name", "envoy_cluster_name"}
	texts := map[string]string{}
	for _, r := range rules(t) {
		texts[r.Alert+" "+r.Expr] = r.Expr
	}
	paths, err := filepath.Glob(filepath.Join(root, "docs", "runbooks", "*.md"))
	if err != nil || len(paths) == 0 {
		t.Fatal("no runbooks", err)
	}
	for _, path := range append(paths, filepath.Join(root, "deploy", "grafana", "holdfast.json")) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts[path] = string(data)
	}
	recorded := regexp.MustCompile(`server:holdfast_[a-z0-9_]+`)
	for where, text := range texts {
		for _, name := range metric.FindAllString(recorded.ReplaceAllString(text, ""), -1) {
			base := name
			for _, suffix := range []string{"_bucket", "_count", "_sum"} {
				base = strings.TrimSuffix(base, suffix)
			}
			known := slices.Contains(labels, name) || strings.Contains(reference, "`"+name+"`") || strings.Contains(reference, "`"+base+"`")
			for _, s := range telemetry.EnvoyStatistics() {
				known = known || s.Name == name
			}
			if !known {
				t.Errorf("%s asks for %s, which nobody shows", where, name)
			}
		}
	}
}
