package health_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/holdfast-mcp/holdfast/pkg/health"
)

// TestPages: the worst check says how a program is, and what it waits for is no reason to
// start it again.
func TestPages(t *testing.T) {
	good := health.Of("a", true, health.Unhealthy, "gone")
	missing := health.Of("b", false, health.Degraded, "missing")
	waiting := health.Of("c", false, health.Unhealthy, "waiting")
	for _, c := range []struct {
		name          string
		checks        []health.Check
		ready, health int
	}{
		{"none", nil, 200, 200},
		{"good", []health.Check{good, good}, 200, 200},
		{"degraded", []health.Check{good, missing}, 429, 429},
		{"unhealthy", []health.Check{waiting, missing, good}, 503, 429},
	} {
		mux := http.NewServeMux()
		health.Mount(mux, func() []health.Check { return c.checks })
		for path, want := range map[string]int{health.PathReady: c.ready, health.PathHealth: c.health} {
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
			var report health.Report
			if err := json.Unmarshal(w.Body.Bytes(), &report); err != nil {
				t.Fatal(err)
			}
			if w.Code != want || report.Status.Code() != want || len(report.Checks) != len(c.checks) || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("%s %s: %d %+v, want %d", c.name, path, w.Code, report, want)
			}
			if health.Usable(w.Code) != (want != 503) {
				t.Errorf("%s %s: usable %v", c.name, path, health.Usable(w.Code))
			}
			for i, check := range report.Checks {
				if check != c.checks[i] {
					t.Errorf("%s %s: %+v, want %+v", c.name, path, check, c.checks[i])
				}
			}
		}
	}
}
