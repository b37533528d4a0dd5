package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/api/admin/v1/adminv1connect"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// lean is an Envoy without the extension of HTTP health checks, as one that was built with
// fewer of them is: it refuses every cluster that has such a check, in its own words.
const lean = "envoy-lean"

const leanRefuses = "Didn't find a registered implementation for name: 'envoy.health_checkers.http'"

// checkless is the default configuration as the lean Envoy takes it.
var checkless = strings.Replace(testbed.DefaultConfig, "healthCheck: {interval: 3s, timeout: 3s}", "healthCheck: {disabled: true}", 1)

// twoEnvoys is a system with two Envoys, one of them lean, under load.
type twoEnvoys struct {
	*testing.T
	*testbed.Bed
	admin     adminv1connect.AdminClient
	leanAdmin string
	load      *testbed.Load
}

func startTwoEnvoys(t *testing.T) *twoEnvoys {
	t.Helper()
	p := &twoEnvoys{T: t, Bed: testbed.Start(t, testbed.Options{Config: checkless})}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	p.admin = adminv1connect.NewAdminClient(&http.Client{Transport: transport}, "http://"+p.XDSAdmin)
	p.leanAdmin = p.AddEnvoy(lean, "--disable-extensions", "envoy.health_checkers/envoy.health_checkers.http")
	p.until("both Envoys in sync", allSynced)
	p.load = p.StartLoad("/mcp", rate, testbed.GetOrder)
	p.Until(testbed.Patience, "calls by both Envoys", func() bool {
		return served(p.AdminOf(p.Admin, "/clusters")) > 10 && served(p.AdminOf(p.leanAdmin, "/clusters")) > 10
	})
	return p
}

// served adds up the requests that the endpoints of orders had, by Envoy's /clusters.
func served(page string) int {
	total := 0
	for line := range strings.Lines(page) {
		var n int
		if i := strings.Index(line, "::rq_success::"); i > 0 && strings.HasPrefix(line, "orders::") {
			if _, err := fmt.Sscanf(line[i:], "::rq_success::%d", &n); err == nil {
				total += n
			}
		}
	}
	return total
}

func (p *twoEnvoys) status() *adminv1.StatusResponse {
	p.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := p.admin.Status(ctx, &adminv1.StatusRequest{})
	if err != nil {
		p.Fatal(err)
	}
	return s
}

func (p *twoEnvoys) until(what string, ok func(*adminv1.StatusResponse) bool) *adminv1.StatusResponse {
	p.Helper()
	var s *adminv1.StatusResponse
	p.Until(testbed.Patience, what, func() bool {
		s = p.status()
		return ok(s)
	})
	return s
}

func allSynced(s *adminv1.StatusResponse) bool {
	return len(s.GetNodes()) == 4 && s.GetRollout().GetPhase() == "done" && s.GetRollout().GetVersion() == s.GetRevision().GetVersion() &&
		!slices.ContainsFunc(s.GetNodes(), func(n *adminv1.Node) bool { return n.GetSync() != "synced" })
}

// apply adds a server whose health is checked, and a route to it.
func (p *twoEnvoys) apply(request *adminv1.ApplyRequest, generation int) *adminv1.Revision {
	p.Helper()
	request.Documents = fmt.Sprintf(`
kind: MCPServer
metadata: {name: mail}
spec:
  connectTimeout: %dms
  regions: [{name: asia-south1, endpoints: [{address: %q}]}]
---
kind: MCPRoute
metadata: {name: mail}
spec: {path: /mail, servers: [{name: mail}]}
`, 1000+generation, p.Addr("primary-mumbai"))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	answer, err := p.admin.Apply(ctx, request)
	if err != nil {
		p.Fatal(err)
	}
	return answer.GetRevision()
}

// goesOn makes sure that both Envoys go on answering calls from now on.
func (p *twoEnvoys) goesOn() {
	p.Helper()
	good, other := served(p.AdminOf(p.Admin, "/clusters")), served(p.AdminOf(p.leanAdmin, "/clusters"))
	p.Until(testbed.Patience, "more calls by both Envoys", func() bool {
		return served(p.AdminOf(p.Admin, "/clusters")) > good+10 && served(p.AdminOf(p.leanAdmin, "/clusters")) > other+10
	})
}

func (p *twoEnvoys) hasMail(admin string) bool {
	return strings.Contains(p.AdminOf(admin, "/clusters"), "mail::")
}

// TestOneOfTwoEnvoysRefuses: a revision that one Envoy cannot take is refused by it in Envoy's
// words. Atomic, both are back at what they had; otherwise that one stays, the processors wait
// for its sake, and a rollback ends it. All the while every call is answered by a server.
func TestOneOfTwoEnvoysRefuses(t *testing.T) {
	t.Parallel()
	p := startTwoEnvoys(t)
	before := p.status().GetRevision()

	applied := p.apply(&adminv1.ApplyRequest{Atomic: true}, 0)
	s := p.until("the atomic revision is taken back", func(s *adminv1.StatusResponse) bool {
		return s.GetRevision().GetNumber() == applied.GetNumber()+1 && allSynced(s)
	})
	if r := s.GetRejected(); r.GetNode() != lean || !r.GetTakenBack() || r.GetVersion() != applied.GetVersion() || !strings.Contains(r.GetDetail(), leanRefuses) {
		t.Errorf("rejected: %v", r)
	}
	if s.GetRevision().GetVersion() != before.GetVersion() || s.GetRevision().GetRollbackOf() == 0 {
		t.Errorf("the newest revision is %v, not the content of %v", s.GetRevision(), before)
	}
	p.Until(testbed.Patience, "no Envoy has the cluster", func() bool { return !p.hasMail(p.Admin) && !p.hasMail(p.leanAdmin) })
	p.goesOn()

	applied = p.apply(&adminv1.ApplyRequest{}, 1)
	s = p.until("the rollout is held", func(s *adminv1.StatusResponse) bool { return len(s.GetRollout().GetHeldBy()) == 1 })
	if s.GetRollout().GetHeldBy()[0] != lean || s.GetRejected().GetTakenBack() || s.GetRollout().GetActive() != before.GetVersion() {
		t.Errorf("rollout %v, rejected %v", s.GetRollout(), s.GetRejected())
	}
	p.Until(testbed.Patience, "the other Envoy has the cluster", func() bool { return p.hasMail(p.Admin) })
	if p.hasMail(p.leanAdmin) {
		t.Error("the Envoy that refused the cluster has it")
	}
	p.goesOn()
	p.rollback(before.GetNumber())
	p.goesOn()

	requireAllGood(t, p.load.Stop())
}

func (p *twoEnvoys) rollback(number uint64) {
	p.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := p.admin.Rollback(ctx, &adminv1.RollbackRequest{Revision: number}); err != nil {
		p.Fatal(err)
	}
	p.until("the rollback is everywhere", allSynced)
}

// TestCanaryRefuses: where the Envoy that refuses is the canary, the other one is never shown
// the revision; where it is not, it alone stays behind.
func TestCanaryRefuses(t *testing.T) {
	t.Parallel()
	p := startTwoEnvoys(t)
	before := p.status().GetRevision()
	added := p.Stat("cluster_manager.cluster_added")
	seen := map[bool]bool{}
	// Which node is the canary follows from the revision.
	for generation := 0; generation < 30 && !seen[true]; generation++ {
		applied := p.apply(&adminv1.ApplyRequest{CanaryNodesPercent: 50}, generation)
		s := p.until("the revision is refused", func(s *adminv1.StatusResponse) bool {
			return s.GetRejected().GetVersion() == applied.GetVersion() && (len(s.GetRollout().GetHeldBy()) == 1 || s.GetRejected().GetTakenBack() && allSynced(s))
		})
		canary := s.GetRejected().GetTakenBack()
		seen[canary] = true
		if s.GetRejected().GetNode() != lean {
			t.Fatalf("rejected: %v", s.GetRejected())
		}
		now := p.Stat("cluster_manager.cluster_added")
		if canary && now != added {
			t.Errorf("the canary refused, and the other Envoy had %d new clusters", now-added)
		}
		if !canary {
			p.rollback(before.GetNumber())
		}
		added = p.Stat("cluster_manager.cluster_added")
	}
	if !seen[true] {
		t.Error("of 30 revisions none had the lean Envoy as its canary")
	}
	p.goesOn()
	requireAllGood(t, p.load.Stop())
}
