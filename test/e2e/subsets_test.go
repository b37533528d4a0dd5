package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// many regions of one server, each with an upstream of its own.
type manyRegions struct {
	*trio
	up []*upstream
}

// startRegions begins a Bed over n regions, region-0 first.
func startRegions(t *testing.T, n int) *manyRegions {
	t.Helper()
	m := &manyRegions{trio: &trio{t: t}}
	var regions strings.Builder
	for i := range n {
		m.up = append(m.up, newUpstream(t, nil))
		fmt.Fprintf(&regions, "    - {name: region-%d, endpoints: [{address: %q}]}\n", i, m.up[i].address())
	}
	head, rest, _ := strings.Cut(trioConfig, "  regions:\n")
	_, rest, _ = strings.Cut(rest, "  breaker:")
	config := strings.NewReplacer("attempts: 3", "attempts: 4", "timeout: 31s", "timeout: 41s").
		Replace(head + "  regions:\n" + regions.String() + "  breaker:" + rest)
	m.Bed = testbed.Start(t, testbed.Options{Servers: []demo.Place{}, Config: config})
	return m
}

// TestSeveralBrokenRegions: with a tool's breakers open in the first two regions its calls go to the others, where
// retries and health go on working: the third region's failure moves them to the fourth. Four regions have a
// subset for every combination, six one for every pair.
func TestSeveralBrokenRegions(t *testing.T) {
	t.Parallel()
	for _, n := range []int{4, 6} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			m := startRegions(t, n)
			bad := onlyTool("get_order", jsonAnswer(failing))
			for i := range 2 {
				m.up[i].set(bad)
				m.opened("get_order", m.up[i])
			}
			expect := func(tool, region, attempts string) {
				t.Helper()
				got := m.call(tool)
				if got.Header.Get("x-holdfast-region") != region || got.Header.Get("x-holdfast-attempts") != attempts || !strings.Contains(string(got.Body), `"text":"ok"`) {
					t.Errorf("%s: %v %s", tool, got.Header, got.Body)
				}
			}
			expect("get_order", "region-2", "1")
			expect("list_orders", "region-0", "1")
			m.up[2].set(bad)
			expect("get_order", "region-3", "2")
			m.up[2].CloseClientConnections()
			m.up[2].Listener.Close() //nolint:errcheck // it is to be gone
			for range 10 {
				got := m.call("get_order")
				if got.Header.Get("x-holdfast-region") != "region-3" || !strings.Contains(string(got.Body), `"text":"ok"`) {
					t.Errorf("with the third region gone: %v %s", got.Header, got.Body)
				}
			}
		})
	}
}

// TestSecondProviderKeepsItsRegions: with the tool broken in one region the other one answers, not the second
// provider. Once it is broken there too the second provider does, of whose regions the breakers say nothing: the
// one with the name of a broken one is asked first as ever.
func TestSecondProviderKeepsItsRegions(t *testing.T) {
	t.Parallel()
	p := &providers{
		pair:    &pair{mumbai: newUpstream(t, nil), delhi: newUpstream(t, nil)},
		archive: newUpstream(t, jsonAnswer(archived)),
	}
	other := newUpstream(t, jsonAnswer(archived))
	config := strings.NewReplacer("MUMBAI", p.mumbai.address(), "DELHI", p.delhi.address(), "ARCHIVE", p.archive.address(),
		`address: "ARCHIVE"}]}]`, `address: "`+p.archive.address()+`"}]}, {name: asia-south2, endpoints: [{address: "`+other.address()+`"}]}]`,
		"  healthCheck:", "  breaker: {openFor: 1m}\n  healthCheck:").Replace(fallbackConfig)
	p.Bed = testbed.Start(t, testbed.Options{Servers: []demo.Place{}, Config: config})
	// The other tool works, so that breakers open and no endpoint is ejected.
	bad := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), `"get_order"`) {
			jsonAnswer(broken)(w, r)
		} else {
			jsonAnswer(ordered)(w, r)
		}
	}
	p.set(bad, jsonAnswer(ordered))
	quiet := 0
	fine := func(got testbed.Answer) {
		t.Helper()
		if got.Status != http.StatusOK || got.Header.Get("x-holdfast-region") != testbed.Delhi || got.Header.Get("x-holdfast-degraded") != "" {
			t.Fatalf("with the tool broken in Mumbai: %d %v %s", got.Status, got.Header, got.Body)
		}
	}
	p.Until(testbed.Patience, "the breaker is open at both processors", func() bool {
		before := callsOf(p.mumbai, "get_order")
		fine(p.ask(t, "get_order"))
		p.ask(t, "create_order")
		if quiet++; callsOf(p.mumbai, "get_order") != before {
			quiet = 0
		}
		return quiet >= 12
	})
	p.delhi.set(bad)
	quiet = 0
	asked := callsOf(p.mumbai, "get_order")
	p.Until(testbed.Patience, "the breaker of Delhi is open at both processors, too", func() bool {
		before := callsOf(p.delhi, "get_order")
		p.ask(t, "get_order")
		p.ask(t, "create_order")
		if quiet++; callsOf(p.delhi, "get_order") != before {
			quiet = 0
		}
		return quiet >= 12
	})
	wantArchive(t, p.ask(t, "get_order"))
	if n := callsOf(p.mumbai, "get_order") - asked; n != 0 || len(other.requests()) != 0 {
		t.Errorf("Mumbai was asked %d times, the second provider's second region %d times", n, len(other.requests()))
	}
}
