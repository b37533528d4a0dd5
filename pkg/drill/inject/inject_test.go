package inject

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	fault "github.com/Shopify/toxiproxy/v2"
	toxiproxy "github.com/Shopify/toxiproxy/v2/client"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/holdfast-mcp/holdfast/pkg/drill"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
)

func TestCommands(t *testing.T) {
	flag := filepath.Join(t.TempDir(), "broken")
	f, err := Commands{Break: "touch " + flag, Mend: "rm -f " + flag, Noticed: "test -e " + flag + " && echo the test"}.Fault()
	if err != nil {
		t.Fatal(err)
	}
	if by, err := f.Noticed(t.Context()); err != nil || by != "" {
		t.Errorf("before: %q, %v", by, err)
	}
	if err := f.Break(t.Context()); err != nil {
		t.Fatal(err)
	}
	if by, err := f.Noticed(t.Context()); err != nil || by != "the test" {
		t.Errorf("broken: %q, %v", by, err)
	}
	for range 2 { // whether it is broken or not
		if err := f.Mend(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(flag); !os.IsNotExist(err) {
		t.Error("it is not mended")
	}
	if _, err := (Commands{Break: "true"}).Fault(); !errors.Is(err, ErrIncomplete) {
		t.Errorf("without the way back: %v", err)
	}
	f, err = Commands{Break: "echo no way >&2; exit 3", Mend: "true", Noticed: "exit 2"}.Fault()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Break(t.Context()); err == nil || !strings.Contains(err.Error(), "no way") {
		t.Errorf("a command that fails: %v", err)
	}
	if by, err := f.Noticed(t.Context()); err == nil {
		t.Errorf("a command that fails has noticed %q", by)
	}
}

// toxiproxyAt runs a real Toxiproxy and returns its API's address. It has no way to stop, and ends with the tests.
func toxiproxyAt(t *testing.T) (*fault.ApiServer, string) {
	t.Helper()
	address := stacktest.Address(t)
	host, number, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	server := fault.NewServer(fault.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	go server.Listen(host, number)
	deadline := time.Now().Add(30 * time.Second)
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			return server, "http://" + address
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestProxy(t *testing.T) {
	server, api := toxiproxyAt(t)
	proxy := fault.NewProxy(server, "orders", "127.0.0.1:0", "127.0.0.1:1")
	if err := server.Collection.Add(proxy, true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Stop)
	asked := toxiproxy.NewClient(api)
	for kind, want := range map[string]struct {
		enabled bool
		toxics  int
	}{
		drill.Crash: {false, 0}, drill.RedisLoss: {false, 0}, drill.Hang: {true, 2}, drill.Slow: {true, 1}, drill.BrokenSSE: {true, 1},
	} {
		f, err := Proxy{API: api, Names: []string{"orders"}}.Fault(kind)
		if err != nil {
			t.Fatal(kind, err)
		}
		harm := f.Break
		if f.BreakBy != nil {
			harm = nil
			if err := f.BreakBy(t.Context(), 20*time.Millisecond); err != nil {
				t.Fatal(kind, err)
			}
		}
		if harm != nil {
			if err := harm(t.Context()); err != nil {
				t.Fatal(kind, err)
			}
		}
		got, err := asked.Proxy("orders")
		if err != nil || got.Enabled != want.enabled || len(got.ActiveToxics) != want.toxics {
			t.Errorf("%s: %+v, %v", kind, got, err)
		}
		if kind == drill.Slow && got.ActiveToxics[0].Attributes["latency"] != float64(180) {
			t.Errorf("%s: %+v", kind, got.ActiveToxics[0])
		}
		for range 2 { // whether it is broken or not
			if err := f.Mend(t.Context()); err != nil {
				t.Fatal(kind, err)
			}
		}
		if got, err := asked.Proxy("orders"); err != nil || !got.Enabled || len(got.ActiveToxics) != 0 {
			t.Errorf("%s, mended: %+v, %v", kind, got, err)
		}
	}
	f, err := Proxy{API: api, Names: []string{"payments"}}.Fault(drill.Crash)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Break(t.Context()); err == nil || !strings.Contains(err.Error(), `proxy "payments"`) {
		t.Errorf("a proxy that is not there: %v", err)
	}
	if _, err := (Proxy{API: api, Names: []string{"orders"}}).Fault(drill.Errors5xx); !errors.Is(err, ErrNotByProxy) {
		t.Errorf("what a proxy cannot do: %v", err)
	}
}

func TestParseFile(t *testing.T) {
	all, err := ParseFile([]byte("region-loss: {break: a, mend: b}\nhang: {toxiproxy: \"http://127.0.0.1:8474\", proxies: [orders]}\n"))
	if err != nil || len(all) != 2 {
		t.Fatalf("%v, %v", all, err)
	}
	for kind, w := range all {
		if f, err := w.Fault(kind); err != nil || f.Break == nil || f.Mend == nil || f.Does == "" {
			t.Errorf("%s: %+v, %v", kind, f, err)
		}
	}
	for text, want := range map[string]string{
		"regionloss: {break: a, mend: b}": "there are region-loss, crash",
		"crash: {brake: a, mend: b}":      "brake",
		"crash: [":                        "reading faults",
	} {
		if _, err := ParseFile([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := (Written{Break: "a", Mend: "b", Toxiproxy: "http://x", Proxies: []string{"y"}}).Fault(drill.Crash); err == nil {
		t.Error("both ways are taken")
	}
}
