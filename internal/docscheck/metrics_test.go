package docscheck

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mcp/holdfast/pkg/control"
	mcptelemetry "github.com/holdfast-mcp/holdfast/pkg/mcpaware/telemetry"
	"github.com/holdfast-mcp/holdfast/pkg/telemetry"
	"github.com/holdfast-mcp/holdfast/pkg/telemetry/trace"
)

var update = flag.Bool("update", false, "write the references anew")

const metricsIntro = "# Metrics\n\n" +
	"<!-- Written by the tests of internal/docscheck from the metrics themselves; `make golden` writes it anew. -->\n\n" +
	"Both programs serve `/metrics` on their HTTP address, in Prometheus's formats: `xds` on 127.0.0.1:18001, `extproc` on\n" +
	"127.0.0.1:18011 and 18012. Beside what is listed here they have the Go runtime's (`go_…`), the process's (`process_…`) and\n" +
	"`holdfast_build_info`. Labels take a bounded number of values: tools that no server has listed and no rule names count as `other`,\n" +
	"and so do those beyond a bound. Where Envoy counts something related, the last column names it; its page is `/stats/prometheus`\n" +
	"on its admin address.\n"

// described takes what is registered, as a registry would.
type described struct {
	prometheus.Registerer
	collectors []prometheus.Collector
}

func (d *described) MustRegister(all ...prometheus.Collector) {
	d.collectors = append(d.collectors, all...)
}

// table lists the metrics of collectors by name.
func table(t *testing.T, collectors []prometheus.Collector) string {
	t.Helper()
	pattern := regexp.MustCompile(`fqName: "([^"]+)", help: "([^"]*)", unit: "[^"]*", constLabels: {}, variableLabels: {([^}]*)}`)
	var rows []string
	for _, c := range collectors {
		descs := make(chan *prometheus.Desc, 100)
		c.Describe(descs)
		close(descs)
		for d := range descs {
			m := pattern.FindStringSubmatch(d.String())
			if m == nil {
				t.Fatalf("%s is not read", d)
			}
			rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s |\n", m[1], strings.ReplaceAll(m[3], ",", ", "), m[2], beside(m[1])))
		}
	}
	slices.Sort(rows)
	return "| metric | labels | meaning | Envoy's own |\n| --- | --- | --- | --- |\n" + strings.Join(rows, "")
}

// beside names Envoy's statistics that go with a metric.
func beside(metric string) string {
	var names []string
	for _, s := range telemetry.EnvoyStatistics() {
		if slices.Contains(s.Beside, metric) {
			names = append(names, "`"+s.Name+"`")
		}
	}
	return strings.Join(names, ", ")
}

func envoyTable() string {
	rows := "| statistic | meaning |\n| --- | --- |\n"
	for _, s := range telemetry.EnvoyStatistics() {
		rows += fmt.Sprintf("| `%s` | %s |\n", s.Name, s.Means)
	}
	return rows
}

// TestStatisticsStandBesideMetrics: every one of Envoy's goes with a metric that there is.
func TestStatisticsStandBesideMetrics(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root, "docs", "reference", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range telemetry.EnvoyStatistics() {
		for _, metric := range s.Beside {
			if !strings.Contains(string(doc), "| `"+metric+"` |") && !strings.HasPrefix(metric, "process_") && metric != "holdfast_build_info" {
				t.Errorf("%s is to be read with %s, which there is not", s.Name, metric)
			}
		}
	}
}

// TestMetricsReferenceIsUpToDate: docs/reference/metrics.md says what the programs show.
func TestMetricsReferenceIsUpToDate(t *testing.T) {
	processor := &described{}
	mcptelemetry.NewCalls(processor, mcptelemetry.CallOptions{})
	mcptelemetry.NewOutcomes(processor, nil, nil)
	mcptelemetry.Budget(processor, nil)
	mcptelemetry.Processor{}.Register(processor)
	mcptelemetry.RegisterProcessors(processor, func() int { return 0 })
	mcptelemetry.NewLimits(processor, func() int { return 0 })
	mcptelemetry.NewResults(processor, func() (int, uint64) { return 0, 0 })
	mcptelemetry.RegisterLimitsRedis(processor, func() bool { return false }, func() uint64 { return 0 })
	trace.Metrics(processor, &trace.Counts{})
	got := metricsIntro +
		"\n## extproc\n\n" + table(t, processor.collectors) +
		"\n## xds\n\n" + table(t, []prometheus.Collector{(&control.Plane{}).Metrics()}) +
		"\n## Envoy\n\n" + envoyTable()
	path := filepath.Join(root, "docs", "reference", "metrics.md")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: write it with -update", err)
	}
	if got != string(want) {
		t.Errorf("%s is not what the programs show: run the tests of internal/docscheck with -update", path)
	}
}
