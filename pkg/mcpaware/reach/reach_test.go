package reach_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/reach"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// page is a health page whose status is set.
func page(t *testing.T) (address string, status *atomic.Int32) {
	t.Helper()
	status = &atomic.Int32{}
	status.Store(http.StatusOK)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/health" || r.Method != http.MethodGet {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		w.WriteHeader(int(status.Load()))
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), status
}

func server(name string, h *policyv1.HealthCheck, addresses ...string) *policyv1.Server {
	s := &policyv1.Server{Name: name, HealthCheck: h}
	for _, a := range addresses {
		s.Endpoints = append(s.Endpoints, &policyv1.Endpoint{Name: a, Address: a})
	}
	return s
}

func TestDown(t *testing.T) {
	first, one := page(t)
	second, two := page(t)
	closed := httptest.NewServer(http.NotFoundHandler())
	gone := strings.TrimPrefix(closed.URL, "http://")
	closed.Close()
	check := &policyv1.HealthCheck{Path: "/health", Timeout: durationpb.New(20 * time.Second)}
	lenient := &policyv1.HealthCheck{Path: "/none", Timeout: durationpb.New(20 * time.Second), AcceptMissing: true}
	servers := []*policyv1.Server{
		server("two", check, first, second), server("gone", check, gone), server("gone-bare", nil, gone), server("bare", nil, first), server("lenient", lenient, first), server("empty", check),
	}
	p := reach.New(reach.Options{Servers: func() []*policyv1.Server { return servers }})
	down := func(want ...string) {
		t.Helper()
		var got []string
		for _, s := range []string{"two", "gone", "gone-bare", "bare", "lenient", "empty"} {
			if _, is := p.Down(s); is {
				got = append(got, s)
			}
		}
		if strings.Join(got, " ") != strings.Join(want, " ") || p.Quiet() != (len(want) == 0) {
			t.Errorf("down %v, want %v", got, want)
		}
	}
	down()
	p.Round(t.Context())
	// One failure is an accident.
	down()
	p.Round(t.Context())
	down("gone", "gone-bare")
	one.Store(http.StatusServiceUnavailable)
	two.Store(http.StatusTooManyRequests)
	p.Round(t.Context())
	p.Round(t.Context())
	// One endpoint is enough, and one that is busy is there.
	down("gone", "gone-bare")
	two.Store(http.StatusNotFound)
	p.Round(t.Context())
	down("gone", "gone-bare")
	p.Round(t.Context())
	down("two", "gone", "gone-bare")
	since, _ := p.Down("two")
	p.Round(t.Context())
	if later, _ := p.Down("two"); !later.Equal(since) {
		t.Errorf("down since %v, then since %v", since, later)
	}
	one.Store(http.StatusOK)
	p.Round(t.Context())
	down("gone", "gone-bare")
	// What nobody asks for is forgotten, and a look that was given up says nothing.
	servers = servers[:1]
	p.Round(t.Context())
	down()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	p.Round(over)
	p.Round(over)
	down()
	var none *reach.Prober
	if _, is := none.Down("two"); is || !none.Quiet() {
		t.Error("no Prober knows of something")
	}
}
