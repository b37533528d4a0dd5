package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient"
	"github.com/holdfast-mcp/holdfast/pkg/control/status"
)

// watched is what a watch has sent, with when.
type watched struct {
	*adminv1.StatusResponse
	at time.Time
}

// watch follows the status until the test ends.
func (p *plane) watch() <-chan watched {
	p.t.Helper()
	ctx, cancel := context.WithCancel(p.t.Context())
	out, done := make(chan watched, 10_000), make(chan error, 1)
	go func() {
		done <- p.Backend().Watch(ctx, func(s *adminv1.StatusResponse) error {
			out <- watched{s, time.Now()}
			return nil
		})
	}()
	p.t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			p.t.Errorf("watch: %v", err)
		}
	})
	return out
}

func next(t *testing.T, from <-chan watched, what string, ok func(*adminv1.StatusResponse) bool) *adminv1.StatusResponse {
	t.Helper()
	limit := time.After(soon)
	for {
		select {
		case s := <-from:
			if ok(s.StatusResponse) {
				return s.StatusResponse
			}
		case <-limit:
			t.Fatalf("no %s", what)
		}
	}
}

func TestWatchTellsWhenARevisionIsDone(t *testing.T) {
	f := newFleet(t)
	f.refuses.Store(false)
	statuses := f.watch()
	next(t, statuses, "status at once", func(s *adminv1.StatusResponse) bool { return s.GetReady() })
	target := apiclient.TargetOf(f.apply(&adminv1.ApplyRequest{Documents: toMail}).GetRevision())
	done := next(t, statuses, "end of the rollout", func(s *adminv1.StatusResponse) bool {
		p := apiclient.ProgressOf(s, target)
		if p.Stage == apiclient.Rejected || p.Stage == apiclient.Overtaken {
			t.Fatalf("progress %+v", p)
		}
		return p.Stage == apiclient.Done
	})
	for _, n := range done.GetNodes() {
		if n.GetSync() != "synced" || !slices.Equal(n.GetRevisions(), []string{target.Version}) {
			t.Errorf("node %v", n)
		}
	}
	if done.GetRevision().GetNumber() != 2 || len(done.GetRoutes()) != 2 || len(done.GetServers()) != 2 {
		t.Errorf("status %v", done)
	}
}

func TestWatchTellsWhoRefuses(t *testing.T) {
	for _, atomically := range []bool{false, true} {
		t.Run(fmt.Sprintf("atomic %v", atomically), func(t *testing.T) {
			f := newFleet(t)
			statuses := f.watch()
			target := apiclient.TargetOf(f.apply(&adminv1.ApplyRequest{Documents: toMail, Atomic: atomically}).GetRevision())
			var p apiclient.Progress
			next(t, statuses, "refusal", func(s *adminv1.StatusResponse) bool {
				p = apiclient.ProgressOf(s, target)
				return p.Stage == apiclient.Rejected && (!atomically || p.Settled && p.By != nil)
			})
			if len(p.Refusals) != 1 || p.Refusals[0].Node != "bad" || p.Refusals[0].Detail != said || p.TakenBack != atomically {
				t.Fatalf("progress %+v", p)
			}
		})
	}
}

// TestWaitCoversEndpoints: where only endpoints change there is no cluster to warm, and
// nobody has them before they are acknowledged.
func TestWaitCoversEndpoints(t *testing.T) {
	s := newSite(t)
	s.write(shop{}.yaml())
	p := s.start()
	first := p.settled("")
	var holding atomic.Bool
	e := p.envoy("e1", peerOptions{judge: func(r *discoveryv3.DeltaDiscoveryResponse) string {
		if holding.Load() && r.GetTypeUrl() == resourcev3.EndpointType {
			return hold
		}
		return ""
	}})
	waitFor(t, "routes", func() bool { return len(e.stamps()) > 0 && p.node("e1").Sync == status.Synced })
	holding.Store(true)
	s.write(shop{endpoint: "127.0.0.1:7999"}.yaml())
	waitFor(t, "the endpoints", func() bool { e.mu.Lock(); defer e.mu.Unlock(); return len(e.held) == 1 })
	if st := p.Status(); st.Revision.Phase == "done" || st.Revision.Version == first || p.node("e1").Sync == status.Synced {
		t.Fatalf("done before the endpoints are acknowledged: %+v", st.Revision)
	}
	holding.Store(false)
	e.release()
	p.settled(first)
}

func TestWatchIsCoalesced(t *testing.T) {
	s := newSite(t)
	s.write(shop{}.yaml())
	p := s.start()
	p.settled("")
	statuses := p.watch()
	const changes = 60
	for i := range changes {
		p.apply(&adminv1.ApplyRequest{Documents: strings.Replace(mail, "7301", fmt.Sprint(7301+i), 1)})
	}
	var last watched
	for limit := time.After(soon); last.GetRevision().GetNumber() < 1+changes || last.GetRollout().GetPhase() != "done"; {
		select {
		case s := <-statuses:
			// The sender looks at the clock a little before this reader does.
			if gap := s.at.Sub(last.at); gap < watchInterval-watchInterval/10 {
				t.Errorf("%s between two statuses", gap)
			}
			last = s
		case <-limit:
			t.Fatalf("the last status is %v", last.StatusResponse)
		}
	}
	// Nothing happens, so nothing is sent, however often it looks.
	select {
	case s := <-statuses:
		t.Errorf("sent again: %v", s.StatusResponse)
	case <-time.After(watchRefresh + quiet):
	}
}

func TestWatchEndsWithItsReader(t *testing.T) {
	s := newSite(t)
	p := s.start()
	gone := errors.New("gone")
	if err := p.Backend().Watch(t.Context(), func(*adminv1.StatusResponse) error { return gone }); !errors.Is(err, gone) {
		t.Fatalf("error %v", err)
	}
}
