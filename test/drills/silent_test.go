package drills

import (
	"strings"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// TestSilent: the primary takes connections and never answers, or whatever is sent to it is lost on
// the way. The first call after that has the standby's answer once its first try is given up.
func TestSilent(t *testing.T) {
	t.Run("hang", func(t *testing.T) {
		d := start(t, hangDrill, testbed.Options{})
		d.begin(mixed)
		harmed := time.Now()
		if err := d.Child(primary).Pause(); err != nil {
			t.Fatal(err)
		}
		d.silent(harmed)
	})
	t.Run("vanish", func(t *testing.T) {
		proxy := newFaultProxy(t)
		d := start(t, vanishDrill, testbed.Options{Config: strings.Replace(testbed.DefaultConfig, "${"+primary+"}", proxy.Listen, 1)})
		proxy.open(d.Addr(primary))
		d.begin(mixed)
		harmed := time.Now()
		proxy.add(`{"type": "timeout", "stream": "upstream", "attributes": {"timeout": 0}}`)
		proxy.add(`{"type": "timeout", "stream": "downstream", "attributes": {"timeout": 0}}`)
		d.silent(harmed)
	})
}

func (d *exercise) silent(harmed time.Time) {
	d.t.Helper()
	d.served(standby, harmed, rate())
	taken := time.Now()
	d.last(5*time.Second, 2)
	calls := d.load.Stop()
	d.safeHold(calls)
	d.unsafeHold(calls)
	d.within("first good answer to a call after it", firstGood(calls, harmed), perTry, slack)
	later := func(c testbed.Call) bool { return safe(c) && c.Start.After(taken) }
	all, answered := count(calls, later), count(calls, later, via(standby))
	d.holds("safe calls that the standby answered once it had begun to", "all", of(answered, all), all > 0 && answered == all)
	d.within("99 of 100 of these within", p99(calls, taken, time.Now()), perTry, slack)
}

// faultProxy is a Toxiproxy in front of one server.
type faultProxy struct {
	t *testing.T
	*toxiproxy.Proxy
	server *toxiproxy.ApiServer
}

// newFaultProxy chooses an address for one, where nobody listens yet.
func newFaultProxy(t *testing.T) *faultProxy {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	return &faultProxy{t: t, Proxy: &toxiproxy.Proxy{Listen: stacktest.Address(t)}, server: server}
}

// open lets calls through to a server until the test is over.
func (p *faultProxy) open(upstream string) {
	p.t.Helper()
	p.Proxy = toxiproxy.NewProxy(p.server, "server", p.Listen, upstream)
	if err := p.server.Collection.Add(p.Proxy, true); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(p.Stop)
}

func (p *faultProxy) add(toxic string) {
	p.t.Helper()
	if _, err := p.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		p.t.Fatal(err)
	}
}
