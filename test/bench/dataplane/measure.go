package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-mcp/holdfast/pkg/supervise"
)

// cell is what one row gave for one shape and number of connections.
type cell struct {
	samples []sample
	// shares are the throughput as a share of the plain Envoy's in the same round.
	shares []float64
	// envoyCPU and processorCPU a call, per round.
	envoyCPU, processorCPU []time.Duration
	// envoyKB and processorKB resident at the end.
	envoyKB, processorKB int
}

type key struct {
	row, shape  string
	connections int
}

type table struct {
	rows   []string
	shapes []shape
	cells  map[key]*cell
	idle   []idleRow
	rounds int
	span   time.Duration
}

// measure runs every row in turn, rounds times, so that a noisy moment of the
// machine hits all of them.
func measure(ctx context.Context, s *system, p plan) (*table, error) {
	t := &table{cells: map[key]*cell{}, rounds: p.rounds, span: p.span}
	for _, r := range s.rows {
		t.rows = append(t.rows, r.name)
	}
	if strings.Contains(idleName, p.only) {
		var err error
		if t.idle, err = idleStreams(ctx, s, p.streams); err != nil {
			return nil, err
		}
	}
	for _, sh := range shapes() {
		if strings.Contains(sh.name, p.only) {
			t.shapes = append(t.shapes, sh)
		}
	}
	began := time.Now()
	for i, sh := range t.shapes {
		for _, connections := range connectionCounts() {
			fmt.Fprintf(os.Stderr, "%s, %d of %d: %s, %d connections\n", time.Since(began).Round(time.Second), i+1, len(t.shapes), sh.name, connections)
			if err := t.interleave(ctx, s.rows, sh, connections, p); err != nil {
				return nil, err
			}
		}
	}
	if strings.Contains(stale.name, p.only) {
		fmt.Fprintf(os.Stderr, "%s: %s\n", time.Since(began).Round(time.Second), stale.name)
		if err := t.stale(ctx, s, p); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// stale learns the list of a server, switches the server off, and measures the
// answer in its place; the plain Envoy's list of the server that is up is what it
// is compared with.
func (t *table) stale(ctx context.Context, s *system, p plan) error {
	var own []row
	for _, r := range s.rows {
		if !r.remembers {
			continue
		}
		own = append(own, r)
		if _, err := load(ctx, r, stale, 1, time.Millisecond); err != nil {
			return fmt.Errorf("%s, %s, before: %w", stale.name, r.name, err)
		}
	}
	if err := s.gone.close(); err != nil {
		return err
	}
	t.shapes = append(t.shapes, stale)
	up := stale
	up.path = "/mcp"
	down := stale
	down.remembered = true
	for _, connections := range connectionCounts() {
		for range p.rounds {
			base, err := t.once(ctx, s.rows[0], up, stale.name, connections, p.span, 0)
			if err != nil {
				return err
			}
			for _, r := range own {
				if _, err := t.once(ctx, r, down, stale.name, connections, p.span, base); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (t *table) interleave(ctx context.Context, rows []row, sh shape, connections int, p plan) error {
	for range p.rounds {
		base := 0.0
		for _, r := range rows {
			perSec, err := t.once(ctx, r, sh, sh.name, connections, p.span, base)
			if err != nil {
				return err
			}
			if r.name == rowPlain {
				base = perSec
			}
		}
	}
	return nil
}

// once measures one row once and returns its throughput. base is the plain
// Envoy's, 0 for itself.
func (t *table) once(ctx context.Context, r row, sh shape, name string, connections int, span time.Duration, base float64) (float64, error) {
	envoyBefore, processorBefore, err := r.cpu()
	if err != nil {
		return 0, err
	}
	got, err := load(ctx, r, sh, connections, span)
	if err != nil {
		return 0, fmt.Errorf("%s, %s, %d connections: %w", r.name, sh.name, connections, err)
	}
	envoyAfter, processorAfter, err := r.cpu()
	if err != nil {
		return 0, err
	}
	k := key{r.name, name, connections}
	c := t.cells[k]
	if c == nil {
		c = &cell{}
		t.cells[k] = c
	}
	if base == 0 {
		base = got.perSec
	}
	c.samples = append(c.samples, got)
	c.shares = append(c.shares, got.perSec/base)
	c.envoyCPU = append(c.envoyCPU, (envoyAfter-envoyBefore)/time.Duration(got.calls))
	c.processorCPU = append(c.processorCPU, (processorAfter-processorBefore)/time.Duration(got.calls))
	c.envoyKB = residentKB(r.envoy)
	c.processorKB = residentKB(r.processor)
	return got.perSec, nil
}

// cpu is the processor time that the row's processes have used so far.
func (r row) cpu() (envoy, processor time.Duration, err error) {
	if envoy, err = cpuOf(r.envoy); err != nil {
		return 0, 0, err
	}
	if r.processor != nil {
		processor, err = cpuOf(r.processor)
	}
	return envoy, processor, err
}

// cpuOf reads the clock of a process's CPU time (clock_getcpuclockid(3)), which counts
// nanoseconds where /proc/PID/stat has ticks of ten milliseconds.
func cpuOf(child *supervise.Child) (time.Duration, error) {
	const ofProcess = 2 // CPUCLOCK_SCHED, in the lowest three bits
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^child.Status().PID<<3|ofProcess), &t); err != nil { //nolint:gosec // process ids have 22 bits
		return 0, fmt.Errorf("processor time of %s: %w", child.Name(), err)
	}
	return time.Duration(t.Nano()), nil
}

// residentKB is VmRSS; 0 where it cannot be read.
func residentKB(child *supervise.Child) int {
	if child == nil {
		return 0
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", child.Status().PID))
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(status, []byte("VmRSS:"))
	fields := bytes.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kb, err := strconv.Atoi(string(fields[0]))
	if err != nil {
		return 0
	}
	return kb
}

func median[T time.Duration | float64](all []T) T {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}
