package outcomes

import (
	"time"

	"google.golang.org/protobuf/proto"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
)

// recent holds the counts of the last seconds, once for all receivers: a slow one gets
// them joined, and no queue of its own.
type recent struct {
	batches []batch
	counts  int
}

// batch is the counts of one Summary; they are not changed any more.
type batch struct {
	from     *stream
	sequence uint64
	at       time.Time
	counts   []*outcomev1.Count
}

// add keeps a batch, of which it drops what is beyond the bound, and says how many that were.
func (r *recent) add(b batch) (dropped int) {
	r.forget(b.at.Add(-recentSpan))
	if room := maxRecent - r.counts; len(b.counts) > room {
		dropped = len(b.counts) - room
		b.counts = b.counts[:room]
	}
	if len(b.counts) > 0 {
		r.batches = append(r.batches, b)
		r.counts += len(b.counts)
	}
	return dropped
}

func (r *recent) forget(before time.Time) {
	n := 0
	for n < len(r.batches) && r.batches[n].at.Before(before) {
		r.counts -= len(r.batches[n].counts)
		n++
	}
	// What is taken off the front must not be held by the array.
	clear(r.batches[:n])
	r.batches = r.batches[n:]
}

// after gives the batches of others since a sequence number.
func (r *recent) after(sequence uint64, receiver *stream) []batch {
	var out []batch
	for _, b := range r.batches {
		if b.sequence > sequence && b.from != receiver {
			out = append(out, b)
		}
	}
	return out
}

type countKey struct{ server, method, tool, region, endpoint string }

func keyOf(c *outcomev1.Count) countKey {
	return countKey{c.GetServer(), c.GetMethod(), c.GetTool(), c.GetRegion(), c.GetEndpoint()}
}

// join adds up the counts of batches, at most MaxCounts of them.
func join(batches []batch) []*outcomev1.Count {
	if len(batches) == 1 {
		return batches[0].counts
	}
	known := make(map[countKey]*outcomev1.Count)
	var out []*outcomev1.Count
	for _, b := range batches {
		for _, c := range b.counts {
			sum, ok := known[keyOf(c)]
			if !ok {
				if len(out) == MaxCounts {
					continue
				}
				sum = proto.CloneOf(c)
				known[keyOf(c)] = sum
				out = append(out, sum)
				continue
			}
			addTo(sum, c)
		}
	}
	return out
}

func addTo(sum, c *outcomev1.Count) {
	sum.Good = plus(sum.GetGood(), c.GetGood())
	sum.Failed = plus(sum.GetFailed(), c.GetFailed())
	sum.Busy = plus(sum.GetBusy(), c.GetBusy())
	for i, n := range c.GetLatency() {
		if i == len(sum.GetLatency()) {
			sum.Latency = append(sum.Latency, 0)
		}
		sum.Latency[i] = plus(sum.Latency[i], n)
	}
	addFailures(sum, c)
	sum.Confirmed = plus(sum.GetConfirmed(), c.GetConfirmed())
	sum.FailedPrincipals = union(sum.GetFailedPrincipals(), c.GetFailedPrincipals())
	sum.GoodPrincipals = union(sum.GetGoodPrincipals(), c.GetGoodPrincipals())
}

// addFailures joins the surpluses of two counts: those of different callers cancel each other out. The one that has
// what is left comes first among the principals.
func addFailures(sum, c *outcomev1.Count) {
	mine, other := sum.GetFailedSurplus(), c.GetFailedSurplus()
	switch {
	case other == 0 || len(c.GetFailedPrincipals()) == 0:
	case mine > 0 && len(sum.GetFailedPrincipals()) > 0 && sum.GetFailedPrincipals()[0] == c.GetFailedPrincipals()[0]:
		sum.FailedSurplus = plus(mine, other)
	case mine >= other:
		sum.FailedSurplus = mine - other
	default:
		sum.FailedSurplus = other - mine
		first := c.GetFailedPrincipals()[:1:1]
		sum.FailedPrincipals = union(first, sum.GetFailedPrincipals())
	}
}

// plus does not run over: who sends such numbers means to.
func plus(a, b uint32) uint32 {
	if sum := a + b; sum >= a {
		return sum
	}
	return ^uint32(0)
}

func union(a, b []uint64) []uint64 {
next:
	for _, p := range b {
		if len(a) == maxPrincipals {
			break
		}
		for _, known := range a {
			if known == p {
				continue next
			}
		}
		a = append(a, p)
	}
	return a
}
