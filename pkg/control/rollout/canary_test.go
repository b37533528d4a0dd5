package rollout

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"
)

func TestCanaryCount(t *testing.T) {
	for _, c := range []struct{ total, percent, want int }{
		{1, 1, 1},
		{1, 99, 1},
		{2, 1, 1},
		{2, 50, 1},
		{2, 99, 1},
		{3, 50, 2},
		{3, 99, 2},
		{10, 10, 1},
		{10, 11, 2},
		{50, 10, 5},
		{1000, 99, 990},
	} {
		if got := canaryCount(c.total, c.percent); got != c.want {
			t.Errorf("%d %% of %d: %d, want %d", c.percent, c.total, got, c.want)
		}
	}
}

func TestCanariesAreStableAndTakeTurns(t *testing.T) {
	nodes := map[Node]bool{}
	for i := range 20 {
		nodes[Node{ID: fmt.Sprintf("e%d", i), Kind: Envoy}] = true
	}
	hit := map[Node]bool{}
	for i := range 40 {
		revision := fmt.Sprintf("r%d", i)
		first := pickCanaries(revision, maps.Keys(nodes), 3)
		if len(first) != 3 || !maps.Equal(first, pickCanaries(revision, maps.Keys(nodes), 3)) {
			t.Fatalf("%v once, then others", first)
		}
		maps.Copy(hit, first)
		// Who is not chosen may leave without a change.
		fewer := maps.Clone(nodes)
		for n := range nodes {
			if !first[n] {
				delete(fewer, n)
				break
			}
		}
		if !maps.Equal(first, pickCanaries(revision, maps.Keys(fewer), 3)) {
			t.Fatal("another node's leaving changes the canaries")
		}
	}
	if len(hit) < 18 {
		t.Errorf("%d of 20 nodes were ever a canary", len(hit))
	}
}

// canaries proposes b to e1, e2 and e3 by way of one canary, which is named.
func canaries(t *testing.T) (s *script, canary Key, others []Key) {
	t.Helper()
	s = serving(t, []Key{"e1", "e2", "e3"}, []Key{"p1"})
	s.offer(Proposal{Revision: "b", CanaryPercent: 10})
	p := s.Progress()
	if len(p.Canaries) != 1 {
		t.Fatalf("canaries %v", p.Canaries)
	}
	canary = Key(p.Canaries[0])
	for _, k := range []Key{"e1", "e2", "e3"} {
		if k != canary {
			others = append(others, k)
		}
	}
	s.expect(fmt.Sprintf("show %s routes=a clusters=b+a", canary))
	return s, canary, others
}

func TestCanariesGoFirst(t *testing.T) {
	s, canary, others := canaries(t)
	s.connect("e4", Envoy)
	s.expect("show e4 routes=a clusters=a")
	s.ack("e4")
	s.expect()
	s.ack(canary)
	s.expect(fmt.Sprintf("show %s routes=b+a clusters=b+a", canary))
	s.ack(canary)
	// The phases begin anew, for everybody.
	s.expect(
		fmt.Sprintf("show %s routes=a clusters=b+a", others[0]), fmt.Sprintf("show %s routes=a clusters=b+a", others[1]),
		"show e4 routes=a clusters=b+a",
	)
	if p := s.Progress(); p.Phase != Adding || len(p.Canaries) != 0 {
		t.Fatalf("progress %+v", p)
	}
	for range 2 {
		for _, k := range append(others, "e4") {
			s.ack(k)
		}
	}
	if p := s.Progress(); p.Phase != Policies || p.Active != "b" {
		t.Fatalf("progress %+v", p)
	}
}

func TestCanaryThatRefusesTakesItBack(t *testing.T) {
	s, canary, _ := canaries(t)
	s.ack(canary)
	s.log = nil
	s.nack(canary, "bad route")
	// The others have heard nothing of b, so there is nothing to tell them.
	s.expect(
		fmt.Sprintf("rejected b by %s: bad route, back to a", canary),
		fmt.Sprintf("show %s routes=a clusters=a", canary),
	)
	if p := s.Progress(); p.Target != "a" || len(p.Canaries) != 0 {
		t.Fatalf("progress %+v", p)
	}
}

// TestSilentCanaryTakesItBack: a cluster that never warms is refused by nobody.
func TestSilentCanaryTakesItBack(t *testing.T) {
	s, canary, _ := canaries(t)
	s.wait()
	s.expect(
		fmt.Sprintf("rejected b by %s: a canary, it has not acknowledged the revision within 15s, back to a", canary),
		fmt.Sprintf("show %s routes=a clusters=a", canary),
	)
}

func TestCanaryThatLeavesAndComesBack(t *testing.T) {
	s, canary, others := canaries(t)
	s.leaves(canary)
	s.now = s.now.Add(time.Second)
	s.take(s.Connect("back", Node{ID: string(canary), Kind: Envoy}, s.now))
	s.expect("show back routes=a clusters=b+a")
	s.ack("back")
	s.ack("back")
	s.expect("show back routes=b+a clusters=b+a", fmt.Sprintf("show %s routes=a clusters=b+a", others[0]), fmt.Sprintf("show %s routes=a clusters=b+a", others[1]))
}

func TestCanaryThatDoesNotComeBackTakesItBack(t *testing.T) {
	s, canary, _ := canaries(t)
	s.leaves(canary)
	s.wait()
	s.expect(fmt.Sprintf("rejected b by %s: a canary, it has not acknowledged the revision within 15s, back to a", canary))
}

func TestNewerRevisionOvertakesSilentCanaries(t *testing.T) {
	s, canary, others := canaries(t)
	s.propose("c")
	s.expect()
	s.wait()
	s.expect(
		fmt.Sprintf("show %s routes=a clusters=c+a", min(canary, others[0])),
		fmt.Sprintf("show %s routes=a clusters=c+a", sorted(canary, others)[1]),
		fmt.Sprintf("show %s routes=a clusters=c+a", sorted(canary, others)[2]),
	)
}

func sorted(canary Key, others []Key) []Key {
	return slices.Sorted(slices.Values(append([]Key{canary}, others...)))
}

func TestOnlySoundNodesAreCanaries(t *testing.T) {
	for i := range 20 {
		s := serving(t, []Key{"e1", "e2"}, []Key{"p1"})
		s.connect("fresh", Envoy)
		s.connect("odd", Envoy)
		s.nack("odd", "too old")
		s.offer(Proposal{Revision: fmt.Sprintf("b%d", i), CanaryPercent: 99})
		if got := s.Progress().Canaries; !slices.Equal(got, []string{"e1", "e2"}) {
			t.Fatalf("canaries %v", got)
		}
	}
	// With nobody to try it on it goes to all.
	s := newScript(t, []string{"a"})
	s.offer(Proposal{Revision: "b", CanaryPercent: 50})
	if p := s.Progress(); p.Canaries != nil || p.Active != "b" {
		t.Fatalf("progress %+v", p)
	}
}

// TestCanariesAfterARestart: nobody is back when the revision is proposed again, and it
// must not go to all of them because of that.
func TestCanariesAfterARestart(t *testing.T) {
	known := []Node{{"e1", Envoy}, {"e2", Envoy}, {"e3", Envoy}, {"p1", Processor}}
	s := newScript(t, []string{"a"}, known...)
	s.offer(Proposal{Revision: "b", CanaryPercent: 10})
	got := s.Progress().Canaries
	if len(got) != 1 {
		t.Fatalf("canaries %v", got)
	}
	before, canary, _ := canaries(t)
	if before.Progress().Canaries[0] != string(canary) || got[0] != string(canary) {
		t.Fatalf("canary %v after the restart, %v before", got, canary)
	}
	s.log = nil
	for _, n := range known[:3] {
		s.connect(Key(n.ID), Envoy)
	}
	shown := 0
	for _, line := range s.log {
		if line == fmt.Sprintf("show %s routes=a clusters=b+a", canary) {
			shown++
		}
	}
	if shown != 1 || len(s.log) != 3 {
		t.Fatalf("actions %v", s.log)
	}
}
