package rollout

import (
	"slices"
	"testing"
)

// alone proposes b to e1, e2 and p1, who have a, and lets e2 refuse it in the phase add.
func alone(t *testing.T) *script {
	t.Helper()
	s := serving(t, []Key{"e1", "e2"}, []Key{"p1"})
	s.offer(Proposal{Revision: "b"})
	s.ack("e1")
	s.log = nil
	s.nack("e2", "bad cluster")
	s.expect(
		"rejected b by e2: bad cluster", "show e2 routes=a clusters=a",
		"show e1 routes=b+a clusters=b+a",
	)
	s.ack("e2")
	s.ack("e1")
	return s
}

func TestOthersGoOnAsFarAsTheRefusingEnvoyAllows(t *testing.T) {
	s := alone(t)
	s.expect()
	p := s.Progress()
	if p.Phase != Switch || p.Target != "b" || p.Active != "a" || !slices.Equal(p.HeldBy, []string{"e2"}) {
		t.Fatalf("progress %+v", p)
	}
	if p.Rejection == nil || p.Rejection.Everywhere || p.Rejection.NodeID != "e2" {
		t.Fatalf("rejection %+v", p.Rejection)
	}
	if st, _ := s.Standing("e2"); !st.Refuses || !st.InSync {
		t.Fatalf("e2 stands %+v", st)
	}
	if st, _ := s.Standing("e1"); st.Refuses {
		t.Fatalf("e1 stands %+v", st)
	}
	// Nothing is waited for: it may stay like this.
	if at := s.Deadline(); !at.IsZero() {
		t.Fatalf("deadline %s", at)
	}
	s.now = s.now.Add(100 * DefaultLimit)
	s.take(s.Tick(s.now))
	s.expect()

	// Who comes now has the limit for itself once the rollout goes on.
	s.connect("e3", Envoy)
	s.expect("show e3 routes=b+a clusters=b+a")
	s.leaves("e2")
	s.expect()
	s.wait()
	s.expect()
	s.ack("e3")
	s.expect("save b+a", "policies b")
	s.ack("p1")
	s.expect("save b", "show e1 routes=b clusters=b+a", "show e3 routes=b clusters=b+a")
}

func TestEnvoyThatRefusesStillHoldsAfterItCameBack(t *testing.T) {
	s := alone(t)
	s.leaves("e2")
	s.take(s.Connect("e2 again", Node{ID: "e2", Kind: Envoy}, s.now))
	s.expect("show e2 again routes=b+a clusters=b+a")
	// It has proven nothing on this connection, so it is shown what was served first.
	s.nack("e2 again", "bad cluster")
	s.expect("show e2 again routes=a clusters=a")
	if p := s.Progress(); len(p.HeldBy) != 1 {
		t.Fatalf("progress %+v", p)
	}
	s.ack("e2 again")
	s.expect("rejected b by e2: bad cluster")
	// What it refused may have been a matter of its own.
	s.leaves("e2 again")
	s.take(s.Connect("e2 mended", Node{ID: "e2", Kind: Envoy}, s.now))
	s.expect("show e2 mended routes=b+a clusters=b+a")
	s.ack("e2 mended")
	s.expect("save b+a", "policies b")
}

func TestHeldRolloutGivesWayToANewerRevision(t *testing.T) {
	s := alone(t)
	// One that says nothing must not be in its way.
	s.connect("mute", Envoy)
	s.log = nil
	s.offer(Proposal{Revision: "c"})
	s.expect()
	s.now = s.now.Add(DefaultLimit)
	s.take(s.Tick(s.now))
	s.expect(
		"late mute in switch",
		"show e1 routes=a+b clusters=c+a+b", "show e2 routes=a clusters=c+a", "show mute routes=a clusters=c+a",
	)
	if p := s.Progress(); len(p.HeldBy) != 0 || p.Target != "c" {
		t.Fatalf("progress %+v", p)
	}
}

func TestHeldRolloutIsTakenBackByGoingBack(t *testing.T) {
	s := alone(t)
	s.offer(Proposal{Revision: "a"})
	s.expect("show e1 routes=a clusters=a+b")
	s.ack("e1")
	s.expect("show e1 routes=a clusters=a")
	if p := s.Progress(); p.Phase != Prune || p.Target != "a" || p.HeldBy != nil {
		t.Fatalf("progress %+v", p)
	}
}

// TestEqualPoliciesAreNotHeld: the stamps that the processors write do not change, so
// one Envoy that stays behind is in nobody's way, and keeps what it has.
func TestEqualPoliciesAreNotHeld(t *testing.T) {
	s := serving(t, []Key{"e1", "e2"}, []Key{"p1"})
	s.offer(Proposal{Revision: "a2"})
	s.ack("e1")
	s.nack("e2", "bad cluster")
	s.ack("e2")
	s.log = nil
	s.ack("e1")
	s.expect("save a2+a", "policies a2")
	s.ack("p1")
	s.expect("save a2", "show e1 routes=a2 clusters=a2+a")
	s.ack("e1")
	s.ack("e1")
	s.expect("show e1 routes=a2 clusters=a2", "applied a2")
	if st, _ := s.Standing("e2"); !slices.Equal(st.View.Routes, []string{"a"}) || !st.Refuses {
		t.Fatalf("e2 stands %+v", st)
	}
	if p := s.Progress(); p.Rejection == nil || p.Rejection.NodeID != "e2" {
		t.Fatalf("the refusal is forgotten while it lasts: %+v", p)
	}
	// The next one forgets it.
	s.offer(Proposal{Revision: "a3"})
	for range 4 {
		s.ack("e1")
		s.ack("e2")
		s.ack("p1")
	}
	if p := s.Progress(); p.Phase != Done || p.Target != "a3" || p.Rejection != nil {
		t.Fatalf("progress %+v", p)
	}
}

func TestLateEnvoyThatRefusesHoldsToo(t *testing.T) {
	s := serving(t, []Key{"e1", "e2"}, []Key{"p1"})
	s.offer(Proposal{Revision: "b"})
	s.ack("e1")
	s.wait()
	s.log = nil
	s.nack("e2", "bad route")
	s.expect("rejected b by e2: bad route", "show e2 routes=a clusters=a")
	s.ack("e2")
	s.ack("e1")
	s.expect()
	if p := s.Progress(); p.Phase != Switch || !slices.Equal(p.HeldBy, []string{"e2"}) {
		t.Fatalf("progress %+v", p)
	}
}

func TestProcessorThatRefusesAloneKeepsItsRoutes(t *testing.T) {
	s := serving(t, []Key{"e1"}, []Key{"p1", "p2"})
	s.offer(Proposal{Revision: "b"})
	s.ack("e1")
	s.ack("e1")
	s.ack("p1")
	s.log = nil
	s.nack("p2", "no such field")
	s.expect("rejected b by p2: no such field", "applied b")
	if p := s.Progress(); p.Phase != Done || p.Active != "b" {
		t.Fatalf("progress %+v", p)
	}
	if st, _ := s.Standing("p2"); !st.Refuses {
		t.Fatalf("p2 stands %+v", st)
	}
	// It goes on with a, across a reconnect.
	s.leaves("p2")
	s.take(s.Connect("p2 again", Node{ID: "p2", Kind: Processor}, s.now))
	s.nack("p2 again", "no such field")
	s.expect()
	s.offer(Proposal{Revision: "c"})
	s.expect("show e1 routes=b+a clusters=c+b+a")
	s.ack("e1")
	s.ack("e1")
	s.ack("p1")
	s.log = nil
	s.ack("p2 again")
	s.expect("save c", "show e1 routes=c clusters=c+b+a")
}

// TestRejectedRevisionThatIsProposedAgain: whoever looks must not take the old refusal
// for one of this time.
func TestRejectedRevisionThatIsProposedAgain(t *testing.T) {
	s := serving(t, []Key{"e1"}, nil)
	s.propose("b")
	s.nack("e1", "bad cluster")
	s.ack("e1")
	if p := s.Progress(); p.Rejection == nil || !p.Rejection.Everywhere || p.Target != "a" {
		t.Fatalf("progress %+v", p)
	}
	s.propose("b")
	if p := s.Progress(); p.Rejection != nil || p.Target != "b" {
		t.Fatalf("progress %+v", p)
	}
}
