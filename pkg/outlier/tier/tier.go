// Package tier says what is to be done about an endpoint by how long it has been bad: first it
// is looked at more often, then it gets fewer calls, then none, then its region is given up. It is
// pure: each step is told the time. Envoy's own reaction, which takes milliseconds, stays in front of it.
package tier

import (
	"cmp"
	"slices"
	"time"
)

// Tier is how far things have gone with an endpoint.
type Tier int

// Values of Tier, in order.
const (
	// Steady: it is as it should be.
	Steady Tier = iota
	// Watched: probes come faster, and a warning is in the log.
	Watched
	// Shedding: it gets fewer calls, and an alert fires.
	Shedding
	// Ejected: it gets none; other endpoints and regions have them.
	Ejected
	// Abandoned: its region's standby is promoted, and somebody has to look at it.
	Abandoned
)

// String gives the tier's name.
func (t Tier) String() string {
	switch t {
	case Steady:
		return "steady"
	case Watched:
		return "watched"
	case Shedding:
		return "shedding"
	case Ejected:
		return "ejected"
	case Abandoned:
		return "abandoned"
	default:
		return "unknown"
	}
}

// Verdict is what one look at an endpoint comes to.
type Verdict int

// Values of Verdict.
const (
	// Good: nothing is wrong.
	Good Verdict = iota
	// Strained: it says itself that it does not do well, or it scores low. It gets fewer calls, but is
	// not taken out for it.
	Strained
	// Bad: a layer has failed.
	Bad
)

// Settings are a server's boundaries.
type Settings struct {
	// Shed, Eject and Promote are how long an endpoint has been bad when the tier begins; each is
	// longer than the one before.
	Shed, Eject, Promote time.Duration
	// MinHold is how long it has to be good before it counts as well again. Each relapse
	// doubles that, up to MaxHold; MaxHold without one forgets them.
	MinHold, MaxHold time.Duration
	// Return is the time in which the calls of one that was shed or taken out come back.
	Return time.Duration
}

// State is where one endpoint stands. The zero State is Steady.
type State struct {
	Tier Tier
	// Since is when Tier began.
	Since time.Time
	// BadSince is when the episode began, FailedSince when a layer first failed in it; zero while
	// there is none.
	BadSince, FailedSince time.Time
	// GoodSince is when the endpoint was last found good within an episode; zero while it is bad.
	GoodSince time.Time
	// Worst tier of the episode that is going on or was the last.
	Worst Tier
	// Relapses are episodes that followed another within its hold.
	Relapses int
	// EndedAt is when the last episode ended; zero before the first end.
	EndedAt time.Time
}

// maxRelapses is where doubling stops mattering for any hold.
const maxRelapses = 32

// Hold is how long the endpoint has to be good until it counts as well.
func (s State) Hold(set Settings) time.Duration {
	hold := set.MinHold
	for range min(s.Relapses, maxRelapses) {
		hold *= 2
		if hold >= set.MaxHold {
			return set.MaxHold
		}
	}
	return hold
}

// Step gives the state after one more look. began is when what was found began, which may be
// before now where it took several probes to be sure; it is not looked at where v is Good. now must not
// go back.
func (s State) Step(v Verdict, began, now time.Time, set Settings) State {
	if v == Good {
		return s.good(now, set)
	}
	s.GoodSince = time.Time{}
	if began.IsZero() || began.After(now) {
		began = now
	}
	// What was before the end of the last episode belongs to that.
	if began.Before(s.EndedAt) {
		began = s.EndedAt
	}
	if s.BadSince.IsZero() {
		s.begin(began, now, set)
	}
	if v == Bad && s.FailedSince.IsZero() {
		s.FailedSince = began
	}
	to := s.due(v, now, set)
	// Within an episode nothing is given back before the hold is over.
	if to > s.Tier {
		s.Tier, s.Since = to, now
		s.Worst = max(s.Worst, to)
	}
	return s
}

func (s State) good(now time.Time, set Settings) State {
	if s.BadSince.IsZero() {
		if s.Relapses > 0 && now.Sub(s.EndedAt) >= set.MaxHold {
			s.Relapses = 0
		}
		return s
	}
	if s.GoodSince.IsZero() {
		s.GoodSince = now
	}
	if now.Sub(s.GoodSince) < s.Hold(set) {
		return s
	}
	return State{Tier: Steady, Since: now, Worst: s.Worst, Relapses: s.Relapses, EndedAt: now}
}

// begin opens an episode. One that comes soon after another is a relapse.
func (s *State) begin(began, now time.Time, set Settings) {
	if !s.EndedAt.IsZero() {
		if now.Sub(s.EndedAt) < set.MaxHold {
			s.Relapses = min(s.Relapses+1, maxRelapses)
		} else {
			s.Relapses = 0
		}
	}
	s.BadSince, s.Worst = began, Steady
}

// due is the tier that the time since the beginning asks for.
func (s State) due(v Verdict, now time.Time, set Settings) Tier {
	to := Watched
	if now.Sub(s.BadSince) >= set.Shed {
		to = Shedding
	}
	if v != Bad {
		return to
	}
	switch failed := now.Sub(s.FailedSince); {
	case failed >= set.Promote:
		return Abandoned
	case failed >= set.Eject:
		return Ejected
	default:
		return to
	}
}

// Returning is how much of its calls an endpoint has back, 1 to 100 hundredths, after an
// episode that took some away; 100 at any other time. It grows in quarters, so that few changes
// go out.
func (s State) Returning(now time.Time, set Settings) int {
	if s.Tier != Steady || s.EndedAt.IsZero() || s.Worst < Shedding || set.Return <= 0 {
		return 100
	}
	gone := now.Sub(s.EndedAt)
	if gone >= set.Return {
		return 100
	}
	const steps = 4
	return max(int(gone*steps/set.Return)*100/steps, 10)
}

// Candidate is an endpoint that may be taken out of its region.
type Candidate struct {
	Name string
	Tier Tier
	// Since is when it was first found bad, Score how well it does, 0 to 100.
	Since time.Time
	Score float64
}

// Bounds on what may be taken out of a region.
type Bounds struct {
	// MaxEjected hundredths of the region's endpoints may be out.
	MaxEjected int
	// Panic: below so many hundredths of endpoints that are fit, none is out, so that calls spread
	// over all of them rather than stop.
	Panic int
}

// Eject picks the endpoints of one region that are taken out, by index: those in Ejected or
// Abandoned, the ones that score least and have been bad for longest first. elsewhere says that another
// region has an endpoint that is fit: then there is no panic.
func Eject(region []Candidate, elsewhere bool, bounds Bounds) []int {
	var wanted []int
	for i, c := range region {
		if c.Tier >= Ejected {
			wanted = append(wanted, i)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	if fit := len(region) - len(wanted); !elsewhere && fit*100 < bounds.Panic*len(region) {
		return nil
	}
	slices.SortStableFunc(wanted, func(a, b int) int {
		x, y := region[a], region[b]
		return cmp.Or(cmp.Compare(x.Score, y.Score), x.Since.Compare(y.Since), cmp.Compare(x.Name, y.Name))
	})
	wanted = wanted[:min(len(wanted), len(region)*bounds.MaxEjected/100)]
	slices.Sort(wanted)
	return wanted
}
