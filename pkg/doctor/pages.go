package doctor

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/holdfast-mcp/holdfast/pkg/health"
	"github.com/holdfast-mcp/holdfast/pkg/telemetry"
)

const (
	// maxPage bounds what is read of a page.
	maxPage = 16 << 20
	// warnSkew and failSkew are differences of clocks. HTTP's Date has seconds.
	warnSkew, failSkew = 3 * time.Second, time.Minute
	// fewFiles is how many files a program should be allowed at least: each call has connections on both sides.
	fewFiles = 4096
	// nearFiles is the part of them that, when open, is near the end.
	nearFiles = 0.8
)

// page asks a program's page, and how far its clock is off.
func (e *examination) page(ctx context.Context, address, path string) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, http.NoBody)
	if err != nil {
		return 0, nil, fmt.Errorf("asking %s: %w", address, err)
	}
	response, err := e.HTTP.Do(request)
	if err != nil {
		return 0, nil, fmt.Errorf("asking %s: %w", address, err)
	}
	defer response.Body.Close() //nolint:errcheck // only read
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		e.skewed[address] = e.Now().Sub(date)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxPage))
	if err != nil {
		return 0, nil, fmt.Errorf("asking %s: %w", address, err)
	}
	return response.StatusCode, body, nil
}

// metrics are the values without labels on a program's metrics page.
func (e *examination) metrics(ctx context.Context, address string) {
	code, body, err := e.page(ctx, address, telemetry.Path)
	if err != nil || code != http.StatusOK {
		return
	}
	values := map[string]float64{}
	lines := bufio.NewScanner(strings.NewReader(string(body)))
	for lines.Scan() {
		name, text, ok := strings.Cut(lines.Text(), " ")
		if value, err := strconv.ParseFloat(text, 64); ok && err == nil {
			values[name] = value
		}
	}
	e.pages[address] = values
}

// fixes say what to do about a processor's checks.
func fixes(check string) string {
	switch check {
	case "redis":
		return "is the Redis of --redis running, and does it let this processor in? Its log says why not"
	case "control-plane":
		return "is xds running, and is --xds of this processor its address?"
	case "policies", "session-keys":
		return "it has never reached the control plane: see --xds, and --state, which keeps the last ones over restarts"
	}
	return "see its log"
}

// processors looks at each one's own checks, of which Redis is one.
func (e *examination) processors(ctx context.Context) {
	if len(e.Processors) == 0 {
		e.warn("processors", "no HTTP address of one is known", "name them with --processor host:port")
	}
	redis := 0
	for _, address := range e.Processors {
		e.metrics(ctx, address)
		_, body, err := e.page(ctx, address, health.PathReady)
		var report health.Report
		if err == nil {
			err = json.Unmarshal(body, &report)
		}
		if err != nil {
			e.fail("processors", err.Error(), "is extproc running, and is that its --http address? See docs/runbooks/no-processor.md")
			continue
		}
		for _, c := range report.Checks {
			name := "processors"
			if c.Name == "redis" {
				name, redis = "redis", redis+1
			}
			message := fmt.Sprintf("%s: %s: %s", address, c.Name, c.Message)
			switch c.State {
			case health.Unhealthy:
				e.fail(name, message, fixes(c.Name))
			case health.Degraded:
				e.warn(name, message, fixes(c.Name))
			case health.Healthy:
				if name == "redis" {
					e.ok(name, "%s counts rate limits in it", address)
				}
			}
		}
		if report.Status == health.Healthy {
			e.ok("processors", "%s is ready", address)
		}
	}
	if redis == 0 && len(e.Processors) > 0 {
		e.ok("redis", "none is configured: rate limits are divided among the processors")
	}
}

// traces looks at Jaeger, and at spans that nobody takes.
func (e *examination) traces(ctx context.Context) {
	for _, address := range slices.Sorted(maps.Keys(e.pages)) {
		if dropped := e.pages[address]["holdfast_spans_dropped_total"]; dropped > 0 {
			e.warn("traces", fmt.Sprintf("%s has dropped %.0f spans", address, dropped), "is the receiver of spec.telemetry.traces running, and quick enough?")
		}
	}
	if e.Traces == "" {
		e.ok("traces", "no Jaeger is known here")
		return
	}
	code, _, err := e.page(ctx, strings.TrimPrefix(e.Traces, "http://"), "/api/services")
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("asking %s: status %d", e.Traces, code)
	}
	if err != nil {
		e.warn("traces", "Jaeger does not answer, calls go on: "+err.Error(), "start it, or leave tracing out")
		return
	}
	e.ok("traces", "Jaeger answers at %s", e.Traces)
}

// clocks compares those of all programs that were asked with this machine's.
func (e *examination) clocks(ctx context.Context) {
	if e.PlaneAddress != "" {
		// It is asked for its clock alone.
		e.metrics(ctx, e.PlaneAddress)
	}
	good := 0
	for _, address := range slices.Sorted(maps.Keys(e.skewed)) {
		skew := e.skewed[address].Round(time.Second).Abs()
		message := fmt.Sprintf("the clock of %s is off by %v", address, skew)
		const fix = "let both machines follow a time server: tokens, breakers and traces go by the clock"
		switch {
		case skew >= failSkew:
			e.fail("clocks", message, fix)
		case skew >= warnSkew:
			e.warn("clocks", message, fix)
		default:
			good++
		}
	}
	if good > 0 {
		e.ok("clocks", "%d agree with this machine's", good)
	}
}

// files looks at how many files programs have open, of how many they may.
func (e *examination) files(context.Context) {
	for _, address := range slices.Sorted(maps.Keys(e.pages)) {
		open, most := e.pages[address]["process_open_fds"], e.pages[address]["process_max_fds"]
		const fix = "raise it where the program is started: LimitNOFILE= of systemd, ulimit -n of a shell"
		switch {
		case most == 0:
			// Not every system says.
		case open > nearFiles*most:
			e.fail("files", fmt.Sprintf("%s has %.0f of %.0f files open", address, open, most), fix)
		case most < fewFiles:
			e.warn("files", fmt.Sprintf("%s may open %.0f files", address, most), fix)
		default:
			e.ok("files", "%s has %.0f of %.0f open", address, open, most)
		}
	}
}
