package api

import (
	"strings"
	"testing"

	"connectrpc.com/connect"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

func TestFailbackAndPromoteAreLoggedWithWho(t *testing.T) {
	backend := &fake{}
	w := serve(t, backend, ListenOptions{})
	client := w.client(t)
	back, err := client.Failback(t.Context(), &adminv1.FailbackRequest{Server: "orders", Region: "asia-south1", Reason: "disk replaced", Author: "asha"})
	if err != nil || len(back.GetRegions()) != 1 || backend.held[0] != "asha" {
		t.Fatalf("%v, %v, %q", back, err, backend.held)
	}
	first, err := client.Promote(t.Context(), &adminv1.PromoteRequest{Server: "orders", Region: "asia-south2", Reason: "stays there", Author: "ravi"})
	if err != nil || first.GetRevision().GetAuthor() != "ravi" {
		t.Fatalf("%v, %v", first, err)
	}
	for _, want := range []string{"Failback", "asha", "orders", "asia-south1", "disk replaced", "Promote", "ravi", "stays there"} {
		if !strings.Contains(w.log.String(), want) {
			t.Errorf("the log has no %q:\n%s", want, w.log)
		}
	}
	for _, fault := range []error{ErrNotHeld, ErrNotWell} {
		backend.fail = fault
		if _, err := client.Failback(t.Context(), &adminv1.FailbackRequest{Server: "orders"}); connect.CodeOf(err) != connect.CodeFailedPrecondition {
			t.Errorf("%v: %v", fault, err)
		}
	}
}

func TestFailbackAndPromoteChecks(t *testing.T) {
	backend := &fake{}
	client := serve(t, backend, ListenOptions{}).client(t)
	for name, request := range map[string]*adminv1.FailbackRequest{
		"no server": {}, "odd server": {Server: "\x00"}, "odd region": {Server: "orders", Region: "x\n"}, "odd reason": {Server: "orders", Reason: "a\nb"},
	} {
		if _, err := client.Failback(t.Context(), request); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, request := range map[string]*adminv1.PromoteRequest{
		"no server": {Region: "x"}, "no region": {Server: "orders"}, "long region": {Server: "orders", Region: strings.Repeat("x", 300)},
		"odd reason": {Server: "orders", Region: "x", Reason: "a\nb"}, "directory's name": {Server: "orders", Region: "x", Author: "directory"},
	} {
		if _, err := client.Promote(t.Context(), request); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(backend.held) != 0 || backend.count() != 0 {
		t.Errorf("changed: %q, %d revisions", backend.held, backend.count())
	}
}
