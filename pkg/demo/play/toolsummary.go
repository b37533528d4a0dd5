package play

import (
	"fmt"
	"slices"
	"time"
)

// ToolSummary is what one play of a broken tool measured.
type ToolSummary struct {
	Callers, Rate int
	// Lasted from the first call to the last answer.
	Lasted time.Duration
	// Calls made by the load: each is Good or Failed.
	Calls, Good, Failed int
	// Moved are the calls of the broken tool that the standby answered while it was
	// broken, Tried those of them that the primary had failed first.
	Moved, Tried int
	// Neighbours are the calls of the other tool in that time, Strayed those that
	// the primary did not answer.
	Neighbours, Strayed int
	// AfterBroken is from the break to the first answer of the standby; AfterOpen to the first one
	// that the primary was not asked for. AfterMended is from the mending to the first answer of
	// the primary, AfterSettled to the last one of the standby. Negative: there was none.
	AfterBroken, AfterOpen, AfterMended, AfterSettled time.Duration
	// P50 and P99 of the good answers' times, from when each call was due.
	P50, P99 time.Duration
	// FirstFailures and Broken are as in Summary.
	FirstFailures, Broken []string
	// WasBroken and Back tell of a play that was broken off: the tool had been broken, and its calls go to
	// the primary again.
	WasBroken, Back bool
}

// maxStrayed is the share of the neighbours' calls, in percent, that may leave the primary.
const maxStrayed = 1

func summariseTool(opts ToolOptions, t toolMoments, outcomes []Outcome) ToolSummary {
	s := ToolSummary{Callers: opts.Callers, Rate: opts.Rate, Lasted: t.ended.Sub(t.began), Calls: len(outcomes), AfterSettled: none}
	byTool := func(o Outcome) bool { return o.Good && o.Tool == toolName }
	s.AfterBroken = firstAfter(outcomes, t.broken, func(o Outcome) bool { return byTool(o) && o.Via == opts.Standby })
	s.AfterOpen = firstAfter(outcomes, t.broken, func(o Outcome) bool { return byTool(o) && o.Via == opts.Standby && o.Attempts == 1 })
	s.AfterMended = firstAfter(outcomes, t.healed, func(o Outcome) bool { return byTool(o) && o.Via == opts.Primary && o.Begun.After(t.healed) })
	var times []time.Duration
	for _, o := range outcomes {
		if !o.Good {
			s.Failed++
			if len(s.FirstFailures) < maxFailTexts {
				s.FirstFailures = append(s.FirstFailures, fmt.Sprintf("%s after %s: %s", o.Tool, o.Begun.Sub(t.began).Round(time.Millisecond), describe(o)))
			}
			continue
		}
		s.Good++
		times = append(times, o.Took())
		s.place(opts, t, o)
	}
	slices.Sort(times)
	s.P50, s.P99 = percentile(times, percentMedian), percentile(times, percentTail)
	s.Broken = s.broken(opts)
	return s
}

// place counts a good answer by where it came from.
func (s *ToolSummary) place(opts ToolOptions, t toolMoments, o Outcome) {
	during := o.Ended.After(t.broken) && o.Begun.Before(t.healed)
	switch {
	case o.Tool == neighbourName && during:
		s.Neighbours++
		if o.Via != opts.Primary {
			s.Strayed++
		}
	case o.Tool == toolName && o.Via == opts.Standby && during:
		s.Moved++
		if o.Attempts > 1 {
			s.Tried++
		}
	case o.Tool == toolName && o.Via == opts.Standby && o.Ended.After(t.healed):
		s.AfterSettled = max(s.AfterSettled, o.Ended.Sub(t.healed))
	}
}

func (s *ToolSummary) broken(opts ToolOptions) []string {
	var out []string
	if s.Failed > 0 {
		out = append(out, fmt.Sprintf("%d of %d safe calls failed", s.Failed, s.Calls))
	}
	if s.AfterBroken == none {
		out = append(out, fmt.Sprintf("%s answered no call of %s", opts.Standby, toolName))
	}
	if s.AfterOpen == none {
		out = append(out, fmt.Sprintf("every call of %s went on asking %s first", toolName, opts.Primary))
	}
	if s.Neighbours == 0 || s.Strayed*100 > s.Neighbours*maxStrayed {
		out = append(out, fmt.Sprintf("%d of %d calls of %s left %s", s.Strayed, s.Neighbours, neighbourName, opts.Primary))
	}
	if s.AfterMended == none {
		out = append(out, fmt.Sprintf("%s did not come back to %s", toolName, opts.Primary))
	}
	return out
}

func (p *printer) toolSummary(s ToolSummary) {
	p.line("")
	p.line(fmt.Sprintf("%d callers, %d calls a second, %.1f s", s.Callers, s.Rate, s.Lasted.Seconds()))
	p.count("calls made", s.Calls, "")
	p.count("good", s.Good, "")
	p.count("failed", s.Failed, "")
	p.count(toolName+" answered by the other region while broken", s.Moved, fmt.Sprintf("(%s of them after the first region had failed)", grouped(s.Tried)))
	p.count(neighbourName+" in that time", s.Neighbours, fmt.Sprintf("(%s of them left the first region)", grouped(s.Strayed)))
	p.took("first answer of the other region after the break", s.AfterBroken)
	p.took("first call that no longer asked the first region", s.AfterOpen)
	p.took("first answer of the first region after the mending", s.AfterMended)
	p.took("last answer of the other region after the mending", s.AfterSettled)
	p.took("good answers: half of them within", s.P50)
	p.took("good answers: 99 of 100 within", s.P99)
	p.line("")
	p.verdict(s.FirstFailures, s.Broken, "one broken tool moved alone, and came back")
}
