package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/holdfast-mcp/holdfast/pkg/doctor"
)

// TestDoctor: what it finds as text and as JSON, and its exit codes. Where nothing runs, everything fails.
func TestDoctor(t *testing.T) {
	var p plane
	p.statuses = append(p.statuses, goodStatus())
	startPlane(t, &p)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	nobody := strings.TrimPrefix(gone.URL, "http://")
	args := []string{"doctor", "--server", p.url, "--state", t.TempDir(), "--gateway", nobody, "--processor", nobody, "--timeout", "20s"}
	got := execute(t.Context(), "", args...)
	for _, want := range []string{"fail gateway ", "connection refused", "→ is Envoy running", "ok   control plane it serves revision 12", "ok   xds", "fail processors", "fail handshake"} {
		if got.code != exitFailed || !strings.Contains(got.stdout, want) {
			t.Errorf("%s\nwant exit %d and %q", got.text(), exitFailed, want)
		}
	}
	got = execute(t.Context(), "", append(args, "-o", "json")...)
	var page struct {
		Findings []doctor.Finding `json:"findings"`
	}
	if err := json.Unmarshal([]byte(got.stdout), &page); err != nil || got.code != exitFailed {
		t.Fatalf("%v, exit %d: %s", err, got.code, got.text())
	}
	if len(page.Findings) < 8 || page.Findings[0].Check != "gateway" || page.Findings[0].State != doctor.Fail {
		t.Errorf("%+v", page.Findings)
	}
	for _, bad := range [][]string{{"--timeout", "0s"}, {"--header", "Authorization"}, {"-o", "xml"}, {"now"}} {
		if got := execute(t.Context(), "", append(args, bad...)...); got.code != exitUsage {
			t.Errorf("%v: exit %d", bad, got.code)
		}
	}
}
