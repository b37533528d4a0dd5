package api

import (
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/control/outcomes"
)

func TestSetBreakerIsLoggedWithWho(t *testing.T) {
	backend := &fake{}
	w := serve(t, backend, ListenOptions{})
	client := w.client(t)
	request := &adminv1.SetBreakerRequest{
		Server: "orders", Tool: "get_order", Region: "asia-south1", Hold: adminv1.BreakerHold_BREAKER_HOLD_OPEN,
		Until: timestamppb.New(time.Unix(1e9, 0)), Reason: "bad release", Author: "asha",
	}
	answer, err := client.SetBreaker(t.Context(), request)
	if err != nil || answer.GetBreakers()[0].GetBy() != "asha" {
		t.Fatalf("%v, %v", answer, err)
	}
	for _, want := range []string{"asha", "orders", "get_order", "asia-south1", "open", "bad release", "2001-09-09"} {
		if !strings.Contains(w.log.String(), want) {
			t.Errorf("the log has no %q:\n%s", want, w.log)
		}
	}
	backend.fail = outcomes.ErrNoOverride
	if _, err := client.SetBreaker(t.Context(), request); connect.CodeOf(err) != connect.CodeFailedPrecondition {
		t.Errorf("nothing to take back: %v", err)
	}
	if !strings.Contains(w.log.String(), "nothing changed") {
		t.Errorf("a refusal is not logged:\n%s", w.log)
	}
}

func TestSetBreakerChecks(t *testing.T) {
	backend := &fake{}
	client := serve(t, backend, ListenOptions{}).client(t)
	open := adminv1.BreakerHold_BREAKER_HOLD_OPEN
	for name, request := range map[string]*adminv1.SetBreakerRequest{
		"no server":  {Tool: "x", Hold: open},
		"no tool":    {Server: "x", Hold: open},
		"no hold":    {Server: "x", Tool: "x"},
		"odd tool":   {Server: "x", Tool: "x\n", Hold: open},
		"long tool":  {Server: "x", Tool: strings.Repeat("x", 300), Hold: open},
		"odd reason": {Server: "x", Tool: "x", Hold: open, Reason: "a\nb"},
		"odd until":  {Server: "x", Tool: "x", Hold: open, Until: &timestamppb.Timestamp{Nanos: -1}},
		"auto until": {Server: "x", Tool: "x", Hold: adminv1.BreakerHold_BREAKER_HOLD_AUTO, Until: timestamppb.Now()},
		"unknown":    {Server: "x", Tool: "x", Hold: 17},
	} {
		if _, err := client.SetBreaker(t.Context(), request); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(backend.held) != 0 {
		t.Errorf("set: %v", backend.held)
	}
}
