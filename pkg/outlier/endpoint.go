package outlier

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/incident"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/passive"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/probe"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/score"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/tier"
)

const (
	// enoughCalls in a minute say more of response times and errors than probes do.
	enoughCalls = 10
	// recentProbes are looked back at where there are no calls.
	recentProbes = 20
	// probeAge is how long a finding of another control plane counts.
	probeAge = 2 * time.Minute
	// layerScore and layerCalls stand in the place of a layer where no probe found the fault.
	layerScore = incident.Score
	layerCalls = "calls"
)

// endpoint is one that is watched. Its fields are guarded by Monitor.mu.
type endpoint struct {
	target probe.Target
	watch  *probe.Watch
	cancel context.CancelFunc
	// since is when it was first watched.
	since     time.Time
	standings []probe.Standing
	// found is when standings came.
	found time.Time
	// probes are the outcomes of the last ones, the newest last.
	probes []probe.Outcome
	// lastGood is when a list or a query was last answered to a probe.
	lastGood time.Time

	state tier.State
	score score.Score
	// layer that is bad, detail and badSince; empty where none is.
	layer, detail string
	badSince      time.Time
	verdict       tier.Verdict
	// aging: the last good list or call is so old that time alone makes it worse.
	aging bool
	// out: it is taken out of its region. weight is what it was given last, proposed what the score
	// asks for, for the so-many-th time in a row.
	out      bool
	weight   int
	proposed int
	row      int
}

func (e *endpoint) stop() {
	if e.cancel != nil {
		e.cancel()
	}
	e.watch, e.cancel = nil, nil
}

// differs says whether a layer's outcome is another one than before.
func (e *endpoint) differs(all []probe.Standing) bool {
	if len(all) != len(e.standings) {
		return true
	}
	for i := range all {
		if all[i].Outcome != e.standings[i].Outcome || all[i].Layer == probe.Metrics && all[i].Last.Began != e.standings[i].Last.Began {
			return true
		}
	}
	return false
}

// take keeps what probes have found.
func (e *endpoint) take(all []probe.Standing, now time.Time) {
	for _, s := range all {
		if s.Last.Began.IsZero() || s.Last.Began.Equal(e.began(s.Layer)) {
			continue
		}
		end := s.Last.Began.Add(s.Last.Took)
		if s.Last.Outcome == probe.Good && (s.Layer == probe.List || s.Layer == probe.Query) && end.After(e.lastGood) {
			e.lastGood = end
		}
		if s.Last.Outcome != probe.Unknown && s.Layer != probe.Metrics {
			e.probes = append(e.probes, s.Last.Outcome)
			if len(e.probes) > recentProbes {
				e.probes = e.probes[1:]
			}
		}
	}
	e.standings, e.found = all, now
}

// began is when the newest known probe of a layer did.
func (e *endpoint) began(l probe.Layer) time.Time {
	if s := e.standing(l); s != nil {
		return s.Last.Began
	}
	return time.Time{}
}

func (e *endpoint) standing(l probe.Layer) *probe.Standing {
	for i := range e.standings {
		if e.standings[i].Layer == l {
			return &e.standings[i]
		}
	}
	return nil
}

// inputs joins calls and probes. Calls count where there are enough of them.
func (e *endpoint) inputs(seen passive.Seen, now time.Time) score.Inputs {
	var in score.Inputs
	calls := seen.Good + seen.Failed
	if calls >= enoughCalls {
		p95, rate := seen.P95, float64(seen.Failed)/float64(calls)
		in.ResponseTime, in.ErrorRate = &p95, &rate
	} else {
		in.ResponseTime, in.ErrorRate = e.probeTime(), e.probeErrors()
	}
	in.CPU, in.Memory = seen.CPU, seen.Memory
	if m := e.standing(probe.Metrics); m != nil && m.Last.Outcome != probe.Unknown {
		if m.Last.CPU != nil {
			in.CPU = m.Last.CPU
		}
		if m.Last.Memory != nil {
			in.Memory = m.Last.Memory
		}
	}
	if age, ok := e.age(seen, now); ok {
		in.Age = &age
	}
	return in
}

// probeTime is that of the good probe that asks most of the endpoint.
func (e *endpoint) probeTime() *time.Duration {
	for _, l := range []probe.Layer{probe.Query, probe.List, probe.Handshake, probe.HTTP} {
		if s := e.standing(l); s != nil && s.Last.Outcome == probe.Good {
			took := s.Last.Took
			return &took
		}
	}
	return nil
}

func (e *endpoint) probeErrors() *float64 {
	if len(e.probes) == 0 {
		return nil
	}
	failed := 0
	for _, o := range e.probes {
		if o == probe.Failed {
			failed++
		}
	}
	rate := float64(failed) / float64(len(e.probes))
	return &rate
}

// age of the last good list or call. ok is false where nobody can know: no probe asks, and nobody has called.
func (e *endpoint) age(seen passive.Seen, now time.Time) (time.Duration, bool) {
	last := e.lastGood
	if seen.LastGood.After(last) {
		last = seen.LastGood
	}
	asked := false
	for _, l := range []probe.Layer{probe.List, probe.Query} {
		if s := e.standing(l); s != nil && s.Last.Outcome != probe.Unknown {
			asked = true
		}
	}
	switch {
	case !last.IsZero():
		return max(now.Sub(last), 0), asked || now.Sub(last) < idle
	case asked:
		return now.Sub(e.since), true
	default:
		return 0, false
	}
}

// judge says how the endpoint is, and by which layer.
func (e *endpoint) judge(seen passive.Seen, w model.Watched, now time.Time) {
	e.score = score.Of(e.inputs(seen, now), settings(w.Score))
	e.verdict, e.layer, e.detail, e.badSince = tier.Good, "", "", time.Time{}
	if e.watch == nil && now.Sub(e.found) > probeAge {
		// Nobody tells what probes find.
		e.standings = nil
	}
	strained := (*probe.Standing)(nil)
	for i := range e.standings {
		s := &e.standings[i]
		switch {
		case s.Layer == probe.List:
			// A list that is not answered is stale when the last good word is old.
		case s.Outcome == probe.Failed, s.Outcome == probe.Unknown && s.Last.Outcome == probe.Failed && !e.state.BadSince.IsZero():
			// An endpoint that was bad before a restart has to be found good first.
			e.verdict, e.layer, e.detail, e.badSince = tier.Bad, string(s.Layer), s.Last.Detail, s.Since
			if s.Since.IsZero() {
				e.badSince = s.Last.Began
			}
			if e.contradicted(s.Layer, seen) {
				e.verdict = tier.Good
				e.detail = "calls get through, which counts for more: " + e.detail
			}
			return
		case s.Outcome == probe.Strained && strained == nil:
			strained = s
		}
	}
	e.judgeFigures(seen, w, now)
	if e.verdict != tier.Bad && strained != nil {
		e.verdict, e.layer, e.detail, e.badSince = tier.Strained, string(strained.Layer), strained.Last.Detail, strained.Since
	}
}

// judgeFigures looks at what was measured.
func (e *endpoint) judgeFigures(seen passive.Seen, w model.Watched, now time.Time) {
	age, ok := e.age(seen, now)
	e.aging = ok && 2*age >= w.Score.Staleness
	if ok && age >= w.Score.Staleness {
		e.verdict, e.layer, e.badSince = tier.Bad, string(probe.List), now
		e.detail = fmt.Sprintf("no list and no call was answered for %s", age.Round(time.Second))
		if s := e.standing(probe.List); s != nil && s.Last.Detail != "" {
			e.detail += "; the last word: " + s.Last.Detail
		}
		return
	}
	if cpu := seen.CPU; cpu != nil && *cpu >= w.Score.CPU {
		e.verdict, e.layer, e.detail, e.badSince = tier.Bad, string(probe.Metrics), fmt.Sprintf("CPU %.0f%% by its own word", 100**cpu), now
		return
	}
	if memory := seen.Memory; memory != nil && *memory >= w.Score.Memory {
		e.verdict, e.layer, e.detail, e.badSince = tier.Bad, string(probe.Metrics), fmt.Sprintf("memory %.0f%% by its own word", 100**memory), now
		return
	}
	if e.score.Known() && e.score.Value < float64(w.Tiers.LowScore) {
		e.verdict, e.layer, e.detail, e.badSince = tier.Strained, layerScore, fmt.Sprintf("its score is %.0f", e.score.Value), now
	}
}

// contradicted: calls go well through a layer that a probe says nobody gets through. The control plane may be cut off itself.
func (e *endpoint) contradicted(l probe.Layer, seen passive.Seen) bool {
	switch l {
	case probe.TCP, probe.TLS, probe.Handshake:
		return seen.JustGood >= enoughCalls && seen.JustFailed*2 < seen.JustGood
	default:
		return false
	}
}

func settings(s model.Score) score.Settings {
	const enough = 0.75
	return score.Settings{
		Weights: map[score.Part]int{
			score.ResponseTime: s.ResponseTimeWeight, score.ErrorRate: s.ErrorRateWeight, score.Resources: s.ResourcesWeight, score.Staleness: s.StalenessWeight,
		},
		ResponseTime: score.Limits{Target: s.ResponseTimeTarget.Seconds(), Critical: s.ResponseTimeCritical.Seconds()},
		ErrorRate:    score.Limits{Target: s.ErrorRateTarget, Critical: s.ErrorRateCritical},
		CPU:          score.Limits{Target: enough * s.CPU, Critical: s.CPU},
		Memory:       score.Limits{Target: enough * s.Memory, Critical: s.Memory},
		Age:          score.Limits{Target: s.Staleness.Seconds() / 2, Critical: s.Staleness.Seconds()},
	}
}

func tierSettings(t model.Tiers) tier.Settings {
	return tier.Settings{Shed: t.Shed, Eject: t.Eject, Promote: t.Promote, MinHold: t.MinHold, MaxHold: t.MaxHold, Return: t.Return}
}
