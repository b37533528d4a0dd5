// Package shift decides which share of callers leaves a region in which their calls are slow, and how they
// come back. It is pure: each step is told the time and what calls say.
package shift

import (
	"cmp"
	"strconv"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/outlier/passive"
)

// Settings of a server.
type Settings struct {
	// Slowdown is how many times its usual time a region's P95 has to be, and above Target; Critical is slow
	// for any region that does not usually take that long.
	Slowdown         int
	Target, Critical time.Duration
	// Bound is slow for any region, whatever is usual there; 0: there is none.
	Bound time.Duration
	// MinimumCalls in five seconds before they say anything.
	MinimumCalls int
	// Callers that leave, in hundredths.
	Callers int
	// MinHold is how long they stay away at least; each time they were brought back too early
	// doubles it, up to MaxHold. MaxHold without that forgets it.
	MinHold, MaxHold time.Duration
	// Return is the time in which they come back.
	Return time.Duration
}

// steps in which callers come back, in hundredths that stay away.
func steps() []int { return []int{75, 50, 25, 0} }

// leastStep is how long each step lasts at least: calls have to show how it went.
const leastStep = 5 * time.Second

// usualCalls are needed before usual times count as such.
const usualCalls = 100

// useless is the part of the slow time from which on the other region is no better.
const useless = 0.8

// State is where one region stands. The zero State sends nobody away.
type State struct {
	// Away is the share of callers that is sent away, in hundredths.
	Away int
	// Since is when Away was set; Until is when it is looked at again. While all are there, nobody leaves before
	// Until.
	Since, Until time.Time
	// Began is when callers began to leave; zero while all are there.
	Began time.Time
	// Slow is the P95 because of which they left, Usual what was usual then.
	Slow, Usual time.Duration
	// Relapses are how often callers came back too early, or left in vain.
	Relapses int
	// EndedAt is when the last ones were back.
	EndedAt time.Time
	// Why in words; empty while all are there.
	Why string
}

// Input of one step.
type Input struct {
	// Here are the calls of the region, There those of the region that callers would go to.
	Here, There passive.Pace
	// Somewhere says that there is a region to go to whose endpoints are fit.
	Somewhere bool
	// Well says that the region's own probes find nothing wrong, for when nobody calls there.
	Well bool
}

func (s State) hold(set Settings) time.Duration {
	hold := set.MinHold
	for range min(s.Relapses, 32) {
		if hold *= 2; hold >= set.MaxHold {
			return set.MaxHold
		}
	}
	return hold
}

// Returning is the state of a region that callers were kept away from by other means, and that they come back to in steps.
func Returning(now time.Time, set Settings) State {
	s := State{Began: now, Away: 100, Why: "they come back in steps"}
	return s.nearer(now, set)
}

// Step gives the state after one more look.
func (s State) Step(in Input, now time.Time, set Settings) State {
	if s.Relapses > 0 && s.Began.IsZero() && now.Sub(s.EndedAt) >= set.MaxHold {
		s.Relapses = 0
	}
	if !in.Somewhere {
		if s.Began.IsZero() {
			return s
		}
		return State{Relapses: s.Relapses, EndedAt: now}
	}
	why := s.slow(in.Here, set)
	switch {
	case s.Began.IsZero():
		if why == "" || now.Before(s.Until) || in.There.Calls >= uint64(set.MinimumCalls) && float64(in.There.P95) >= useless*float64(in.Here.P95) { //nolint:gosec // small
			return s
		}
		s.Away, s.Began, s.Since, s.Until = set.Callers, now, now, now.Add(s.hold(set))
		s.Slow, s.Usual, s.Why = in.Here.P95, in.Here.Usual, why
		return s
	case s.Away < set.Callers && why != "":
		// They came back too early.
		s.Relapses++
		s.Away, s.Since, s.Until = set.Callers, now, now.Add(s.hold(set))
		s.Why = why
		return s
	case now.Before(s.Until):
		return s
	}
	return s.back(in, now, set)
}

// slow says in words why calls of a region are; empty where they are not.
func (s State) slow(here passive.Pace, set Settings) string {
	if here.Calls < uint64(set.MinimumCalls) { //nolint:gosec // small
		return ""
	}
	return s.beyond(here.P95, here, set)
}

func (s State) beyond(p95 time.Duration, here passive.Pace, set Settings) string {
	usual := here.Usual
	if here.UsualCalls < usualCalls {
		usual = s.Usual
	}
	switch {
	case usual > 0 && p95 >= time.Duration(set.Slowdown)*usual && p95 > set.Target:
		return "p95 of " + round(p95) + " is " + times(p95, usual) + " its own of five minutes, " + round(usual)
	case p95 >= set.Critical && usual < set.Critical:
		return "p95 of " + round(p95) + " is over the critical " + round(set.Critical)
	case set.Bound > 0 && p95 > set.Bound:
		return "p95 of " + round(p95) + " is over the target of " + round(set.Bound)
	default:
		return ""
	}
}

// back brings callers back by a step, where the few that stayed do well, or nobody stayed and probes find nothing wrong.
func (s State) back(in Input, now time.Time, set Settings) State {
	const few = 3
	again := now.Add(s.hold(set))
	switch {
	case s.Away == set.Callers && in.There.Calls >= uint64(set.MinimumCalls) && float64(in.There.P95) >= useless*float64(s.Slow): //nolint:gosec // small
		// It is no better there: they left in vain.
		s = State{Relapses: s.Relapses + 1, EndedAt: now}
		s.Until = now.Add(s.hold(set))
		return s
	case in.Here.Calls >= few && s.beyond(in.Here.P95, in.Here, set) != "", in.Here.Calls < few && !in.Well:
		s.Until = again
		return s
	}
	return s.nearer(now, set)
}

// nearer brings callers back by a step.
func (s State) nearer(now time.Time, set Settings) State {
	for _, away := range steps() {
		if away < s.Away {
			s.Away, s.Since = away, now
			s.Until = now.Add(max(leastStep, set.Return/time.Duration(len(steps()))))
			break
		}
	}
	if s.Away == 0 {
		return State{Relapses: s.Relapses, EndedAt: now}
	}
	return s
}

func round(d time.Duration) string {
	return cmp.Or(d.Round(time.Millisecond), time.Millisecond).String()
}

// times says how often b is in a.
func times(a, b time.Duration) string {
	return strconv.FormatFloat(float64(a)/float64(b), 'f', 1, 64) + " times"
}
