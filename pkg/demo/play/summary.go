package play

import (
	"fmt"
	"slices"
	"time"
)

// Summary is what one play measured.
type Summary struct {
	Callers, Rate int
	// Lasted from the first call to the last answer.
	Lasted time.Duration
	// Calls made by the load: each is Good, Degraded or Failed.
	Calls, Good, Degraded, Failed int
	// Retried are the good ones that took more than one attempt.
	Retried int
	// AfterPrimaryKilled is from the kill of the primary to the first good answer
	// of another server; AfterBothKilled from the kill of the standby to the first
	// degraded answer; AfterBothStarted from the start of both to the first good
	// answer. Negative: there was none.
	AfterPrimaryKilled, AfterBothKilled, AfterBothStarted time.Duration
	// P50 and P99 of the good answers' times, from when each call was due.
	P50, P99 time.Duration
	// FirstFailures are what the first calls that failed say.
	FirstFailures []string
	// Broken are the promises that were broken; empty: the play went as promised.
	Broken []string
}

const (
	// returning is how long after the first good answer callers may still be told
	// that the servers are down: each of Envoy's workers learns of it on its own.
	returning     = time.Second
	maxFailTexts  = 3
	none          = time.Duration(-1)
	percentMedian = 50
	percentTail   = 99
)

// summarise counts outcomes by what was true when they happened. A degraded
// answer is as promised only for a call that touched the time when both servers
// were down; at any other time it is a failure, as every error is.
func summarise(opts Options, t moments, outcomes []Outcome) Summary {
	s := Summary{
		Callers: opts.Callers, Rate: opts.Rate, Lasted: t.ended.Sub(t.began), Calls: len(outcomes),
		AfterPrimaryKilled: none, AfterBothKilled: none, AfterBothStarted: none,
	}
	s.AfterPrimaryKilled = firstAfter(outcomes, t.primaryKilled, func(o Outcome) bool { return o.Good && o.Via != opts.Primary })
	s.AfterBothKilled = firstAfter(outcomes, t.bothKilled, func(o Outcome) bool { return o.Degraded })
	s.AfterBothStarted = firstAfter(outcomes, t.bothStarting, func(o Outcome) bool { return o.Good })
	upAgain := t.ended
	if s.AfterBothStarted != none {
		upAgain = t.bothStarting.Add(s.AfterBothStarted + returning)
	}
	var times []time.Duration
	fromPrimary := 0
	for _, o := range outcomes {
		switch {
		case o.Good:
			s.Good++
			times = append(times, o.Took())
			if o.Attempts > 1 {
				s.Retried++
			}
			if o.Via == opts.Primary && o.Ended.Before(t.primaryKilled) {
				fromPrimary++
			}
		case o.Degraded && o.Text != "" && o.Ended.After(t.bothKilled) && o.Begun.Before(upAgain):
			s.Degraded++
		default:
			s.Failed++
			if len(s.FirstFailures) < maxFailTexts {
				s.FirstFailures = append(s.FirstFailures,
					fmt.Sprintf("%s after %s: %s", o.OrderID, o.Begun.Sub(t.began).Round(time.Millisecond), describe(o)))
			}
		}
	}
	slices.Sort(times)
	s.P50, s.P99 = percentile(times, percentMedian), percentile(times, percentTail)
	s.Broken = broken(opts, s, fromPrimary)
	return s
}

func broken(opts Options, s Summary, fromPrimary int) []string {
	var out []string
	if fromPrimary == 0 {
		out = append(out, opts.Primary+" answered no call before it was killed")
	}
	if s.Failed > 0 {
		out = append(out, fmt.Sprintf("%d of %d safe calls failed", s.Failed, s.Calls))
	}
	if s.AfterPrimaryKilled == none {
		out = append(out, "nobody answered after "+opts.Primary+" was killed")
	}
	if s.AfterBothKilled == none {
		out = append(out, "no caller was told that both servers are down")
	}
	if s.AfterBothStarted == none {
		out = append(out, "nobody answered after both servers were started again")
	}
	return out
}

// firstAfter is the time from at to the first wanted answer after it.
func firstAfter(outcomes []Outcome, at time.Time, wanted func(Outcome) bool) time.Duration {
	first := none
	for _, o := range outcomes {
		if !o.Ended.After(at) || !wanted(o) {
			continue
		}
		if d := o.Ended.Sub(at); first == none || d < first {
			first = d
		}
	}
	return first
}

// percentile of sorted times; 0 where there are none.
func percentile(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, len(sorted)*percent/100)]
}
