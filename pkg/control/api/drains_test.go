package api

import (
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

func TestSetDrainIsLoggedWithWho(t *testing.T) {
	backend := &fake{}
	w := serve(t, backend, ListenOptions{})
	client := w.client(t)
	request := &adminv1.SetDrainRequest{
		Server: "orders", Target: "asia-south1", Until: timestamppb.New(time.Unix(1e9, 0)), Reason: "database upgrade", Author: "asha", Force: true,
	}
	answer, err := client.SetDrain(t.Context(), request)
	if err != nil || answer.GetDrains()[0].GetBy() != "asha" {
		t.Fatalf("%v, %v", answer, err)
	}
	for _, want := range []string{"asha", "orders", "asia-south1", "database upgrade", "2001-09-09", "force=true"} {
		if !strings.Contains(w.log.String(), want) {
			t.Errorf("the log has no %q:\n%s", want, w.log)
		}
	}
	backend.fail = ErrNothingLeft
	if _, err := client.SetDrain(t.Context(), request); connect.CodeOf(err) != connect.CodeFailedPrecondition {
		t.Errorf("nothing would be left: %v", err)
	}
	if !strings.Contains(w.log.String(), "nothing changed") {
		t.Errorf("a refusal is not logged:\n%s", w.log)
	}
}

func TestSetDrainChecks(t *testing.T) {
	backend := &fake{}
	client := serve(t, backend, ListenOptions{}).client(t)
	for name, request := range map[string]*adminv1.SetDrainRequest{
		"no target":      {},
		"odd target":     {Target: "x\n"},
		"long target":    {Target: strings.Repeat("x", 300)},
		"odd server":     {Target: "x", Server: "\x00"},
		"odd reason":     {Target: "x", Reason: "a\nb"},
		"odd until":      {Target: "x", Until: &timestamppb.Timestamp{Nanos: -1}},
		"odd sessions":   {Target: "x", Sessions: &durationpb.Duration{Seconds: 1, Nanos: -1}},
		"long sessions":  {Target: "x", Sessions: durationpb.New(maxDrainSessions + time.Second)},
		"less than none": {Target: "x", Sessions: durationpb.New(-time.Second)},
		"undrain until":  {Target: "x", Undrain: true, Until: timestamppb.Now()},
		"undrain force":  {Target: "x", Undrain: true, Force: true},
	} {
		if _, err := client.SetDrain(t.Context(), request); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(backend.held) != 0 {
		t.Errorf("set: %v", backend.held)
	}
}
