package drills

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

const (
	openSessions = 200
	revision     = "2025-11-25"
	initialize   = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"` + revision + `","capabilities":{},"clientInfo":{"name":"drill","version":"1"}}}`
	initialized  = `{"jsonrpc":"2.0","method":"notifications/initialized"}`
	callInside   = `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"get_order","arguments":{"order_id":"ORD-7701"}}}`
)

// TestSessions: 200 sessions of MCP's older revisions are open when their region is lost.
func TestSessions(t *testing.T) {
	beside(t)
	t.Run("reinitialize", func(t *testing.T) {
		beside(t)
		redis, _ := stacktest.StartRedis(t)
		d, ids := startSessions(t, reopenDrill, "  sessions: reinitialize\n", "--redis", redis)
		d.Kill(primary)
		went := d.askAll(ids, func(a testbed.Answer) bool {
			return a.Status == http.StatusOK && strings.Contains(string(a.Body), "ORD-7701") && a.Header.Get("x-holdfast-via") == standby
		})
		d.holds("sessions that go on in the other region, under the id that they have", "200", of(went, openSessions), went == openSessions)
	})
	t.Run("lost", func(t *testing.T) {
		beside(t)
		d, ids := startSessions(t, lostDrill, "")
		d.Kill(primary)
		told := d.askAll(ids, func(a testbed.Answer) bool { return a.Status == http.StatusNotFound && len(a.Body) == 0 })
		d.holds("sessions whose client is told by a bare 404", "200", of(told, openSessions), told == openSessions)
	})
}

// startSessions runs servers that keep sessions, and opens some.
func startSessions(t *testing.T, name, spec string, args ...string) (*exercise, []string) {
	t.Helper()
	servers := testbed.OrdersServers()
	for i := range servers {
		servers[i].Stateful = true
	}
	config := strings.Replace(testbed.DefaultConfig, "  healthCheck:", spec+"  healthCheck:", 1)
	d := start(t, name, testbed.Options{Servers: servers, Config: config, ExtprocArgs: args, Reachable: func(b *testbed.Bed) error {
		_, err := open(b)
		return err
	}})
	ids := make([]string, openSessions)
	each(ids, func(i int) {
		d.Eventually(patience, "a session opens", func() (err error) {
			ids[i], err = open(d.Bed)
			return err
		})
	})
	there := d.askAll(ids, func(a testbed.Answer) bool { return a.Header.Get("x-holdfast-via") == primary })
	if there != openSessions {
		t.Fatalf("%d of %d sessions are at the primary", there, openSessions)
	}
	return d, ids
}

func header(session string) http.Header {
	h := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
	if session != "" {
		h.Set("Mcp-Session-Id", session)
		h.Set("Mcp-Protocol-Version", revision)
	}
	return h
}

func open(b *testbed.Bed) (string, error) {
	answer, err := b.Post("/mcp", header(""), initialize)
	if err != nil {
		return "", err
	}
	id := answer.Header.Get("Mcp-Session-Id")
	if answer.Status != http.StatusOK || id == "" {
		return "", fmt.Errorf("initialize: %d %.200s", answer.Status, answer.Body)
	}
	if answer, err = b.Post("/mcp", header(id), initialized); err == nil && answer.Status != http.StatusAccepted {
		err = fmt.Errorf("initialized: %d %.200s", answer.Status, answer.Body)
	}
	return id, err
}

// askAll makes one call in each session and counts the answers that are as wanted.
func (d *exercise) askAll(ids []string, wanted func(testbed.Answer) bool) (n int) {
	d.t.Helper()
	var mu sync.Mutex
	began := time.Now()
	each(ids, func(i int) {
		answer, err := d.Post("/mcp", header(ids[i]), callInside)
		mu.Lock()
		defer mu.Unlock()
		if err != nil || !wanted(answer) {
			d.t.Logf("session %d: %v, %d %v %.200s", i, err, answer.Status, answer.Header, answer.Body)
			return
		}
		n++
	})
	d.t.Logf("%d calls took %v", len(ids), time.Since(began).Round(time.Millisecond))
	return n
}

// each does something for all ids, 16 at a time.
func each(ids []string, do func(int)) {
	next := make(chan int)
	var wg sync.WaitGroup
	for range testbed.Callers {
		wg.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range ids {
		next <- i
	}
	close(next)
	wg.Wait()
}
