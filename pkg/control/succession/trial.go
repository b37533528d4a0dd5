package succession

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
)

const (
	// alpha is how probable it is at most that one of the tests ever says that a server is worse that is not.
	alpha = 1e-4
	// errorMargin is by how much the share of failed calls may be higher.
	errorMargin = 0.005
	// slower is how many buckets the time in which 95 of 100 answers begin may be longer: 19 % above its bucket's upper end,
	// which is up to 9 % above it.
	slower, tail = 2, 0.05
	// learn is how many calls of the server the usual time is taken from.
	learn = 400
	// maxTools bounds the tools that are told apart, and is what alpha is divided by for those.
	maxTools = 128
	// buckets to an octave of times; see outcomev1.Count.
	perOctave = 8
	maxBucket = 128
)

// Sample is what was counted of a server and its successor.
type Sample struct {
	BaseCalls, BaseFailed, NextCalls, NextFailed uint64
}

// Trial compares a server with its successor. The zero Trial has seen nothing. It is not safe for concurrent use.
type Trial struct {
	base, next arm
	// tools are (method and tool) by their calls and failures.
	tools map[string]*pair
	// usual are the times of the server's first calls; limit is the bucket that is a fifth above their 95th percentile, 0
	// before it is known. From then on late counts what takes longer.
	usual [maxBucket + 1]float64
	limit int
	late  pair
	// callers whose calls failed with the successor, and those that were answered; a few of them.
	failing, content map[uint64]bool
}

type pair struct{ base, next arm }

// Observe adds what processors have counted.
func (t *Trial) Observe(counts []*outcomev1.Count, base, next string) {
	if t.tools == nil {
		t.tools, t.failing, t.content = map[string]*pair{}, map[uint64]bool{}, map[uint64]bool{}
	}
	for _, c := range counts {
		switch c.GetServer() {
		case base:
			t.add(c, &t.base, func(p *pair) *arm { return &p.base })
		case next:
			t.add(c, &t.next, func(p *pair) *arm { return &p.next })
			note(t.failing, c.GetFailedPrincipals())
			note(t.content, c.GetGoodPrincipals())
		}
	}
	t.setLimit()
}

func note(seen map[uint64]bool, callers []uint64) {
	const enough = 8
	for _, p := range callers {
		if len(seen) < enough {
			seen[p] = true
		}
	}
}

func (t *Trial) add(c *outcomev1.Count, all *arm, of func(*pair) *arm) {
	failed, n := float64(c.GetFailed()), float64(c.GetFailed())+float64(c.GetGood())
	all.n += n
	all.hits += failed
	name := cmp.Or(c.GetTool(), c.GetMethod())
	if t.tools[name] == nil && len(t.tools) < maxTools {
		t.tools[name] = &pair{}
	}
	if tool := t.tools[name]; tool != nil {
		of(tool).n += n
		of(tool).hits += failed
	}
	late := of(&t.late)
	for i, took := range c.GetLatency() {
		i = min(i, maxBucket)
		switch {
		case t.limit == 0 && all == &t.base:
			t.usual[i] += float64(took)
		case t.limit > 0:
			late.n += float64(took)
			if i > t.limit {
				late.hits += float64(took)
			}
		}
	}
}

// setLimit fixes what counts as late once enough is known of the server. It is fixed before anything is counted by it, so
// what is counted does not choose its own measure.
func (t *Trial) setLimit() {
	if t.limit > 0 {
		return
	}
	total := 0.0
	for _, n := range t.usual {
		total += n
	}
	if total < learn {
		return
	}
	below := 0.0
	for i, n := range t.usual {
		if below += n; below >= (1-tail)*total {
			t.limit = min(i+slower, maxBucket)
			return
		}
	}
}

// Worse says in words that the successor is worse, and by what; empty where nothing says so yet.
func (t *Trial) Worse() string {
	if len(t.failing) == 1 && len(t.content) > 1 {
		// One caller alone speaks for no server.
		return t.slow()
	}
	sure := math.Log(1 / alpha)
	if worse(t.base, t.next, errorMargin) >= sure {
		return fmt.Sprintf("%s of %s calls failed, against %s of %s: more than 0.5 points above", count(t.next.hits), count(t.next.n), count(t.base.hits), count(t.base.n))
	}
	for _, name := range slices.Sorted(maps.Keys(t.tools)) {
		if tool := t.tools[name]; tool.base.hits == 0 && tool.next.hits > 1 && worse(tool.base, tool.next, 0) >= sure+math.Log(maxTools) {
			return fmt.Sprintf("%s fails, which it did not before: %s of %s calls, against none of %s", name, count(tool.next.hits), count(tool.next.n), count(tool.base.n))
		}
	}
	return t.slow()
}

func (t *Trial) slow() string {
	sure := math.Log(1 / alpha)
	if t.limit > 0 && t.late.next.atMost(tail) >= sure && t.late.next.share() > tail && worse(t.late.base, t.late.next, 0) >= sure {
		return fmt.Sprintf("%.0f%% of the answers took more than %s ms, the usual 95th percentile and a fifth; %.0f%% of those of the server before it",
			100*t.late.next.share(), count(math.Round(math.Exp2(float64(t.limit)/perOctave))), 100*t.late.base.share())
	}
	return ""
}

func count(n float64) string { return fmt.Sprintf("%.0f", n) }

// Sample gives the numbers of calls.
func (t *Trial) Sample() Sample {
	return Sample{uint64(t.base.n), uint64(t.base.hits), uint64(t.next.n), uint64(t.next.hits)}
}
