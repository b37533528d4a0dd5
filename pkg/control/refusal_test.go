package control

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/control/status"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

const said = "Error adding/updating cluster(s) mail:\nsomething is wrong\twith it"

// refusing gives a judge that refuses the cluster mail while it is on.
func refusing(on *atomic.Bool) func(*discoveryv3.DeltaDiscoveryResponse) string {
	return func(r *discoveryv3.DeltaDiscoveryResponse) string {
		if on.Load() && slices.ContainsFunc(r.GetResources(), func(r *discoveryv3.Resource) bool { return r.GetName() == "mail" }) {
			return said
		}
		return ""
	}
}

// toMail sends some tools to mail, so that the policies change too.
const toMail = mail + `---
kind: MCPRoute
metadata: {name: post}
spec: {path: /post, servers: [{name: mail}]}
`

// fleet is a control plane with Envoys good and bad, and a processor.
type fleet struct {
	*plane
	site      *site
	good, bad *peer
	processor *peer
	// refuses: bad does.
	refuses atomic.Bool
	first   string
}

func newFleet(t *testing.T) *fleet { return newFleetOf(newSite(t)) }

func newFleetOf(s *site) *fleet {
	t := s.t
	t.Helper()
	f := &fleet{site: s}
	f.site.write(shop{}.yaml())
	f.plane = f.site.start()
	f.first = f.settled("")
	f.bad = f.envoy("bad", peerOptions{judge: refusing(&f.refuses)})
	f.good = f.envoy("good", peerOptions{})
	f.processor = f.plane.processor("x1", peerOptions{})
	for _, e := range []*peer{f.bad, f.good} {
		waitFor(t, "routes", func() bool { return len(e.stamps()) > 0 })
	}
	waitFor(t, "policies", func() bool { return len(f.processor.versions()[names.TypeURLRoutePolicy]) == 1 })
	f.until("everybody in sync", func(s status.Status) bool {
		return len(s.Nodes) == 3 && !slices.ContainsFunc(s.Nodes, func(n status.Node) bool { return n.Sync != status.Synced })
	})
	f.refuses.Store(true)
	return f
}

func TestAtomicRevisionIsTakenBackEverywhere(t *testing.T) {
	f := newFleet(t)
	had := f.good.versions()
	second := f.apply(&adminv1.ApplyRequest{Documents: toMail, Atomic: true}).GetRevision()
	st := f.until("a revision that takes it back", func(s status.Status) bool { return s.Head.Number == 3 && s.Revision.Phase == "done" })
	if st.Head.Version != f.first || st.Revision.Version != f.first || st.Revision.Number != 3 {
		t.Fatalf("head %+v, revision %+v", st.Head, st.Revision)
	}
	if r := st.Rejected; r == nil || r.Version != second.GetVersion() || r.Node != "bad" || r.Detail != said || !r.TakenBack {
		t.Fatalf("rejected %+v", r)
	}
	if m := statusMessage(st).GetRejected(); !m.GetTakenBack() || m.GetNode() != "bad" {
		t.Errorf("the API says %v", m)
	}
	for before, want := range map[uint64][]uint64{0: {0, 3, 0}, 3: {3, 0}, 2: {0}} {
		h, err := f.Backend().History(t.Context(), &adminv1.HistoryRequest{Before: before})
		if err != nil {
			t.Fatal(err)
		}
		var got []uint64
		for _, r := range h.GetRevisions() {
			got = append(got, r.GetTakenBackBy())
		}
		if !slices.Equal(got, want) {
			t.Errorf("history before %d: taken back by %v, want %v", before, got, want)
		}
	}
	want := "control-plane: rollback of 2: rejected by bad: Error adding/updating cluster(s) mail: something is wrong with it [- MCPRoute/post, - MCPServer/mail] (rollback)"
	if got := told(f.history()[0]); got != want {
		t.Fatalf("history has\n%s, want\n%s", got, want)
	}
	waitFor(t, "the good one's return", func() bool {
		return resourcesEqual(f.good.versions()[resourcev3.ClusterType], had[resourcev3.ClusterType])
	})
	if len(f.processor.versions()[names.TypeURLRoutePolicy]) != 1 {
		t.Error("a processor has the policies of a revision that was rejected")
	}
	// What is taken back is not there: it can be tried again, as it was.
	f.refuses.Store(false)
	if r := f.applied(&adminv1.ApplyRequest{Documents: toMail, BaseRevision: 3}); r.GetNumber() != 4 || r.GetVersion() != second.GetVersion() {
		t.Fatalf("revision %v", r)
	}
	if r := f.Status().Rejected; r != nil {
		t.Fatalf("still rejected: %+v", r)
	}
}

func TestRefusingEnvoyStaysAndTheOthersGoOn(t *testing.T) {
	f := newFleet(t)
	had := f.bad.versions()
	second := f.apply(&adminv1.ApplyRequest{Documents: toMail}).GetRevision()
	st := f.until("the refusal", func(s status.Status) bool { return s.Revision != nil && len(s.Revision.HeldBy) == 1 })
	if st.Revision.Version != second.GetVersion() || st.Revision.Active != f.first || st.Revision.Phase != "switch" || st.Head.Number != 2 {
		t.Fatalf("revision %+v, head %+v", st.Revision, st.Head)
	}
	if m := statusMessage(st); !slices.Equal(m.GetRollout().GetHeldBy(), []string{"bad"}) || m.GetRejected().GetTakenBack() {
		t.Errorf("the API says %v and %v", m.GetRollout(), m.GetRejected())
	}
	if st.Rejected == nil || st.Rejected.TakenBack || !strings.Contains(strings.Join(st.Problems, ""), "bad refused revision 2") {
		t.Fatalf("rejected %+v, problems %v", st.Rejected, st.Problems)
	}
	waitFor(t, "the others' routes", func() bool { return len(f.good.stamps()) > len(f.bad.stamps()) && f.good.clusters()["mail"] != nil })
	waitFor(t, "rest of the bad one", func() bool { return f.node("bad").Sync == status.Rejecting && !f.node("bad").Types["clusters"].Pending })
	if n := f.node("bad"); !n.Nack.Standing || n.Nack.Detail != said || n.Nack.Revision != second.GetVersion() || !slices.Equal(n.Revisions, []string{f.first}) {
		t.Fatalf("node %+v, nack %+v", n, n.Nack)
	}
	if !resourcesEqual(f.bad.versions()[resourcev3.ClusterType], had[resourcev3.ClusterType]) {
		t.Errorf("bad has %v, had %v", f.bad.versions(), had)
	}
	// No processor may name a route that bad lacks.
	f.processor.staysQuiet(names.TypeURLRoutePolicy)
	f.bad.staysQuiet(envoyTypes...)

	// A change that needs no other policies goes out, and one that bad takes ends it all.
	f.refuses.Store(false)
	f.applied(&adminv1.ApplyRequest{Documents: strings.Replace(toMail, "7301", "7302", 1)})
	waitFor(t, "policies", func() bool { return len(f.processor.versions()[names.TypeURLRoutePolicy]) == 2 })
	waitFor(t, "bad's cluster", func() bool { return f.bad.clusters()["mail"] != nil })
	f.until("nothing left of it", func(s status.Status) bool {
		return s.Rejected == nil && len(s.Problems) == 0 && !slices.ContainsFunc(s.Nodes, func(n status.Node) bool { return n.Sync != status.Synced })
	})
}

func TestHeldRolloutGoesOnWhenTheEnvoyHasLeft(t *testing.T) {
	s := newSite(t)
	s.limit = time.Second
	f := newFleetOf(s)
	second := f.apply(&adminv1.ApplyRequest{Documents: toMail}).GetRevision()
	f.until("the refusal", func(s status.Status) bool { return len(s.Revision.HeldBy) == 1 })
	f.bad.leave()
	f.until("the end of the rollout", func(s status.Status) bool {
		return s.Revision.Version == second.GetVersion() && s.Revision.Phase == "done" && s.Revision.Active == second.GetVersion()
	})
	if len(f.processor.versions()[names.TypeURLRoutePolicy]) != 2 {
		t.Error("the processor has not got the policies")
	}
}

// TestRejectedFilesAreNotTriedAgain: nobody who edits files waits for an answer, so what
// one node refuses is taken back from all, until the files say something else.
func TestRejectedFilesAreNotTriedAgain(t *testing.T) {
	f := newFleet(t)
	bad := shop{servers: []string{"mail"}, to: "mail"}.yaml()
	f.site.write(bad)
	st := f.until("the return", func(s status.Status) bool { return s.Head.Number == 3 && s.Refused != nil && s.Refused.Standing })
	if st.Head.Version != f.first || st.Head.Author != "control-plane" || !strings.Contains(st.Refused.Error, "revision 2") || len(st.Pinned) != 0 {
		t.Fatalf("head %+v, refused %+v, pinned %v", st.Head, st.Refused, st.Pinned)
	}
	again := func(p *plane) {
		t.Helper()
		st := p.until("word of the files", func(s status.Status) bool { return s.Refused != nil && s.Refused.Standing })
		if st.Head.Version != f.first || !strings.Contains(st.Refused.Error, "taken back") {
			t.Fatalf("head %+v, refused %+v", st.Head, st.Refused)
		}
	}
	// The API is not in the way of the files, nor they in its.
	f.applied(&adminv1.ApplyRequest{Documents: strings.ReplaceAll(mail, "mail", "post")})
	f.stop()
	p := f.site.start()
	st = p.until("word of the files", func(s status.Status) bool { return s.Refused != nil && s.Refused.Standing })
	if st.Head.Number != 4 || !strings.Contains(st.Refused.Error, "taken back") {
		t.Fatalf("head %+v, refused %+v", st.Head, st.Refused)
	}
	p.applied(&adminv1.ApplyRequest{Remove: []*adminv1.ResourceRef{{Kind: "MCPServer", Name: "post"}}})
	again(p)
	// A part of it that is mended lets the rest of it go out too.
	f.site.write(strings.Replace(bad, "127.0.0.1:7201", "127.0.0.1:7222", 1))
	p.until("the mended files", func(s status.Status) bool {
		return s.Head.Author == "directory" && !s.Refused.Standing && s.Revision.Version == s.Head.Version && len(s.Servers) == 2
	})
}

// TestFilesThatAreRightAgain: once the files say what is in force, nobody has to look at the
// rejection any more.
func TestFilesThatAreRightAgain(t *testing.T) {
	f := newFleet(t)
	f.site.write(shop{servers: []string{"mail"}, to: "mail"}.yaml())
	f.until("the return", func(s status.Status) bool {
		return s.Head.Number == 3 && s.Refused != nil && s.Refused.Standing && s.Rejected != nil
	})
	f.site.write(shop{}.yaml())
	st := f.until("no word of it any more", func(s status.Status) bool { return !s.Refused.Standing && s.Rejected == nil })
	if st.Head.Number != 3 {
		t.Errorf("head %+v", st.Head)
	}
	// The same mistake again is a new one.
	f.site.write(shop{servers: []string{"mail"}, to: "mail"}.yaml())
	f.until("the second return", func(s status.Status) bool { return s.Head.Number == 5 && s.Rejected != nil })
}

// TestMovedPortsKeepTheirNumber: a control plane with other options compiles the newest revision to
// another version. It goes by the same number, and is what a rejected change goes back to.
func TestMovedPortsKeepTheirNumber(t *testing.T) {
	s := newSite(t)
	s.write(shop{}.yaml())
	p := s.start()
	kept := p.settled("")
	p.stop()
	s.remap = map[string]string{"127.0.0.1:7101": "127.0.0.1:17101"}
	f := newFleetOf(s)
	now := f.until("what the moved ports lead to", func(s status.Status) bool {
		return s.Revision.Version != kept && s.Revision.Phase == "done"
	})
	if now.Head.Version != kept || now.Head.Number != 1 || now.Revision.Number != 1 {
		t.Fatalf("head %+v, revision %+v", now.Head, now.Revision)
	}
	s.write(shop{servers: []string{"mail"}, to: "mail"}.yaml())
	st := f.until("the return", func(s status.Status) bool {
		return s.Head.Number == 3 && s.Rejected != nil && s.Revision.Phase == "done"
	})
	if st.Head.RollbackOf != 1 || st.Revision.Version != now.Revision.Version || st.Revision.Number != 3 || len(st.Problems) != 0 {
		t.Errorf("head %+v, revision %+v, problems %q", st.Head, st.Revision, st.Problems)
	}
}

func TestRolledBackFilesMayBeTriedAgain(t *testing.T) {
	f := newFleet(t)
	f.site.write(shop{servers: []string{"mail"}, to: "mail"}.yaml())
	f.until("the return", func(s status.Status) bool { return s.Head.Number == 3 && s.Refused != nil })
	f.refuses.Store(false)
	answer, err := f.Backend().Rollback(t.Context(), &adminv1.RollbackRequest{Revision: 2}, caller)
	if err != nil {
		t.Fatal(err)
	}
	f.until("the second try", func(s status.Status) bool {
		return s.Revision.Version == answer.GetRevision().GetVersion() && s.Revision.Phase == "done"
	})
	waitFor(t, "the cluster", func() bool { return f.bad.clusters()["mail"] != nil })
	f.stop()
	p := f.site.start()
	p.until("no word against it after a restart", func(s status.Status) bool {
		return s.Revision != nil && s.Revision.Version == answer.GetRevision().GetVersion() && len(s.Servers) == 2
	})
}

func TestCanariesGetItFirst(t *testing.T) {
	s := newSite(t)
	s.write(shop{}.yaml())
	p := s.start()
	first := p.settled("")
	var holding, no atomic.Bool
	var peers []*peer
	for i := range 5 {
		judge := func(r *discoveryv3.DeltaDiscoveryResponse) string {
			if holding.Load() && r.GetTypeUrl() == resourcev3.ClusterType {
				return hold
			}
			return refusing(&no)(r)
		}
		peers = append(peers, p.envoy(fmt.Sprintf("e%d", i), peerOptions{judge: judge}))
	}
	p.until("everybody in sync", func(s status.Status) bool {
		return len(s.Nodes) == 5 && !slices.ContainsFunc(s.Nodes, func(n status.Node) bool { return n.Sync != status.Synced || n.Types["routes"].Acked == "" })
	})
	holding.Store(true)
	r := p.apply(&adminv1.ApplyRequest{Documents: toMail, CanaryNodesPercent: 40}).GetRevision()
	st := p.until("canaries", func(s status.Status) bool { return len(s.Revision.Canaries) == 2 })
	canary := func(e *peer) bool { return slices.Contains(st.Revision.Canaries, e.id) }
	for _, e := range peers {
		if canary(e) {
			waitFor(t, "the canaries' clusters", func() bool { e.mu.Lock(); defer e.mu.Unlock(); return len(e.held) == 1 })
		} else {
			e.staysQuiet(envoyTypes...)
		}
	}
	holding.Store(false)
	for _, e := range peers {
		e.release()
	}
	p.until("the end of the rollout", func(s status.Status) bool {
		return s.Revision.Version == r.GetVersion() && s.Revision.Phase == "done" && len(s.Revision.Canaries) == 0
	})

	// A canary that refuses ends it, and nobody else has heard of it.
	no.Store(true)
	counts := map[string]int{}
	for _, e := range peers {
		counts[e.id] = e.received(resourcev3.ClusterType)
	}
	changed := strings.Replace(toMail, "spec:\n", "spec:\n  connectTimeout: 2s\n", 1)
	p.apply(&adminv1.ApplyRequest{Documents: changed, CanaryNodesPercent: 1})
	st = p.until("the return", func(s status.Status) bool { return s.Head.Number == 4 && s.Revision.Phase == "done" })
	if st.Head.Version != r.GetVersion() || !st.Rejected.TakenBack || st.Head.Version == first {
		t.Fatalf("head %+v, rejected %+v", st.Head, st.Rejected)
	}
	for _, e := range peers {
		if n := e.received(resourcev3.ClusterType) - counts[e.id]; (n > 0) != (e.id == st.Rejected.Node) {
			t.Errorf("%s got %d responses, %s refused", e.id, n, st.Rejected.Node)
		}
	}
}

// TestCanariesSurviveARestart: a control plane that is killed while canaries try a
// revision must not give it to everybody when it starts.
func TestCanariesSurviveARestart(t *testing.T) {
	s := newSite(t)
	s.limit = late
	s.write(shop{}.yaml())
	p := s.start()
	p.settled("")
	mute := func(r *discoveryv3.DeltaDiscoveryResponse) string {
		if slices.ContainsFunc(r.GetResources(), func(r *discoveryv3.Resource) bool { return r.GetName() == "mail" }) {
			return hold
		}
		return ""
	}
	var peers []*peer
	for i := range 4 {
		peers = append(peers, p.envoy(fmt.Sprintf("e%d", i), peerOptions{judge: mute}))
	}
	p.until("everybody in sync", func(s status.Status) bool {
		return len(s.Nodes) == 4 && !slices.ContainsFunc(s.Nodes, func(n status.Node) bool { return n.Sync != status.Synced || n.Types["routes"].Acked == "" })
	})
	p.apply(&adminv1.ApplyRequest{Documents: toMail, CanaryNodesPercent: 25})
	before := p.until("a canary", func(s status.Status) bool { return len(s.Revision.Canaries) == 1 }).Revision.Canaries
	has := map[string]map[string]map[string]string{}
	for _, e := range peers {
		has[e.id] = e.versions()
	}
	p.stop()

	p = s.start()
	after := p.until("a canary", func(s status.Status) bool { return s.Revision != nil && len(s.Revision.Canaries) > 0 }).Revision.Canaries
	if !slices.Equal(before, after) {
		t.Fatalf("canaries %v before, %v after", before, after)
	}
	for i, e := range peers {
		peers[i] = p.envoy(e.id, peerOptions{has: has[e.id], judge: mute})
	}
	waitFor(t, "the canary's cluster", func() bool {
		return slices.ContainsFunc(peers, func(e *peer) bool { e.mu.Lock(); defer e.mu.Unlock(); return len(e.held) > 0 })
	})
	for _, e := range peers {
		e.mu.Lock()
		if held := len(e.held); (held > 0) != slices.Contains(before, e.id) {
			t.Errorf("%s was sent %d responses with mail, the canary is %v", e.id, held, before)
		}
		e.mu.Unlock()
	}
}
