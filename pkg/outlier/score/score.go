// Package score says how healthy an endpoint is, as a number from 0 to 100 with its parts
// (docs/HEALTH.md has the formula and a worked example). It is pure: what was measured goes
// in, and nothing else is looked at.
package score

import (
	"math"
	"time"
)

// Part names one of the four things that a score is made of.
type Part string

// Values of Part, in the order in which they are shown.
const (
	ResponseTime Part = "response time"
	ErrorRate    Part = "error rate"
	Resources    Part = "resources"
	Staleness    Part = "staleness"
)

// Inputs are what was measured of an endpoint; nil is what nobody measured.
type Inputs struct {
	// ResponseTime in which 95 of 100 answers began.
	ResponseTime *time.Duration
	// ErrorRate is the share of answers that were failures, 0 to 1.
	ErrorRate *float64
	// CPU and Memory in use, as shares of all there is, 0 to 1.
	CPU, Memory *float64
	// Age of the last good list or query.
	Age *time.Duration
}

// Limits of one part: at Target or below it counts in full, at Critical or above not at all, and
// in proportion in between. Target is below Critical.
type Limits struct{ Target, Critical float64 }

// Settings are a server's weights and limits.
type Settings struct {
	// Weights in hundredths. They need not add up to 100; at least one is above 0.
	Weights map[Part]int
	// ResponseTime and Age in seconds, the others as shares from 0 to 1.
	ResponseTime, ErrorRate, CPU, Memory, Age Limits
}

// Detail is one part of a score.
type Detail struct {
	Part Part
	// Value is the part's own score, 0 to 100; 0 where it is missing.
	Value float64
	// Weight is what it counts for, in hundredths; those of all parts add up to 100. A part that
	// is missing has 0.
	Weight float64
	// Missing: nobody has measured it, and the others count for more.
	Missing bool
}

// Score is an endpoint's.
type Score struct {
	// Value is 0 to 100; 100 where nothing was measured at all.
	Value float64
	// Parts are always four, in the order of the constants.
	Parts []Detail
}

// Known says whether anything was measured.
func (s Score) Known() bool {
	for _, p := range s.Parts {
		if !p.Missing {
			return true
		}
	}
	return false
}

// Missing names the parts that nobody has measured.
func (s Score) Missing() []Part {
	var out []Part
	for _, p := range s.Parts {
		if p.Missing {
			out = append(out, p.Part)
		}
	}
	return out
}

// Of gives the score of what was measured. A part without a weight counts as measured for
// nothing. Values that are no numbers count as missing.
func Of(in Inputs, set Settings) Score {
	parts := []Detail{
		one(ResponseTime, set, set.ResponseTime, seconds(in.ResponseTime)),
		one(ErrorRate, set, set.ErrorRate, in.ErrorRate),
		resources(in, set),
		one(Staleness, set, set.Age, seconds(in.Age)),
	}
	total := 0.0
	for _, p := range parts {
		total += p.Weight
	}
	out := Score{Value: 100, Parts: parts}
	if total <= 0 {
		return out
	}
	out.Value = 0
	for i := range parts {
		parts[i].Weight *= 100 / total
		out.Value += parts[i].Value * parts[i].Weight / 100
	}
	out.Value = min(max(out.Value, 0), 100)
	return out
}

// one is a part that has a single input.
func one(part Part, set Settings, limits Limits, x *float64) Detail {
	if x == nil || math.IsNaN(*x) {
		return Detail{Part: part, Missing: true}
	}
	return Detail{Part: part, Value: limits.value(*x), Weight: weight(set, part)}
}

// resources count as the scarcer of the two that were measured.
func resources(in Inputs, set Settings) Detail {
	cpu, memory := one(Resources, set, set.CPU, in.CPU), one(Resources, set, set.Memory, in.Memory)
	switch {
	case cpu.Missing:
		return memory
	case memory.Missing || cpu.Value <= memory.Value:
		return cpu
	default:
		return memory
	}
}

func weight(set Settings, part Part) float64 { return float64(max(set.Weights[part], 0)) }

func seconds(d *time.Duration) *float64 {
	if d == nil {
		return nil
	}
	s := d.Seconds()
	return &s
}

// value is 100 up to the target, 0 from the critical value on.
func (l Limits) value(x float64) float64 {
	switch {
	case x <= l.Target:
		return 100
	case x >= l.Critical:
		return 0
	default:
		return 100 * (l.Critical - x) / (l.Critical - l.Target)
	}
}

// Beyond says whether x has reached the critical value.
func (l Limits) Beyond(x float64) bool { return x >= l.Critical }
