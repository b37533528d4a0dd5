package drill

import (
	"fmt"
	"slices"
	"time"
)

const (
	maxFailures = 3
	tail        = 99
	// usualShare: an endpoint that gave that part of the answers before, one in so many, is a usual one.
	usualShare = 10
)

// usual are the endpoints that answered before it was broken.
func (e *exercise) usual(calls []*made) map[string]bool {
	counts, all := map[string]int{}, 0
	for _, m := range calls {
		if m.good() && m.Ended.Before(e.broke) {
			counts[m.Via]++
			all++
		}
	}
	out := map[string]bool{}
	for via, n := range counts {
		out[via] = n*usualShare >= all
	}
	return out
}

// back: a call that was made after the mending was answered well by a usual endpoint, and not slower than before.
func (e *exercise) back(m *made, usual map[string]bool) bool {
	const least = 50 * time.Millisecond
	return m.good() && !m.call.Unsafe && m.Began.After(e.mended) && usual[m.Via] && m.Ended.Sub(m.Began) <= max(least, 2*e.p99Before())
}

func (e *exercise) p99Before() time.Duration {
	return percentile(e.load.All(), func(m *made) bool { return m.good() && m.Ended.Before(e.broke) })
}

// median is what a call takes by itself, before anything is broken.
func (e *exercise) median() time.Duration {
	var took []time.Duration
	for _, m := range e.load.All() {
		if m.good() && !m.call.Unsafe && m.Ended.Before(e.broke) {
			took = append(took, m.Ended.Sub(m.Began))
		}
	}
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// percentile is the 99th of the times of some calls; 0 where there are none.
func percentile(calls []*made, wanted func(*made) bool) time.Duration {
	var took []time.Duration
	for _, m := range calls {
		if wanted(m) {
			took = append(took, m.took())
		}
	}
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[min(len(took)-1, len(took)*tail/100)]
}

func (e *exercise) report(runs map[string]int) *Report {
	calls := e.load.All()
	r := &Report{
		Drill: e.opts.Kind.Name, Says: e.opts.Kind.Says, Did: e.opts.Fault.Does, Undid: e.opts.Fault.Undoes,
		Endpoint: e.opts.Client.Endpoint, Started: e.began.UTC().Truncate(time.Second), Version: e.opts.Version, Callers: e.opts.Callers, Rate: e.opts.Rate,
		BrokenForMS: e.mended.Sub(e.broke).Milliseconds(), Aborted: e.aborted,
	}
	meanwhile := func(m *made) bool { return m.due.After(e.broke) && m.due.Before(e.mended) }
	r.P99BeforeMS = e.p99Before().Milliseconds()
	r.P99MeanwhileMS = percentile(calls, func(m *made) bool { return m.good() && meanwhile(m) }).Milliseconds()
	for _, m := range calls {
		if !m.call.Unsafe && meanwhile(m) {
			r.SlowestMS = max(r.SlowestMS, m.took().Milliseconds())
		}
		r.count(m)
	}
	e.times(r, calls)
	if runs != nil {
		r.Calls.executed(calls, runs)
	}
	r.judge()
	return r
}

// times fills in when things happened.
func (e *exercise) times(r *Report, calls []*made) {
	usual := e.usual(calls)
	var first, moved, back time.Time
	earliest := func(have *time.Time, m *made, when bool) {
		if when && (have.IsZero() || m.Ended.Before(*have)) {
			*have = m.Ended
		}
	}
	for _, m := range calls {
		earliest(&first, m, m.good() && m.Began.After(e.broke))
		earliest(&moved, m, m.good() && m.Began.After(e.broke) && m.Began.Before(e.mended) && m.Attempts == 1 && !usual[m.Via])
		earliest(&back, m, e.back(m, usual))
	}
	if !first.IsZero() {
		r.FirstGoodMS = milliseconds(first.Sub(e.broke))
	}
	switch {
	case !e.noticed.IsZero():
		r.DetectedMS, r.DetectedBy = milliseconds(e.noticed.Sub(e.broke)), e.by
	case !moved.IsZero():
		r.DetectedMS, r.DetectedBy = milliseconds(moved.Sub(e.broke)), "calls that went elsewhere at their first try"
	}
	if back.IsZero() || (e.opts.Fault.Noticed != nil && e.cleared.IsZero()) {
		return
	}
	if e.cleared.After(back) && !e.noticed.IsZero() {
		back = e.cleared
	}
	r.RecoveredMS = milliseconds(back.Sub(e.mended))
}

// count takes in one call.
func (r *Report) count(m *made) {
	c := &r.Calls
	c.Made++
	if m.call.Unsafe {
		c.Unsafe++
	}
	switch {
	case m.good():
		c.Good++
		if m.Attempts > 1 {
			c.Retried++
		}
		return
	case m.degraded():
		c.Degraded = plus(c.Degraded, m.Answer.Degraded)
		return
	}
	c.Failed = plus(c.Failed, m.class())
	if !m.call.Unsafe {
		c.SafeFailed++
	}
	if len(r.Failures) < maxFailures && !m.call.Unsafe {
		r.Failures = append(r.Failures, fmt.Sprintf("%s: %s", m.call.Tool, m.said()))
	}
	if !m.call.Unsafe {
		return
	}
	switch {
	case m.Outcome == "not_executed":
		c.NotExecuted++
	case m.Outcome == "unknown":
		c.Unknown++
	case m.class() != classServer:
		c.Untold++
	}
}

func plus(counts map[string]int, key string) map[string]int {
	if counts == nil {
		counts = map[string]int{}
	}
	counts[key]++
	return counts
}

// executed counts unsafe calls by what the servers' journals say.
func (c *Calls) executed(calls []*made, runs map[string]int) {
	twice, lost := 0, 0
	for _, m := range calls {
		switch n := runs[m.id]; {
		case m.call.Unsafe && n > 1:
			twice++
		case m.good() && n == 0:
			lost++
		}
	}
	c.ExecutedTwice, c.Lost = &twice, &lost
}

// judge writes down the promises that were broken.
func (r *Report) judge() {
	say := func(when bool, text string) {
		if when {
			r.Broken = append(r.Broken, text)
		}
	}
	say(r.Aborted != "", "it was aborted: "+r.Aborted)
	kind, _ := Find(r.Drill)
	may := r.Calls.Made * kind.mayFail / 1000
	say(r.Calls.SafeFailed > may, fmt.Sprintf("%d calls failed that may run twice", r.Calls.SafeFailed))
	say(r.Calls.Untold > may, fmt.Sprintf("%d calls that must not run twice failed and do not say what became of them", r.Calls.Untold))
	if r.Calls.ExecutedTwice != nil {
		say(*r.Calls.ExecutedTwice > 0, fmt.Sprintf("%d calls ran twice that must not", *r.Calls.ExecutedTwice))
		say(*r.Calls.Lost > 0, fmt.Sprintf("%d calls were answered well and ran nowhere", *r.Calls.Lost))
	}
	say(r.FirstGoodMS == nil, "no call made after the break was answered well")
	say(r.RecoveredMS == nil, "it was not as before again within the time that the drill waits")
}
