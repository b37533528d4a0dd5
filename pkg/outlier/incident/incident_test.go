package incident

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// clock is a stepped one.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func (c *clock) pass(d time.Duration) { c.at = c.at.Add(d) }

func newClock() *clock { return &clock{time.Date(2026, 11, 3, 10, 0, 0, 0, time.UTC)} }

func empty(t *testing.T, c *clock) *Log {
	t.Helper()
	l, err := NewLog(nil, c.now)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var mumbai = Key{"orders", "asia-south1"}

func TestAMonth(t *testing.T) {
	c := newClock()
	l := empty(t, c)
	// One that was dealt with automatically, 10 s after it began.
	if !l.Begin(mumbai, "tcp", "connection refused", c.at.Add(-6*time.Second)) || l.Begin(mumbai, "http", "", c.at) {
		t.Fatal("not one incident")
	}
	l.Affects(mumbai, "primary", "watched")
	l.Affects(mumbai, "primary", "shedding")
	c.pass(4 * time.Second)
	l.Mitigated(mumbai)
	l.Acted(mumbai, "tiers", "98% of callers leave")
	l.Hurt(mumbai, []string{"get_order"}, 3)
	l.Hurt(mumbai, []string{"get_order", "list_orders"}, 2)
	c.pass(time.Minute)
	l.Mitigated(mumbai)
	done, ok := l.Recovered(mumbai)
	if !ok || done.Tier != "shedding" || done.Agents != 3 || len(done.Tools) != 2 || len(done.Endpoints) != 1 || len(done.Actions) != 1 {
		t.Fatalf("%+v", done)
	}
	// One that needed somebody, after an hour.
	c.pass(time.Hour)
	l.Begin(mumbai, "query", "", c.at.Add(-2*time.Second))
	c.pass(10 * time.Minute)
	l.Escalated(mumbai)
	c.pass(50 * time.Minute)
	l.Recovered(mumbai)
	l.Count("orders", Calls{Answered: 9980, Degraded: 10, Failed: 10})
	got := l.Of("orders", "2026-11", 0.995)
	want := Report{
		Server: "orders", Month: "2026-11", Calls: Calls{9980, 10, 10}, Availability: 0.999, Promised: 0.995, Budget: 0.8,
		Incidents: 2, Escalated: 1, ToDetect: 4, ToRestore: (10 + 3602) / 2., ToRestoreAutomatic: 10, Between: 3598, Missed: []string{"time to restore"},
	}
	got.Budget = float64(int(got.Budget*1000+0.5)) / 1000
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if r := l.Of("orders", "2026-10", 0.999); r.Incidents != 0 || r.Availability != 1 || r.Budget != 1 {
		t.Errorf("the month before: %+v", r)
	}
}

func TestKeptAcrossRestarts(t *testing.T) {
	c := newClock()
	l := empty(t, c)
	l.Begin(mumbai, "tcp", "connection refused", c.at)
	l.Count("orders", Calls{Answered: 7})
	data, changed, err := l.Saved()
	if err != nil || !changed {
		t.Fatal(changed, err)
	}
	if _, changed, _ := l.Saved(); changed {
		t.Error("changed without a change")
	}
	again, err := NewLog(data, c.now)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(l.Incidents(""), again.Incidents("")); diff != "" {
		t.Error(diff)
	}
	if again.CallsOf("orders", "2026-11").Answered != 7 || !slices.Equal(again.Known(), []string{"orders"}) {
		t.Error("calls are lost")
	}
	if again.Begin(mumbai, "tcp", "", c.at) {
		t.Error("what was open is opened again")
	}
	if _, ok := again.Recovered(mumbai); !ok {
		t.Error("what was open cannot be closed")
	}
	if again.Begin(mumbai, "tcp", "", c.at); again.Incidents("")[0].ID != 2 {
		t.Error("an id is used twice")
	}
	if l, err := NewLog([]byte("{"), c.now); err == nil || l == nil {
		t.Error("damaged data is taken, or gives no log")
	}
}

func TestBounded(t *testing.T) {
	c := newClock()
	l := empty(t, c)
	for i := range 3 * MaxIncidents {
		key := Key{"orders", fmt.Sprint(i % (2 * MaxIncidents))}
		l.Begin(key, "tcp", "", c.at)
		for range 2 * maxActions {
			l.Acted(key, "tiers", "x")
		}
		if i%2 == 0 {
			l.Recovered(key)
		}
	}
	all := l.Incidents("")
	if len(all) != MaxIncidents || len(l.open) > MaxIncidents {
		t.Errorf("%d incidents, %d open", len(all), len(l.open))
	}
	for _, i := range all {
		if len(i.Actions) > maxActions {
			t.Fatalf("%d actions", len(i.Actions))
		}
	}
	for range 40 {
		l.Count("orders", Calls{Failed: 1})
		c.pass(31 * 24 * time.Hour)
	}
	if len(l.months["orders"]) > maxMonths {
		t.Errorf("%d months", len(l.months["orders"]))
	}
}

// TestTheLayerIsNamed: what began with the score is called by the layer that a probe finds, once.
func TestTheLayerIsNamed(t *testing.T) {
	l, err := NewLog(nil, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	key := Key{Server: "orders", Region: "asia-south1"}
	for i, layer := range []string{Score, "list", "tcp", Score} {
		if fresh := l.Begin(key, layer, "about "+layer, time.Time{}); fresh != (i == 0) {
			t.Errorf("%s: fresh %v", layer, fresh)
		}
	}
	if got := l.open[key]; got.Layer != "list" || got.Detail != "about list" {
		t.Errorf("it is called %s: %s", got.Layer, got.Detail)
	}
}
