package probe

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// maxPageBytes of a page of metrics are read.
const maxPageBytes = 8 << 20

// cpuCounter turns a counter of seconds into a share of the cores.
type cpuCounter struct {
	at      time.Time
	seconds float64
	known   bool
}

// metrics reads what the server says of its CPU and memory. A page that cannot be had says nothing of the
// endpoint: it is the same as none.
func (p *Prober) metrics(ctx context.Context, out *Result) error {
	m := p.target.Probes.Metrics
	if p.tlsProblem != nil {
		return fmt.Errorf("%w: %w", errNotAsked, p.tlsProblem)
	}
	families, err := p.families(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", errNotAsked, err)
	}
	if v, counter, ok := sum(families[m.CPU]); ok {
		if counter {
			v, ok = p.cpu.rate(v, out.Began, m.Cores)
		}
		if ok {
			out.CPU = &v
		}
	}
	if v, _, ok := sum(families[m.Memory]); ok {
		if m.MemoryLimit > 0 {
			v /= float64(m.MemoryLimit)
		}
		if v >= 0 && v <= 1.5 {
			out.Memory = &v
		}
	}
	switch {
	case out.CPU != nil && *out.CPU >= p.target.CPU:
		return fmt.Errorf("CPU %.0f%% is not below %.0f%%", 100**out.CPU, 100*p.target.CPU)
	case out.Memory != nil && *out.Memory >= p.target.Memory:
		return fmt.Errorf("memory %.0f%% is not below %.0f%%", 100**out.Memory, 100*p.target.Memory)
	case out.CPU == nil && out.Memory == nil && !p.cpu.known:
		return fmt.Errorf("%w: the page has neither %s nor %s", errNotAsked, m.CPU, m.Memory)
	}
	return nil
}

func (p *Prober) families(ctx context.Context) (map[string]*dto.MetricFamily, error) {
	m := p.target.Probes.Metrics
	resp, err := p.get(ctx, p.url(m.Path, m.Port))
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: status %d", m.Path, resp.StatusCode)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(io.LimitReader(resp.Body, maxPageBytes))
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", m.Path, err)
	}
	return families, nil
}

// sum adds up a family's series; counter says that they grow.
func sum(f *dto.MetricFamily) (total float64, counter, ok bool) {
	for _, m := range f.GetMetric() {
		switch {
		case m.GetCounter() != nil:
			total, counter = total+m.GetCounter().GetValue(), true
		case m.GetGauge() != nil:
			total += m.GetGauge().GetValue()
		case m.GetUntyped() != nil:
			total += m.GetUntyped().GetValue()
			counter = counter || strings.HasSuffix(f.GetName(), "_total")
		default:
			continue
		}
		ok = true
	}
	return total, counter, ok && !math.IsNaN(total) && !math.IsInf(total, 0)
}

// rate is the share of the cores that was used since the reading before.
func (c *cpuCounter) rate(seconds float64, at time.Time, cores int) (float64, bool) {
	before := *c
	*c = cpuCounter{at: at, seconds: seconds, known: true}
	elapsed := at.Sub(before.at).Seconds()
	if !before.known || elapsed <= 0 || seconds < before.seconds {
		return 0, false
	}
	return (seconds - before.seconds) / elapsed / float64(max(cores, 1)), true
}

// encoded is a name as the header Mcp-Name has it (MCP 2026-07-28): as it is where it may be, else in base64.
func encoded(name string) string {
	plain := name == strings.TrimSpace(name) && !(strings.HasPrefix(name, "=?base64?") && strings.HasSuffix(name, "?="))
	for _, c := range []byte(name) {
		plain = plain && c >= 0x20 && c <= 0x7e
	}
	if plain {
		return name
	}
	return "=?base64?" + base64.StdEncoding.EncodeToString([]byte(name)) + "?="
}

// safe is a program's version without what would end a JSON string.
func safe(version string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, version)
}
