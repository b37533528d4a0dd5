package control

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/control/api"
	"github.com/holdfast-mcp/holdfast/pkg/control/status"
)

// sharer is a processor's end of the exchange.
type sharer struct {
	t      *testing.T
	stream grpc.BidiStreamingClient[outcomev1.Summary, outcomev1.Fleet]
	fleets chan *outcomev1.Fleet
}

func (p *plane) share(name string) *sharer {
	p.t.Helper()
	ctx, cancel := context.WithCancel(p.t.Context())
	stream, err := outcomev1.NewOutcomesClient(p.dial()).Exchange(ctx)
	if err != nil {
		cancel()
		p.t.Fatal(err)
	}
	s := &sharer{t: p.t, stream: stream, fleets: make(chan *outcomev1.Fleet, 100)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			fleet, err := stream.Recv()
			if err != nil {
				return
			}
			s.fleets <- fleet
		}
	}()
	p.t.Cleanup(func() {
		cancel()
		<-done
	})
	s.say(&outcomev1.Summary{Processor: name})
	return s
}

func (s *sharer) say(m *outcomev1.Summary) {
	s.t.Helper()
	if err := s.stream.Send(m); err != nil {
		s.t.Fatal(err)
	}
}

// overrides waits for a Fleet with a number of overrides.
func (s *sharer) overrides(n int) []*outcomev1.Override {
	s.t.Helper()
	limit := time.After(soon)
	for {
		select {
		case f := <-s.fleets:
			if len(f.GetOverrides()) == n {
				return f.GetOverrides()
			}
		case <-limit:
			s.t.Fatalf("no fleet with %d overrides", n)
		}
	}
}

func (p *plane) setBreaker(r *adminv1.SetBreakerRequest) (*adminv1.SetBreakerResponse, error) {
	p.t.Helper()
	return p.Backend().SetBreaker(p.t.Context(), r, caller)
}

func TestBreakersOfProcessorsAreShown(t *testing.T) {
	site := newSite(t)
	site.write(shop{}.yaml())
	p := site.start()
	p.settled("")
	s := p.share("extproc-1")
	s.say(&outcomev1.Summary{
		Processor: "extproc-1",
		Counts:    []*outcomev1.Count{{Server: "orders", Method: "tools/call", Tool: "get_order", Region: "asia-south1", Endpoint: "127.0.0.1:7101", Failed: 7}},
		Breakers: []*outcomev1.Breaker{{
			Server: "orders", Tool: "get_order", Region: "asia-south1", State: outcomev1.BreakerState_BREAKER_STATE_OPEN,
			Since: timestamppb.Now(), RetryAt: timestamppb.New(time.Now().Add(time.Second)), Reason: "7 of 7", By: "extproc-1", Openings: 1,
		}},
	})
	shown := p.until("breaker in the status", func(s status.Status) bool { return len(s.Breakers) == 1 }).Breakers[0]
	if shown.State != status.BreakerOpen || shown.By != "extproc-1" || shown.RetryAt == nil || shown.Held {
		t.Errorf("shown: %+v", shown)
	}
	list, err := p.Backend().ListBreakers(t.Context(), &adminv1.ListBreakersRequest{Server: "orders", Tool: "get_order"})
	if err != nil || len(list.GetBreakers()) != 1 || len(list.GetVerdicts()) != 1 || list.GetVerdicts()[0].GetRecent().GetFailed() != 7 || fmt.Sprint(list.GetProcessors()) != "[extproc-1]" {
		t.Errorf("list: %v, %v", list, err)
	}
	if list, err := p.Backend().ListBreakers(t.Context(), &adminv1.ListBreakersRequest{Tool: "report"}); err != nil || len(list.GetBreakers()) != 0 {
		t.Errorf("another tool: %v, %v", list, err)
	}
	// What an operator says hides what answers say.
	if _, err := p.setBreaker(&adminv1.SetBreakerRequest{Server: "orders", Tool: "get_order", Hold: adminv1.BreakerHold_BREAKER_HOLD_CLOSED, Reason: "known"}); err != nil {
		t.Fatal(err)
	}
	if all := p.Status().Breakers; len(all) != 1 || !all[0].Held || all[0].State != status.BreakerClosed || all[0].By != "operator "+caller {
		t.Errorf("held: %+v", all)
	}
}

func TestOperatorsWordReachesProcessorsAndSurvivesARestart(t *testing.T) {
	site := newSite(t)
	site.write(shop{}.yaml())
	p := site.start()
	p.settled("")
	s := p.share("extproc-1")
	until := timestamppb.New(time.Now().Add(time.Hour))
	answer, err := p.setBreaker(&adminv1.SetBreakerRequest{Server: "orders", Tool: "get_order", Hold: adminv1.BreakerHold_BREAKER_HOLD_OPEN, Until: until, Reason: "bad release"})
	if err != nil || len(answer.GetBreakers()) != 1 || !answer.GetBreakers()[0].GetHeld() {
		t.Fatalf("set: %v, %v", answer, err)
	}
	if got := s.overrides(1)[0]; got.GetBy() != "operator "+caller || got.GetReason() != "bad release" || !got.GetUntil().AsTime().Equal(until.AsTime()) {
		t.Errorf("told: %v", got)
	}
	p.stop()
	again := site.start()
	if all := again.Status().Breakers; len(all) != 1 || all[0].Reason != "bad release" || all[0].Since.IsZero() || all[0].Until == nil {
		t.Fatalf("after a restart: %+v", all)
	}
	s = again.share("extproc-1")
	s.overrides(1)
	if _, err := again.setBreaker(&adminv1.SetBreakerRequest{Server: "orders", Tool: "get_order", Hold: adminv1.BreakerHold_BREAKER_HOLD_AUTO}); err != nil {
		t.Fatal(err)
	}
	s.overrides(0)
	again.stop()
	if all := site.start().Status().Breakers; len(all) != 0 {
		t.Fatalf("taken back, and there after a restart: %+v", all)
	}
}

func TestSetBreakerRefuses(t *testing.T) {
	site := newSite(t)
	site.write(shop{}.yaml())
	p := site.start()
	p.settled("")
	list := `{"tools":[{"name":"get_order","inputSchema":{"name":"no tool"}},{"name":"create_order"},7,{"name":3}]}`
	if _, err := p.catalog.Report(t.Context(), &policyv1.ReportRequest{Entries: []*policyv1.CatalogEntry{{
		Key: "k", Server: "orders", Method: "tools/list", Revision: "2025-06-18", Result: []byte(list), AsOf: timestamppb.Now(),
	}}}); err != nil {
		t.Fatal(err)
	}
	open, auto := adminv1.BreakerHold_BREAKER_HOLD_OPEN, adminv1.BreakerHold_BREAKER_HOLD_AUTO
	for _, c := range []struct {
		name    string
		request *adminv1.SetBreakerRequest
		code    connect.Code
		words   string
	}{
		{"server", &adminv1.SetBreakerRequest{Server: "ordres", Tool: "get_order", Hold: open}, connect.CodeNotFound, `did you mean "orders"?`},
		{"tool", &adminv1.SetBreakerRequest{Server: "orders", Tool: "getorders", Hold: open}, connect.CodeNotFound, `did you mean "get_order"?`},
		{"far tool", &adminv1.SetBreakerRequest{Server: "orders", Tool: "no tool", Hold: open}, connect.CodeNotFound, `"create_order" "get_order"`},
		{"region", &adminv1.SetBreakerRequest{Server: "orders", Tool: "get_order", Region: "nowhere", Hold: open}, connect.CodeNotFound, "there are ["},
		{"over", &adminv1.SetBreakerRequest{Server: "orders", Tool: "get_order", Hold: open, Until: timestamppb.New(time.Unix(1, 0))}, connect.CodeInvalidArgument, "is over"},
		{"nothing held", &adminv1.SetBreakerRequest{Server: "orders", Tool: "get_order", Hold: auto}, connect.CodeFailedPrecondition, "no operator"},
		{"nothing held, misspelt", &adminv1.SetBreakerRequest{Server: "ordres", Tool: "get_order", Hold: auto}, connect.CodeNotFound, "did you mean"},
		{"no hold", &adminv1.SetBreakerRequest{Server: "orders", Tool: "get_order"}, connect.CodeInvalidArgument, "hold"},
	} {
		if _, err := p.setBreaker(c.request); api.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if all := p.Status().Breakers; len(all) != 0 {
		t.Errorf("held: %v", all)
	}
	// Lists are not all that there is.
	if _, err := p.setBreaker(&adminv1.SetBreakerRequest{Server: "orders", Tool: "secret_tool", Hold: open, UnlistedTool: true}); err != nil {
		t.Error(err)
	}
}
