package main

import (
	"context"
	"flag"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
)

// TestMain also is the do-nothing processor, which the benchmark runs as a process
// of its own from the program that it is itself.
func TestMain(m *testing.M) {
	floor := flag.String("floor", "", "serve as the do-nothing processor on this unix socket")
	flag.Parse()
	if *floor == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serveFloor(ctx, *floor); err != nil {
		panic(err)
	}
}

// TestEveryRowAnswers runs all rows for a moment: each must answer every call, or
// what the benchmark compares is not what it says; and each asks its processor as often as it should.
func TestEveryRowAnswers(t *testing.T) {
	s := startAll(t)
	t.Run("memory", func(t *testing.T) {
		// A quarter more and 16 MiB are far above what a collection comes too late by, and far below a leak of what a call needs.
		if err := saturate(t.Context(), s, saturation{span: 6 * time.Second, rounds: 9, atMost: 1.25, slackKB: 16 << 10}); err != nil {
			t.Error(err)
		}
	})
	table, err := measure(t.Context(), s, plan{span: 10 * time.Millisecond, rounds: 1, streams: 20})
	if err != nil {
		t.Fatal(err)
	}
	for _, sh := range shapes() {
		for _, r := range table.rows {
			for _, connections := range connectionCounts() {
				if c := table.cells[key{r, sh.name, connections}]; c == nil || c.samples[0].calls == 0 {
					t.Errorf("%s, %s, %d connections: no calls", r, sh.name, connections)
				}
			}
		}
	}
	for _, r := range []string{rowHoldfast, rowLimited, rowTraced} {
		if c := table.cells[key{r, stale.name, 1}]; c == nil || c.samples[0].calls == 0 {
			t.Errorf("%s: no list was served for a server that is down", r)
		}
	}
	if len(table.idle) != 4 {
		t.Errorf("%d rows of idle streams", len(table.idle))
	}
	if got := table.markdown(); strings.Count(got, "\n| "+rowTraced+" |") != len(shapes())+2 {
		t.Errorf("the table has not all rows:\n%s", got)
	}
}

// TestMessagesPerCall counts what Envoy says to its processor for a call: each message costs it about a fifth of what
// a plain Envoy needs for the whole call.
func TestMessagesPerCall(t *testing.T) {
	s := startAll(t)
	for _, tt := range []struct {
		row, shape string
		edge, try  int
	}{
		{rowPlain, request300B, 0, 0},
		// Request headers, body, response headers.
		{rowEdge, request300B, 3, 0},
		// And of the try: request headers, response headers, body, end.
		{rowHoldfast, request300B, 3, 4},
		{rowTraced, request300B, 3, 4},
		{rowHoldfast, read1MiB, 3, 4},
		// The body stays in Envoy.
		{rowHoldfast, request1MiB, 2, 4},
	} {
		i := slices.IndexFunc(s.rows, func(r row) bool { return r.name == tt.row })
		j := slices.IndexFunc(shapes(), func(sh shape) bool { return sh.name == tt.shape })
		r := s.rows[i]
		before := sentMessages(t, r)
		got, err := load(t.Context(), r, shapes()[j], 1, 50*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if got.failed > 0 {
			t.Errorf("%s, %s: %d calls failed", tt.row, tt.shape, got.failed)
		}
		if sent := sentMessages(t, r) - before; sent != got.calls*(tt.edge+tt.try) {
			t.Errorf("%s, %s: %d messages for %d calls, want %d for each", tt.row, tt.shape, sent, got.calls, tt.edge+tt.try)
		}
	}
}

// sentMessages adds up Envoy's counters of messages to processors.
func sentMessages(t *testing.T, r row) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.admin+"/stats?filter=stream_msgs_sent", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for line := range strings.Lines(string(body)) {
		_, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		n, err := strconv.Atoi(value)
		if err != nil {
			t.Fatalf("counter %q: %v", line, err)
		}
		sum += n
	}
	return sum
}

// startAll starts everything that is measured, until the test is over.
func startAll(t *testing.T) *system {
	t.Helper()
	p := programs{Programs: stacktest.Programs(t), bootstrap: filepath.Join(stacktest.Root(t), "envoy", "bootstrap.yaml")}
	p.Envoy = stacktest.Envoy(t)
	var err error
	if p.self, err = os.Executable(); err != nil {
		t.Fatal(err)
	}
	p.redis = stacktest.Redis(t)
	s, err := start(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestGrowthIsSeen(t *testing.T) {
	p := fully(time.Minute)
	flat, growing := []int{10, 90000, 100000, 99000, 100000, 101000}, []int{10, 90000, 100000, 105000, 110000, 115000}
	if err := p.check("x", flat); err != nil {
		t.Error(err)
	}
	if err := p.check("x", growing); err == nil {
		t.Error("growth goes unseen")
	}
}

func TestTableGoesBetweenTheMarks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.md")
	if err := os.WriteFile(path, []byte("above\n"+beginMark+"\nold\n"+endMark+"\nbelow\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (&table{rounds: 1, span: time.Second}).into(path); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(got), "old") || !strings.HasPrefix(string(got), "above\n") || !strings.HasSuffix(string(got), "\nbelow\n") {
		t.Errorf("%v: %s", err, got)
	}
	if err := os.WriteFile(path, []byte("no marks"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (&table{}).into(path); err == nil {
		t.Error("a file without marks was written to")
	}
}

func TestRequirementsCanBeMissed(t *testing.T) {
	of := func(share float64, p50 time.Duration) *cell {
		return &cell{shares: []float64{share}, samples: []sample{{p50: p50}}}
	}
	cells := map[key]*cell{
		{rowPlain, request300B, 32}: of(1, 0), {rowTraced, request300B, 32}: of(0.29, 0),
		{rowPlain, request300B, 1}: of(1, 100), {rowFloor2, request300B, 1}: of(1, 200), {rowTraced, request300B, 1}: of(1, 211),
	}
	if got := (&table{cells: cells}).missed(); len(got) != 2 {
		t.Errorf("missed: %q", got)
	}
	cells[key{rowTraced, request300B, 32}], cells[key{rowTraced, request300B, 1}] = of(0.3, 0), of(1, 209)
	if got := (&table{cells: cells}).missed(); len(got) != 0 {
		t.Errorf("missed: %q", got)
	}
}
