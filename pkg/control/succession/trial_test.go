package succession

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
)

// traffic makes up the summaries of one second.
type traffic struct {
	*rand.Rand
	// failing is the probability that a call fails, and median its time in ms.
	failing, median float64
}

func (f traffic) count(server, tool string, n int) *outcomev1.Count {
	c := &outcomev1.Count{Server: server, Method: "tools/call", Tool: tool, Latency: make([]uint32, maxBucket+1), GoodPrincipals: []uint64{1, 2, 3}}
	for range n {
		if f.Float64() < f.failing {
			c.Failed++
			c.FailedPrincipals = []uint64{2, 3}
		} else {
			c.Good++
		}
		took := f.median * math.Exp(0.5*f.NormFloat64())
		c.Latency[min(max(int(math.Ceil(perOctave*math.Log2(took))), 0), maxBucket)]++
	}
	return c
}

// run plays seconds of 1,000 calls of which a share goes to the successor, and gives what was said, after how many seconds.
func run(base, next traffic, share float64, seconds int) (said string, after int, failed uint64) {
	var t Trial
	n := int(1000 * share)
	for s := range seconds {
		t.Observe([]*outcomev1.Count{base.count("old", "get", 1000-n), next.count("new", "get", n), base.count("other", "get", 50)}, "old", "new")
		if said := t.Worse(); said != "" {
			return said, s + 1, t.Sample().NextFailed
		}
	}
	return "", seconds, t.Sample().NextFailed
}

// TestAgainstItself: of 200 comparisons of a server with itself, looked at after each of 600 seconds, none says that it is worse, whatever
// the share, the share of failures and the times.
func TestAgainstItself(t *testing.T) {
	t.Parallel()
	for i := range uint64(200) {
		r := rand.New(rand.NewPCG(i, 7))
		same := traffic{r, []float64{0, 0.001, 0.02, 0.2}[i%4], []float64{5, 40, 700}[i%3]}
		share := []float64{0.05, 0.1, 0.5}[i%3]
		if said, after, _ := run(same, same, share, 600/[]int{20, 10, 20}[i%3]); said != "" {
			t.Errorf("run %d, %v of the calls failing: after %d s: %s", i, same.failing, after, said)
		}
	}
}

// TestWorseIsFound, and soon.
func TestWorseIsFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		base, next traffic
		share      float64
		seconds    int
		says       string
	}{
		{"a fifth fails", traffic{failing: 0, median: 20}, traffic{failing: 0.2, median: 20}, 0.1, 1, "calls failed"},
		{"a fifth fails, a hundredth usually", traffic{failing: 0.01, median: 20}, traffic{failing: 0.2, median: 20}, 0.1, 2, "calls failed"},
		{"two points more", traffic{failing: 0.01, median: 20}, traffic{failing: 0.03, median: 20}, 0.1, 120, "calls failed"},
		{"half a point, where nothing failed", traffic{failing: 0, median: 20}, traffic{failing: 0.005, median: 20}, 0.1, 60, "which it did not before"},
		{"half as slow again", traffic{failing: 0, median: 20}, traffic{failing: 0, median: 30}, 0.1, 60, "took more than"},
		{"slower by two fifths", traffic{failing: 0, median: 20}, traffic{failing: 0, median: 28}, 0.1, 600, "took more than"},
	} {
		for seed := range uint64(20) {
			c.base.Rand, c.next.Rand = rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
			said, after, failed := run(c.base, c.next, c.share, c.seconds)
			if !strings.Contains(said, c.says) {
				t.Errorf("%s: %q after %d s", c.name, said, after)
			}
			if seed == 0 {
				t.Logf("%s: after %d s and %d failed calls: %s", c.name, after, failed, said)
			}
		}
	}
}

// TestLittleSaysNothing: a few failures may be chance, and one caller alone is no proof.
func TestLittleSaysNothing(t *testing.T) {
	t.Parallel()
	var few, alone Trial
	few.Observe([]*outcomev1.Count{{Server: "old", Tool: "a", Good: 90}, {Server: "new", Tool: "a", Good: 7, Failed: 3, FailedPrincipals: []uint64{1, 2}}}, "old", "new")
	if said := few.Worse(); said != "" {
		t.Error(said)
	}
	alone.Observe([]*outcomev1.Count{{Server: "old", Tool: "a", Good: 9000}, {Server: "new", Tool: "a", Good: 500, Failed: 500, FailedPrincipals: []uint64{1}, GoodPrincipals: []uint64{1, 2, 3}}}, "old", "new")
	if said := alone.Worse(); said != "" {
		t.Error("one caller alone: ", said)
	}
	alone.Observe([]*outcomev1.Count{{Server: "new", Tool: "a", Failed: 1, FailedPrincipals: []uint64{2}}}, "old", "new")
	if alone.Worse() == "" {
		t.Error("two callers, and nothing is said")
	}
}

// TestWhatIsKeptIsBounded, whatever tools are made up.
func TestWhatIsKeptIsBounded(t *testing.T) {
	t.Parallel()
	var trial Trial
	for i := range 3 * maxTools {
		trial.Observe([]*outcomev1.Count{{Server: "new", Tool: fmt.Sprint(i), Failed: 1, FailedPrincipals: []uint64{uint64(i)}, Latency: make([]uint32, 1000)}}, "old", "new")
	}
	if len(trial.tools) > maxTools || len(trial.failing) > 8 {
		t.Errorf("%d tools, %d callers", len(trial.tools), len(trial.failing))
	}
}
