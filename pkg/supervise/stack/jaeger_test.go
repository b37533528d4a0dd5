package stack_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
)

// TestJaegerTakesSpans sends a span to a real Jaeger and reads it back.
func TestJaegerTakesSpans(t *testing.T) {
	jaeger := stacktest.StartJaeger(t)
	const trace = "5b8efff798038103d269b633813fc60c"
	now := time.Now()
	span := fmt.Sprintf(`{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"orders"}}]},
		"scopeSpans":[{"spans":[{"traceId":%q,"spanId":"eee19b7ec3c1b174","name":"tools/call get_order","kind":2,
		"startTimeUnixNano":"%d","endTimeUnixNano":"%d"}]}]}]}`, trace, now.Add(-time.Millisecond).UnixNano(), now.UnixNano())
	if status, body := exchange(t, http.MethodPost, "http://"+jaeger.OTLPHTTP+"/v1/traces", span); status != http.StatusOK {
		t.Fatalf("sending a span: %d %s", status, body)
	}
	// Jaeger has taken the span, and writes it down when it gets to it.
	deadline := time.Now().Add(time.Minute)
	for {
		status, body := exchange(t, http.MethodGet, "http://"+jaeger.Query+"/api/traces/"+trace, "")
		if status == http.StatusOK && strings.Contains(body, "tools/call get_order") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("asking for the trace: %d %s", status, body)
		}
		<-time.After(10 * time.Millisecond)
	}
}

func exchange(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // a test
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}
