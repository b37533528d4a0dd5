package clients

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// idleStreams is how many streams stand open, idleBytes what each may cost the
// processors.
const (
	idleStreams = 1000
	idleBytes   = 32 << 10
)

// TestIdleStreams: an event stream on which nothing happens costs the processors 32 KiB
// at most, and as long as it stays open it stays whole.
func TestIdleStreams(t *testing.T) {
	var open sync.WaitGroup
	u := newUpstream(t, false)
	var handler http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			says(200, "application/json", `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"x"}],"resultType":"complete"}}`)(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, ": open\n\n")
		_ = http.NewResponseController(w).Flush()
		open.Done()
		<-r.Context().Done()
	})
	u.handler.Store(&handler)
	bed := testbed.Start(t, testbed.Options{Servers: []demo.Place{}, Config: strings.NewReplacer(
		"MUMBAI", u.address(), "DELHI", u.address(), "SESSIONS", u.address(),
	).Replace(strings.Replace(config, "    - name: asia-south2\n      endpoints: [{name: standby-delhi, address: \"DELHI\"}]\n", "", 1))})
	ctx, cancel := context.WithCancel(context.Background())
	client := &http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{Timeout: 20 * time.Second}).DialContext}}
	defer client.CloseIdleConnections()
	defer cancel()
	stream := func() {
		open.Add(1)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+bed.Gateway+"/mcp", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "text/event-stream")
		req.Header.Set("Mcp-Protocol-Version", "2025-11-25")
		resp, err := client.Do(req)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("opening a stream: %v, %v", resp, err)
		}
		t.Cleanup(func() { resp.Body.Close() })
	}
	// The first ones make the connections and pools that all share.
	for range idleStreams / 10 {
		stream()
	}
	open.Wait()
	before := resident(t, bed)
	for range idleStreams {
		stream()
	}
	open.Wait()
	after := resident(t, bed)
	each := (after - before) / idleStreams
	t.Logf("%d idle streams: %d KiB before, %d KiB after, %d bytes each", idleStreams, before>>10, after>>10, each)
	if each > idleBytes {
		t.Errorf("an idle stream costs the processors %d bytes, more than %d", each, idleBytes)
	}
}

// resident is the memory that both processors hold, in bytes.
func resident(t *testing.T, bed *testbed.Bed) int64 {
	t.Helper()
	var all int64
	for _, name := range []string{testbed.Extproc1, testbed.Extproc2} {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", bed.Child(name).Status().PID))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, ok := strings.Cut(string(status), "VmRSS:")
		fields := strings.Fields(rest)
		if !ok || len(fields) == 0 {
			t.Fatalf("no VmRSS in %s", status)
		}
		kib, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		all += kib << 10
	}
	return all
}
