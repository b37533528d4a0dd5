package rollout

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// world simulates Envoys and processors around a machine: they take what they are
// shown in small steps, in any order, refuse bad revisions, stall, go and come.
type world struct {
	t    *testing.T
	rand *rand.Rand
	m    *Machine
	now  time.Time
	// revisions by name: stamp → cluster.
	revisions map[string]map[string]string
	// bad revisions are refused by Envoys, badPolicies by processors.
	bad, badPolicies map[string]bool
	// modes are how revisions were proposed.
	modes      map[string]Proposal
	envoys     map[Key]*simEnvoy
	processors map[Key]*simProcessor
	// absent processors still apply what they had, until the machine forgets them.
	absent   map[Node]absentProcessor
	saved    []string
	policies SetPolicies
	names    int
	trace    []string
}

type simEnvoy struct {
	view     View
	routes   map[string]string
	clusters map[string]bool
	// step: 0 nothing of the view is taken, 1 the clusters are, 2 it is acknowledged.
	step int
	// reliable: it was in sync, and has lost nothing by its own fault since.
	reliable bool
	stalled  bool
}

type simProcessor struct {
	applied string
	stalled bool
}

type absentProcessor struct {
	applied string
	since   time.Time
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{
		t: t, rand: rand.New(rand.NewPCG(seed, 1)), now: epoch,
		revisions: map[string]map[string]string{}, bad: map[string]bool{}, badPolicies: map[string]bool{}, modes: map[string]Proposal{},
		envoys: map[Key]*simEnvoy{}, processors: map[Key]*simProcessor{}, absent: map[Node]absentProcessor{},
	}
	// Equal routes are equal stamps, as equal policies have them.
	policies := func(revision string) string { return fmt.Sprint(w.revisions[revision]) }
	m, actions := New(Options{Policies: policies}, nil, nil, w.now)
	w.m = m
	w.take(actions)
	return w
}

func (w *world) take(actions []Action) {
	w.t.Helper()
	if limit := 8 * (len(w.envoys) + 4); len(actions) > limit {
		w.fail("%d actions at once, more than %d", len(actions), limit)
	}
	for _, a := range actions {
		w.trace = append(w.trace, fmt.Sprintf("  %T%v", a, a))
		switch a := a.(type) {
		case Show:
			if len(a.View.Routes) == 0 {
				w.fail("view without routes")
			}
			for _, r := range a.View.Routes {
				if !slices.Contains(a.View.Clusters, r) {
					w.fail("view %v shows routes of %s without its clusters", a.View, r)
				}
			}
			if n := w.m.nodes[a.Node]; w.m.heldBack(n) && slices.Contains(a.View.Clusters, w.m.target) {
				w.fail("%s is shown %s before the canaries have it", a.Node, w.m.target)
			}
			if e, ok := w.envoys[a.Node]; ok {
				e.view, e.step = a.View, 0
			}
		case Rejected:
			if p := w.modes[a.Rejection.Revision]; p.Atomic && !a.Rejection.Everywhere {
				w.fail("%s is atomic and %s refuses it alone", p.Revision, a.Rejection.NodeID)
			}
			if a.Back == a.Rejection.Revision || a.Back != "" && !a.Rejection.Everywhere {
				w.fail("rejection %+v", a)
			}
		case SetPolicies:
			w.policies = a
			if len(w.saved) == 0 || w.saved[0] != a.Revision {
				w.fail("policies of %s are set while %v is saved", a.Revision, w.saved)
			}
		case Save:
			w.saved = a.Live
		}
	}
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	// Repetitions of what a settled processor says tell nothing.
	lines := slices.Compact(w.trace)
	for _, line := range lines[max(0, len(lines)-80):] {
		w.t.Log(line)
	}
	w.t.Fatalf(format, args...)
}

func (w *world) step() {
	w.t.Helper()
	switch n := w.rand.IntN(100); {
	case n < 8:
		p := Proposal{Atomic: w.rand.IntN(2) == 0}
		if w.rand.IntN(3) == 0 {
			p.CanaryPercent = 1 + w.rand.IntN(99)
		}
		w.propose(p, w.rand.IntN(6) == 0, w.rand.IntN(8) == 0)
	case n < 12:
		w.connect(Envoy)
	case n < 15:
		w.connect(Processor)
	case n < 18:
		w.disconnect()
	case n < 22:
		w.stall()
	case n < 26:
		w.now = w.now.Add(time.Duration(w.rand.IntN(10_000)) * time.Millisecond)
		w.take(w.m.Tick(w.now))
	case n < 80:
		w.stepEnvoy(pick(w.rand, w.envoys))
	default:
		w.stepProcessor(pick(w.rand, w.processors))
	}
	w.check()
}

func pick[V any](r *rand.Rand, from map[Key]V) Key {
	if len(from) == 0 {
		return ""
	}
	return slices.Sorted(maps.Keys(from))[r.IntN(len(from))]
}

// propose makes a revision of three tools, each at one of four servers. A stamp
// says tool and server, as a hash of what the route does would.
func (w *world) propose(p Proposal, bad, badPolicies bool) {
	w.names++
	p.Revision = fmt.Sprintf("r%d", w.names)
	routes := make(map[string]string)
	for tool := range 3 {
		cluster := fmt.Sprintf("c%d", w.rand.IntN(4))
		routes[fmt.Sprintf("t%d@%s", tool, cluster)] = cluster
	}
	if active := w.m.Progress().Active; active != "" && w.rand.IntN(5) == 0 {
		routes = w.revisions[active]
	}
	w.revisions[p.Revision], w.bad[p.Revision], w.badPolicies[p.Revision], w.modes[p.Revision] = routes, bad, badPolicies, p
	w.trace = append(w.trace, fmt.Sprintf("propose %+v %v bad=%v,%v", p, routes, bad, badPolicies))
	w.take(w.m.Propose(p, w.now))
}

func (w *world) connect(kind Kind) {
	if len(w.envoys)+len(w.processors) > 6 {
		return
	}
	w.names++
	key := Key(fmt.Sprintf("k%d", w.names))
	who := Node{ID: fmt.Sprintf("%s%d", kind, w.rand.IntN(4)), Kind: kind}
	w.trace = append(w.trace, fmt.Sprintf("connect %s %v", key, who))
	if kind == Envoy {
		w.envoys[key] = &simEnvoy{}
	} else {
		p := &simProcessor{}
		// One that was away for longer comes back with policies that nobody waits for.
		if a, ok := w.absent[who]; ok && w.now.Before(a.since.Add(DefaultLimit)) {
			p.applied = a.applied
			delete(w.absent, who)
		}
		w.processors[key] = p
	}
	w.take(w.m.Connect(key, who, w.now))
}

func (w *world) disconnect() {
	keys := append(slices.Sorted(maps.Keys(w.envoys)), slices.Sorted(maps.Keys(w.processors))...)
	if len(keys) == 0 {
		return
	}
	key := keys[w.rand.IntN(len(keys))]
	w.trace = append(w.trace, "disconnect "+string(key))
	if p, ok := w.processors[key]; ok {
		n := w.m.nodes[key]
		if !n.late && p.applied != "" && !n.refuses(w.m.live[0]) {
			w.absent[n.Node] = absentProcessor{applied: p.applied, since: w.now}
		}
	}
	delete(w.envoys, key)
	delete(w.processors, key)
	w.take(w.m.Disconnect(key, w.now))
	for who := range w.absent {
		for _, n := range w.m.nodes {
			if n.Node == who {
				delete(w.absent, who)
			}
		}
	}
}

func (w *world) stall() {
	if e, ok := w.envoys[pick(w.rand, w.envoys)]; ok && w.rand.IntN(2) == 0 {
		e.stalled = !e.stalled
		return
	}
	if p, ok := w.processors[pick(w.rand, w.processors)]; ok {
		p.stalled = !p.stalled
	}
}

// stepEnvoy lets an Envoy take the next part of its view: clusters, then routes.
func (w *world) stepEnvoy(key Key) {
	e, ok := w.envoys[key]
	if !ok || e.stalled || e.step == 2 || e.view.Serial == 0 {
		return
	}
	w.trace = append(w.trace, fmt.Sprintf("envoy %s step %d of %v", key, e.step, e.view))
	refused := slices.ContainsFunc(e.view.Clusters, func(r string) bool { return w.bad[r] })
	if refused && (e.step == 1 || w.rand.IntN(2) == 0) {
		// Some faults lie in the clusters, some in the routes. What it had, it keeps.
		e.step = 2
		w.take(w.m.Nack(key, e.view.Serial, "type", "bad", w.now))
		return
	}
	if e.step == 0 {
		e.clusters, e.step = map[string]bool{}, 1
		for _, r := range e.view.Clusters {
			for _, cluster := range w.revisions[r] {
				e.clusters[cluster] = true
			}
		}
		return
	}
	e.routes, e.step, e.reliable = map[string]string{}, 2, true
	for _, r := range e.view.Routes {
		maps.Copy(e.routes, w.revisions[r])
	}
	w.take(w.m.Ack(key, e.view.Serial, w.now))
}

func (w *world) stepProcessor(key Key) {
	p, ok := w.processors[key]
	if !ok || p.stalled || w.policies.Serial == 0 {
		return
	}
	if w.m.nodes[key].acked {
		return
	}
	w.trace = append(w.trace, fmt.Sprintf("processor %s takes %v", key, w.policies))
	serial := w.policies.Serial
	if w.badPolicies[w.policies.Revision] {
		w.take(w.m.Nack(key, serial, "type", "bad", w.now))
		return
	}
	p.applied = w.policies.Revision
	w.take(w.m.Ack(key, serial, w.now))
}

// check holds every reliable Envoy against every stamp that a processor may write.
func (w *world) check() {
	w.t.Helper()
	inUse := map[string]string{}
	if w.policies.Serial > 0 {
		inUse[w.policies.Revision] = "the active policies"
	}
	for key, p := range w.processors {
		// A processor that refused what is served before it accepted anything applies
		// something that nobody knows.
		if n := w.m.nodes[key]; p.applied != "" && (n.acked || n.holds || !n.refuses(w.m.live[0])) && slices.Contains(w.m.Referenced(), p.applied) {
			inUse[p.applied] = "processor " + string(key)
		}
	}
	for who, a := range w.absent {
		if w.now.Before(a.since.Add(DefaultLimit)) && slices.Contains(w.m.live, a.applied) {
			inUse[a.applied] = "absent processor " + who.ID
		}
	}
	for key, e := range w.envoys {
		// Who refuses everything lacks whatever there is; who came to refuse what the
		// processors have already lacks that.
		n := w.m.nodes[key]
		e.reliable = e.reliable && !n.noVeto
		if !e.reliable || n.late {
			continue
		}
		lacking := false
		for revision, by := range inUse {
			if n.refuses(revision) && !(n.holds && revision == w.m.target) {
				lacking = true
				continue
			}
			for stamp, cluster := range w.revisions[revision] {
				if e.routes[stamp] != cluster {
					w.fail("envoy %s lacks stamp %s of %s, which %s may write", key, stamp, revision, by)
				}
				if !e.clusters[cluster] {
					w.fail("envoy %s lacks cluster %s of stamp %s of %s", key, cluster, stamp, revision)
				}
			}
		}
		e.reliable = !lacking
	}
	w.checkCanaries()
	if n := len(w.m.Referenced()); n > 4*(maxOlder+2)*(len(w.envoys)+1) {
		w.fail("%d revisions referenced", n)
	}
}

// checkCanaries: nobody but them has heard of what goes to them first.
func (w *world) checkCanaries() {
	w.t.Helper()
	p := w.m.Progress()
	if len(p.Canaries) == 0 {
		return
	}
	if p.Phase != Adding && p.Phase != Switch || p.Active == p.Target {
		w.fail("canaries in %+v", p)
	}
	for key := range w.envoys {
		n := w.m.nodes[key]
		if slices.Contains(n.view.Clusters, p.Target) && !slices.Contains(p.Canaries, n.ID) {
			w.fail("%s, which is no canary, is shown %s", key, p.Target)
		}
	}
}

// finish lets everybody answer and time pass: the machine must come to rest with a
// good last revision everywhere and nothing else kept.
func (w *world) finish() {
	w.t.Helper()
	w.propose(Proposal{}, false, false)
	last := fmt.Sprintf("r%d", w.names)
	for range 400 {
		for _, key := range slices.Sorted(maps.Keys(w.envoys)) {
			w.envoys[key].stalled = false
			w.stepEnvoy(key)
			w.check()
		}
		for _, key := range slices.Sorted(maps.Keys(w.processors)) {
			w.processors[key].stalled = false
			w.stepProcessor(key)
			w.check()
		}
		if at := w.m.Deadline(); !at.IsZero() && at.After(w.now) && w.rand.IntN(8) == 0 {
			w.now = at
			w.take(w.m.Tick(w.now))
		}
	}
	p := w.m.Progress()
	if p.Phase != Done || p.Target != last || p.Active != last || p.Next != "" {
		w.fail("not at rest with %s: %+v", last, p)
	}
	for key := range w.envoys {
		s, _ := w.m.Standing(key)
		if !s.InSync || !slices.Equal(s.View.Routes, []string{last}) || !slices.Equal(s.View.Clusters, []string{last}) {
			w.fail("envoy %s is left with %+v", key, s)
		}
	}
	if got := w.m.Referenced(); !slices.Equal(got, []string{last}) {
		w.fail("revisions %v are still referenced", got)
	}
}

func TestRandomInterleavings(t *testing.T) {
	for seed := range uint64(200) {
		w := newWorld(t, seed)
		for range 250 {
			w.step()
		}
		w.finish()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}
