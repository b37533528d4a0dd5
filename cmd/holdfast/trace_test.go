package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/holdfast-mcp/holdfast/pkg/telemetry/jaeger"
)

const (
	failoverID = "4bf92f3577b34da6a3ce929d0e0e4736"
	// newest is what the traces below came in of a search, the newest last.
	newest = "killed"
)

// recorded serves what a real Jaeger has said of three calls: one whose endpoint was killed, one whose tool
// failed in the first region, and one that had its context in _meta.
func recorded(t *testing.T) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	say := func(w http.ResponseWriter, name string) {
		body, err := os.ReadFile(filepath.Join("testdata", "trace", name+".json"))
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(body)
	}
	mux.HandleFunc("GET /api/traces/{id}", func(w http.ResponseWriter, r *http.Request) {
		for id, name := range map[string]string{failoverID: "failover", "5" + failoverID[1:]: "meta"} {
			if r.PathValue("id") == id {
				say(w, name)
				return
			}
		}
		w.WriteHeader(http.StatusNotFound)
		_, _ = fmt.Fprint(w, `{"data":null,"errors":[{"code":404,"msg":"trace not found"}]}`)
	})
	mux.HandleFunc("GET /api/traces", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		switch tags := q.Get("tags"); {
		case q.Get("service") != "holdfast-extproc" || !strings.Contains(tags, `"mcp.method.name":"tools/call"`):
			t.Errorf("asked for %v", q)
		case strings.Contains(tags, `"gen_ai.tool.name":"none"`):
			_, _ = fmt.Fprint(w, `{"data":[]}`)
		case strings.Contains(tags, `"error":"true"`):
			say(w, "failover")
		default:
			say(w, newest)
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

func readTrace(t *testing.T, name string) *jaeger.Trace {
	t.Helper()
	server := recorded(t)
	client := &jaeger.Client{URL: server.URL, HTTP: server.Client()}
	id := failoverID
	if name == "meta" {
		id = "5" + failoverID[1:]
	}
	found, err := client.Trace(t.Context(), id)
	if name == newest {
		found, err = client.Latest(t.Context(), processorService, map[string]string{"mcp.method.name": "tools/call"}, 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := range found.Spans {
		found.Spans[i].Start = found.Spans[i].Start.UTC()
	}
	return found
}

// TestTracePictures: the picture of a trace fits its terminal, and the failed try is seen in it.
func TestTracePictures(t *testing.T) {
	for _, test := range []struct {
		name   string
		widths []int
		all    bool
	}{{"failover", []int{160, 120, 90, 70, 40}, false}, {"killed", []int{140}, true}, {"meta", []int{140}, false}} {
		found := readTrace(t, test.name)
		for _, width := range test.widths {
			got := drawTrace(found, width, test.all, false)
			golden(t, fmt.Sprintf("trace/%s-%d", test.name, width), got)
			if strings.Contains(got, "\x1b") {
				t.Errorf("%s: colours where nobody has asked for them", test.name)
			}
			for line := range strings.Lines(got) {
				if n := cells(strings.TrimRight(line, "\n")); n > max(width, 70) && strings.ContainsAny(line, "█▒") {
					t.Errorf("%s has a line of %d columns of %d: %s", test.name, n, width, line)
				}
			}
		}
		if painted := drawTrace(found, 140, test.all, true); !strings.Contains(painted, red+"✗ ") {
			t.Errorf("%s: what failed is not red:\n%q", test.name, painted)
		}
	}
}

func TestTraceCommand(t *testing.T) {
	t.Parallel()
	server := recorded(t)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	garbled := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "<html>") }))
	t.Cleanup(garbled.Close)
	for name, test := range map[string]struct {
		args   []string
		code   int
		stdout []string
		stderr string
	}{
		"by id":                {args: []string{failoverID}, stdout: []string{"Trace " + failoverID, "✗ try 1, tool_failed, -32603", "try 2, good", "primary-mumbai, asia-south1"}},
		"by a traceparent":     {args: []string{"00-" + strings.ToUpper(failoverID) + "-00f067aa0ba902b7-01"}, stdout: []string{"Trace " + failoverID}},
		"the last":             {args: []string{"--last"}, stdout: []string{"✗ connection failed", "try 2, good"}},
		"the last by itself":   {stdout: []string{"✗ connection failed"}},
		"the last that failed": {args: []string{"--failed"}, stdout: []string{"Trace " + failoverID}},
		"structured":           {args: []string{failoverID, "-o", "yaml"}, stdout: []string{"traceId: " + failoverID, "parentSpanId: ", `holdfast.verdict: tool_failed`}},
		"no such trace":        {args: []string{"77"}, code: 1, stderr: "has no trace 77"},
		"none of the tool":     {args: []string{"--tool", "none"}, code: 1, stderr: "has no trace of a call of none yet"},
		"no id":                {args: []string{"order-7701"}, code: 2, stderr: "is not a trace id"},
		"zero":                 {args: []string{"0000"}, code: 2, stderr: "is not a trace id"},
		"both":                 {args: []string{failoverID, "--last"}, code: 2, stderr: "either a trace's id or --last"},
		"two":                  {args: []string{failoverID, failoverID}, code: 2, stderr: "accepts at most 1"},
		"no URL":               {args: []string{"--jaeger", "localhost:16686"}, code: 2, stderr: "--jaeger"},
		"nobody there":         {args: []string{failoverID, "--jaeger", gone.URL}, code: 1, stderr: "no Jaeger answers at " + gone.URL + " (--jaeger): 'holdfast up' starts one"},
		"no Jaeger there":      {args: []string{failoverID, "--jaeger", garbled.URL}, code: 1, stderr: "asking the Jaeger at " + garbled.URL},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"trace", "--state", t.TempDir()}, test.args...)
			if !strings.Contains(strings.Join(args, " "), "--jaeger") {
				args = append(args, "--jaeger", server.URL)
			}
			got := execute(t.Context(), "", args...)
			if got.code != test.code || !strings.Contains(got.stderr, test.stderr) {
				t.Errorf("exit %d, want %d; it says %q, want %q", got.code, test.code, got.stderr, test.stderr)
			}
			for _, want := range test.stdout {
				if !strings.Contains(got.stdout, want) {
					t.Errorf("%q is not in\n%s", want, got.stdout)
				}
			}
		})
	}
}

// TestTraceAsJSON: programs get every span, Envoy's streams to the processors too.
func TestTraceAsJSON(t *testing.T) {
	t.Parallel()
	got := execute(t.Context(), "", "trace", failoverID, "-o", "json", "--jaeger", recorded(t).URL)
	var out traceJSON
	if err := json.Unmarshal([]byte(got.stdout), &out); err != nil {
		t.Fatal(err)
	}
	if out.TraceID != failoverID || len(out.Spans) != 11 || out.Spans[0].Name != "ingress" || out.Spans[0].DurationMs <= 0 || out.DurationMs < out.Spans[0].DurationMs {
		t.Errorf("%+v", out)
	}
	failed := 0
	for _, s := range out.Spans {
		if s.Error {
			failed++
		}
	}
	if failed != 3 {
		t.Errorf("%d failed spans, want the try's, Envoy's and the server's", failed)
	}
}

// TestTraceOfAnybody: whatever a trace holds, the terminal is not steered by it, and the picture ends.
func TestTraceOfAnybody(t *testing.T) {
	t.Parallel()
	evil := "\x1b[2J\x1b]0;owned\a\r\n\u202edlrow\u0000" + strings.Repeat("订单", 200)
	loop := &jaeger.Trace{ID: evil}
	for i := range 3 {
		loop.Spans = append(loop.Spans, jaeger.Span{
			ID: fmt.Sprint(i), Parent: fmt.Sprint((i + 1) % 3), Name: evil, Service: evil, Duration: -time.Hour,
			Tags:  map[string]string{"holdfast.region": evil, "holdfast.endpoint": evil, "holdfast.verdict": evil, "error.type": evil, "error": "true", "response_flags": evil},
			Links: []jaeger.Link{{TraceID: evil, SpanID: evil}},
		})
	}
	self := &jaeger.Trace{ID: "1", Spans: []jaeger.Span{{ID: "1", Parent: "1", Start: time.UnixMicro(1 << 62)}, {ID: "1", Parent: "9"}}}
	deep := &jaeger.Trace{ID: "2"}
	for i := range 50_000 {
		deep.Spans = append(deep.Spans, jaeger.Span{ID: fmt.Sprint(i), Parent: fmt.Sprint(i - 1), Start: time.UnixMicro(int64(i)), Duration: 1 << 62})
	}
	for name, test := range map[string]struct {
		trace *jaeger.Trace
		rows  int
	}{"text": {loop, 3}, "its own parent": {self, 2}, "deep": {deep, maxTraceRows}} {
		for _, width := range []int{1, 20, 80, 200} {
			got := drawTrace(test.trace, width, false, false)
			if strings.ContainsAny(got, "\x1b\a\r\u202e\u0000") {
				t.Errorf("%s: %q", name, got)
			}
			rows := 0
			for line := range strings.Lines(got) {
				if strings.ContainsAny(line, "█▒") {
					rows++
				}
			}
			if rows != test.rows {
				t.Errorf("%s: %d rows, want %d", name, rows, test.rows)
			}
		}
	}
}

// TestTraceWaitsForTheRest: a trace whose spans are still arriving is asked for again, one that will
// never be whole is not waited for, and one from a clock that is ahead not for ever.
func TestTraceWaitsForTheRest(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		age   time.Duration
		comes bool
		waits time.Duration
	}{
		"young": {0, true, arrivingPause}, "never whole": {0, false, arrivingFor}, "old": {time.Minute, false, 0},
		"of tomorrow": {-24 * time.Hour, false, arrivingFor},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began, asked := time.Now(), 0
				child := jaeger.Span{ID: "2", Parent: "1", Service: processorService, Start: began.Add(-test.age)}
				_, err := wholeTrace(t.Context(), func(context.Context) (*jaeger.Trace, error) {
					out := &jaeger.Trace{Spans: []jaeger.Span{child}}
					if asked++; asked == 2 && test.comes {
						out.Spans = append(out.Spans, jaeger.Span{ID: "1", Parent: "caller", Service: envoyService})
					}
					return out, nil
				})
				if took := time.Since(began); err != nil || took < test.waits || took > test.waits+arrivingPause {
					t.Errorf("it took %v, want %v; %v", took, test.waits, err)
				}
			})
		})
	}
}
