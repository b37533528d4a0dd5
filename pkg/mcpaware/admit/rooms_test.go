package admit

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRooms(t *testing.T) {
	g := NewGate(nil)
	limit := Limit{Concurrent: 2, Queue: 4, MaxWait: 1 << 40}
	var tickets []*Ticket
	for range 3 {
		ticket, refusal := g.Ask(Call{Server: "orders", ServerLimit: limit})
		if refusal != nil {
			t.Fatal(refusal)
		}
		tickets = append(tickets, ticket)
	}
	// A server without a bound is not listed.
	free, _ := g.Ask(Call{Server: "inventory"})
	if diff := cmp.Diff([]Room{{Server: "orders", Active: 2, Waiting: 1, Limit: 2}}, g.Rooms()); diff != "" {
		t.Error(diff)
	}
	for _, ticket := range append(tickets, free) {
		ticket.Release()
	}
	if diff := cmp.Diff([]Room{{Server: "orders", Limit: 2}}, g.Rooms()); diff != "" {
		t.Error(diff)
	}
}
