package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// early is a server that sends the headers of its event streams at once, and the
// answer when the gate opens.
type early struct {
	// first is what it sends right after the headers.
	first string
	gate  chan struct{}
}

func (e *early) answer(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	fmt.Fprint(w, e.first)
	_ = http.NewResponseController(w).Flush()
	select {
	case <-e.gate:
	case <-r.Context().Done():
		return
	}
	fmt.Fprint(w, event(goodBody))
}

// loseProcessor makes 16 calls, kills the busier of the two processors while it holds
// answers of which it has seen first, and then lets the servers answer. runs is how
// often servers were asked.
func loseProcessor(t *testing.T, p *pair, tool, first string) (answers []testbed.Answer, runs int) {
	t.Helper()
	server := &early{first: first, gate: make(chan struct{})}
	p.set(server.answer, server.answer)
	sent, failed := p.Stat("cluster.orders.ext_proc.stream_msgs_sent"), p.Stat("cluster.orders.ext_proc.streams_failed")
	answers = make([]testbed.Answer, testbed.Callers)
	var wg sync.WaitGroup
	for n := range answers {
		wg.Go(func() {
			var err error
			answers[n], err = p.Post("/mcp", testbed.ModernHeaders("tools/call", tool), testbed.CallTool("1", tool, "{}"))
			if err != nil {
				t.Errorf("%s: %v", tool, err)
			}
		})
	}
	// Request headers and response headers of each call, and what came after them.
	want := uint64(2 * testbed.Callers)
	if first != "" {
		want += testbed.Callers
	}
	p.Until(testbed.Patience, "all answers are held", func() bool {
		return p.Stat("cluster.orders.ext_proc.stream_msgs_sent")-sent >= want
	})
	victim := testbed.Extproc1
	if p.Processor(testbed.Extproc2).Streams > p.Processor(victim).Streams {
		victim = testbed.Extproc2
	}
	t.Logf("%s, %q: %d streams at the processor to be killed, of %d", tool, first, p.Processor(victim).Streams,
		p.Processor(testbed.Extproc1).Streams+p.Processor(testbed.Extproc2).Streams)
	p.Kill(victim)
	p.Until(testbed.Patience, "Envoy has lost streams", func() bool {
		return p.Stat("cluster.orders.ext_proc.streams_failed") > failed
	})
	close(server.gate)
	wg.Wait()
	runs = p.runs()
	p.Restart(victim)
	before := p.Processor(victim).Total
	p.Until(testbed.Patience, "Envoy uses both processors again", func() bool {
		p.call(t, "get_order")
		return p.Processor(victim).Total > before && p.Stat("cluster.holdfast.extproc.outlier_detection.ejections_active") == 0 &&
			p.Stat("cluster.holdfast.extproc.membership_healthy") == 2
	})
	return answers, runs
}

func (p *pair) runs() int { return len(p.mumbai.requests()) + len(p.delhi.requests()) }

// TestProcessorLossWhileHolding: a processor is killed while it holds answers of
// servers that send headers early. Safe calls succeed all the same, be it that
// Envoy goes on without the processor or begins the call again; unsafe ones run
// once, and their callers are told that the outcome is unknown.
func TestProcessorLossWhileHolding(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	for name, first := range map[string]string{
		"headers alone": "", "a comment": ": working\n\n", "a priming event": "id: 1\ndata:\n\n",
	} {
		for range 2 {
			answers, runs := loseProcessor(t, p, "slow_report", first)
			for _, got := range answers {
				if got.Status != http.StatusOK || !strings.Contains(string(got.Body), `"text":"ok"`) {
					t.Errorf("%s: a safe call failed: %d %v %s", name, got.Status, got.Header, got.Body)
				}
			}
			if again := runs - len(answers); (again > 0) != (first != "") {
				t.Errorf("%s: %d calls were begun again", name, again)
			}
		}
	}
	unsafeCallsOnce(t, p)
	strangersCannotAskForIt(t, p)
}

func unsafeCallsOnce(t *testing.T, p *pair) {
	t.Helper()
	unknown := 0
	answers, runs := loseProcessor(t, p, "cancel_order", ": working\n\n")
	for _, got := range answers {
		if got.Status == http.StatusOK && strings.Contains(string(got.Body), `"text":"ok"`) {
			continue
		}
		unknown++
		r, outcome := parse(t, got), ""
		switch {
		case r.Error != nil:
			outcome = r.Error.Data.Outcome
		case r.Result != nil:
			outcome = r.Result.Meta.Error.Outcome
		}
		if outcome != "unknown" || got.Status != http.StatusOK && got.Status != http.StatusServiceUnavailable {
			t.Errorf("an unsafe call: %d %v %s", got.Status, got.Header, got.Body)
		}
		if got.Status == http.StatusOK && string(r.ID) != "1" {
			t.Errorf("200 with id %s: %s", r.ID, got.Body)
		}
	}
	if unknown == 0 {
		t.Error("no unsafe call was hit: nothing shown")
	}
	if runs != len(answers) {
		t.Errorf("%d unsafe calls ran %d times", len(answers), runs)
	}
}

// strangersCannotAskForIt: what Envoy says to itself means nothing from a client.
func strangersCannotAskForIt(t *testing.T, p *pair) {
	t.Helper()
	p.set(nil, nil)
	header := testbed.ModernHeaders("tools/call", "get_order")
	header.Set("X-Holdfast-Rerun", "10")
	header.Set("Host", "evil.example.com")
	for verb, status := range map[string]int{http.MethodGet: http.StatusForbidden, http.MethodPost: http.StatusForbidden} {
		got, err := p.Do(verb, "/.holdfast/rerun/mcp", header, testbed.CallTool("1", "get_order", "{}"))
		if err != nil {
			t.Fatal(err)
		}
		if got.Status != status {
			t.Errorf("%s from elsewhere: %d %s", verb, got.Status, got.Body)
		}
	}
	header.Del("Host")
	got, err := p.Do(http.MethodGet, "/.holdfast/rerun/mcp", header, testbed.CallTool("1", "get_order", "{}"))
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != http.StatusNotFound || p.runs() != 0 {
		t.Errorf("a client's rerun: %d %s, %d runs", got.Status, got.Body, p.runs())
	}
}
