package drains

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-mcp/holdfast/pkg/model"
)

func TestStates(t *testing.T) {
	start := time.Unix(1000, 0)
	now := start
	s := New(Options{Now: func() time.Time { return now }})
	region := Drain{Target: Target{Region: "mumbai"}, Since: start, SessionsUntil: start.Add(time.Minute), Until: start.Add(time.Hour)}
	endpoint := Drain{Target: Target{Server: "orders", Endpoint: "d0"}, Since: start, SessionsUntil: start.Add(2 * time.Minute)}
	for _, d := range []Drain{region, endpoint} {
		if err := s.Set(d); err != nil {
			t.Fatal(err)
		}
	}
	measured := model.Health{Endpoints: map[string]model.EndpointHealth{"d0": {State: model.Degraded, Weight: 30}, "m0": {State: model.Degraded}}, Shares: map[string]int{"delhi": 3}}
	want := func(after time.Duration, region, endpoint model.HealthState) {
		t.Helper()
		now = start.Add(after)
		h := s.Over("orders", measured)
		if h.Regions["mumbai"] != region || h.Endpoints["d0"].State != endpoint || h.Endpoints["d0"].Weight != 30 || h.Shares["delhi"] != 3 || h.Endpoints["m0"].State != model.Degraded {
			t.Errorf("after %s: %+v", after, h)
		}
		if other := s.Over("inventory", model.Health{}); other.Regions["mumbai"] != region || other.Endpoints["d0"].State != model.Healthy {
			t.Errorf("after %s, another server: %+v", after, other)
		}
	}
	for _, step := range []struct {
		after, next      time.Duration
		region, endpoint model.HealthState
	}{
		{0, time.Minute, model.Draining, model.Draining},
		{time.Minute, 2 * time.Minute, model.Unhealthy, model.Draining},
		{2 * time.Minute, time.Hour, model.Unhealthy, model.Unhealthy},
		{time.Hour, 0, model.Healthy, model.Unhealthy},
	} {
		want(step.after, step.region, step.endpoint)
		if next := s.Next(); step.next == 0 && !next.IsZero() || step.next > 0 && !next.Equal(start.Add(step.next)) {
			t.Errorf("after %s, next %s", step.after, next)
		}
	}
	if measured.Endpoints["d0"].Ordered || len(measured.Regions) > 0 {
		t.Error("what was measured is changed")
	}
	if err := s.TakeBack(region.Target); !errors.Is(err, ErrNone) {
		t.Errorf("taking back what has ended: %v", err)
	}
	if err := s.TakeBack(endpoint.Target); err != nil || len(s.List()) != 0 {
		t.Errorf("taking back: %v", err)
	}
}

func TestKeptBeforeItCounts(t *testing.T) {
	var kept []Drain
	full := errors.New("full")
	var fail error
	changed := 0
	s := New(Options{Save: func(all []Drain) error { kept = all; return fail }, Changed: func() { changed++ }})
	one := Drain{Target: Target{Region: "mumbai"}, SessionsUntil: time.Now().Add(time.Hour), By: "operator asha", Reason: "why"}
	fail = full
	if err := s.Set(one); !errors.Is(err, full) || len(s.List()) != 0 || changed != 0 {
		t.Errorf("not kept: %v, %v", err, s.List())
	}
	fail = nil
	if err := s.Set(one); err != nil || changed != 1 {
		t.Errorf("%v, %d changes", err, changed)
	}
	if diff := cmp.Diff(kept, New(Options{Drains: kept}).List()); diff != "" {
		t.Error(diff)
	}
	for i := range Max - 1 {
		if err := s.Set(Drain{Target: Target{Endpoint: fmt.Sprint(i), Server: "s"}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Set(Drain{Target: Target{Endpoint: "more", Server: "s"}}); !errors.Is(err, ErrTooMany) {
		t.Errorf("one too many: %v", err)
	}
	if err := s.Set(one); err != nil {
		t.Errorf("one that is there: %v", err)
	}
}
