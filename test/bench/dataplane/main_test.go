package main

import (
	"context"
	"flag"
	"os"
	"os/signal"
	"path/filepath"
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
// what the benchmark compares is not what it says.
func TestEveryRowAnswers(t *testing.T) {
	programs := stacktest.Programs(t)
	programs.Envoy = stacktest.Envoy(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s, err := start(t.Context(), programs, filepath.Join(stacktest.Root(t), "envoy", "bootstrap.yaml"), self)
	if err != nil {
		t.Fatal(err)
	}
	table, err := measure(t.Context(), s, plan{span: 20 * time.Millisecond, rounds: 1, only: ""})
	if closeErr := s.close(t.Context()); err != nil || closeErr != nil {
		t.Fatal(err, closeErr)
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
	if c := table.cells[key{rowHoldfast, stale.name, 1}]; c == nil || c.samples[0].calls == 0 {
		t.Errorf("no list was served for a server that is down")
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
		{rowPlain, "300 B", 32}: of(1, 0), {rowHoldfast, "300 B", 32}: of(0.29, 0),
		{rowPlain, "300 B", 1}: of(1, 100), {rowFloor2, "300 B", 1}: of(1, 200), {rowHoldfast, "300 B", 1}: of(1, 211),
	}
	if got := (&table{cells: cells}).missed(); len(got) != 2 {
		t.Errorf("missed: %q", got)
	}
	cells[key{rowHoldfast, "300 B", 32}], cells[key{rowHoldfast, "300 B", 1}] = of(0.3, 0), of(1, 209)
	if got := (&table{cells: cells}).missed(); len(got) != 0 {
		t.Errorf("missed: %q", got)
	}
}
