package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"time"
)

func (c *cell) perSec() float64 {
	all := make([]float64, len(c.samples))
	for i, s := range c.samples {
		all[i] = s.perSec
	}
	return median(all)
}

func (c *cell) latency(of func(sample) time.Duration) time.Duration {
	all := make([]time.Duration, len(c.samples))
	for i, s := range c.samples {
		all[i] = of(s)
	}
	return median(all)
}

func (c *cell) p50() time.Duration { return c.latency(func(s sample) time.Duration { return s.p50 }) }

func (c *cell) p99() time.Duration { return c.latency(func(s sample) time.Duration { return s.p99 }) }

// markdown is one table a shape.
func (t *table) markdown() string {
	var out strings.Builder
	for _, sh := range t.shapes {
		fmt.Fprintf(&out, "\n### %s\n\n", sh.name)
		out.WriteString("| row | 1 connection: calls/s | share | p50 | p99 | 32 connections: calls/s | share | p50 | p99 | Envoy CPU a call | processor CPU a call | Envoy MiB | processor MiB |\n")
		out.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
		for _, r := range t.rows {
			one, many := t.cells[key{r, sh.name, 1}], t.cells[key{r, sh.name, 32}]
			if one == nil || many == nil {
				continue
			}
			fmt.Fprintf(&out, "| %s | %.0f | %.2f | %s | %s | %.0f | %.2f | %s | %s | %s | %s | %d | %d |\n", r,
				one.perSec(), median(one.shares), micros(one.p50()), micros(one.p99()),
				many.perSec(), median(many.shares), micros(many.p50()), micros(many.p99()),
				micros(median(many.envoyCPU)), micros(median(many.processorCPU)), many.envoyKB>>10, many.processorKB>>10)
		}
	}
	out.WriteString(idleMarkdown(t.idle))
	for _, line := range t.failing() {
		fmt.Fprintf(&out, "\nNot measured by good answers alone: %s.\n", strings.ReplaceAll(line, "|", " "))
	}
	fmt.Fprintf(&out, "\nMedians of %d rounds of %s. The share is of the plain Envoy's calls in the same round.\n", t.rounds, t.span)
	return out.String()
}

func micros(d time.Duration) string { return fmt.Sprintf("%d µs", d.Microseconds()) }

// Marks between which a file holds the table.
const (
	beginMark = "<!-- made by make bench-data -->"
	endMark   = "<!-- end of what make bench-data makes -->"
)

// into replaces what stands between the marks of a file.
func (t *table) into(path string) error {
	old, err := os.ReadFile(path) //nolint:gosec // the caller's choice
	if err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	before, rest, begins := bytes.Cut(old, []byte(beginMark))
	_, after, ends := bytes.Cut(rest, []byte(endMark))
	if !begins || !ends {
		return fmt.Errorf("writing the table: %s has no lines %q and %q", path, beginMark, endMark)
	}
	text := fmt.Sprintf("%s%s\n%s\n%s%s", before, beginMark, t.markdown(), endMark, after)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // documentation
		return fmt.Errorf("writing the table: %w", err)
	}
	return nil
}

// required is a ratio that a shape has to reach.
type required struct {
	shape       string
	row, of     string
	connections int
	atLeast     float64
}

func requirements() []required {
	return []required{
		{request300B, rowEdge, rowFloor1, 32, 1.05},
		{request10KiB, rowEdge, rowFloor1, 32, 1.05},
		{request64KiB, rowEdge, rowFloor1, 32, 1.05},
		{request1MiB, rowEdge, rowFloor1, 32, 2.5},
		{request300B, rowTraced, rowPlain, 32, 0.30},
		{request10KiB, rowTraced, rowPlain, 32, 0.27},
		{request64KiB, rowTraced, rowPlain, 32, 0.25},
		{request1MiB, rowTraced, rowPlain, 32, 0.5},
		{stale.name, rowTraced, rowPlain, 32, 0.55},
	}
}

// addedAtMost bounds the median that Holdfast adds at one connection, as a
// multiple of what the do-nothing processor adds.
const addedAtMost = 1.1

// failing lists what is not measured by good answers alone.
func (t *table) failing() []string {
	var out []string
	for _, sh := range t.shapes {
		for _, r := range t.rows {
			for _, connections := range connectionCounts() {
				c := t.cells[key{r, sh.name, connections}]
				if c == nil {
					continue
				}
				all, worst := sample{}, ""
				for _, s := range c.samples {
					all.calls, all.failed = all.calls+s.calls, all.failed+s.failed
					if s.complaint != "" {
						worst = s.complaint
					}
				}
				if all.failing() {
					out = append(out, fmt.Sprintf("%s, %s, %d connections: %d of %d calls failed, one with %q", sh.name, r, connections, all.failed, all.failed+all.calls, worst))
				}
			}
		}
	}
	return out
}

// missed says which required figures are not reached.
func (t *table) missed() []string {
	out := t.failing()
	for _, want := range requirements() {
		got, of := t.cells[key{want.row, want.shape, want.connections}], t.cells[key{want.of, want.shape, want.connections}]
		if got == nil || of == nil {
			continue
		}
		if ratio := median(got.shares) / median(of.shares); ratio < want.atLeast {
			out = append(out, fmt.Sprintf("%s, %s: %.2f of %s, required are %.2f", want.shape, want.row, ratio, want.of, want.atLeast))
		}
	}
	for _, shape := range []string{request300B, request10KiB, request64KiB} {
		plain, floor, own := t.cells[key{rowPlain, shape, 1}], t.cells[key{rowFloor2, shape, 1}], t.cells[key{rowTraced, shape, 1}]
		if plain == nil || floor == nil || own == nil {
			continue
		}
		if added, bound := own.p50()-plain.p50(), floor.p50()-plain.p50(); float64(added) > addedAtMost*float64(bound) {
			out = append(out, fmt.Sprintf("%s, 1 connection: Holdfast adds %s, the do-nothing processor %s", shape, micros(added), micros(bound)))
		}
	}
	return out
}
