package main

import (
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

// minutesAhead is so far that it is the same number of minutes throughout a test.
func minutesAhead(n int) *timestamppb.Timestamp {
	return timestamppb.New(time.Now().Add(time.Duration(n)*time.Minute + 50*time.Second))
}

// someBreakers has one of each kind, and hostile words.
func someBreakers() *adminv1.ListBreakersResponse {
	open, half, closed := adminv1.BreakerState_BREAKER_STATE_OPEN, adminv1.BreakerState_BREAKER_STATE_HALF_OPEN, adminv1.BreakerState_BREAKER_STATE_CLOSED
	return &adminv1.ListBreakersResponse{
		Breakers: []*adminv1.Breaker{
			{Server: "orders", Tool: "get_order", Region: "asia-south1", State: open, Since: minutesAgo(2), RetryAt: minutesAhead(1), Reason: "10 of 10 calls failed in 10s", By: "extproc-1", Openings: 2},
			{Server: "orders", Tool: "list_orders", Region: "asia-south1", State: half, Since: minutesAgo(1), Reason: "odd \x1b[31m words", By: "extproc-2"},
			{Server: "orders", Tool: "report", State: closed, Since: minutesAgo(30), Reason: "known", By: "operator asha", Held: true, Until: minutesAhead(20)},
			{Server: "orders", Tool: "report", Region: "asia-south2", State: open, Since: minutesAgo(5), By: "operator asha", Held: true},
		},
		Verdicts: []*adminv1.ToolVerdicts{
			{Server: "orders", Method: "tools/call", Tool: "get_order", Region: "asia-south1", Endpoint: "127.0.0.1:7101", Recent: &adminv1.VerdictCounts{Failed: 3}, Minute: &adminv1.VerdictCounts{Good: 40, Failed: 10, Busy: 1}},
			{Server: "orders", Method: "tools/list", Region: "asia-south1", Endpoint: "127.0.0.1:7101", Recent: &adminv1.VerdictCounts{Good: 3}, Minute: &adminv1.VerdictCounts{Good: 4}},
		},
		Processors: []string{"extproc-1", "extproc-2"},
	}
}

func breakersPlane() *plane { return &plane{breakers: someBreakers()} }

func brokenStatus() *plane {
	s := goodStatus()
	s.Breakers = someBreakers().GetBreakers()
	return &plane{statuses: []*adminv1.StatusResponse{s}}
}

var breakerLines = []apiLine{
	{"breaker-list", breakersPlane, "", []string{"breaker", "list"}},
	{"breaker-list-all", breakersPlane, "", []string{"breaker", "list", "orders", "--all"}},
	{"breaker-list-json", breakersPlane, "", []string{"breaker", "list", "-o", "json"}},
	{"breaker-list-yaml", breakersPlane, "", []string{"breaker", "list", "-o", "yaml"}},
	{"breaker-list-none", func() *plane { return &plane{breakers: &adminv1.ListBreakersResponse{}} }, "", []string{"breaker", "list"}},
	{"breaker-list-unknown", func() *plane {
		return &plane{refuse: refused(connect.CodeNotFound, `not found: there is no server named "ordres"; did you mean "orders"?`)}
	}, "", []string{"breaker", "list", "ordres"}},
	{"breaker-open", breakersPlane, "", []string{"breaker", "open", "orders", "get_order", "asia-south1", "--for", "30m", "--reason", "bad release"}},
	{"breaker-close", breakersPlane, "", []string{"breaker", "close", "orders", "get_order"}},
	{"breaker-auto", breakersPlane, "", []string{"breaker", "auto", "orders", "get_order", "asia-south1"}},
	{"breaker-open-json", breakersPlane, "", []string{"breaker", "open", "orders", "get_order", "-o", "json"}},
	{"breaker-open-nothing", breakersPlane, "", []string{"breaker", "open", "orders"}},
	{"breaker-open-short", breakersPlane, "", []string{"breaker", "open", "orders", "get_order", "--for", "0s"}},
	{"breaker-auto-for", breakersPlane, "", []string{"breaker", "auto", "orders", "get_order", "--for", "5m"}},
	{"status-broken", brokenStatus, "", []string{"status"}},
	{"status-broken-server", brokenStatus, "", []string{"status", "orders"}},
}

func TestBreakerSends(t *testing.T) {
	p := breakersPlane()
	startPlane(t, p)
	before := time.Now()
	ask(t, p, "", "breaker", "open", "orders", "get_order", "asia-south1", "--for", "30m", "--reason", "bad release", "--unlisted")
	ask(t, p, "", "breaker", "close", "orders", "get_order", "--author", "asha")
	ask(t, p, "", "breaker", "auto", "orders", "get_order")
	if len(p.held) != 3 {
		t.Fatalf("%d requests", len(p.held))
	}
	if until := p.held[0].GetUntil().AsTime().Sub(before); until < 29*time.Minute || until > 31*time.Minute {
		t.Errorf("until %s", until)
	}
	p.held[0].Until = nil
	sameMessage(t, p.held[0], &adminv1.SetBreakerRequest{
		Server: "orders", Tool: "get_order", Region: "asia-south1", Hold: adminv1.BreakerHold_BREAKER_HOLD_OPEN, Reason: "bad release", Author: "akhil", UnlistedTool: true,
	})
	sameMessage(t, p.held[1], &adminv1.SetBreakerRequest{Server: "orders", Tool: "get_order", Hold: adminv1.BreakerHold_BREAKER_HOLD_CLOSED, Author: "asha"})
	sameMessage(t, p.held[2], &adminv1.SetBreakerRequest{Server: "orders", Tool: "get_order", Hold: adminv1.BreakerHold_BREAKER_HOLD_AUTO, Author: "akhil"})
}

func TestWatchTellsOfBreakers(t *testing.T) {
	w := &watcher{status: brokenStatus().statuses[0], said: map[string]string{}}
	told := strings.Join(w.news(), "\n")
	for _, want := range []string{"orders in asia-south1: get_order: breaker open, by extproc-1: 10 of 10", "orders in every region: report: breaker held closed, by operator asha"} {
		if !strings.Contains(told, want) {
			t.Errorf("no %q in\n%s", want, told)
		}
	}
	w.status = goodStatus()
	if told := strings.Join(w.news(), "\n"); !strings.Contains(told, "orders in asia-south1: get_order: calls go there again") {
		t.Errorf("closed: %s", told)
	}
}
