package demo_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
)

type answer struct {
	status int
	header http.Header
	body   string
}

// post sends one message as a client of the older era does, on a connection of
// its own, and returns the bytes of the answer.
func post(t *testing.T, url, message string) answer {
	t.Helper()
	resp, err := send(t.Context(), url, message)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // a test
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("the answer does not end well: %v", err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

func send(ctx context.Context, url, message string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(message))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("Mcp-Protocol-Version", "2025-11-25")
	return (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
}

func getOrder(call, order string) string {
	return `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"get_order","arguments":{"order_id":"` + order +
		`"},"_meta":{"shopmax/call":"` + call + `"}}}`
}

const (
	rpcError = `{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"the database of this server does not answer"}}`
	isError  = `{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"the database of this server does not answer"}],` +
		`"structuredContent":{"code":"internal_error","message":"the database of this server does not answer"},"isError":true}}`
)

func asEvent(message string) string { return "event: message\ndata: " + message + "\n\n" }

// TestFaultsOnTheWire holds the answers to their bytes: these are what the
// processors have to see through.
func TestFaultsOnTheWire(t *testing.T) {
	tests := []struct {
		name        string
		faults      demo.Faults
		status      int
		contentType string
		body        string
		ran         int
	}{
		{"error, as an event", demo.Faults{Mode: demo.FaultRPCError}, 200, "text/event-stream", asEvent(rpcError), 0},
		{"error, as JSON", demo.Faults{Mode: demo.FaultRPCError, JSON: true}, 200, "application/json", rpcError, 0},
		{"error, after it ran", demo.Faults{Mode: demo.FaultRPCError, After: true}, 200, "text/event-stream", asEvent(rpcError), 1},
		{"isError, as an event", demo.Faults{Mode: demo.FaultIsError}, 200, "text/event-stream", asEvent(isError), 0},
		{"isError, as JSON", demo.Faults{Mode: demo.FaultIsError, JSON: true}, 200, "application/json", isError, 0},
		{"isError, of another tool", demo.Faults{Mode: demo.FaultIsError, Tools: []string{"report"}}, 200, "text/event-stream", "", 1},
		{"500", demo.Faults{Mode: demo.FaultHTTP500}, 500, "text/plain; charset=utf-8", "the database of this server does not answer\n", 0},
		{"500, after it ran", demo.Faults{Mode: demo.FaultHTTP500, After: true}, 500, "text/plain; charset=utf-8", "the database of this server does not answer\n", 1},
		{"early end, as an event", demo.Faults{Mode: demo.FaultEarlyEOF}, 200, "text/event-stream", ": the answer is being prepared\n\n", 0},
		{"early end, as JSON", demo.Faults{Mode: demo.FaultEarlyEOF, JSON: true}, 200, "application/json", `{"jsonrpc":"2.0","result":{"content":[`, 0},
		{"slow", demo.Faults{Mode: demo.FaultSlow, Delay: "1ms"}, 200, "text/event-stream", "", 1},
		{"none", demo.Faults{Mode: demo.FaultNone}, 200, "text/event-stream", "", 1},
	}
	r := serve(t, demo.Orders)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r.faults(t, test.faults)
			got := post(t, r.url, getOrder(test.name, "ORD-7701"))
			if got.status != test.status || got.header.Get("Content-Type") != test.contentType {
				t.Errorf("status %d, content type %q", got.status, got.header.Get("Content-Type"))
			}
			if test.body == "" && !strings.Contains(got.body, `"status":"SHIPPED"`) {
				t.Errorf("the answer is not a good one: %s", got.body)
			}
			if test.body != "" && got.body != test.body {
				t.Errorf("body\n%q, want\n%q", got.body, test.body)
			}
			counts, err := demo.CountByCall(r.journal)
			if err != nil || counts[test.name] != test.ran {
				t.Errorf("the call ran %d times, want %d; %v", counts[test.name], test.ran, err)
			}
		})
	}
}

func TestHang(t *testing.T) {
	r := serve(t, demo.Orders)
	r.faults(t, demo.Faults{Mode: demo.FaultHang})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	resp, err := send(ctx, r.url, getOrder("hung", "ORD-7701"))
	if err == nil {
		_ = resp.Body.Close()
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it answered: %v", err)
	}
	// Other methods are not calls of a tool.
	if got := post(t, r.url, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`); got.status != http.StatusOK {
		t.Errorf("tools/list: status %d", got.status)
	}
}

// TestShareIsRandom: about the share of the calls fail, with runs of failures as chance has them, the same each time.
func TestShareIsRandom(t *testing.T) {
	r := serve(t, demo.Orders)
	for share, least := range map[float64]int{0.1: 1, 0.3: 2, 0.5: 3, 1: 200} {
		draw := func() string {
			r.faults(t, demo.Faults{Mode: demo.FaultRPCError, Share: share})
			var got strings.Builder
			for range 200 {
				if strings.Contains(post(t, r.url, getOrder("c", "ORD-7701")).body, "-32603") {
					got.WriteByte('x')
				} else {
					got.WriteByte('.')
				}
			}
			return got.String()
		}
		got := draw()
		if n := float64(strings.Count(got, "x")); math.Abs(n-200*share) > 25 {
			t.Errorf("share %v fails %v of 200", share, n)
		}
		if !strings.Contains(got, strings.Repeat("x", least)) {
			t.Errorf("share %v: no %d failures in a row: %s", share, least, got)
		}
		if again := draw(); again != got {
			t.Errorf("share %v: %s, then %s", share, got, again)
		}
	}
}

func TestFaultsRefused(t *testing.T) {
	r := serve(t, demo.Orders)
	for want, faults := range map[string]demo.Faults{
		`mode "melt" is not one of`:         {Mode: "melt"},
		"share 1.1 is not between":          {Mode: demo.FaultHang, Share: 1.1},
		"share -1 is not between":           {Mode: demo.FaultHang, Share: -1},
		"delay: ":                           {Mode: demo.FaultSlow, Delay: "soon"},
		"delay 1h0m0s is not between":       {Mode: demo.FaultSlow, Delay: "1h"},
		"101 tools are more than 100":       {Tools: make([]string, 101)},
		"after has no meaning with mode sl": {Mode: demo.FaultSlow, After: true},
	} {
		if err := demo.PutFaults(t.Context(), r.control, faults); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", faults, err, want)
		}
	}
	if err := r.SetFaults(demo.Faults{Share: math.NaN()}); err == nil {
		t.Error("a share that is no number is taken")
	}
	for _, body := range []string{`{`, `{"Mode":"hang"}`, `{"mode":"hang","mode":"none"}`, `{"mode":"none","x":1}`, "{}{}", strings.Repeat(" ", 70_000) + "{}"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+r.control+"/faults", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%.20q: status %d", body, resp.StatusCode)
		}
		_ = resp.Body.Close()
	}
	if got := r.Faults(); got.Mode != "" {
		t.Errorf("a refused fault is in force: %+v", got)
	}
	// The public side has no control.
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(mustRequest(t, strings.Replace(r.url, "/mcp", "/faults", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("the public side answers /faults with status %d", resp.StatusCode)
	}
	_ = resp.Body.Close()
}

func mustRequest(t *testing.T, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func TestOversizedBody(t *testing.T) {
	r := serve(t, demo.Orders)
	if got := post(t, r.url, `{"jsonrpc":"2.0","id":1,"method":"`+strings.Repeat("x", 5<<20)+`"}`); got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", got.status)
	}
}

// TestHeldFaults end with who holds them, unless others have been put in force meanwhile.
func TestHeldFaults(t *testing.T) {
	r := serve(t, demo.Orders)
	broken := demo.Faults{Mode: demo.FaultIsError, Tools: []string{"get_order"}}
	release, err := demo.HoldFaults(t.Context(), r.control, broken)
	if err != nil || r.Faults().Mode != demo.FaultIsError {
		t.Fatalf("%+v, %v", r.Faults(), err)
	}
	release()
	for deadline := time.Now().Add(30 * time.Second); r.Faults().Mode != demo.FaultNone; {
		if time.Now().After(deadline) {
			t.Fatalf("nobody holds %+v any more", r.Faults())
		}
		runtime.Gosched()
	}
	if release, err = demo.HoldFaults(t.Context(), r.control, broken); err != nil {
		t.Fatal(err)
	}
	hang := demo.Faults{Mode: demo.FaultHang, Tools: []string{"get_order"}}
	if err := demo.PutFaults(t.Context(), r.control, hang); err != nil {
		t.Fatal(err)
	}
	release()
	// Connections are served in turn: when this one has been, the end of the other one has been seen.
	if again, err := demo.HoldFaults(t.Context(), r.control, hang); err != nil || r.Faults().Mode != demo.FaultHang {
		t.Errorf("%+v, %v", r.Faults(), err)
	} else {
		again()
	}
	if _, err := demo.HoldFaults(t.Context(), r.control, demo.Faults{Mode: "explode"}); err == nil {
		t.Error("a fault that there is not is held")
	}
}
