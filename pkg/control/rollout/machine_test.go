package rollout

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// script drives a machine and writes down what it does.
type script struct {
	*Machine
	t   *testing.T
	now time.Time
	// shown are the latest serials by node; policy the latest of the policies.
	shown  map[Key]uint64
	policy uint64
	log    []string
}

func newScript(t *testing.T, live []string, known ...Node) *script {
	t.Helper()
	s := &script{t: t, now: epoch, shown: map[Key]uint64{}}
	m, actions := New(Options{Policies: policiesOf}, live, known, s.now)
	s.Machine = m
	s.take(actions)
	return s
}

// policiesOf: revisions such as a and a2 have one set of policies.
func policiesOf(revision string) string { return strings.TrimRight(revision, "0123456789") }

func (s *script) take(actions []Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case Show:
			s.shown[a.Node] = a.View.Serial
			s.log = append(s.log, fmt.Sprintf("show %s routes=%s clusters=%s", a.Node, strings.Join(a.View.Routes, "+"), strings.Join(a.View.Clusters, "+")))
		case SetPolicies:
			s.policy = a.Serial
			s.log = append(s.log, "policies "+a.Revision)
		case Save:
			s.log = append(s.log, "save "+strings.Join(a.Live, "+"))
		case Applied:
			s.log = append(s.log, "applied "+a.Revision)
		case Rejected:
			line := fmt.Sprintf("rejected %s by %s: %s", a.Rejection.Revision, a.Rejection.NodeID, a.Rejection.Detail)
			if a.Rejection.Everywhere {
				line += ", back to " + a.Back
			}
			s.log = append(s.log, line)
		case Late:
			s.log = append(s.log, fmt.Sprintf("late %s in %s", a.ID, a.Phase))
		}
	}
}

func (s *script) connect(key Key, kind Kind) {
	s.take(s.Connect(key, Node{ID: string(key), Kind: kind}, s.now))
}

func (s *script) ack(key Key)      { s.take(s.Ack(key, s.serialOf(key), s.now)) }
func (s *script) propose(r string) { s.offer(Proposal{Revision: r, Atomic: true}) }
func (s *script) offer(p Proposal) { s.take(s.Propose(p, s.now)) }
func (s *script) leaves(key Key)   { s.take(s.Disconnect(key, s.now)) }

func (s *script) nack(key Key, words string) {
	s.take(s.Nack(key, s.serialOf(key), "type", words, s.now))
}

func (s *script) serialOf(key Key) uint64 {
	if serial, ok := s.shown[key]; ok {
		return serial
	}
	return s.policy
}

// wait lets time pass up to the machine's own deadline.
func (s *script) wait() {
	s.t.Helper()
	at := s.Deadline()
	if at.IsZero() {
		s.t.Fatalf("nothing to wait for in phase %s", s.Progress().Phase)
	}
	s.now = at
	s.take(s.Tick(s.now))
}

// expect compares and empties the log.
func (s *script) expect(want ...string) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.log); diff != "" {
		s.t.Fatalf("actions (-want +got):\n%s", diff)
	}
	s.log = nil
}

// serving gives a machine where everybody named has revision a.
func serving(t *testing.T, envoys, processors []Key) *script {
	t.Helper()
	s := newScript(t, nil)
	s.propose("a")
	for _, k := range envoys {
		s.connect(k, Envoy)
		s.ack(k)
	}
	for _, k := range processors {
		s.connect(k, Processor)
		s.ack(k)
	}
	if p := s.Progress(); p.Phase != Done || p.Target != "a" || p.Active != "a" {
		t.Fatalf("not serving: %+v", p)
	}
	s.log = nil
	return s
}

func TestNothingBeforeTheFirstRevision(t *testing.T) {
	s := newScript(t, nil)
	s.connect("e1", Envoy)
	s.connect("p1", Processor)
	s.expect()
	s.propose("a")
	s.expect("save a", "policies a", "show e1 routes=a clusters=a")
	s.ack("e1")
	s.ack("p1")
	s.expect("applied a")
}

func TestPhasesInOrder(t *testing.T) {
	s := serving(t, []Key{"e1", "e2"}, []Key{"p1", "p2"})
	s.propose("b")
	s.expect("show e1 routes=a clusters=b+a", "show e2 routes=a clusters=b+a")
	s.ack("e1")
	s.expect()
	s.ack("e2")
	s.expect("show e1 routes=b+a clusters=b+a", "show e2 routes=b+a clusters=b+a")
	s.ack("e2")
	s.expect()
	s.ack("e1")
	s.expect("save b+a", "policies b")
	s.ack("p1")
	s.expect()
	s.ack("p2")
	s.expect("save b", "show e1 routes=b clusters=b+a", "show e2 routes=b clusters=b+a")
	s.ack("e1")
	s.expect()
	s.ack("e2")
	s.expect("show e1 routes=b clusters=b", "show e2 routes=b clusters=b")
	s.ack("e1")
	s.ack("e2")
	s.expect("applied b")
}

func TestLateEnvoyDelaysOnlyItsOwnRemovals(t *testing.T) {
	s := serving(t, []Key{"e1", "e2"}, []Key{"p1"})
	s.propose("b")
	s.ack("e1")
	s.log = nil
	s.wait()
	s.expect("late e2 in add", "show e1 routes=b+a clusters=b+a", "show e2 routes=b+a clusters=b+a")
	s.ack("e1")
	s.ack("p1")
	s.expect("save b+a", "policies b", "save b", "show e1 routes=b clusters=b+a")
	s.ack("e1")
	s.expect("show e1 routes=b clusters=b")
	s.ack("e1")
	s.expect("applied b")
	// The next revision does not wait for it either, and what it may use stays.
	s.propose("c")
	s.expect("show e1 routes=b clusters=c+b", "show e2 routes=b+a clusters=c+b+a")
	s.ack("e1")
	s.expect("show e1 routes=c+b clusters=c+b", "show e2 routes=c+b+a clusters=c+b+a")
	// It catches up, and is waited for again.
	s.ack("e2")
	s.ack("e1")
	s.ack("p1")
	s.expect("save c+b", "policies c", "save c", "show e1 routes=c clusters=c+b", "show e2 routes=c clusters=c+b+a")
	s.ack("e1")
	s.ack("e2")
	s.expect("show e1 routes=c clusters=c", "show e2 routes=c clusters=c")
}

func TestLateProcessorHoldsRemovalsBackButNotRevisions(t *testing.T) {
	s := serving(t, []Key{"e1"}, []Key{"p1", "p2"})
	s.propose("b")
	s.ack("e1")
	s.ack("e1")
	s.ack("p1")
	s.log = nil
	s.wait()
	s.expect("late p2 in policies", "applied b")
	s.propose("c")
	s.expect("show e1 routes=b+a clusters=c+b+a")
	s.ack("e1")
	s.ack("e1")
	s.expect("show e1 routes=c+b+a clusters=c+b+a", "save c+b+a", "policies c")
	s.ack("p1")
	s.expect("applied c")
	s.ack("p2")
	s.expect("save c", "show e1 routes=c clusters=c+b+a")
	s.ack("e1")
	s.expect("show e1 routes=c clusters=c")
}

func TestEnvoyRejectsWhileAdding(t *testing.T) {
	s := serving(t, []Key{"e1", "e2"}, []Key{"p1"})
	s.propose("b")
	s.ack("e1")
	s.log = nil
	s.nack("e2", "bad cluster")
	s.expect("rejected b by e2: bad cluster, back to a", "show e1 routes=a clusters=a", "show e2 routes=a clusters=a")
	s.ack("e1")
	s.ack("e2")
	s.expect()
	if p := s.Progress(); p.Phase != Done || p.Target != "a" || p.Rejection == nil || p.Rejection.Detail != "bad cluster" {
		t.Fatalf("progress %+v", p)
	}
	// A newer revision starts again, waits for the node that refused, and clears the rejection.
	s.propose("c")
	s.expect("show e1 routes=a clusters=c+a", "show e2 routes=a clusters=c+a")
	s.ack("e1")
	s.expect()
	s.ack("e2")
	s.ack("e1")
	s.ack("e2")
	s.ack("p1")
	s.ack("e1")
	s.ack("e2")
	s.ack("e1")
	s.ack("e2")
	if p := s.Progress(); p.Phase != Done || p.Target != "c" || p.Rejection != nil {
		t.Fatalf("progress %+v", p)
	}
}

func TestEnvoyRejectsWhileSwitching(t *testing.T) {
	s := serving(t, []Key{"e1", "e2"}, []Key{"p1"})
	s.propose("b")
	s.ack("e1")
	s.ack("e2")
	s.ack("e1")
	s.log = nil
	s.nack("e2", "bad route")
	// e1 has b's routes: they go first, then b's clusters.
	s.expect("rejected b by e2: bad route, back to a", "show e1 routes=a clusters=a+b", "show e2 routes=a clusters=a")
	s.ack("e1")
	s.expect()
	s.ack("e2")
	s.expect("show e1 routes=a clusters=a")
}

func TestProcessorRejects(t *testing.T) {
	s := serving(t, []Key{"e1"}, []Key{"p1", "p2"})
	s.propose("b")
	s.ack("e1")
	s.ack("e1")
	s.ack("p1")
	s.log = nil
	s.nack("p2", "no such field")
	s.expect("rejected b by p2: no such field, back to a", "save a+b", "policies a", "show e1 routes=a+b clusters=a+b")
	s.ack("p2")
	s.expect()
	// b's routes stay until p1, which had b, is back.
	s.ack("p1")
	s.expect("save a")
	s.ack("e1")
	s.expect("show e1 routes=a clusters=a+b")
	s.ack("e1")
	s.expect("show e1 routes=a clusters=a")
}

func TestNewestOfWaitingRevisionsWins(t *testing.T) {
	s := serving(t, []Key{"e1"}, []Key{"p1"})
	s.propose("b")
	s.propose("c")
	s.propose("d")
	s.log = nil
	s.ack("e1")
	s.expect("show e1 routes=a clusters=d+a")
	s.ack("e1")
	s.expect("show e1 routes=d+a clusters=d+a")
	s.propose("e")
	s.ack("e1")
	// d's routes are there and its clusters with them, but no processor hears of d.
	s.expect("show e1 routes=a+d clusters=e+a+d")
	s.propose("a")
	s.ack("e1")
	s.expect("show e1 routes=a clusters=a+d")
	s.ack("e1")
	s.expect("show e1 routes=a clusters=a")
	s.ack("e1")
	if p := s.Progress(); p.Phase != Done || p.Target != "a" || p.Next != "" {
		t.Fatalf("progress %+v", p)
	}
}

func TestConnectInTheMiddle(t *testing.T) {
	s := serving(t, []Key{"e1"}, []Key{"p1"})
	s.propose("b")
	s.log = nil
	s.connect("e2", Envoy)
	s.expect("show e2 routes=a clusters=b+a")
	s.ack("e1")
	s.expect()
	s.ack("e2")
	s.log = nil
	s.connect("e3", Envoy)
	s.expect("show e3 routes=b+a clusters=b+a")
}

func TestRestartWithTheSameRevision(t *testing.T) {
	s := newScript(t, []string{"a"}, Node{ID: "e1", Kind: Envoy}, Node{ID: "p1", Kind: Processor})
	s.expect("policies a")
	s.propose("a")
	s.connect("e1", Envoy)
	s.expect("show e1 routes=a clusters=a")
	s.ack("e1")
	s.expect()
}

func TestRestartWithAnotherRevisionWaitsForThoseWhoWereThere(t *testing.T) {
	s := newScript(t, []string{"a"}, Node{ID: "e1", Kind: Envoy}, Node{ID: "p1", Kind: Processor})
	s.propose("b")
	s.expect("policies a")
	s.connect("e1", Envoy)
	s.expect("show e1 routes=a clusters=b+a")
	s.ack("e1")
	s.ack("e1")
	s.expect("show e1 routes=b+a clusters=b+a", "save b+a", "policies b")
	// The processor is not back: its routes stay.
	s.wait()
	s.expect("save b", "show e1 routes=b clusters=b+a")
}

func TestRestartInTheMiddleOfPolicies(t *testing.T) {
	s := newScript(t, []string{"b", "a"}, Node{ID: "p1", Kind: Processor})
	s.expect("policies b")
	s.connect("e1", Envoy)
	s.expect("show e1 routes=b+a clusters=b+a")
	s.ack("e1")
	s.connect("p1", Processor)
	s.expect()
	s.ack("p1")
	s.expect("save b", "show e1 routes=b clusters=b+a")
}

func TestProcessorThatDropsOutIsWaitedForAWhile(t *testing.T) {
	s := serving(t, []Key{"e1"}, []Key{"p1"})
	s.leaves("p1")
	s.propose("b")
	s.ack("e1")
	s.log = nil
	s.ack("e1")
	s.expect("save b+a", "policies b")
	s.wait()
	s.expect("save b", "show e1 routes=b clusters=b+a")
}

func TestNodeThatRefusesEverythingHasNoVeto(t *testing.T) {
	s := serving(t, []Key{"e1"}, nil)
	s.connect("odd", Envoy)
	s.log = nil
	s.nack("odd", "too old")
	s.expect()
	s.propose("b")
	s.expect("show e1 routes=a clusters=b+a", "show odd routes=b clusters=b")
	s.nack("odd", "too old")
	s.expect()
	s.ack("e1")
	s.ack("e1")
	s.ack("e1")
	s.ack("e1")
	if p := s.Progress(); p.Phase != Done || p.Target != "b" || p.Rejection != nil {
		t.Fatalf("progress %+v", p)
	}
}

func TestStaleAcknowledgementsCountForNothing(t *testing.T) {
	s := serving(t, []Key{"e1"}, nil)
	old := s.shown["e1"]
	s.propose("b")
	s.log = nil
	s.take(s.Ack("e1", old, s.now))
	s.take(s.Nack("e1", old, "type", "late words", s.now))
	s.take(s.Ack("nobody", 1, s.now))
	s.expect()
}

func TestReferencedIsBounded(t *testing.T) {
	s := serving(t, []Key{"e1", "stuck"}, []Key{"p1", "deaf"})
	for i := range 40 {
		s.propose(fmt.Sprintf("r%02d", i))
		for range 8 {
			for _, k := range []Key{"e1", "p1"} {
				s.ack(k)
			}
		}
		if s.Progress().Phase != Done {
			s.wait()
		}
	}
	if got := s.Referenced(); len(got) > 2*(maxOlder+1)+1 {
		t.Fatalf("%d revisions are kept: %v", len(got), got)
	}
	if !slices.Contains(s.Referenced(), "r39") {
		t.Fatalf("the newest revision is not kept: %v", s.Referenced())
	}
}
