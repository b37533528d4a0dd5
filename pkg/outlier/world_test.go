package outlier

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
	"github.com/holdfast-mcp/holdfast/pkg/config"
	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/incident"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/probe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	mumbai = "asia-south1"
	delhi  = "asia-south2"
)

// twoRegions is a server with an endpoint in each, all layers but TLS looked at.
const twoRegions = `
kind: MCPServer
metadata: {name: orders}
spec:
  regions:
    - {name: asia-south1, endpoints: [{name: primary, address: "127.0.0.1:7101"}]}
    - {name: asia-south2, endpoints: [{name: standby, address: "127.0.0.1:7102"}]}
  probes:
    query: {tool: get_order}
    metrics: {}
`

// threeOfOne is a server with three endpoints in the only region.
const threeOfOne = `
kind: MCPServer
metadata: {name: orders}
spec:
  regions:
    - name: asia-south1
      endpoints: [{name: a, address: "127.0.0.1:7101"}, {name: b, address: "127.0.0.1:7102"}, {name: c, address: "127.0.0.1:7103"}]
`

func watched(t *testing.T, server string) []model.Watched {
	t.Helper()
	cfg, err := config.Parse([]config.File{{Name: "test.yaml", Data: []byte(server + "---\nkind: MCPRoute\nmetadata: {name: shop}\nspec: {servers: [{name: orders}]}\n")}})
	if err != nil {
		t.Fatal(err)
	}
	all, err := model.Watch(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// world is a Monitor with endpoints that fail as a test says, on a clock of its own.
type world struct {
	t       *testing.T
	monitor *Monitor
	log     *incident.Log
	start   time.Time

	mu sync.Mutex
	// bad layers by endpoint.
	bad map[string]probe.Layer
	// strained endpoints answer 429.
	strained map[string]bool
	health   model.Health
	sets     []string
	setAt    []time.Time
	promoted []string
	tiers    []byte
}

func (w *world) look(target probe.Target) func(context.Context, probe.Layer) probe.Result {
	return func(_ context.Context, l probe.Layer) probe.Result {
		w.mu.Lock()
		defer w.mu.Unlock()
		r := probe.Result{Layer: l, Outcome: probe.Good, Began: time.Now(), Took: 5 * time.Millisecond}
		bad, isBad := w.bad[target.Name]
		below := isBad && slices.Index(probe.Layers(), bad) < slices.Index(probe.Layers(), l) && bad != probe.List && bad != probe.Query
		switch {
		case l == probe.Metrics:
			cpu := 0.2
			if bad == l {
				cpu = 0.99
				r.Outcome, r.Detail = probe.Failed, "CPU 99% is not below 95%"
			}
			r.CPU = &cpu
		case isBad && bad == l, below && bad != probe.Metrics:
			r.Outcome, r.Detail = probe.Failed, "as the test says"
		case w.strained[target.Name] && l == probe.HTTP:
			r.Outcome, r.Detail = probe.Strained, "status 429"
		}
		return r
	}
}

func begin(t *testing.T, server string, edit func(*Options)) *world {
	t.Helper()
	w := &world{t: t, bad: map[string]probe.Layer{}, strained: map[string]bool{}, start: time.Now()}
	log, err := incident.NewLog(nil, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	w.log = log
	opts := Options{
		Incidents: log, Look: w.look,
		SetHealth: func(server string, h model.Health) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if server != "orders" {
				t.Errorf("health of %q", server)
			}
			w.health = h
			w.sets = append(w.sets, describe(h))
			w.setAt = append(w.setAt, time.Now())
		},
		Promote: func(_ context.Context, server, from, to string) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.promoted = append(w.promoted, server+"/"+from+"/"+to)
			return nil
		},
		SaveTiers: func(data []byte) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.tiers = slices.Clone(data)
			return nil
		},
	}
	if edit != nil {
		edit(&opts)
	}
	w.monitor = New(opts)
	w.monitor.SetServers(watched(t, server))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.monitor.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

func describe(h model.Health) string {
	var parts []string
	for name, e := range h.Endpoints {
		parts = append(parts, fmt.Sprintf("%s %s %d", name, e.State, e.Weight))
	}
	for name, share := range h.Shares {
		parts = append(parts, fmt.Sprintf("%s -%d%%", name, share))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

func (w *world) set(endpoint string, l probe.Layer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l == "" {
		delete(w.bad, endpoint)
		return
	}
	w.bad[endpoint] = l
}

func (w *world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *world) now() (health string, sets int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return describe(w.health), len(w.sets)
}

func (w *world) endpoint(name string) EndpointStatus {
	w.t.Helper()
	all, ok := w.monitor.Statuses("orders")
	if !ok {
		w.t.Fatal("the server is not known")
	}
	for _, r := range all[0].Regions {
		for _, e := range r.Endpoints {
			if e.Name == name {
				return e
			}
		}
	}
	w.t.Fatalf("there is no endpoint %s", name)
	return EndpointStatus{}
}

// calls reports a second of calls of a region, all as long as the bucket says.
func (w *world) calls(region, address string, n uint32, bucket int) {
	c := &outcomev1.Count{Server: "orders", Region: region, Endpoint: address, Method: "tools/call", Tool: "get_order", Good: n, Latency: make([]uint32, 8*bucket+1)}
	c.Latency[8*bucket] = n
	w.monitor.Observe(&outcomev1.Summary{Counts: []*outcomev1.Count{c}})
}
